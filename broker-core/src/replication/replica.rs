//! What a replica of a shard has on disk: its vote, the state it begins with, and the entries after that.

use super::configuration::Configuration;
use crate::base::ids::{Index, NodeId, Term};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// At most so many bytes of machine or of entries in one record, chunk or message, unless a single entry is larger.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// What a replica must remember of elections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// The highest term it has heard of.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// All entries up to this one are committed. It may be written late: a leader tells it again.
    pub commit: Index,
}

/// The place in the log of entries at which a replica begins: the machine holds the effect of all entries up to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The last entry that the machine holds.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// The members of the group at that place.
    pub members: Configuration,
}

impl Base {
    /// The beginning of a new group: a machine without entries. It has an index above 0, so that whoever does not begin
    /// with the group gets it as a snapshot, the members with it.
    pub fn of_new_group(voters: &[NodeId]) -> Self {
        Base { index: Index(1), term: Term(1), members: Configuration::of(voters) }
    }

    /// The beginning of a replica that joins a group: it has nothing, and knows nobody.
    pub fn of_joining() -> Self {
        Base { index: Index(0), term: Term(0), members: Configuration::default() }
    }
}

/// An entry of a shard's log; its index follows from its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The term of the leader that appended it.
    pub term: Term,
    /// For whom it is.
    pub kind: EntryKind,
    /// What was proposed; empty for the entry with which a leader begins.
    pub data: Bytes,
}

/// For whom an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// The machine.
    Machine,
    /// The group itself: its members change.
    Members,
}

/// All that a replica has on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Of elections.
    pub hard: HardState,
    /// Where `machine` stands, and `entries` begin.
    pub base: Base,
    /// The machine at `base`, in the machine's own format; no chunks at all are a new machine.
    pub machine: Vec<Bytes>,
    /// The entries after `base`.
    pub entries: Vec<LogEntry>,
}

impl Replica {
    /// A replica that has nothing but its beginning.
    pub fn at(base: Base, machine: Vec<Bytes>) -> Self {
        let hard = HardState { term: base.term, vote: None, commit: base.index };
        Replica { hard, base, machine, entries: Vec::new() }
    }

    /// The last entry it has.
    pub fn last(&self) -> Index {
        Index(self.base.index.0 + self.entries.len() as u64)
    }

    /// Puts `entries` from `first` on in the place of whatever there was from `first` on; what the machine holds stays.
    ///
    /// # Errors
    /// If entries would be missing before `first`.
    pub(super) fn replace_from(&mut self, first: Index, entries: Vec<LogEntry>) -> Result<(), Missing> {
        if first <= self.base.index || first > self.last().next() {
            return Err(Missing { expected: self.last().next(), found: first });
        }
        let kept = usize::try_from(first.0 - self.base.index.0 - 1).expect("at most as many as there are");
        self.entries.truncate(kept);
        self.entries.extend(entries);
        Ok(())
    }
}

/// Entries that do not follow what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) expected: Index,
    pub(super) found: Index,
}

/// `entries` in runs that are not too large together.
pub(super) fn pieces(entries: &[LogEntry]) -> impl Iterator<Item = &[LogEntry]> {
    let mut bytes = 0;
    entries.chunk_by(move |left, right| {
        bytes += left.data.len();
        let fits = bytes + right.data.len() <= PIECE_BYTES;
        if !fits {
            bytes = 0;
        }
        fits
    })
}
