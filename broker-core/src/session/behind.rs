//! QoS 0 that must not come before the retained messages of a subscription: those come by the queue of the gateway's hub, QoS 0
//! comes beside it and could be faster.

use super::gateway::{Conn, Gateway};
use super::link::Delivery;
use super::outbound::{Live, Wish};
use crate::base::ids::{ConnId, ShardId};
use std::collections::{BTreeMap, VecDeque};

/// What waits on one connection, by the shard that it came from.
#[derive(Debug, Default)]
pub(super) struct Behind {
    shards: BTreeMap<ShardId, Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Subscriptions whose retained messages may not all have come.
    subscriptions: u32,
    deliveries: VecDeque<Delivery>,
}

impl Behind {
    /// Whether QoS 0 of `shard` has to wait.
    pub(super) fn holds(&self, shard: ShardId) -> bool {
        self.shards.contains_key(&shard)
    }

    /// What waits for `shard`, to be added to.
    pub(super) fn of(&mut self, shard: ShardId) -> Option<&mut VecDeque<Delivery>> {
        self.shards.get_mut(&shard).map(|waiting| &mut waiting.deliveries)
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.shards.values().map(|waiting| waiting.deliveries.len()).sum()
    }
}

impl Gateway {
    /// A connection subscribes in `shard`: QoS 0 from there waits until [`Gateway::caught_up`] is called as often.
    pub fn fall_behind(&mut self, id: ConnId, shard: ShardId) {
        if let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) {
            link.behind.shards.entry(shard).or_default().subscriptions += 1;
        }
    }

    /// All retained messages of one subscription have come from `shard`: what waited for those of the last one goes now.
    pub fn caught_up(&mut self, id: ConnId, shard: ShardId) {
        let Some(mut client) = self.client(id) else { return };
        let Some(link) = client.conn.link_mut() else { return };
        let Some(waiting) = link.behind.shards.get_mut(&shard) else { return };
        waiting.subscriptions -= 1;
        if waiting.subscriptions > 0 {
            return;
        }
        let deliveries = link.behind.shards.remove(&shard).map(|waiting| waiting.deliveries);
        for Delivery { message, qos, retain, subscription_ids } in deliveries.into_iter().flatten() {
            if let Some(link) = client.conn.link_mut() {
                link.local_queue_bytes -= message.size();
            }
            client.deliver(&mut Live::kept(&message), Wish { qos, retain, ids: &subscription_ids });
        }
    }
}
