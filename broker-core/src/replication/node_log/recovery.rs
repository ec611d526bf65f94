//! What a node finds on its disk when it starts.

use super::record::{Body, NodeLogError};
use super::snapshot;
use crate::base::ids::{Index, Lsn, NodeId, ShardId};
use crate::cluster::{Directory, Introduction};
use crate::face::Recovered;
use crate::replication::replica::{HardState, Replica};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What was on a node's disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The last life that the node began, 0 if it is its first start.
    pub(super) life: u64,
    /// Its replicas.
    pub(super) replicas: BTreeMap<ShardId, Replica>,
    /// What replicas that were given up had said in elections.
    pub(super) given_up: BTreeMap<ShardId, HardState>,
    /// The directory as it knew it, `None` before the first start.
    pub(super) directory: Option<Directory>,
    /// The number of the folder, `None` before the first start.
    pub(super) folder: Option<u64>,
    /// Members, as they introduced themselves last.
    pub(super) met: BTreeMap<NodeId, Introduction>,
    /// The last record.
    pub(super) last: Lsn,
    /// Bytes of records after the snapshot.
    pub(super) log_bytes: u64,
}

/// Reads the snapshot, and then what the records after it changed.
pub(super) fn read(recovered: &Recovered) -> Result<Found, NodeLogError> {
    let mut found = Found::default();
    if let Some(snapshot) = &recovered.snapshot {
        let held = snapshot::decode(&snapshot.chunks)?;
        (found.life, found.replicas) = (held.life, held.replicas);
        (found.given_up, found.directory) = (held.given_up, held.directory);
        (found.folder, found.met) = (held.folder, held.met);
        found.last = snapshot.upto;
    }
    // Pieces of machines without the record that ends them: they came before a crash, and may be followed by others.
    let mut pieces: BTreeMap<ShardId, Vec<Bytes>> = BTreeMap::new();
    for record in &recovered.records {
        match Body::decode(record)? {
            Body::Life(life) => found.life = life,
            Body::Machine { group, piece } => pieces.entry(group).or_default().push(piece),
            Body::Base { group, base, pieces: count } => {
                let mut all = pieces.remove(&group).unwrap_or_default();
                let machine = usize::try_from(count)
                    .ok()
                    .and_then(|count| all.len().checked_sub(count))
                    .map(|begin| all.split_off(begin))
                    .ok_or(NodeLogError::Malformed(record.lsn))?;
                let mut replica = Replica::at(base, machine);
                // The term of the base is at least known of, even if the record of that is lost.
                let before = found.given_up.remove(&group);
                let before = found.replicas.get(&group).map(|old| old.hard).or(before);
                if let Some(hard) = before.filter(|hard| hard.term >= replica.hard.term) {
                    replica.hard = hard;
                }
                found.replicas.insert(group, replica);
            }
            Body::GivenUp { group } => {
                let replica = found.replicas.remove(&group);
                let replica = replica.ok_or(NodeLogError::UnknownGroup(record.lsn, group))?;
                found.given_up.insert(group, replica.hard);
            }
            Body::Directory(directory) => {
                found.directory = Some(directory);
            }
            Body::Folder(folder) => found.folder = Some(folder),
            Body::Met { member, as_whom } => drop(found.met.insert(member, as_whom)),
            Body::Turn { group, hard, first, entries } => {
                let replica = found.replicas.get_mut(&group);
                let replica = replica.ok_or(NodeLogError::UnknownGroup(record.lsn, group))?;
                replica.hard = hard.unwrap_or(replica.hard);
                if !entries.is_empty() {
                    replica.replace_from(first, entries).map_err(|missing| NodeLogError::Gap {
                        lsn: record.lsn,
                        group,
                        expected: missing.expected,
                        found: missing.found,
                    })?;
                }
            }
        }
        found.last = record.lsn;
        found.log_bytes += record.body.len() as u64;
    }
    for replica in found.replicas.values_mut() {
        bound_commit(replica);
    }
    Ok(found)
}

/// A turn of many entries is several records, of which the first tells what is committed; after a power loss the later ones may
/// be missing. Nothing was said to anybody that depends on them.
fn bound_commit(replica: &mut Replica) {
    let bounds: (Index, Index) = (replica.base.index, replica.last());
    replica.hard.commit = replica.hard.commit.clamp(bounds.0, bounds.1);
}
