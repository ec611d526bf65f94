//! The bodies of a node's records: a version byte, then a [`Body`] in postcard.

use crate::base::ids::{Index, Lsn, NodeId, ShardId};
use crate::cluster::{Directory, Introduction};
use crate::face::Record;
use crate::replication::local;
use crate::replication::replica::{Base, HardState, LogEntry};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of [`Body`] and of the node's snapshots.
pub(super) const VERSION: u8 = 7;

/// The version of the records and snapshots of a node that holds everything itself.
const VERSION_LOCAL: u8 = local::VERSION;

const _: () = assert!(VERSION != VERSION_LOCAL, "one is told from the other by its version");

/// What a record says. The order of variants is part of the format: new ones go to the end.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body {
    /// The node began this life.
    Life(u64),
    /// The turn of one group.
    Turn {
        group: ShardId,
        /// If it changed.
        hard: Option<HardState>,
        /// The index of the first of `entries`, which replace whatever there was from it on.
        first: Index,
        entries: Vec<LogEntry>,
    },
    /// A piece of a machine that a group was sent.
    Machine { group: ShardId, piece: Bytes },
    /// The group goes on from here: with the machine of the last `pieces` records of that kind, and without entries.
    Base { group: ShardId, base: Base, pieces: u32 },
    /// The group has no replica on this node any more. What it said in elections is not forgotten.
    GivenUp { group: ShardId },
    /// The cluster's directory, as far as this node knows it.
    Directory(Directory),
    /// The number of this folder, minted when it was first used.
    Folder(u64),
    /// A member as it introduced itself.
    Met { member: NodeId, as_whom: Introduction },
}

impl Body {
    pub(super) fn encode(&self) -> Bytes {
        postcard::to_extend(self, vec![VERSION]).expect("encoding into memory does not fail").into()
    }

    /// The body of `record`.
    ///
    /// # Errors
    /// Says what is wrong with the record.
    pub(super) fn decode(record: &Record) -> Result<Body, NodeLogError> {
        let malformed = NodeLogError::Malformed(record.lsn);
        match record.body.split_first() {
            Some((&VERSION, body)) => exactly(body).ok_or(malformed),
            Some((&version, _)) => Err(NodeLogError::Version(record.lsn, version)),
            None => Err(malformed),
        }
    }
}

/// What `bytes` encode, if they end where it ends.
pub(super) fn exactly<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

/// A node's log or snapshot that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeLogError {
    /// A record has a version that this program does not read.
    Version(Lsn, u8),
    /// A record's bytes are not what they should be, although the checksum of the log is right.
    Malformed(Lsn),
    /// Entries of a group are missing before those of this record.
    Gap {
        /// The record.
        lsn: Lsn,
        /// The group.
        group: ShardId,
        /// The index its entries go on with.
        expected: Index,
        /// The index that the record has.
        found: Index,
    },
    /// A record is for a group of which nothing was said before.
    UnknownGroup(Lsn, ShardId),
    /// The snapshot has a version that this program does not read.
    SnapshotVersion(u8),
    /// The snapshot's bytes are not what they should be.
    SnapshotMalformed,
}

impl fmt::Display for NodeLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeLogError::Version(lsn, version) => {
                write!(f, "record {lsn} of the log has version {version}")?;
                say_what_to_do(f, *version)
            }
            NodeLogError::SnapshotVersion(version) => {
                write!(f, "the snapshot has version {version}")?;
                say_what_to_do(f, *version)
            }
            NodeLogError::Malformed(lsn) => write!(f, "record {lsn} of the log cannot be decoded"),
            NodeLogError::Gap { lsn, group, expected, found } => write!(
                f,
                "record {lsn} of the log has entries of shard {group} from {found} on, and those from {expected} on are missing; \
                 remove the node from the cluster and let it come back under a new number, with an empty data folder"
            ),
            NodeLogError::UnknownGroup(lsn, group) => write!(
                f,
                "record {lsn} of the log is for shard {group}, of which no record or snapshot tells how it began"
            ),
            NodeLogError::SnapshotMalformed => f.write_str("the snapshot of the node cannot be decoded"),
        }
    }
}

impl std::error::Error for NodeLogError {}

fn say_what_to_do(f: &mut fmt::Formatter<'_>, version: u8) -> fmt::Result {
    if version == VERSION_LOCAL {
        f.write_str(
            ", that of a node that is no member of a cluster; start it without one, or as a member with an empty data folder",
        )
    } else {
        write!(f, ", and this program reads version {VERSION}; use the program that wrote it")
    }
}
