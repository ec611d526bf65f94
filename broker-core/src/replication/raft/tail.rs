//! The entries of a group in memory: those that are not applied, and a tail of those that are, for replicas that are a little behind.

use super::ids::{base_to_raft, hard_state_to_raft, members_to_raft, node_of};
use super::wire::{entry_of_raft, entry_to_raft};
use crate::base::ids::{Index, Term};
use crate::replication::configuration::Configuration;
use crate::replication::replica::{Base, HardState, LogEntry, Replica};
use bytes::Bytes;
use raft::eraftpb::{Entry, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Ticks for which an offer is kept that is not being sent: a follower that failed to take it is soon sent it again.
const OFFER_TICKS: u32 = 30;

/// How much of what is applied is kept. A replica that is further behind is sent the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailLimits {
    /// Applied entries.
    pub entries_max: usize,
    /// Bytes of applied entries.
    pub bytes_max: usize,
}

impl Default for TailLimits {
    fn default() -> Self {
        TailLimits { entries_max: 20_000, bytes_max: 8 << 20 }
    }
}

/// A machine that can be sent, and its place.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) base: Base,
    pub(super) pieces: Rc<[Bytes]>,
}

/// The log as the crate reads it.
#[derive(Debug)]
pub(super) struct Tail {
    limits: TailLimits,
    /// What was on disk at opening; the crate asks once.
    hard: HardState,
    /// The place before the first of `entries`; its members are those that hold after what is applied.
    base: Base,
    entries: VecDeque<Entry>,
    bytes: usize,
    offer: Option<Offer>,
    /// For how long it was not being sent.
    idle_ticks: u32,
    /// Whether somebody needs the machine, and there is none that will do.
    wanted: Cell<bool>,
}

impl Tail {
    /// The log of a replica that was found on disk.
    pub(super) fn new(replica: Replica, limits: TailLimits) -> Self {
        let Replica { hard, base, entries, .. } = replica;
        let mut tail = Tail {
            limits,
            hard,
            base,
            entries: VecDeque::new(),
            bytes: 0,
            offer: None,
            idle_ticks: 0,
            wanted: Cell::new(false),
        };
        let first = tail.base.index.0 + 1;
        tail.append((first..).zip(entries).map(|(index, entry)| entry_to_raft(Index(index), entry)));
        tail
    }

    /// Puts these entries in the place of whatever there was from the first of them on.
    ///
    /// # Panics
    /// If they do not follow what is there.
    pub(super) fn append(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let mut entries = entries.into_iter().peekable();
        let Some(first) = entries.peek() else { return };
        assert!(
            self.base.index.0 < first.index && first.index <= self.last() + 1,
            "entry {} does not follow {}..={}",
            first.index,
            self.base.index,
            self.last()
        );
        let kept = self.position(first.index);
        for dropped in self.entries.drain(kept..) {
            self.bytes -= dropped.data.len();
        }
        for entry in entries {
            self.bytes += entry.data.len();
            self.entries.push_back(entry);
        }
    }

    /// Goes on from `base`, without entries.
    pub(super) fn restart(&mut self, base: Base) {
        self.base = base;
        self.entries.clear();
        self.bytes = 0;
    }

    /// Forgets entries that are applied and more than are kept.
    pub(super) fn trim(&mut self, applied: Index) {
        let limits = self.limits;
        while let Some(first) = self.entries.front() {
            let applied_entries = (applied.0 + 1).saturating_sub(first.index);
            let too_many = applied_entries > limits.entries_max as u64 || self.bytes > limits.bytes_max;
            if applied_entries == 0 || !too_many {
                return;
            }
            self.bytes -= first.data.len();
            (self.base.index, self.base.term) = (Index(first.index), Term(first.term));
            self.entries.pop_front();
        }
    }

    /// The place of the entry `index`, which is the last that is applied and not trimmed.
    ///
    /// # Panics
    /// If it is.
    pub(super) fn base_at(&self, index: Index) -> Base {
        let term = self.term(index.0).expect("what was applied last is not trimmed");
        Base { index, term: Term(term), members: self.base.members.clone() }
    }

    /// The members that hold after what is applied.
    pub(super) fn members(&self) -> &Configuration {
        &self.base.members
    }

    pub(super) fn set_members(&mut self, members: Configuration) {
        self.base.members = members;
    }

    /// The entries after `index`.
    pub(super) fn after(&self, index: Index) -> Vec<LogEntry> {
        self.entries.range(self.position(index.0 + 1)..).cloned().map(entry_of_raft).collect()
    }

    /// Whether a machine is to be offered.
    pub(super) fn wants_offer(&self) -> bool {
        self.wanted.get()
    }

    /// A machine that can be sent.
    pub(super) fn set_offer(&mut self, offer: Option<Offer>) {
        self.offer = offer;
        self.idle_ticks = 0;
        self.wanted.set(false);
    }

    /// A tick has passed. A machine that is not being sent is forgotten after a while: it is as large as the machine.
    pub(super) fn age_offer(&mut self, needed: bool) {
        self.idle_ticks = if needed { 0 } else { self.idle_ticks.saturating_add(1) };
        if self.idle_ticks > OFFER_TICKS {
            self.offer = None;
        }
    }

    /// The machine that can be sent.
    pub(super) fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    fn last(&self) -> u64 {
        self.base.index.0 + self.entries.len() as u64
    }

    /// Where the entry `index` is, or would be, among `entries`.
    fn position(&self, index: u64) -> usize {
        usize::try_from(index - self.base.index.0 - 1).expect("as many fit into memory")
    }
}

impl Storage for Tail {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(hard_state_to_raft(&self.hard), members_to_raft(&self.base.members)))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.index.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        let mut room = max_size.into().unwrap_or(u64::MAX);
        let mut entries: Vec<Entry> = Vec::new();
        for entry in self.entries.range(self.position(low)..self.position(high)) {
            let size = entry.data.len() as u64;
            if size > room && !entries.is_empty() {
                break;
            }
            room = room.saturating_sub(size);
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base.index.0 {
            return Ok(self.base.term.0);
        }
        if index < self.base.index.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        let entry = self.entries.get(self.position(index));
        entry.map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // Entries follow it without a gap, or it would have to be sent again; and whoever gets it is a member there.
        let least = request_index.max(self.base.index.0);
        let fits = |offer: &&Offer| {
            offer.base.index.0 >= least && node_of(to).is_some_and(|to| offer.base.members.contains(to))
        };
        match self.offer.as_ref().filter(fits) {
            Some(offer) => Ok(base_to_raft(&offer.base)),
            _ => {
                self.wanted.set(true);
                Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Base, Bytes, Entry, GetEntriesContext, Index, LogEntry, OFFER_TICKS, Offer, Replica, Storage, Tail,
        TailLimits, Term,
    };
    use crate::base::ids::NodeId;
    use crate::replication::replica::EntryKind;

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index, term, data: Bytes::from_static(b"0123456789"), ..Default::default() }
    }

    fn tail(entries_max: usize, bytes_max: usize) -> Tail {
        let replica = Replica::at(Base::of_new_group(&[NodeId(1)]), vec![]);
        Tail::new(replica, TailLimits { entries_max, bytes_max })
    }

    fn indices(tail: &Tail, low: u64, high: u64, max: u64) -> Vec<u64> {
        let entries = tail.entries(low, high, max, GetEntriesContext::empty(false)).expect("they are there");
        entries.iter().map(|entry| entry.index).collect()
    }

    #[test]
    fn later_entries_take_the_place_of_earlier_ones() {
        let mut tail = tail(100, 1000);
        tail.append((2..=5).map(|index| entry(index, 2)));
        tail.append([entry(4, 3)]);
        assert_eq!((tail.first_index(), tail.last_index()), (Ok(2), Ok(4)));
        assert_eq!((tail.term(1), tail.term(3), tail.term(4)), (Ok(1), Ok(2), Ok(3)));
        assert!(tail.term(5).is_err() && tail.term(0).is_err());
        assert_eq!(
            tail.after(Index(3)),
            [LogEntry { term: Term(3), kind: EntryKind::Machine, data: entry(4, 3).data }]
        );
    }

    #[test]
    fn an_entry_is_handed_out_even_if_it_is_larger_than_asked_for() {
        let mut tail = tail(100, 1000);
        tail.append((2..=5).map(|index| entry(index, 2)));
        assert_eq!(indices(&tail, 2, 6, 1), [2]);
        assert_eq!(indices(&tail, 2, 6, 20), [2, 3]);
        assert_eq!(indices(&tail, 3, 5, u64::MAX), [3, 4]);
        assert!(tail.entries(1, 3, None, GetEntriesContext::empty(false)).is_err());
    }

    #[test]
    fn only_what_is_applied_is_trimmed_and_not_more_than_must() {
        let mut few = tail(2, 1000);
        few.append((2..=9).map(|index| entry(index, 2)));
        few.trim(Index(6));
        assert_eq!((few.first_index(), few.term(4)), (Ok(5), Ok(2)), "2 applied entries are kept");
        let mut small = tail(100, 25);
        small.append((2..=9).map(|index| entry(index, 2)));
        small.trim(Index(4));
        assert_eq!(small.first_index(), Ok(5), "what is not applied is kept");
        small.trim(Index(9));
        assert_eq!(small.first_index(), Ok(8));
        assert_eq!(small.base_at(Index(9)).term, Term(2));
    }

    #[test]
    fn a_machine_is_sent_only_if_the_entries_after_it_are_there() {
        let mut tail = tail(2, 1000);
        tail.append((2..=9).map(|index| entry(index, 2)));
        assert!(tail.snapshot(0, 2).is_err() && tail.wants_offer());
        let offer = |tail: &Tail| Offer { base: tail.base_at(Index(5)), pieces: [].into() };
        tail.set_offer(Some(offer(&tail)));
        assert!(tail.snapshot(0, 2).is_ok_and(|snapshot| snapshot.get_metadata().index == 5));
        assert!(tail.snapshot(6, 2).is_err(), "a later one is asked for");
        assert!(tail.snapshot(0, 3).is_err(), "who asks is no member there");
        tail.set_offer(Some(offer(&tail)));
        tail.trim(Index(9));
        assert!(tail.snapshot(0, 2).is_err() && tail.wants_offer(), "entries from 8 on are left");
        (0..=OFFER_TICKS).for_each(|_| tail.age_offer(false));
        assert!(tail.offer().is_none(), "nobody is sent it");
    }
}
