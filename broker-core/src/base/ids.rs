//! A newtype for every number, so that an offset is never taken for an epoch.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU16;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one.
            ///
            /// # Panics
            /// If the numbers run out.
            #[must_use]
            pub fn next(self) -> Self {
                $name(self.0.checked_add(1).expect(concat!(stringify!($name), " numbers ran out")))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// One client connection of one run of a node; never used again within that run.
    ConnId(u64)
}
number! {
    /// A node of a cluster.
    NodeId(u32)
}
number! {
    /// A shard: one replicated queue machine.
    ShardId(u16)
}
number! {
    /// Log sequence number: the position of a record in a node's write-ahead log. The first record has number 1.
    Lsn(u64)
}
number! {
    /// One request to persist; answered by `Input::Persisted`. Numbers rise by one.
    WriteId(u64)
}
number! {
    /// The position of an entry in a shard's log of entries. The first entry has index 1.
    Index(u64)
}
number! {
    /// A term of a shard's log of entries: each has one leader at most. The first one has number 1.
    Term(u64)
}
number! {
    /// The position of a message in a shard's message log.
    Offset(u64)
}
number! {
    /// A position in one consumer's queue, from 0; the n-th message ever queued for it.
    Position(u64)
}
number! {
    /// One life of a session: minted when the session is created, never used again in the whole cluster.
    Incarnation(u64)
}
number! {
    /// Raised at every attach of a session; what carries a lower one is refused.
    Epoch(u64)
}

impl Incarnation {
    /// Where the number of the session's shard is: its sessions count in the bits below.
    const SHARD_SHIFT: u32 = 48;

    /// The first session of a shard. So no two shards mint the same incarnation, and each says where it is from.
    pub fn first_of(shard: ShardId) -> Self {
        Incarnation(u64::from(shard.0) << Self::SHARD_SHIFT).next()
    }

    /// The shard that holds the session.
    pub fn shard(self) -> ShardId {
        ShardId(u16::try_from(self.0 >> Self::SHARD_SHIFT).expect("16 bits are left"))
    }
}

/// An MQTT packet identifier: 1 to 65,535. \[MQTT-2.2.1-3\]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The identifier `id`, or `None` for 0, which the norm forbids.
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(PacketId(id)),
            None => None,
        }
    }

    /// The identifier as a number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Incarnation, ShardId};

    #[test]
    fn an_incarnation_says_which_shard_minted_it() {
        assert_eq!(Incarnation::first_of(ShardId(0)), Incarnation(1));
        for shard in [0, 1, 63, u16::MAX] {
            let first = Incarnation::first_of(ShardId(shard));
            assert_eq!((first.shard(), first.next().shard()), (ShardId(shard), ShardId(shard)));
        }
    }
}
