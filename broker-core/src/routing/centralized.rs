//! One node holds everything.
//!
//! Sessions live in this node's one shard; every publish is heard here; it may be acknowledged when the entry is on this
//! disk, or at once if nothing durable depends on it; what is on this disk survives a crash.

use super::effects;
use super::ticket::{AskedFilter, GivenUpFilter, Ticket};
use crate::base::ids::{ConnId, Incarnation, Lsn, PacketId, ShardId, WriteId};
use crate::base::time::{Duration, Instant};
use crate::codec::ReasonCode;
use crate::codec::packet::{QoS, SubscriptionOptions};
use crate::event::Event;
use crate::face::{Durability, Output, Snapshot, TimerKind};
use crate::message::Message;
use crate::replication::{Committed, LocalGroup, Receipt};
use crate::session::attach::{Attached, ResumeFrom};
use crate::session::confirm::Answer;
use crate::session::{Gateway, Intent, Led};
use crate::shard::machine::due::ALIVE_INTERVAL;
use crate::shard::{Attachment, Effect, Entry, Machine, Op, Publish, QueueLimits, Verdict};
use crate::topic::TopicFilter;
use std::rc::Rc;

/// The only shard.
pub(super) const SHARD: ShardId = ShardId(0);

/// While somebody's expiry counts from the end of a connection, an entry is written at least this often: a second
/// before the machine assumes that the node was dead.
const ALIVE_PERIOD: Duration = Duration::from_secs(4);

/// What a node found on its disk when it opened.
pub struct Opened {
    /// The state.
    pub machine: Machine,
    /// The last record whose effect it holds.
    pub last: Lsn,
    /// Bytes of records after the snapshot.
    pub log_bytes: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
}

/// The single node.
pub struct Centralized {
    group: LocalGroup<Ticket>,
    machine: Machine,
    effects: Vec<Effect>,
    /// Picks members of shared subscriptions for what leaves no trace.
    rotation: u64,
    last_entry_at: Instant,
    tick_proposed: bool,
    /// SUBSCRIBEs that are not committed yet.
    pending_subscribes: u32,
    /// What the node told of itself and is not committed yet.
    reports_pending: u32,
    snapshot_log_bytes: u64,
    last_snapshot_bytes: u64,
    snapshot_pending: bool,
}

impl Centralized {
    /// Goes on from what was found on disk.
    pub fn new(opened: Opened, durability: Durability, snapshot_log_bytes: u64, now: Instant) -> Self {
        Centralized {
            group: LocalGroup::new(durability, opened.last, opened.log_bytes, now),
            machine: opened.machine,
            effects: Vec::new(),
            rotation: 0,
            last_entry_at: now,
            tick_proposed: false,
            pending_subscribes: 0,
            reports_pending: 0,
            snapshot_log_bytes,
            last_snapshot_bytes: opened.snapshot_bytes,
            snapshot_pending: false,
        }
    }

    /// A new process begins: whatever the previous one had attached is detached, and these limits hold.
    pub fn boot(&mut self, limits: QueueLimits, gateway: &Gateway) {
        self.propose(gateway, Op::Boot(limits), Ticket::Silent, true);
    }

    /// The applied state.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What the node leads, to tell of itself: all there is.
    pub fn led(&self) -> Led {
        let (sessions, messages) = self.machine.counts();
        Led { shards: 1, sessions, messages }
    }

    /// Whether something that the node told of itself is not on disk yet.
    pub fn is_reporting(&self) -> bool {
        self.reports_pending > 0
    }

    /// Publishes what the node tells of itself.
    pub fn report(&mut self, messages: Vec<Message>, gateway: &Gateway) {
        for message in messages {
            self.reports_pending += 1;
            self.propose(gateway, Op::Report(Rc::new(message)), Ticket::Report, false);
        }
    }

    /// Decides what a client's wish needs.
    pub fn on_intent(&mut self, intent: Intent, gateway: &mut Gateway) {
        match intent {
            Intent::Publish { conn, session, durable, receipt, inbound, message } => {
                let inbound = inbound.filter(|_| durable);
                self.on_publish(conn, session, receipt, inbound, message, gateway);
            }
            Intent::Answer { receipt, reason, unless_taken } => {
                let conn = receipt.conn();
                if gateway.must_wait(conn) {
                    gateway.wait_for_log(conn);
                    self.group.follow(Ticket::Answer { receipt, reason, unless_taken });
                } else {
                    self.answer(receipt, self.group.at_once(), reason, unless_taken, gateway);
                }
            }
            Intent::Attach { receipt, attach } => {
                self.propose(gateway, Op::Attach(attach), Ticket::Attach { receipt }, true);
            }
            Intent::Release { session, receipt, id } => {
                gateway.wait_for_log(receipt.conn());
                self.propose(gateway, Op::Release { session, id }, Ticket::Release { receipt }, true);
            }
            Intent::Subscribe { session, durable, receipt, subscription_id, filters } => {
                self.on_subscribe(session, durable, receipt, subscription_id, filters, gateway);
            }
            Intent::Unsubscribe { session, durable, receipt, filters } => {
                self.on_unsubscribe(session, durable, receipt, filters, gateway);
            }
            Intent::Progress { session, receipt, steps, .. } => {
                let urgent = receipt.is_some();
                let ticket = Ticket::Progress { session: session.incarnation, receipt };
                self.propose(gateway, Op::Progress { session, steps }, ticket, urgent);
            }
            Intent::Detach { receipt, detach } => {
                self.propose(gateway, Op::Detach(detach), Ticket::Close { receipt }, true);
            }
        }
    }

    /// A write, and all before it, is on disk.
    pub fn on_persisted(&mut self, write: WriteId, gateway: &mut Gateway) {
        self.group.persisted(write);
        self.advance(gateway);
    }

    /// A snapshot is on disk.
    pub fn on_snapshot_stored(&mut self) {
        self.snapshot_pending = false;
    }

    /// Something may be due, or the node has been silent for long.
    pub fn on_timer(&mut self, now: Instant, gateway: &mut Gateway) {
        let due = self.machine.next_due().is_some_and(|at| at <= gateway.wall());
        let silent = now.saturating_since(self.last_entry_at) >= ALIVE_PERIOD;
        let timed = self.machine.timed_sessions().len() > 0;
        if self.stall_ends().is_some_and(|end| end <= now) {
            gateway.close_sessions(self.machine.timed_sessions());
        }
        if !self.tick_proposed && (due || (silent && timed)) {
            self.tick_proposed = true;
            self.propose(gateway, Op::Tick, Ticket::Tick, true);
        } else if silent {
            self.last_entry_at = now;
        }
    }

    /// When connections whose end starts a clock are to be given up, because nothing that is written comes to be on disk:
    /// after a crash they would count as lost at this moment, and a clock that has begun to run cannot be called back.
    fn stall_ends(&self) -> Option<Instant> {
        let stalled = self.group.stalled_since().filter(|_| self.machine.timed_sessions().len() > 0)?;
        Some(stalled + ALIVE_INTERVAL)
    }

    /// Applies what is committed and carries out what comes of it.
    pub fn advance(&mut self, gateway: &mut Gateway) {
        while let Some(commit) = self.group.next_commit() {
            let mut effects = std::mem::take(&mut self.effects);
            let verdict = commit.entry.map(|entry| self.machine.apply(&entry, &mut effects));
            self.on_commit(commit.ticket, verdict, commit.committed, &mut effects, gateway);
            self.effects = effects;
        }
    }

    /// Ends the turn: sets the next deadline, hands out what is to be written, takes a snapshot if the log has grown.
    pub fn drain(&mut self, now: Instant, gateway: &mut Gateway) {
        let alive = self.last_entry_at + ALIVE_PERIOD;
        let due = self.machine.next_due().filter(|_| !self.tick_proposed);
        let due = due.map(|at| now + at.saturating_since(gateway.wall()));
        if let Some(write) = self.group.take_write(now) {
            gateway.output(Output::Persist { write: write.id, records: write.records, urgent: write.urgent });
        }
        let stall_ends = self.stall_ends().filter(|end| *end > now);
        let next = [Some(alive), due, stall_ends].into_iter().flatten().min();
        gateway.timers().set(TimerKind::Expiry, next.unwrap_or(alive));
        let threshold = self.snapshot_log_bytes.max(2 * self.last_snapshot_bytes);
        if !self.snapshot_pending && self.group.log_bytes() >= threshold {
            self.take_snapshot(gateway);
        }
    }

    fn take_snapshot(&mut self, gateway: &mut Gateway) {
        let chunks = self.machine.snapshot();
        self.last_snapshot_bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        self.snapshot_pending = true;
        self.group.reset_log_bytes();
        let upto = self.group.applied();
        gateway.event(Event::Snapshot { upto });
        gateway.output(Output::Snapshot(Snapshot { upto, chunks }));
    }

    fn propose(&mut self, gateway: &Gateway, op: Op, ticket: Ticket, urgent: bool) {
        self.last_entry_at = gateway.now();
        self.group.propose(Entry { at: gateway.wall(), stamp: None, op }, ticket, urgent);
    }

    fn on_publish(
        &mut self,
        conn: ConnId,
        session: Attachment,
        receipt: Option<Receipt>,
        inbound: Option<PacketId>,
        message: Rc<Message>,
        gateway: &mut Gateway,
    ) {
        // A subscription that is not committed yet may want it: who is told SUBACK first gets what is acknowledged later.
        let wanted = message.qos > QoS::AtMostOnce
            && (self.pending_subscribes > 0 || self.machine.wants(&message.topic));
        if message.retain || inbound.is_some() || wanted {
            gateway.wait_for_log(conn);
            let message = Rc::new(Rc::unwrap_or_clone(message).owned());
            let op = Op::Publish(Publish { session, inbound, message });
            self.propose(gateway, op, Ticket::Publish { conn, receipt }, true);
        } else if gateway.must_wait(conn) {
            gateway.wait_for_log(conn);
            self.group.follow(Ticket::Volatile { conn, receipt, message });
        } else {
            self.publish_volatile(receipt, self.group.at_once(), &message, gateway);
        }
    }

    /// A message that no durable state depends on: to those who are connected, now.
    fn publish_volatile(
        &mut self,
        receipt: Option<Receipt>,
        committed: Committed,
        message: &Rc<Message>,
        gateway: &mut Gateway,
    ) {
        self.rotation = self.rotation.wrapping_add(1);
        let live = gateway.deliver_live(message, false);
        let matched = self.machine.route_volatile(message, self.rotation, |effect| {
            if let Effect::Volatile { session, message, retain, subscription_ids } = effect {
                gateway.deliver_volatile(session, &message, retain, &subscription_ids);
            }
        });
        if let Some(receipt) = receipt {
            gateway.confirm(receipt, committed, Answer::Reason(effects::accepted(live || matched)));
        }
    }

    fn on_subscribe(
        &mut self,
        session: Attachment,
        durable: bool,
        receipt: Receipt,
        subscription_id: Option<u32>,
        filters: Vec<Result<(TopicFilter, SubscriptionOptions), ReasonCode>>,
        gateway: &mut Gateway,
    ) {
        let mut for_machine = Vec::new();
        let asked = filters.into_iter().map(|filter| match filter {
            Err(reason) => AskedFilter::Refused(reason),
            Ok((filter, options)) if durable || filter.share().is_some() => {
                for_machine.push((filter, options));
                AskedFilter::Machine
            }
            Ok((filter, options)) => AskedFilter::Hub(filter, options),
        });
        let asked: Vec<AskedFilter> = asked.collect();
        if for_machine.is_empty() {
            let committed = self.group.at_once();
            let asked = effects::Asked { subscription_id, filters: asked };
            effects::confirm_subscribe(&self.machine, receipt, committed, asked, Vec::new(), gateway);
        } else {
            let op = Op::Subscribe { session, subscription_id, filters: for_machine };
            gateway.wait_for_log(receipt.conn());
            self.pending_subscribes += 1;
            let ticket = Ticket::Subscribe { receipt, subscription_id, filters: asked };
            self.propose(gateway, op, ticket, true);
        }
    }

    fn on_unsubscribe(
        &mut self,
        session: Attachment,
        durable: bool,
        receipt: Receipt,
        filters: Vec<Result<TopicFilter, ReasonCode>>,
        gateway: &mut Gateway,
    ) {
        let mut for_machine = Vec::new();
        let given_up = filters.into_iter().map(|filter| match filter {
            Err(reason) => GivenUpFilter::Refused(reason),
            Ok(filter) if durable || filter.share().is_some() => {
                for_machine.push(filter);
                GivenUpFilter::Machine
            }
            Ok(filter) => GivenUpFilter::Hub(filter),
        });
        let given_up: Vec<GivenUpFilter> = given_up.collect();
        if for_machine.is_empty() {
            effects::confirm_unsubscribe(receipt, self.group.at_once(), given_up, Vec::new(), gateway);
        } else {
            let op = Op::Unsubscribe { session, filters: for_machine };
            gateway.wait_for_log(receipt.conn());
            self.propose(gateway, op, Ticket::Unsubscribe { receipt, filters: given_up }, true);
        }
    }

    /// Carries out what a committed entry means for those who wait for it, then for everybody else.
    fn on_commit(
        &mut self,
        ticket: Ticket,
        verdict: Option<Verdict>,
        committed: Committed,
        effects: &mut Vec<Effect>,
        gateway: &mut Gateway,
    ) {
        // A connection that lost its session goes before the one that has it now is told.
        for effect in effects.iter() {
            if let Effect::Evicted { session, .. } = effect {
                gateway.evict(*session);
            }
        }
        if let Some(conn) = ticket.waits_in_turn() {
            gateway.waited_for_log(conn);
        }
        match (ticket, verdict) {
            (Ticket::Silent, _) => {}
            (Ticket::Tick, _) => self.tick_proposed = false,
            (Ticket::Report, _) => self.reports_pending -= 1,
            (Ticket::Close { receipt }, _) => {
                if let Some(receipt) = receipt {
                    gateway.confirm(receipt, committed, Answer::Reason(ReasonCode::Success));
                }
            }
            (Ticket::Progress { session, receipt }, _) => {
                if let Some(receipt) = receipt {
                    gateway.confirm(receipt, committed, Answer::Reason(ReasonCode::Success));
                }
                // What was held back at the end of the span may go now.
                gateway.set_ready(session, SHARD);
            }
            (Ticket::Answer { receipt, reason, unless_taken }, _) => {
                self.answer(receipt, committed, reason, unless_taken, gateway);
            }
            (Ticket::Volatile { receipt, message, .. }, _) => {
                self.publish_volatile(receipt, committed, &message, gateway);
            }
            (Ticket::Publish { receipt, .. }, Some(verdict)) => {
                let live = effects::carry_out(effects, gateway);
                effects::confirm_publish(receipt, committed, &verdict, live, gateway);
            }
            (Ticket::Attach { receipt }, verdict) => {
                self.confirm_attach(receipt, committed, verdict.as_ref(), gateway);
            }
            (Ticket::Release { receipt }, Some(Verdict::Released { known })) => {
                let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
                gateway.confirm(receipt, committed, Answer::Reason(reason));
            }
            (Ticket::Subscribe { receipt, subscription_id, filters }, verdict) => {
                self.pending_subscribes -= 1;
                if let Some(Verdict::Subscribed(answers)) = verdict {
                    let asked = effects::Asked { subscription_id, filters };
                    effects::confirm_subscribe(&self.machine, receipt, committed, asked, answers, gateway);
                }
            }
            (Ticket::Unsubscribe { receipt, filters }, Some(Verdict::Unsubscribed(existed))) => {
                effects::confirm_unsubscribe(receipt, committed, filters, existed, gateway);
            }
            // Fenced: the connection that asked has lost its session, and was told so.
            (Ticket::Publish { .. } | Ticket::Release { .. } | Ticket::Unsubscribe { .. }, _) => {}
        }
        effects::carry_out(effects, gateway);
    }

    /// CONNACK.
    fn confirm_attach(
        &self,
        receipt: Receipt,
        committed: Committed,
        verdict: Option<&Verdict>,
        gateway: &mut Gateway,
    ) {
        let Some(&Verdict::Attached { session, present, durable, .. }) = verdict else {
            gateway.limit_reached("sessions_max", receipt.conn());
            gateway.confirm(receipt, committed, Answer::Reason(ReasonCode::QuotaExceeded));
            return;
        };
        let held = self.machine.participant(session.incarnation);
        let (base, sent) = held.map(|held| (held.queue.base(), held.queue.sent())).unwrap_or_default();
        let from = ResumeFrom { shard: SHARD, base, sent };
        let from = if durable { &[from][..] } else { &[] };
        let attached = Attached { session, present, durable, from };
        gateway.confirm_attach(receipt, committed, &attached);
    }

    /// Sends an answer that changes nothing.
    fn answer(
        &self,
        receipt: Receipt,
        committed: Committed,
        reason: ReasonCode,
        unless_taken: Option<(Incarnation, PacketId)>,
        gateway: &mut Gateway,
    ) {
        let taken = unless_taken.is_some_and(|(session, id)| {
            self.machine.participant(session).is_some_and(|held| held.inbound.contains(&id))
        });
        let reason = if taken { ReasonCode::Success } else { reason };
        gateway.confirm(receipt, committed, Answer::Reason(reason));
    }
}
