//! Which shard a topic or a session belongs to.

use super::hash::{Use, hash};
use crate::base::ids::ShardId;
use crate::topic::{TopicFilter, TopicName};

/// What is in which shard. It is the same everywhere and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    shards: u16,
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
    /// Of a cluster of so many shards.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(shards: u16) -> Self {
        assert!(shards > 0, "a cluster has a shard");
        Placement { shards }
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.shards
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

    /// By multiplication, not by remainder: equal shares for every number of shards.
    fn shard_of(&self, hash: u64) -> ShardId {
        let product = u128::from(hash) * u128::from(self.shards);
        ShardId(u16::try_from(product >> 64).expect("below the number of shards"))
    }
}

#[cfg(test)]
mod tests;
