//! One replica of a shard's group: what is proposed, what is said to the others and when, what is committed.
//!
//! The order that everything hangs on, for each step that the crate takes:
//!
//! ```text
//!   new entries, vote ──► node's log ──► sync ──► what a follower says
//!        │                                 │
//!        └─► a leader's appends, at once   └────► entries that are committed, and on disk here
//! ```

use super::check::{self, StepError};
use super::ids::{hard_state_of, node_of, raft_id};
use super::setup::{Commit, ELECTION_TICKS, ELECTION_TICKS_END, GroupSetup, ProposeError, Role, config};
use super::tail::{Offer, Tail};
use super::transfer::{Receiving, Sending, Sent};
use super::wire::{Wire, entry_of_raft, snapshot_to_raft};
use crate::base::ids::{Index, Lsn, NodeId, ShardId, Term};
use crate::base::rng::mix;
use crate::replication::node_log::NodeLog;
use crate::replication::replica::{Base, EntryKind, HardState, LogEntry, Replica};
use bytes::Bytes;
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{RawNode, Ready, SnapshotStatus, StateRole};
use std::collections::VecDeque;
use std::fmt;

/// A step of the crate whose records may not be on disk.
#[derive(Debug)]
struct Unsynced {
    /// The crate's number of it.
    ready: u64,
    /// The record that it needs, or that of the last step before it.
    needs: Lsn,
    /// What to say when it is on disk.
    messages: Vec<Message>,
    /// The machine with which it goes on.
    machine: Option<(Index, Vec<Bytes>)>,
}

/// What the crate has handed out, and that is not applied.
#[derive(Debug)]
enum Handed {
    Entry(Entry),
    Machine { index: Index, chunks: Vec<Bytes> },
}

/// One replica of a shard's group.
pub struct RaftGroup {
    setup: GroupSetup,
    pub(super) raw: RawNode<Tail>,
    /// What was recorded last.
    hard: HardState,
    recorded: Lsn,
    unsynced: VecDeque<Unsynced>,
    commits: VecDeque<Handed>,
    /// The entries that came since it was asked, from and up to: each run in the place of all that was there from its first on.
    appended: Vec<(Index, Index)>,
    applied: Index,
    sending: Sending,
    receiving: Option<Receiving>,
    /// A machine that has come whole and that the crate goes on with in its next step.
    received: Option<(Base, Vec<Bytes>)>,
    /// Said while a message was taken in.
    pub(super) outbox: Vec<(NodeId, Bytes)>,
    /// Whether something is to be said since [`RaftGroup::advance`], because the members have changed.
    unsaid: bool,
    /// Whether it does not take the lead over from another replica.
    pub(super) declines: bool,
}

impl RaftGroup {
    /// Opens a replica with what the log had of it. The machine that was on disk is the first of [`RaftGroup::next_committed`].
    pub fn open(setup: GroupSetup, replica: Replica, log: &NodeLog) -> Self {
        let recorded = log.durable();
        RaftGroup::new(setup, replica, recorded)
    }

    /// Begins a group with this machine, as one of its first `voters`, and records that. The machine is the first of [`RaftGroup::next_committed`]; no
    /// chunks are a new one.
    pub fn found(setup: GroupSetup, voters: &[NodeId], machine: Vec<Bytes>, log: &mut NodeLog) -> Self {
        RaftGroup::begin(setup, Base::of_new_group(voters), machine, log)
    }

    /// Begins a replica that joins a group, and records that. It has nothing until the leader sends it the machine; but what an earlier replica of the
    /// group on this node, which was given up, had said in elections.
    pub fn join(setup: GroupSetup, log: &mut NodeLog) -> Self {
        RaftGroup::begin(setup, Base::of_joining(), Vec::new(), log)
    }

    fn begin(setup: GroupSetup, base: Base, machine: Vec<Bytes>, log: &mut NodeLog) -> Self {
        let voted = log.voted(setup.group);
        let recorded = log.base(setup.group, &base, &machine);
        let mut replica = Replica::at(base, machine);
        if voted.term >= replica.hard.term {
            (replica.hard.term, replica.hard.vote) = (voted.term, voted.vote);
        }
        RaftGroup::new(setup, replica, recorded)
    }

    fn new(setup: GroupSetup, replica: Replica, recorded: Lsn) -> Self {
        let (hard, applied) = (replica.hard, replica.base.index);
        let mut commits = VecDeque::new();
        if !replica.machine.is_empty() {
            commits.push_back(Handed::Machine { index: applied, chunks: replica.machine.clone() });
        }
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let config = config(setup.node, applied);
        let raw = RawNode::new(&config, Tail::new(replica, setup.tail), &logger);
        RaftGroup {
            setup,
            raw: raw.expect("the settings are sound, and the tail always answers"),
            hard,
            recorded,
            unsynced: VecDeque::new(),
            commits,
            appended: Vec::new(),
            applied,
            sending: Sending::default(),
            receiving: None,
            received: None,
            outbox: Vec::new(),
            unsaid: false,
            declines: false,
        }
    }

    /// The shard whose group it is.
    pub fn group(&self) -> ShardId {
        self.setup.group
    }

    /// Gives the replica up, and records that: its group goes on without it.
    pub fn give_up(self, log: &mut NodeLog) {
        log.give_up(self.setup.group, hard_state_of(&self.raw.raft.hard_state()));
    }

    /// The node that this replica is on.
    pub(super) fn node(&self) -> NodeId {
        self.setup.node
    }

    /// What this replica is to its group now.
    pub fn role(&self) -> Role {
        let term = Term(self.raw.raft.term);
        match self.raw.raft.state {
            StateRole::Leader => Role::Leader { term },
            StateRole::Follower => Role::Follower { leader: node_of(self.raw.raft.leader_id), term },
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate { term },
        }
    }

    /// The last entry that was handed out to be applied, or that the machine held from the start.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The last entry that it has.
    pub fn last(&self) -> Index {
        Index(self.raw.raft.raft_log.last_index())
    }

    /// Proposes an entry. It is committed when it comes out of [`RaftGroup::next_committed`] with these bytes; after a change of leader it may
    /// never be.
    ///
    /// # Errors
    /// Says why nothing comes of it.
    ///
    /// # Panics
    /// If `data` is empty: so is what a new leader begins with.
    pub fn propose(&mut self, data: Bytes) -> Result<(), ProposeError> {
        assert!(!data.is_empty(), "an empty entry has nothing to apply");
        if !self.is_leader() {
            return Err(ProposeError::NotLeader { leader: node_of(self.raw.raft.leader_id) });
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.set_entries(vec![Entry { data, ..Default::default() }].into());
        self.raw.step(message).map_err(|_| ProposeError::Busy)
    }

    /// Takes in what another replica said.
    ///
    /// # Errors
    /// Says why it was refused; the group is as it was before.
    pub fn step(&mut self, from: NodeId, message: &[u8]) -> Result<(), StepError> {
        // Whoever leads may be a member only by entries that have not come here yet.
        if from == self.setup.node {
            return Err(StepError::Own);
        }
        let wire = Wire::decode(message)
            .map_err(|version| version.map_or(StepError::Malformed, StepError::Version))?;
        check::check(&wire, &self.raw)?;
        match wire {
            Wire::Piece { term, base, number, count, piece } => {
                self.on_piece(from, term, base, (number, count), piece);
            }
            Wire::Taken { term, index, taken } => {
                if self.sending.on_taken(from, term, index, taken, &mut self.outbox) == Some(Sent::Whole) {
                    self.raw.report_snapshot(raft_id(from), SnapshotStatus::Finish);
                }
            }
            // What it asks for waits for the sync of what it has.
            Wire::Vote { pre: false, term, .. } if self.cannot_have_campaigned(term) => {
                return Err(StepError::Impossible("a vote that was not asked for"));
            }
            // It does not know what it may have had before it was given up: whoever leaves that out could win with this vote.
            Wire::Campaign { .. } if self.is_joining() => {}
            Wire::TakeOver { term } => self.take_over(from, term),
            Wire::Declined { term } => self.on_declined(from, term),
            wire => {
                let message =
                    wire.into_raft(from, self.setup.node).expect("all that is not ours is the crate's");
                match self.raw.step(message) {
                    // An answer of who was a member when it was asked, and is none.
                    Ok(()) | Err(raft::Error::StepPeerNotFound) => {}
                    Err(error) => unreachable!("messages that are possible are taken: {error}"),
                }
            }
        }
        Ok(())
    }

    /// A [`TICK`](super::TICK) has passed.
    pub fn tick(&mut self) {
        for to in self.sending.tick() {
            self.raw.report_snapshot(raft_id(to), SnapshotStatus::Failure);
        }
        let needed = !self.sending.is_empty();
        self.raw.mut_store().age_offer(needed);
        // What it would campaign with is not on disk yet.
        if self.is_installing() {
            return;
        }
        let timeout = self.election_timeout();
        self.raw.raft.set_randomized_election_timeout(timeout);
        self.raw.tick();
    }

    /// The link to `peer` is gone, and with it what was on the way.
    pub fn unreachable(&mut self, peer: NodeId) {
        if self.sending.cancel(peer) {
            self.raw.report_snapshot(raft_id(peer), SnapshotStatus::Failure);
        }
        self.raw.report_unreachable(raft_id(peer));
        if self.handing_over_to() == Some(peer) {
            self.raw.raft.abort_leader_transfer();
        }
    }

    /// Ends the turn: records what is new, and tells what may be said now. To be called again when [`NodeLog::persisted`] names this group.
    pub fn advance(&mut self, log: &mut NodeLog, out: &mut Vec<(NodeId, Bytes)>) {
        self.unsaid = false;
        out.append(&mut self.outbox);
        loop {
            self.release(log, out);
            if !self.raw.has_ready() {
                break;
            }
            self.take_ready(log, out);
        }
        if !self.is_leader() {
            self.sending.clear();
            self.raw.mut_store().set_offer(None);
        }
        // It came to be needed no more: the entries came instead.
        let committed = Index(self.raw.raft.raft_log.committed);
        self.receiving.take_if(|receiving| receiving.index() <= committed);
    }

    /// Whether [`RaftGroup::advance`] would record and say nothing, and nothing waits to be applied, until something happens to it: it is called,
    /// or what it waits for is on disk.
    pub fn is_settled(&self, log: &NodeLog) -> bool {
        let durable = log.durable();
        !self.unsaid
            && self.outbox.is_empty()
            && self.commits.is_empty()
            && self.appended.is_empty()
            && self.unsynced.front().is_none_or(|step| step.needs > durable)
            && !self.raw.has_ready()
    }

    /// Whether [`RaftGroup::advance`] is to be called again in this turn: the members have changed.
    pub fn is_unsaid(&self) -> bool {
        self.unsaid
    }

    pub(super) fn note_unsaid(&mut self) {
        self.unsaid = true;
    }

    /// The entries that were appended since it was asked last, from and up to: each run has taken the place of all that was there from its first on.
    pub fn take_appended(&mut self) -> Vec<(Index, Index)> {
        std::mem::take(&mut self.appended)
    }

    /// The next thing to be applied. The caller applies it before it asks for anything else.
    pub fn next_committed(&mut self) -> Option<Commit> {
        loop {
            match self.commits.pop_front()? {
                Handed::Machine { index, chunks } => {
                    self.applied = index;
                    return Some(Commit::Machine { index, chunks });
                }
                Handed::Entry(entry) => {
                    let index = Index(entry.index);
                    let entry = entry_of_raft(entry);
                    if entry.kind == EntryKind::Members {
                        self.apply_members(&entry.data);
                    }
                    self.applied = index;
                    self.raw.advance_apply_to(index.0);
                    self.raw.mut_store().trim(index);
                    if entry.kind == EntryKind::Machine && !entry.data.is_empty() {
                        return Some(Commit::Entry { index, term: entry.term, data: entry.data });
                    }
                }
            }
        }
    }

    /// Whether a follower is so far behind that it needs the machine: it is to be given to [`RaftGroup::offer_machine`].
    pub fn wants_machine(&self) -> bool {
        self.is_leader() && self.raw.store().wants_offer()
    }

    /// The machine with everything applied that was handed out, as chunks of about a megabyte.
    pub fn offer_machine(&mut self, chunks: Vec<Bytes>) {
        let base = self.raw.store().base_at(self.applied);
        self.raw.mut_store().set_offer(Some(Offer { base, pieces: chunks.into() }));
    }

    /// All of this replica, for the node's snapshot: `machine` with everything applied that was handed out. It is to be taken at the end of a turn,
    /// when this group was advanced and the turn is written.
    pub fn replica(&self, machine: impl FnOnce() -> Vec<Bytes>) -> Replica {
        let hard = hard_state_of(&self.raw.raft.hard_state());
        let installing = self.unsynced.iter().rev().find_map(|step| step.machine.as_ref());
        let handed_out = self.commits.iter().rev().find_map(|commit| match commit {
            Handed::Machine { index, chunks } => Some((*index, chunks)),
            Handed::Entry(_) => None,
        });
        // A machine that is to come takes the place of the one that is there.
        let (index, machine) = match installing.map(|(index, chunks)| (*index, chunks)).or(handed_out) {
            Some((index, chunks)) => (index, chunks.clone()),
            None => (self.applied, machine()),
        };
        let tail = self.raw.store();
        Replica { hard, base: tail.base_at(index), machine, entries: tail.after(index) }
    }

    pub(super) fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether it is a candidate in `term` whose log or vote for itself is not on disk, so that it has asked nobody yet.
    fn cannot_have_campaigned(&self, term: Term) -> bool {
        let hard = hard_state_of(&self.raw.raft.hard_state());
        let on_disk = self.unsynced.is_empty() && (hard.term, hard.vote) == (self.hard.term, self.hard.vote);
        self.raw.raft.state == StateRole::Candidate && hard.term == term && !on_disk
    }

    /// Whether it has nothing yet of what its group has.
    pub(super) fn is_joining(&self) -> bool {
        self.raw.raft.raft_log.committed == 0
    }

    /// Whether a machine that was sent is not on disk yet.
    pub(super) fn is_installing(&self) -> bool {
        self.received.is_some() || self.unsynced.iter().any(|step| step.machine.is_some())
    }

    /// The crate draws it from the system's randomness at every change of state; this takes the place of what it drew.
    fn election_timeout(&self) -> usize {
        let GroupSetup { group, node, seed, .. } = &self.setup;
        let state = self.raw.raft.state as u64;
        let salts = [u64::from(node.0), u64::from(group.0), self.raw.raft.term, state];
        let drawn = salts.into_iter().fold(*seed, |drawn, salt| mix(drawn ^ mix(salt)));
        let range = (ELECTION_TICKS_END - ELECTION_TICKS) as u64;
        ELECTION_TICKS + usize::try_from(drawn % range).expect("below ten")
    }

    fn on_piece(&mut self, from: NodeId, term: Term, base: Base, (number, count): (u32, u32), piece: Bytes) {
        if term.0 < self.raw.raft.term {
            return;
        }
        let index = base.index;
        if index.0 <= self.raw.raft.raft_log.committed {
            // The crate knows what to say to a leader that is behind.
            let message = snapshot_to_raft(&base, term, from, self.setup.node);
            return self.raw.step(message).expect("a snapshot that is not needed is taken");
        }
        let same = self.receiving.take().filter(|receiving| receiving.is_of(&base, count));
        let mut receiving = same.unwrap_or_else(|| Receiving::new(base, count));
        let taken = receiving.take(number, piece);
        self.outbox.push((from, Wire::Taken { term, index, taken }.encode()));
        match receiving.into_whole() {
            Err(partly) => self.receiving = Some(*partly),
            Ok((base, chunks)) => {
                let message = snapshot_to_raft(&base, term, from, self.setup.node);
                self.raw.step(message).expect("a snapshot of this group is taken");
                let accepted =
                    self.raw.snap().is_some_and(|snapshot| snapshot.get_metadata().index == index.0);
                if accepted {
                    self.received = Some((base, chunks));
                }
            }
        }
    }

    /// Carries out one step of the crate: records what is new, sends what may go before the sync.
    fn take_ready(&mut self, log: &mut NodeLog, out: &mut Vec<(NodeId, Bytes)>) {
        let mut ready = self.raw.ready();
        let machine = if ready.snapshot().is_empty() { None } else { self.install(log) };
        self.record(&mut ready, machine.is_some(), log);
        for message in ready.take_messages() {
            self.send(message, out);
        }
        self.commits.extend(ready.take_committed_entries().into_iter().map(Handed::Entry));
        self.unsynced.push_back(Unsynced {
            ready: ready.number(),
            needs: self.recorded,
            messages: ready.take_persisted_messages(),
            machine,
        });
        self.raw.advance_append_async(ready);
    }

    /// Begins to go on with the machine that has come.
    fn install(&mut self, log: &mut NodeLog) -> Option<(Index, Vec<Bytes>)> {
        let (base, chunks) = self.received.take().expect("the crate goes on with what it was told of");
        self.recorded = log.base(self.setup.group, &base, &chunks);
        let index = base.index;
        self.raw.mut_store().restart(base);
        // What was not applied is in the machine.
        self.commits.clear();
        Some((index, chunks))
    }

    fn record(&mut self, ready: &mut Ready, installs: bool, log: &mut NodeLog) {
        let hard = hard_state_of(&self.raw.raft.hard_state());
        let entries = ready.take_entries();
        let voted = (hard.term, hard.vote) != (self.hard.term, self.hard.vote);
        // What is committed is told again by a leader: it is written with other things only.
        if entries.is_empty() && !voted && !installs {
            return;
        }
        let hard = (hard != self.hard).then(|| {
            self.hard = hard;
            hard
        });
        let first = Index(entries.first().map_or(0, |entry| entry.index));
        if let Some(last) = entries.last() {
            self.appended.push((first, Index(last.index)));
        }
        let recorded: Vec<LogEntry> = entries.iter().cloned().map(entry_of_raft).collect();
        self.recorded = log.turn(self.setup.group, hard, first, &recorded);
        self.raw.mut_store().append(entries);
    }

    /// Says what waited for the sync, and takes note of what is on disk.
    fn release(&mut self, log: &NodeLog, out: &mut Vec<(NodeId, Bytes)>) {
        let durable = log.durable();
        while let Some(step) = self.unsynced.pop_front_if(|step| step.needs <= durable) {
            self.raw.on_persist_ready(step.ready);
            if let Some((index, chunks)) = step.machine {
                self.raw.advance_apply_to(index.0);
                self.commits.push_back(Handed::Machine { index, chunks });
            }
            for message in step.messages {
                self.send(message, out);
            }
        }
    }

    fn send(&mut self, message: Message, out: &mut Vec<(NodeId, Bytes)>) {
        let to = node_of(message.to).expect("a message is for somebody");
        if message.get_msg_type() != MessageType::MsgSnapshot {
            return out.push((to, Wire::of_raft(message).encode()));
        }
        match self.raw.store().offer().cloned().filter(|_| self.is_leader()) {
            Some(offer) => self.sending.begin(to, Term(message.term), offer, out),
            // It was forgotten within this turn, or this replica does not lead any more.
            None => self.raw.report_snapshot(message.to, SnapshotStatus::Failure),
        }
    }
}

impl fmt::Debug for RaftGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftGroup")
            .field("group", &self.setup.group)
            .field("node", &self.setup.node)
            .field("role", &self.role())
            .field("applied", &self.applied)
            .field("hard", &hard_state_of(&self.raw.raft.hard_state()))
            .finish_non_exhaustive()
    }
}
