//! The log of entries of a single node: committed is what is on this disk, or with `durability = "async"` what was proposed.

use super::receipt::Committed;
use crate::base::ids::{Lsn, WriteId};
use crate::base::time::Instant;
use crate::face::{Durability, Record};
use crate::shard::Entry;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;

/// The version of [`Body`]; no version of the records of a member of a cluster.
pub(super) const VERSION: u8 = 5;

/// A record's content: a version byte, then this in postcard.
#[derive(Serialize, Deserialize)]
struct Body {
    entry: Entry,
}

/// A record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// It has a version that this program does not know.
    Version(Lsn, u8),
    /// Its bytes are not what they should be, although the checksum of the log is right.
    Malformed(Lsn),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Version(lsn, version) => write!(
                f,
                "record {lsn} of the log has entry version {version}, and this program reads version {VERSION}; use the program that wrote it, or begin with an empty data folder"
            ),
            RecordError::Malformed(lsn) => write!(f, "record {lsn} of the log cannot be decoded"),
        }
    }
}

impl std::error::Error for RecordError {}

/// The entry in a record.
///
/// # Errors
/// Says what is wrong with the record.
pub fn decode(record: &Record) -> Result<Entry, RecordError> {
    decode_entry(&record.body).map_err(|version| match version {
        Some(version) => RecordError::Version(record.lsn, version),
        None => RecordError::Malformed(record.lsn),
    })
}

/// An entry as [`encode_entry`] gives it.
///
/// # Errors
/// Gives the version, if it is one that this program does not know, or `None` if the bytes are no entry.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, Option<u8>> {
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes::<Body>(body).map(|body| body.entry).map_err(|_| None),
        Some((&version, _)) => Err(Some(version)),
        None => Err(None),
    }
}

/// An entry as it is kept and sent.
pub fn encode_entry(entry: &Entry) -> Bytes {
    let body = postcard::to_extend(&BodyRef { entry }, vec![VERSION]);
    Bytes::from(body.expect("encoding into memory does not fail"))
}

struct Proposal<T> {
    /// The record it needs, or that of the last proposal before it.
    needs: Lsn,
    entry: Option<Entry>,
    ticket: T,
}

/// Something committed: what to apply, and for whom.
#[derive(Debug)]
pub struct Commit<T> {
    /// The entry, if it needed one.
    pub entry: Option<Entry>,
    /// What the proposer left to be reminded of.
    pub ticket: T,
    /// The right to answer.
    pub committed: Committed,
}

/// What is to be written at the end of a turn.
#[derive(Debug)]
pub struct Write {
    /// Its number.
    pub id: WriteId,
    /// The records.
    pub records: Vec<Record>,
    /// Whether somebody waits for it.
    pub urgent: bool,
}

/// The log of one node's entries and the proposals that are not committed yet, in order. `T` is what a proposer leaves to be reminded of.
pub struct LocalGroup<T> {
    durability: Durability,
    last: Lsn,
    durable: Lsn,
    /// The last record whose entry was handed out to be applied.
    applied: Lsn,
    queue: VecDeque<Proposal<T>>,
    unwritten: Vec<Record>,
    urgent: bool,
    writes: VecDeque<(WriteId, Lsn, Instant)>,
    next_write: WriteId,
    log_bytes: u64,
    /// When the last entry that is on disk was written, or the log was opened.
    durable_since: Instant,
}

impl<T> LocalGroup<T> {
    /// A log that ends with `last`, all of it on disk and applied, with `log_bytes` of records after the last snapshot.
    pub fn new(durability: Durability, last: Lsn, log_bytes: u64, now: Instant) -> Self {
        LocalGroup {
            durability,
            last,
            durable: last,
            applied: last,
            queue: VecDeque::new(),
            unwritten: Vec::new(),
            urgent: false,
            writes: VecDeque::new(),
            next_write: WriteId(1),
            log_bytes,
            durable_since: now,
        }
    }

    /// Adds an entry to the log. `urgent`: somebody waits for it.
    pub fn propose(&mut self, entry: Entry, ticket: T, urgent: bool) {
        self.last = self.last.next();
        let body = encode_entry(&entry);
        self.log_bytes += body.len() as u64;
        self.unwritten.push(Record { lsn: self.last, body });
        self.urgent |= urgent;
        self.queue.push_back(Proposal { needs: self.last, entry: Some(entry), ticket });
    }

    /// Takes a place in the order without an entry: it comes up when everything proposed before is committed.
    pub fn follow(&mut self, ticket: T) {
        self.queue.push_back(Proposal { needs: self.last, entry: None, ticket });
    }

    /// The right to answer for something that no entry precedes, in the order that concerns it.
    pub fn at_once(&self) -> Committed {
        Committed(())
    }

    /// The next proposal that is committed; the caller applies its entry.
    pub fn next_commit(&mut self) -> Option<Commit<T>> {
        let committed = match self.durability {
            Durability::Sync => self.durable,
            Durability::Async => self.last,
        };
        let proposal = self.queue.pop_front_if(|proposal| proposal.needs <= committed)?;
        self.applied = proposal.needs;
        Some(Commit { entry: proposal.entry, ticket: proposal.ticket, committed: Committed(()) })
    }

    /// What was proposed since the last call; `now` is the time of the turn that ends.
    pub fn take_write(&mut self, now: Instant) -> Option<Write> {
        if self.unwritten.is_empty() {
            return None;
        }
        let id = self.next_write;
        self.next_write = id.next();
        self.writes.push_back((id, self.last, now));
        Some(Write {
            id,
            records: std::mem::take(&mut self.unwritten),
            urgent: std::mem::take(&mut self.urgent),
        })
    }

    /// A write, and all before it, is on disk.
    pub fn persisted(&mut self, write: WriteId) {
        while let Some((_, last, at)) = self.writes.pop_front_if(|(id, ..)| *id <= write) {
            (self.durable, self.durable_since) = (last, at);
        }
    }

    /// Since when nothing that was written has come to be on disk; `None` if nothing is being written.
    pub fn stalled_since(&self) -> Option<Instant> {
        (!self.writes.is_empty()).then_some(self.durable_since)
    }

    /// The last record whose effect is in the applied state.
    pub fn applied(&self) -> Lsn {
        self.applied
    }

    /// Bytes of records proposed since the last call of [`LocalGroup::reset_log_bytes`].
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// A snapshot was taken.
    pub fn reset_log_bytes(&mut self) {
        self.log_bytes = 0;
    }

    /// Whether everything proposed is on disk.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.unwritten.is_empty() && self.writes.is_empty()
    }
}

#[derive(Serialize)]
struct BodyRef<'a> {
    entry: &'a Entry,
}

#[cfg(test)]
mod tests {
    use super::{Durability, Entry, Instant, LocalGroup, Lsn, decode};
    use crate::base::time::WallTime;
    use crate::shard::Op;

    fn tick(ms: u64) -> Entry {
        Entry { at: WallTime::from_millis(ms), stamp: None, op: Op::Tick }
    }

    #[test]
    fn nothing_is_committed_before_it_is_on_disk() {
        let mut group = LocalGroup::new(Durability::Sync, Lsn(4), 0, Instant::ZERO);
        group.propose(tick(1), "a", true);
        group.follow("b");
        let write = group.take_write(Instant::from_millis(1)).expect("a record to write");
        assert_eq!(decode(&write.records[0]), Ok(tick(1)));
        group.propose(tick(2), "c", true);
        assert!(group.next_commit().is_none());
        assert_eq!(group.stalled_since(), Some(Instant::ZERO));
        group.persisted(write.id);
        assert_eq!(group.stalled_since(), None);
        assert_eq!(group.next_commit().map(|commit| commit.ticket), Some("a"));
        assert_eq!(group.next_commit().map(|commit| commit.ticket), Some("b"));
        assert!(group.next_commit().is_none(), "c was not handed out to be written");
        assert_eq!(group.applied(), Lsn(5));
    }

    #[test]
    fn with_async_durability_it_is_committed_at_once() {
        let mut group = LocalGroup::new(Durability::Async, Lsn(0), 0, Instant::ZERO);
        group.propose(tick(1), (), true);
        assert!(group.next_commit().is_some());
        assert!(group.take_write(Instant::ZERO).is_some());
    }
}
