//! One replica of a shard: its part of the log, the machine, and, while it leads, what a leader does.

use super::arrivals::Arrivals;
use super::clock::ShardClock;
use super::frame::{Addressed, Frame};
use super::lead::{Lead, Surroundings};
use crate::base::ids::{NodeId, ShardId, Term};
use crate::base::time::{Instant, WallTime};
use crate::cluster::{Assignment, Placement};
use crate::event::Event;
use crate::replication::local;
use crate::replication::node_log::NodeLog;
use crate::replication::raft::{Commit, RaftGroup, Role, StepError};
use crate::replication::replica::Replica as Recorded;
use crate::session::Gateway;
use crate::session::outbound::drop_event;
use crate::shard::{Effect, Entry, Machine, Op, QueueLimits};
use bytes::Bytes;

/// One replica of a shard.
pub(super) struct Replica {
    shard: ShardId,
    placement: Placement,
    group: RaftGroup,
    pub(super) machine: Machine,
    limits: QueueLimits,
    arrivals: Arrivals,
    clock: ShardClock,
    lead: Option<Lead>,
    /// To whom it was handing over when that was last looked at.
    handing_over_to: Option<NodeId>,
    effects: Vec<Effect>,
    /// Whether [`Replica::advance`] may find something to do: most turns concern few of a node's replicas.
    stirred: bool,
}

impl Replica {
    pub(super) fn new(shard: ShardId, placement: Placement, group: RaftGroup, limits: QueueLimits) -> Self {
        let machine = Machine::new(shard, placement);
        let arrivals = Arrivals::new(group.last());
        Replica {
            shard,
            placement,
            group,
            machine,
            limits,
            arrivals,
            clock: ShardClock::default(),
            lead: None,
            handing_over_to: None,
            effects: Vec::new(),
            stirred: true,
        }
    }

    /// What the leader does, if this replica leads and serves.
    pub(super) fn leading(&mut self) -> Option<(&mut Lead, &Machine, &mut RaftGroup)> {
        let lead = self.lead.as_mut().filter(|lead| lead.serves())?;
        self.stirred = true;
        Some((lead, &self.machine, &mut self.group))
    }

    /// The term in which it leads and serves.
    pub(super) fn serving_since(&self) -> Option<Term> {
        self.lead.as_ref().filter(|lead| lead.serves()).map(Lead::term)
    }

    /// Shard time, as a leader would put it into an entry.
    pub(super) fn time(&self, now: Instant, wall: WallTime) -> WallTime {
        self.clock.time(self.machine.time(), now, wall)
    }

    /// All of it, for the node's snapshot.
    pub(super) fn whole(&self) -> Recorded {
        self.group.replica(|| self.machine.snapshot())
    }

    /// Takes in what another replica said.
    ///
    /// # Errors
    /// Says why it was refused; nothing was changed then.
    pub(super) fn step(&mut self, from: NodeId, message: &[u8]) -> Result<(), StepError> {
        self.stirred = true;
        self.group.step(from, message)
    }

    /// Whether it is to be advanced again in this turn.
    pub(super) fn is_unsaid(&self) -> bool {
        self.group.is_unsaid()
    }

    /// Takes the next step towards having the group where it is assigned, if this replica leads it. True if it is there.
    pub(super) fn steer(&mut self, wanted: &Assignment) -> bool {
        if self.serving_since().is_none() {
            return false;
        }
        self.stirred = true;
        self.group.steer(&wanted.replicas, wanted.epoch)
    }

    /// Its part of the log, to look at.
    pub(super) fn group(&self) -> &RaftGroup {
        &self.group
    }

    /// Its part of the log, to do something with.
    pub(super) fn group_mut(&mut self) -> &mut RaftGroup {
        self.stirred = true;
        &mut self.group
    }

    /// Gives the replica up, and records that.
    pub(super) fn give_up(self, log: &mut NodeLog) {
        self.group.give_up(log);
    }

    /// What it recorded is on disk.
    pub(super) fn on_persisted(&mut self) {
        self.stirred = true;
    }

    /// Records what is new, says what may be said, and does what is to be done; nothing, if nothing has happened to it since.
    pub(super) fn advance(
        &mut self,
        log: &mut NodeLog,
        gateway: &mut Gateway,
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        if !self.stirred {
            return;
        }
        let mut said = Vec::new();
        self.group.advance(log, &mut said);
        let shard = self.shard;
        out.extend(
            said.into_iter().map(|(to, message)| Addressed { to, frame: Frame::Raft { shard, message } }),
        );
        self.work(gateway, around, out);
        self.stirred = !self.group.is_settled(log) || self.lead.as_ref().is_some_and(Lead::is_to_propose);
    }

    /// Applies what is committed, and takes up or lays down the lead.
    fn work(&mut self, gateway: &mut Gateway, around: &Surroundings<'_>, out: &mut Vec<Addressed>) {
        for run in self.group.take_appended() {
            self.arrivals.came(run, gateway.now());
        }
        self.follow_role(gateway);
        self.follow_hand_over(gateway, around, out);
        while let Some(commit) = self.group.next_committed() {
            match commit {
                Commit::Machine { chunks, .. } => {
                    self.restore(&chunks);
                    self.clock.restored();
                }
                Commit::Entry { index, term, data } => {
                    let came_at = self.arrivals.take(index);
                    self.apply(term, &data, gateway, around, out);
                    self.clock.entry(came_at, self.machine.time(), gateway.now());
                }
            }
        }
        let time = self.time(gateway.now(), gateway.wall());
        if let Some(lead) = self.lead.as_mut().filter(|lead| lead.serves()) {
            lead.push_all(&self.machine, (time, gateway.now()), around, out);
        }
        // All that was handed out is applied.
        if self.group.wants_machine() {
            self.group.offer_machine(self.machine.snapshot());
        }
    }

    fn follow_role(&mut self, gateway: &Gateway) {
        let Role::Leader { term } = self.group.role() else {
            self.lead = None;
            self.clock.follow();
            return;
        };
        if self.lead.as_ref().is_none_or(|lead| lead.term() != term) {
            self.lead = Some(Lead::new(self.shard, term, gateway.now()));
            self.clock.lead(self.machine.time(), gateway.now(), gateway.wall());
        }
        if self.lead.as_ref().is_some_and(Lead::is_to_propose) {
            let at = self.time(gateway.now(), gateway.wall());
            let proposed = propose(&mut self.group, &Entry { at, stamp: None, op: Op::Lead(self.limits) });
            self.lead.as_mut().expect("just set").note_proposed(proposed);
        }
    }

    /// A hand-over has begun, or it has come to nothing: then what was refused meanwhile is asked for again.
    fn follow_hand_over(
        &mut self,
        gateway: &mut Gateway,
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        let to = self.group.handing_over_to();
        let before = std::mem::replace(&mut self.handing_over_to, to);
        match to {
            Some(to) if before != Some(to) => {
                gateway.event(Event::HandingOver { shard: self.shard, to });
            }
            None if before.is_some() => {
                self.lead.iter_mut().for_each(|lead| lead.go_on(around, out));
            }
            _ => {}
        }
    }

    fn restore(&mut self, chunks: &[Bytes]) {
        self.machine = if chunks.is_empty() {
            Machine::new(self.shard, self.placement)
        } else {
            // A quorum has it, and the checksums on the way were right: what cannot be read is a bug of ours.
            Machine::restore(chunks, self.placement).expect("a machine that was sent can be read")
        };
    }

    fn apply(
        &mut self,
        term: Term,
        data: &[u8],
        gateway: &mut Gateway,
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        let entry = local::decode_entry(data).expect("what was proposed can be read");
        let mut effects = std::mem::take(&mut self.effects);
        let verdict = self.machine.apply(&entry, &mut effects);
        // Why a message was dropped must be on record, whoever of the replicas dies.
        for effect in &effects {
            if let Effect::Dropped { client_id, message, reason } = effect {
                gateway.event(drop_event(client_id.clone(), message, *reason));
            }
        }
        if let Some(lead) = &mut self.lead {
            lead.on_applied(term, &entry, verdict, &mut effects, &self.machine, gateway, around, out);
        }
        effects.clear();
        self.effects = effects;
    }

    /// A [`TICK`](crate::replication::raft::TICK) has passed.
    pub(super) fn on_tick(&mut self, gateway: &Gateway) {
        self.stirred = true;
        self.group.tick();
        let time = self.time(gateway.now(), gateway.wall());
        if let Some(lead) = self.lead.as_mut().filter(|lead| lead.serves()) {
            lead.on_timer(&self.machine, &mut self.group, time, gateway.now());
        }
    }

    /// The link to a member is gone.
    pub(super) fn on_peer_down(&mut self, peer: NodeId) {
        self.stirred = true;
        self.group.unreachable(peer);
        if let Some(lead) = &mut self.lead {
            lead.on_peer_down(peer);
        }
    }
}

/// Proposes an entry. False if nothing comes of it.
pub(super) fn propose(group: &mut RaftGroup, entry: &Entry) -> bool {
    group.propose(local::encode_entry(entry)).is_ok()
}
