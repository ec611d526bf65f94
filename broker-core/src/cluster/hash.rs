//! The one hash of the cluster: XXH64, whose specification is frozen, with a seed for each use.

use xxhash_rust::xxh64::xxh64;

/// What is hashed; equal bytes in different uses have independent hashes.
///
/// The numbers are the seeds. A changed one sends topics and sessions to shards that do not have them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    /// A topic name, to its shard.
    Topic = 1,
    /// A client identifier, to its shard.
    Session = 2,
    /// A shard, to where it is on the ring.
    Shard = 3,
    /// A node's n-th virtual node, to where it is on the ring.
    Node = 4,
}

/// The hash of `bytes` for this use.
pub(super) fn hash(of: Use, bytes: &[u8]) -> u64 {
    xxh64(bytes, of as u64)
}

#[cfg(test)]
mod tests {
    use super::{Use, hash, xxh64};

    #[test]
    fn the_hash_is_what_its_specification_says() {
        // The test vectors of the reference implementation for an empty input, and the widely published one for "abc".
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"abc", 0), 0x44bc_2cf5_ad77_0999);
        assert_ne!(hash(Use::Topic, b"abc"), hash(Use::Session, b"abc"));
    }
}
