//! One node holds everything.
//!
//! Sessions live in this node's one shard; every publish is heard here; it may be acknowledged when the entry is on this
//! disk, or at once if nothing durable depends on it; what is on this disk survives a crash.

use super::ticket::{AskedFilter, GivenUpFilter, Ticket};
use crate::base::ids::{ConnId, Lsn, PacketId, WriteId};
use crate::base::time::{Duration, Instant};
use crate::codec::ReasonCode;
use crate::codec::packet::{QoS, RetainHandling, SubscriptionOptions};
use crate::event::{DropReason, Event};
use crate::face::{Durability, Output, Snapshot, TimerKind};
use crate::message::Message;
use crate::replication::{Committed, LocalGroup, Receipt};
use crate::session::confirm::{Answer, ResumeFrom};
use crate::session::outbound::drop_event;
use crate::session::{Gateway, Intent};
use crate::shard::{Attachment, Effect, Entry, Machine, Op, Publish, Verdict};
use crate::topic::TopicFilter;
use std::rc::Rc;

/// While somebody's expiry counts from the end of a connection, an entry is written at least this often: a second
/// before the machine assumes that the node was dead.
const ALIVE_PERIOD: Duration = Duration::from_secs(4);

/// The single node.
pub struct Centralized {
    group: LocalGroup<Ticket>,
    machine: Machine,
    effects: Vec<Effect>,
    /// Picks members of shared subscriptions for what leaves no trace.
    rotation: u64,
    last_entry_at: Instant,
    tick_proposed: bool,
    snapshot_log_bytes: u64,
    last_snapshot_bytes: u64,
    snapshot_pending: bool,
}

impl Centralized {
    /// Goes on from a machine that holds the effect of all records up to `last`.
    pub fn new(machine: Machine, last: Lsn, durability: Durability, snapshot_log_bytes: u64) -> Self {
        Centralized {
            group: LocalGroup::new(durability, last),
            machine,
            effects: Vec::new(),
            rotation: 0,
            last_entry_at: Instant::ZERO,
            tick_proposed: false,
            snapshot_log_bytes,
            last_snapshot_bytes: 0,
            snapshot_pending: false,
        }
    }

    /// The applied state.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// A new process begins: whatever the previous one had attached is detached.
    pub fn boot(&mut self, now: Instant, gateway: &Gateway) {
        self.last_entry_at = now;
        self.propose(gateway, Op::Boot, Ticket::Silent, true);
    }

    /// Decides what a client's wish needs.
    pub fn on_intent(&mut self, intent: Intent, gateway: &mut Gateway) {
        match intent {
            Intent::Publish { conn, session, durable, receipt, inbound, message } => {
                let inbound = inbound.filter(|_| durable);
                self.on_publish(conn, session, receipt, inbound, message, gateway);
            }
            Intent::Answer { receipt, reason } => {
                let conn = receipt.conn();
                if gateway.must_wait(conn) {
                    gateway.wait_for_log(conn);
                    self.group.follow(Ticket::InTurn { receipt, reason });
                } else {
                    gateway.confirm(receipt, self.group.at_once(), Answer::Reason(reason));
                }
            }
            Intent::Attach { receipt, attach } => {
                self.propose(gateway, Op::Attach(attach), Ticket::Attach { receipt }, true);
            }
            Intent::Release { session, receipt, id } => {
                self.propose(gateway, Op::Release { session, id }, Ticket::Release { receipt }, true);
            }
            Intent::Subscribe { session, durable, receipt, subscription_id, filters } => {
                self.on_subscribe(session, durable, receipt, subscription_id, filters, gateway);
            }
            Intent::Unsubscribe { session, durable, receipt, filters } => {
                self.on_unsubscribe(session, durable, receipt, filters, gateway);
            }
            Intent::Progress { session, receipt, steps } => {
                let urgent = receipt.is_some();
                let ticket = Ticket::Progress { session: session.incarnation, receipt };
                self.propose(gateway, Op::Progress { session, steps }, ticket, urgent);
            }
            Intent::Detach { receipt, detach } => {
                let ticket = Ticket::Answer { receipt, reason: ReasonCode::Success };
                self.propose(gateway, Op::Detach(detach), ticket, true);
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
        if !self.tick_proposed && (due || (silent && self.machine.needs_alive_entries())) {
            self.tick_proposed = true;
            self.propose(gateway, Op::Tick, Ticket::Tick, true);
        } else if silent {
            self.last_entry_at = now;
        }
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
        gateway.timers().set(TimerKind::Expiry, due.map_or(alive, |due| due.min(alive)));
        if let Some(write) = self.group.take_write() {
            gateway.output(Output::Persist { write: write.id, records: write.records, urgent: write.urgent });
        }
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
        self.group.propose(Entry { at: gateway.wall(), op }, ticket, urgent);
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
        let wanted = message.qos > QoS::AtMostOnce && self.machine.wants(&message.topic);
        if message.retain || inbound.is_some() || wanted {
            gateway.wait_for_log(conn);
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
        let live = gateway.deliver_live(message);
        let matched = self.machine.route_volatile(message, self.rotation, |effect| {
            if let Effect::Volatile { session, message, retain, subscription_ids } = effect {
                gateway.deliver_volatile(session, &message, retain, subscription_ids);
            }
        });
        if let Some(receipt) = receipt {
            gateway.confirm(receipt, committed, Answer::Reason(accepted(live || matched)));
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
            self.confirm_subscribe(receipt, committed, subscription_id, asked, Vec::new(), gateway);
        } else {
            let op = Op::Subscribe { session, subscription_id, filters: for_machine };
            let ticket = Ticket::Subscribe { receipt, subscription_id, filters: asked };
            self.propose(gateway, op, ticket, true);
        }
    }

    /// SUBACK, then the retained messages for what the hub took.
    fn confirm_subscribe(
        &mut self,
        receipt: Receipt,
        committed: Committed,
        subscription_id: Option<u32>,
        asked: Vec<AskedFilter>,
        answers: Vec<Result<QoS, ReasonCode>>,
        gateway: &mut Gateway,
    ) {
        let conn = receipt.conn();
        let mut answers = answers.into_iter();
        let mut retained = Vec::new();
        let reasons = asked.into_iter().map(|filter| {
            let answer = match filter {
                AskedFilter::Refused(reason) => Err(reason),
                AskedFilter::Machine => answers.next().expect("the machine answers every filter"),
                AskedFilter::Hub(filter, options) => {
                    gateway.hub_subscribe(conn, &filter, options, subscription_id).map(|(qos, new)| {
                        let wanted = match options.retain_handling {
                            RetainHandling::Always => true,
                            RetainHandling::IfNew => new,
                            RetainHandling::Never => false,
                        };
                        if wanted {
                            retained.push((filter, qos));
                        }
                        qos
                    })
                }
            };
            answer.map_or_else(|reason| reason, granted)
        });
        let reasons = reasons.collect();
        gateway.confirm(receipt, committed, Answer::Reasons(reasons));
        for (filter, qos) in retained {
            self.machine.retained(&filter, gateway.wall(), |message| {
                gateway.deliver_retained(conn, message, qos, subscription_id);
            });
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
            confirm_unsubscribe(receipt, self.group.at_once(), given_up, Vec::new(), gateway);
        } else {
            let op = Op::Unsubscribe { session, filters: for_machine };
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
            if let Effect::Evicted(session) = effect {
                gateway.evict(*session);
            }
        }
        match (ticket, verdict) {
            (Ticket::Silent, _) => {}
            (Ticket::Tick, _) => self.tick_proposed = false,
            (Ticket::Answer { receipt, reason }, _) => {
                if let Some(receipt) = receipt {
                    gateway.confirm(receipt, committed, Answer::Reason(reason));
                }
            }
            (Ticket::Progress { session, receipt }, _) => {
                if let Some(receipt) = receipt {
                    gateway.confirm(receipt, committed, Answer::Reason(ReasonCode::Success));
                }
                // What was held back at the end of the span may go now.
                gateway.set_ready(session);
            }
            (Ticket::InTurn { receipt, reason }, _) => {
                gateway.waited_for_log(receipt.conn());
                gateway.confirm(receipt, committed, Answer::Reason(reason));
            }
            (Ticket::Volatile { conn, receipt, message }, _) => {
                gateway.waited_for_log(conn);
                self.publish_volatile(receipt, committed, &message, gateway);
            }
            (Ticket::Publish { conn, receipt }, Some(verdict)) => {
                gateway.waited_for_log(conn);
                let live = carry_out(effects, gateway);
                confirm_publish(receipt, committed, &verdict, live, gateway);
            }
            (Ticket::Attach { receipt }, Some(Verdict::Attached { session, present })) => {
                let record = self.machine.session(session.incarnation).expect("it was just attached");
                let (base, sent) = (record.queue.base(), record.queue.sent());
                let from = ResumeFrom { durable: record.durable, base, sent };
                gateway.confirm_attach(receipt, committed, session, present, from);
            }
            (Ticket::Attach { receipt }, _) => {
                gateway.event(Event::LimitReached { limit: "sessions_max", client_id: None });
                gateway.confirm(receipt, committed, Answer::Reason(ReasonCode::QuotaExceeded));
            }
            (Ticket::Release { receipt }, Some(Verdict::Released { known })) => {
                let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
                gateway.confirm(receipt, committed, Answer::Reason(reason));
            }
            (Ticket::Subscribe { receipt, subscription_id, filters }, Some(Verdict::Subscribed(answers))) => {
                self.confirm_subscribe(receipt, committed, subscription_id, filters, answers, gateway);
            }
            (Ticket::Unsubscribe { receipt, filters }, Some(Verdict::Unsubscribed(existed))) => {
                confirm_unsubscribe(receipt, committed, filters, existed, gateway);
            }
            // Fenced: the connection that asked has lost its session, and was told so.
            (Ticket::Publish { .. } | Ticket::Release { .. }, _) => {}
            (Ticket::Subscribe { .. } | Ticket::Unsubscribe { .. }, _) => {}
        }
        carry_out(effects, gateway);
    }
}

/// Shows connected clients what came of an entry. True if a connected clean session heard a message.
fn carry_out(effects: &mut Vec<Effect>, gateway: &mut Gateway) -> bool {
    let mut heard = false;
    for effect in effects.drain(..) {
        match effect {
            Effect::Live(message) => heard |= gateway.deliver_live(&message),
            Effect::Ready(session) => gateway.set_ready(session),
            Effect::Volatile { session, message, retain, subscription_ids } => {
                gateway.deliver_volatile(session, &message, retain, subscription_ids);
            }
            Effect::Evicted(_) => {}
            Effect::Ended { client_id, why, .. } => gateway.event(Event::SessionEnded { client_id, why }),
            Effect::WillSent { client_id } => gateway.event(Event::WillSent { client_id }),
            Effect::Dropped { client_id, message, reason } => {
                if reason == DropReason::QueueFull {
                    let limit = "queue_messages_max or queue_bytes_max";
                    gateway.event(Event::LimitReached { limit, client_id: client_id.clone() });
                }
                gateway.event(drop_event(client_id, &message, reason));
            }
        }
    }
    heard
}

fn confirm_publish(
    receipt: Option<Receipt>,
    committed: Committed,
    verdict: &Verdict,
    live: bool,
    gateway: &mut Gateway,
) {
    let reason = match verdict {
        Verdict::Accepted { matched } => accepted(*matched || live),
        Verdict::Duplicate => ReasonCode::Success,
        Verdict::RetainedFull => {
            let limit = "retained_messages_max or retained_bytes_max";
            gateway.event(Event::LimitReached { limit, client_id: None });
            ReasonCode::QuotaExceeded
        }
        _ => return,
    };
    if let Some(receipt) = receipt {
        gateway.confirm(receipt, committed, Answer::Reason(reason));
    }
}

fn confirm_unsubscribe(
    receipt: Receipt,
    committed: Committed,
    filters: Vec<GivenUpFilter>,
    existed: Vec<bool>,
    gateway: &mut Gateway,
) {
    let conn = receipt.conn();
    let mut existed = existed.into_iter();
    let reasons = filters.into_iter().map(|filter| {
        let existed = match filter {
            GivenUpFilter::Refused(reason) => return reason,
            GivenUpFilter::Machine => existed.next().expect("the machine answers every filter"),
            GivenUpFilter::Hub(filter) => gateway.hub_unsubscribe(conn, &filter),
        };
        if existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted }
    });
    let reasons = reasons.collect();
    gateway.confirm(receipt, committed, Answer::Reasons(reasons));
}

fn accepted(matched: bool) -> ReasonCode {
    if matched { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers }
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::GRANTED_QOS_0,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}
