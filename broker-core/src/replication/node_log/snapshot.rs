//! The snapshot of a node: a chunk that tells what follows, then for each group the chunks of its machine as they are, and
//! its entries.

use super::record::{NodeLogError, VERSION, exactly};
use crate::base::ids::{NodeId, ShardId};
use crate::cluster::{Directory, Introduction};
use crate::replication::replica::{Base, HardState, LogEntry, Replica, pieces};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The first chunk, after a version byte.
#[derive(Serialize, Deserialize)]
struct Contents {
    life: u64,
    directory: Option<Directory>,
    given_up: BTreeMap<ShardId, HardState>,
    folder: Option<u64>,
    met: BTreeMap<NodeId, Introduction>,
    groups: Vec<Group>,
}

/// What a node has on record, but for what is on its way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) life: u64,
    pub(super) directory: Option<Directory>,
    pub(super) given_up: BTreeMap<ShardId, HardState>,
    pub(super) folder: Option<u64>,
    pub(super) met: BTreeMap<NodeId, Introduction>,
    pub(super) replicas: BTreeMap<ShardId, Replica>,
}

#[derive(Serialize, Deserialize)]
struct Group {
    group: ShardId,
    hard: HardState,
    base: Base,
    /// How many chunks of machine follow, and then how many of entries.
    machine: u32,
    entries: u32,
}

/// The node's state as chunks.
pub(super) fn encode(held: Held) -> Vec<Bytes> {
    let Held { life, directory, given_up, folder, met, replicas } = held;
    let mut contents = Contents { life, directory, given_up, folder, met, groups: Vec::new() };
    // The first chunk comes first and is known last.
    let mut chunks = vec![Bytes::new()];
    for (group, replica) in replicas {
        let entries: Vec<Bytes> = pieces(&replica.entries).map(|piece| encoded(&piece, Vec::new())).collect();
        contents.groups.push(Group {
            group,
            hard: replica.hard,
            base: replica.base,
            machine: count(replica.machine.len()),
            entries: count(entries.len()),
        });
        chunks.extend(replica.machine);
        chunks.extend(entries);
    }
    chunks[0] = encoded(&contents, vec![VERSION]);
    chunks
}

/// What was encoded as `chunks`.
pub(super) fn decode(chunks: &[Bytes]) -> Result<Held, NodeLogError> {
    let (first, rest) = chunks.split_first().ok_or(NodeLogError::SnapshotMalformed)?;
    let mut contents: Contents = match first.split_first() {
        Some((&VERSION, contents)) => exactly(contents),
        Some((&version, _)) => return Err(NodeLogError::SnapshotVersion(version)),
        None => None,
    }
    .ok_or(NodeLogError::SnapshotMalformed)?;
    let mut rest = rest.iter();
    let groups = std::mem::take(&mut contents.groups);
    let replicas = groups.into_iter().map(|group| replica(group, &mut rest)).collect::<Option<_>>();
    let Contents { life, directory, given_up, folder, met, .. } = contents;
    match (replicas, rest.next()) {
        (Some(replicas), None) => Ok(Held { life, directory, given_up, folder, met, replicas }),
        _ => Err(NodeLogError::SnapshotMalformed),
    }
}

fn replica<'a>(group: Group, chunks: &mut impl Iterator<Item = &'a Bytes>) -> Option<(ShardId, Replica)> {
    let machine: Vec<Bytes> = chunks.take(index(group.machine)).cloned().collect();
    if machine.len() != index(group.machine) {
        return None;
    }
    let mut entries: Vec<LogEntry> = Vec::new();
    for _ in 0..group.entries {
        let piece: Vec<LogEntry> = exactly(chunks.next()?)?;
        entries.extend(piece);
    }
    Some((group.group, Replica { hard: group.hard, base: group.base, machine, entries }))
}

fn encoded<T: Serialize>(value: &T, begin: Vec<u8>) -> Bytes {
    postcard::to_extend(value, begin).expect("encoding into memory does not fail").into()
}

fn count(chunks: usize) -> u32 {
    u32::try_from(chunks).expect("fewer than 2^32 chunks of a megabyte")
}

fn index(count: u32) -> usize {
    usize::try_from(count).expect("32 bits fit")
}
