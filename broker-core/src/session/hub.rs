//! Who of the connected clean sessions hears a topic.

use crate::base::ids::{ConnId, ShardId};
use crate::codec::packet::QoS;
use crate::message::Message;
use crate::shard::ShardSet;
use crate::shard::session::Subscription;
use crate::topic::TopicFilter;
use crate::topic::trie::SubscriptionTrie;

/// How a message is to be delivered on one connection: of overlapping subscriptions the highest QoS and every identifier.
/// \[MQTT-3.3.4-2, -3\]
#[derive(Debug)]
pub struct Route {
    /// Where.
    pub conn: ConnId,
    /// The QoS to deliver with.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// Subscription identifiers to send.
    pub subscription_ids: Vec<u32>,
}

/// The subscriptions of the connected clean sessions.
#[derive(Debug)]
pub struct Hub {
    routes: SubscriptionTrie<ConnId, Heard>,
}

/// A subscription, and the shards whose messages count for it: those that have put it on record.
#[derive(Clone, Copy, Debug)]
struct Heard {
    subscription: Subscription,
    shards: ShardSet,
}

impl Hub {
    /// Nobody hears anything.
    pub fn new() -> Self {
        Hub { routes: SubscriptionTrie::new() }
    }

    /// Adds or replaces a subscription, to which messages of these shards count from now on.
    pub fn subscribe(
        &mut self,
        conn: ConnId,
        filter: &TopicFilter,
        subscription: Subscription,
        shards: ShardSet,
    ) {
        self.routes.insert(filter, conn, Heard { subscription, shards });
    }

    /// Removes a subscription.
    pub fn unsubscribe(&mut self, conn: ConnId, filter: &TopicFilter) {
        self.routes.remove(filter, &conn);
    }

    /// Fills `found` with a route for each connection that hears `message`, in the order of connections. Subscriptions with
    /// No Local do not hear what their own client publishes. \[MQTT-3.8.3-3\]
    pub fn routes(
        &self,
        message: &Message,
        shard: ShardId,
        is_publisher: impl Fn(ConnId) -> bool,
        found: &mut Vec<Route>,
    ) {
        found.clear();
        if self.routes.is_empty() {
            return;
        }
        self.routes.for_each_match(&message.topic, |conn, Heard { subscription, shards }| {
            if !shards.contains(shard) {
                return;
            }
            if subscription.options.no_local && is_publisher(*conn) {
                return;
            }
            found.push(Route {
                conn: *conn,
                qos: message.qos.min(subscription.options.qos),
                retain: message.retain && subscription.options.retain_as_published,
                subscription_ids: subscription.id.into_iter().collect(),
            });
        });
        if found.is_sorted_by(|a, b| a.conn < b.conn) {
            return;
        }
        found.sort_by_key(|route| route.conn);
        found.dedup_by(|later, kept| {
            let same = later.conn == kept.conn;
            if same {
                kept.merge(later);
            }
            same
        });
    }
}

impl Default for Hub {
    fn default() -> Self {
        Hub::new()
    }
}

impl Route {
    fn merge(&mut self, other: &mut Route) {
        self.qos = self.qos.max(other.qos);
        self.retain |= other.retain;
        self.subscription_ids.append(&mut other.subscription_ids);
    }
}
