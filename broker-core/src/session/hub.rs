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

/// How a message comes to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In the hub's queue of the message's shard.
    Queued,
    /// Beside it, as QoS 0 does.
    Passing,
}

/// A subscription, and the shards whose messages count for it.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// What was asked for.
    pub subscription: Subscription,
    /// The shards that have put it on record: what comes by [`Way::Passing`] counts.
    pub passing: ShardSet,
    /// Those whose queue has come to where it begins: what comes by [`Way::Queued`] counts.
    pub queued: ShardSet,
}

impl Heard {
    /// No message counts yet.
    pub fn new(subscription: Subscription) -> Self {
        Heard { subscription, passing: ShardSet::default(), queued: ShardSet::default() }
    }

    /// Those of `shard` that come by `way` count from now on. False if they did before.
    pub fn begin(&mut self, shard: ShardId, way: Way) -> bool {
        self.shards(way).insert(shard)
    }

    fn counts(&self, shard: ShardId, way: Way) -> bool {
        match way {
            Way::Queued => self.queued.contains(shard),
            Way::Passing => self.passing.contains(shard),
        }
    }

    fn shards(&mut self, way: Way) -> &mut ShardSet {
        match way {
            Way::Queued => &mut self.queued,
            Way::Passing => &mut self.passing,
        }
    }
}

impl Hub {
    /// Nobody hears anything.
    pub fn new() -> Self {
        Hub { routes: SubscriptionTrie::new() }
    }

    /// Adds or replaces a subscription.
    pub fn subscribe(&mut self, conn: ConnId, filter: &TopicFilter, heard: Heard) {
        self.routes.insert(filter, conn, heard);
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
        (shard, way): (ShardId, Way),
        is_publisher: impl Fn(ConnId) -> bool,
        found: &mut Vec<Route>,
    ) {
        found.clear();
        if self.routes.is_empty() {
            return;
        }
        self.routes.for_each_match(&message.topic, |conn, heard| {
            if !heard.counts(shard, way) {
                return;
            }
            let subscription = &heard.subscription;
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
