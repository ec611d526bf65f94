//! A set of shards.

use crate::base::ids::ShardId;
use crate::face::SHARDS_MAX;
use serde::{Deserialize, Serialize};

/// Some of the shards of a cluster: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSet(u64);

const _: () = assert!(SHARDS_MAX as u32 == u64::BITS, "each shard has its bit");

impl ShardSet {
    /// Adds a shard; false if it was there.
    ///
    /// # Panics
    /// If no cluster has such a shard.
    pub fn insert(&mut self, shard: ShardId) -> bool {
        let bit = ShardSet::bit(shard);
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }

    /// Whether the shard is there.
    ///
    /// # Panics
    /// If no cluster has such a shard.
    pub fn contains(self, shard: ShardId) -> bool {
        self.0 & ShardSet::bit(shard) != 0
    }

    /// What is in either of the two.
    #[must_use]
    pub fn union(self, other: ShardSet) -> ShardSet {
        ShardSet(self.0 | other.0)
    }

    /// Whether no shard is there.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The shards, in order.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let lowest = (bits != 0).then(|| bits.trailing_zeros())?;
            bits &= bits - 1;
            Some(ShardId(u16::try_from(lowest).expect("below 64")))
        })
    }

    fn bit(shard: ShardId) -> u64 {
        assert!(shard.0 < SHARDS_MAX, "a cluster has at most {SHARDS_MAX} shards");
        1 << shard.0
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> Self {
        let mut set = ShardSet::default();
        shards.into_iter().for_each(|shard| {
            set.insert(shard);
        });
        set
    }
}

#[cfg(test)]
mod tests {
    use super::{ShardId, ShardSet};

    #[test]
    fn a_shard_is_in_the_set_once() {
        let mut set = ShardSet::default();
        assert!(set.is_empty());
        assert!(set.insert(ShardId(63)));
        assert!(set.insert(ShardId(0)));
        assert!(!set.insert(ShardId(0)));
        assert_eq!(set.iter().collect::<Vec<_>>(), [ShardId(0), ShardId(63)]);
        assert_eq!(set.union([ShardId(7)].into_iter().collect()).iter().count(), 3);
        assert!(set.contains(ShardId(63)) && !set.contains(ShardId(7)));
    }
}
