//! The log of a node of a cluster: one write-ahead log for all its groups, so that one sync covers all of a turn.
//!
//! A record is the turn of one group, or about the node itself. What a record means does not depend on the records of other groups. The
//! bytes are in `docs/wal-format.md`.

mod record;
mod recovery;
mod snapshot;
#[cfg(test)]
mod tests;

use super::local::Write;
use super::replica::{Base, HardState, LogEntry, Replica, pieces};
use crate::base::ids::{Index, Lsn, NodeId, ShardId, WriteId};
use crate::base::time::Instant;
use crate::cluster::{Directory, Introduction, Stranger};
use crate::face::{Record, Recovered, Snapshot};
use bytes::Bytes;
use record::Body;
pub use record::NodeLogError;
use snapshot::Held;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The records of a node: what is to be written, what is being written, and what is on disk.
#[derive(Debug)]
pub struct NodeLog {
    life: u64,
    directory: Option<Directory>,
    /// What replicas that were given up had said in elections.
    given_up: BTreeMap<ShardId, HardState>,
    folder: Option<u64>,
    /// Members, as they introduced themselves last.
    met: BTreeMap<NodeId, Introduction>,
    last: Lsn,
    durable: Lsn,
    unwritten: Vec<Record>,
    /// Whose records are in `unwritten`.
    groups: BTreeSet<ShardId>,
    writes: VecDeque<Writing>,
    next_write: WriteId,
    log_bytes: u64,
    /// When the last write that is on disk was handed out, or the log was opened.
    durable_since: Instant,
}

/// What was found on a node's disk.
#[derive(Debug)]
pub struct Opened {
    /// The log, to go on with.
    pub log: NodeLog,
    /// The replicas that are in it.
    pub replicas: BTreeMap<ShardId, Replica>,
    /// The directory as the node knew it; `None` if it never started.
    pub directory: Option<Directory>,
}

#[derive(Debug)]
struct Writing {
    id: WriteId,
    last: Lsn,
    at: Instant,
    groups: BTreeSet<ShardId>,
}

impl NodeLog {
    /// Opens the log that was found on disk.
    ///
    /// # Errors
    /// Says what cannot be read, and what to do.
    pub fn open(recovered: &Recovered, now: Instant) -> Result<Opened, NodeLogError> {
        let found = recovery::read(recovered)?;
        let log = NodeLog {
            life: found.life,
            directory: found.directory.clone(),
            given_up: found.given_up,
            folder: found.folder,
            met: found.met,
            last: found.last,
            durable: found.last,
            unwritten: Vec::new(),
            groups: BTreeSet::new(),
            writes: VecDeque::new(),
            next_write: WriteId(1),
            log_bytes: found.log_bytes,
            durable_since: now,
        };
        Ok(Opened { log, replicas: found.replicas, directory: found.directory })
    }

    /// The node's life: how often a process has begun with this data folder. 0 before the first.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Begins the next life. It is to be used only when the record that is returned is on disk: see [`NodeLog::durable`].
    ///
    /// # Panics
    /// If there were 2^64 lives.
    pub fn begin_life(&mut self) -> Lsn {
        self.life = self.life.checked_add(1).expect("fewer than 2^64 lives");
        self.push(&Body::Life(self.life))
    }

    /// What was recorded since the last call; `now` is the time of the turn that ends.
    pub fn take_write(&mut self, now: Instant) -> Option<Write> {
        if self.unwritten.is_empty() {
            return None;
        }
        let id = self.next_write;
        self.next_write = id.next();
        self.writes.push_back(Writing {
            id,
            last: self.last,
            at: now,
            groups: std::mem::take(&mut self.groups),
        });
        // Whatever a group records, it has something to say that waits for the sync.
        Some(Write { id, records: std::mem::take(&mut self.unwritten), urgent: true })
    }

    /// A write, and all before it, is on disk. These groups may have been waiting for it: they are to be advanced.
    pub fn persisted(&mut self, write: WriteId) -> BTreeSet<ShardId> {
        let mut groups = BTreeSet::new();
        while let Some(writing) = self.writes.pop_front_if(|writing| writing.id <= write) {
            (self.durable, self.durable_since) = (writing.last, writing.at);
            groups.extend(writing.groups);
        }
        groups
    }

    /// All records up to this one are on disk.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Since when nothing that was written has come to be on disk; `None` if nothing is being written.
    pub fn stalled_since(&self) -> Option<Instant> {
        (!self.writes.is_empty()).then_some(self.durable_since)
    }

    /// Whether everything recorded is on disk.
    pub fn is_idle(&self) -> bool {
        self.unwritten.is_empty() && self.writes.is_empty()
    }

    /// Bytes of records since the last snapshot.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// The snapshot of the node: `replicas` are all that it has, each as it is now. A group that is left out is forgotten when the records
    /// before it go.
    ///
    /// # Panics
    /// If something was recorded since the last [`NodeLog::take_write`]: the snapshot holds the effect of it, and would be stored before it.
    pub fn snapshot(&mut self, replicas: BTreeMap<ShardId, Replica>) -> Snapshot {
        assert!(self.unwritten.is_empty(), "a snapshot is taken when the turn is written");
        self.log_bytes = 0;
        let (directory, given_up) = (self.directory.clone(), self.given_up.clone());
        let (folder, met) = (self.folder, self.met.clone());
        let held = Held { life: self.life, directory, given_up, folder, met, replicas };
        Snapshot { upto: self.last, chunks: snapshot::encode(held) }
    }

    /// The number of the data folder; `minted`, and on record, if it has none.
    pub fn folder(&mut self, minted: u64) -> u64 {
        if self.folder.is_none() {
            self.folder = Some(minted);
            self.push(&Body::Folder(minted));
        }
        self.folder.unwrap_or(minted)
    }

    /// Judges who says that it is `member`, and records it.
    ///
    /// # Errors
    /// Says why it cannot be the member; nothing was recorded then.
    pub fn meet(&mut self, member: NodeId, as_whom: Introduction) -> Result<(), Stranger> {
        let known = self.met.get(&member);
        known.map_or(Ok(()), |known| as_whom.follows(known))?;
        if known != Some(&as_whom) {
            self.met.insert(member, as_whom);
            self.push(&Body::Met { member, as_whom });
        }
        Ok(())
    }

    /// Records what this node knows of the cluster now.
    pub fn directory(&mut self, directory: &Directory) {
        self.directory = Some(directory.clone());
        self.push(&Body::Directory(directory.clone()));
    }

    /// Records that the group has no replica on this node any more, which had said `hard` in elections.
    pub fn give_up(&mut self, group: ShardId, hard: HardState) {
        self.given_up.insert(group, hard);
        self.push(&Body::GivenUp { group });
    }

    /// What a replica of the group that was given up had said in elections.
    pub fn voted(&self, group: ShardId) -> HardState {
        self.given_up.get(&group).copied().unwrap_or_default()
    }

    /// Whether the group had a replica on this node, which was given up.
    pub fn has_given_up(&self, group: ShardId) -> bool {
        self.given_up.contains_key(&group)
    }

    /// Records the turn of a group: its vote, if it changed, and its new entries, which replace what it had from `first` on.
    pub(super) fn turn(
        &mut self,
        group: ShardId,
        hard: Option<HardState>,
        first: Index,
        entries: &[LogEntry],
    ) -> Lsn {
        self.groups.insert(group);
        let mut hard = hard;
        let mut first = first;
        if entries.is_empty() {
            return self.push(&Body::Turn { group, hard, first, entries: Vec::new() });
        }
        for piece in pieces(entries) {
            self.push(&Body::Turn { group, hard: hard.take(), first, entries: piece.to_vec() });
            first = Index(first.0 + piece.len() as u64);
        }
        self.last
    }

    /// Records that a group goes on from `base` with this machine, and without entries.
    pub(super) fn base(&mut self, group: ShardId, base: &Base, machine: &[Bytes]) -> Lsn {
        self.groups.insert(group);
        self.given_up.remove(&group);
        for piece in machine {
            self.push(&Body::Machine { group, piece: piece.clone() });
        }
        let pieces = u32::try_from(machine.len()).expect("fewer than 2^32 pieces");
        self.push(&Body::Base { group, base: base.clone(), pieces })
    }

    fn push(&mut self, body: &Body) -> Lsn {
        self.last = self.last.next();
        let body = body.encode();
        self.log_bytes += body.len() as u64;
        self.unwritten.push(Record { lsn: self.last, body });
        self.last
    }
}
