//! The state of a shard as bytes: a version byte, then postcard (<https://postcard.jamesmunns.com/wire-format>).

use super::authors::Authors;
use super::entry::QueueLimits;
use super::groups::Groups;
use super::hub::Hub;
use super::log::MessageLog;
use super::outbox::Outboxes;
use super::participant::Participant;
use super::session::SessionRecord;
use super::stream::GatewayId;
use super::streams::Streams;
use crate::base::ids::{Incarnation, Offset, ShardId};
use crate::base::time::WallTime;
use crate::topic::TopicName;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

const VERSION: u8 = 3;

/// At most so many bytes a chunk.
const CHUNK_BYTES: usize = 1 << 20;

/// What a snapshot holds, by reference.
#[derive(Serialize)]
pub(super) struct State<'a> {
    pub(super) shard: ShardId,
    pub(super) shards: u16,
    pub(super) limits: QueueLimits,
    pub(super) time: WallTime,
    pub(super) streams: &'a Streams,
    pub(super) outboxes: &'a Outboxes,
    pub(super) next_incarnation: Incarnation,
    pub(super) sessions: Vec<&'a SessionRecord>,
    pub(super) log: &'a MessageLog,
    pub(super) participants: &'a BTreeMap<Incarnation, Participant>,
    pub(super) retired: &'a BTreeMap<Incarnation, WallTime>,
    pub(super) authors: &'a Authors,
    pub(super) groups: &'a Groups,
    pub(super) hubs: &'a BTreeMap<GatewayId, Hub>,
    pub(super) retained: Vec<(TopicName, Offset)>,
}

/// What a snapshot holds.
#[derive(Deserialize)]
pub(super) struct OwnedState {
    pub(super) shard: ShardId,
    pub(super) shards: u16,
    pub(super) limits: QueueLimits,
    pub(super) time: WallTime,
    pub(super) streams: Streams,
    pub(super) outboxes: Outboxes,
    pub(super) next_incarnation: Incarnation,
    pub(super) sessions: Vec<SessionRecord>,
    pub(super) log: MessageLog,
    pub(super) participants: BTreeMap<Incarnation, Participant>,
    pub(super) retired: BTreeMap<Incarnation, WallTime>,
    pub(super) authors: Authors,
    pub(super) groups: Groups,
    pub(super) hubs: BTreeMap<GatewayId, Hub>,
    pub(super) retained: Vec<(TopicName, Offset)>,
}

/// A snapshot that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// It has a version that this program does not know.
    Version(u8),
    /// Its bytes are not what they should be.
    Malformed,
    /// It is of a cluster with another number of shards.
    Shards {
        /// How many the snapshot is of.
        held: u16,
        /// How many there are to be.
        expected: u16,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Version(version) => write!(
                f,
                "the snapshot has state version {version}, and this program reads version {VERSION}; use the program that wrote it, or begin with an empty data folder"
            ),
            SnapshotError::Shards { held, expected } => write!(
                f,
                "the snapshot is of a cluster of {held} shards, and this one is to have {expected}; the number of shards cannot change: set it back"
            ),
            SnapshotError::Malformed => f.write_str("the snapshot's state cannot be decoded"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// The state as chunks of bounded size.
pub(super) fn encode(state: &State<'_>) -> Vec<Bytes> {
    let bytes = postcard::to_extend(state, vec![VERSION]).expect("encoding into memory does not fail");
    let bytes = Bytes::from(bytes);
    (0..bytes.len())
        .step_by(CHUNK_BYTES)
        .map(|from| bytes.slice(from..bytes.len().min(from + CHUNK_BYTES)))
        .collect()
}

/// The state that was encoded as `chunks`.
pub(super) fn decode(chunks: &[Bytes]) -> Result<OwnedState, SnapshotError> {
    let bytes = chunks.concat();
    match bytes.split_first() {
        Some((&VERSION, state)) => postcard::from_bytes(state).map_err(|_| SnapshotError::Malformed),
        Some((&version, _)) => Err(SnapshotError::Version(version)),
        None => Err(SnapshotError::Malformed),
    }
}
