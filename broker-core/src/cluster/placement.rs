//! Which shard a topic or a session belongs to, and which nodes hold a shard.

use super::hash::{Use, hash};
use super::ring::Ring;
use crate::base::ids::{NodeId, ShardId};
use crate::topic::{TopicFilter, TopicName};
use std::collections::BTreeMap;

/// The shards of a cluster on its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    replicas: Vec<Vec<NodeId>>,
}

/// The shards in which a topic filter can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterShards {
    /// This one: the filter names one topic.
    One(ShardId),
    /// Every shard of the cluster: the filter has a wildcard.
    All,
}

impl FilterShards {
    /// Whether the filter can match in `shard`.
    pub fn contains(self, shard: ShardId) -> bool {
        match self {
            FilterShards::One(only) => only == shard,
            FilterShards::All => true,
        }
    }
}

impl Placement {
    /// `shards` shards of `replicas` replicas each (of all nodes, if they are fewer), placed on `ring`.
    ///
    /// The nodes of a shard are those that follow it on the ring, so that of a change of members a shard notices only that
    /// one of its nodes is another. Which of them should lead is then chosen evenly, in proportion to weight: a ring alone spreads as few
    /// things as there are shards badly, and to move leadership costs no data.
    ///
    /// # Panics
    /// If `shards` or `replicas` is 0, or no member of the ring has a weight.
    pub fn new(shards: u16, replicas: u8, ring: &Ring) -> Self {
        assert!(shards > 0, "a cluster has a shard");
        assert!(replicas > 0, "a shard has a replica");
        let on_ring = |shard: u16| -> Vec<NodeId> {
            let place = hash(Use::Shard, &shard.to_le_bytes());
            ring.walk(place).take(usize::from(replicas)).collect()
        };
        let mut placement = Placement { replicas: (0..shards).map(on_ring).collect() };
        assert!(!placement.replicas[0].is_empty(), "some member of the ring has a weight");
        placement.spread_leaders(ring);
        placement
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        u16::try_from(self.replicas.len()).expect("it was made of a u16")
    }

    /// All shards, in order.
    pub fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards()).map(ShardId)
    }

    /// The shard that holds the messages of a topic.
    pub fn topic_shard(&self, topic: &TopicName) -> ShardId {
        self.shard_of(hash(Use::Topic, topic.as_str().as_bytes()))
    }

    /// The shard that holds the session of a client identifier.
    pub fn session_shard(&self, client_id: &str) -> ShardId {
        self.shard_of(hash(Use::Session, client_id.as_bytes()))
    }

    /// The shards in which `filter` can match. Of a shared subscription only the filter within counts.
    pub fn filter_shards(&self, filter: &TopicFilter) -> FilterShards {
        let text = filter.as_str();
        // A wildcard fills a whole level, so one of these characters in a valid filter is a wildcard.
        if text.contains(['+', '#']) {
            FilterShards::All
        } else {
            FilterShards::One(self.shard_of(hash(Use::Topic, text.as_bytes())))
        }
    }

    /// The nodes that hold a replica of `shard`, each once. The first should lead.
    ///
    /// # Panics
    /// If the cluster has no such shard.
    pub fn replicas(&self, shard: ShardId) -> &[NodeId] {
        &self.replicas[usize::from(shard.0)]
    }

    /// The shards of which `node` holds a replica.
    pub fn shards_of(&self, node: NodeId) -> impl Iterator<Item = ShardId> {
        self.all().filter(move |shard| self.replicas(*shard).contains(&node))
    }

    /// By multiplication, not by remainder: equal shares for every number of shards.
    fn shard_of(&self, hash: u64) -> ShardId {
        let product = u128::from(hash) * self.replicas.len() as u128;
        ShardId(u16::try_from(product >> 64).expect("below the number of shards"))
    }

    /// Brings to the front, shard by shard, the replica that leads least for its weight; of equals the first on the ring.
    fn spread_leaders(&mut self, ring: &Ring) {
        let mut leads: BTreeMap<NodeId, u32> = BTreeMap::new();
        for replicas in &mut self.replicas {
            // How many it would lead, and its weight: two such fractions are compared without dividing.
            let load = |node: NodeId| -> (u32, u32) {
                (leads.get(&node).copied().unwrap_or(0) + 1, u32::from(ring.weight(node).0))
            };
            let lighter = |left: usize, right: usize| -> bool {
                let ((left, left_weight), (right, right_weight)) =
                    (load(replicas[left]), load(replicas[right]));
                left * right_weight < right * left_weight
            };
            let best =
                (1..replicas.len()).fold(0, |best, next| if lighter(next, best) { next } else { best });
            replicas[..=best].rotate_right(1);
            *leads.entry(replicas[0]).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests;
