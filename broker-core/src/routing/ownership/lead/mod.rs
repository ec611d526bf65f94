//! What the leader of a shard does: it answers requests, pushes queues, brings the outbox to other shards, and keeps the leases of gateways.

mod late;
mod outbox;
mod push;
mod refused;
mod takeover;
mod volatile;
mod watch;

use super::frame::{Addressed, Frame};
use super::replica::propose;
use crate::base::ids::{Incarnation, NodeId, ShardId, Term};
use crate::base::time::{Instant, WallTime};
use crate::event::Event;
use crate::message::Message;
use crate::replication::raft::RaftGroup;
use crate::session::Gateway;
use crate::shard::machine::due::RETIRED_KEPT;
use crate::shard::{Attachment, Authors, Effect, Entry, GatewayId, Machine, Op, Producer, Stamp, Verdict};
use late::Late;
use push::{Feed, HubFeed};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use takeover::Takeovers;

/// What a leader knows of the rest of the cluster.
pub(super) struct Surroundings<'a> {
    /// Who leads each shard, as far as is known, and since which term.
    pub(super) leaders: &'a [(Option<NodeId>, u64)],
    /// This node and those to which there is a link.
    pub(super) linked: &'a [NodeId],
}

/// What an answer waits for.
#[derive(Debug)]
struct Waiting {
    gateway: GatewayId,
    sequence: u64,
    awaits: Vec<(ShardId, u64)>,
}

/// A leader's work; it begins with nothing, for all that must survive is in the machine.
#[derive(Debug)]
pub(super) struct Lead {
    shard: ShardId,
    term: Term,
    since: Instant,
    proposed: bool,
    serves: bool,
    feeds: BTreeMap<Incarnation, Feed>,
    ready: BTreeSet<Incarnation>,
    hub_feeds: BTreeMap<GatewayId, HubFeed>,
    hubs_ready: BTreeSet<GatewayId>,
    /// The next number of the outbox to send to each shard.
    outbox_next: BTreeMap<ShardId, u64>,
    outbox_ready: BTreeSet<ShardId>,
    /// When the outbox to a shard was last sent from its beginning, or a part of it was confirmed.
    outbox_moved: BTreeMap<ShardId, Instant>,
    confirmed: BTreeMap<ShardId, u64>,
    /// What of that was proposed to be put on record.
    trimmed: BTreeMap<ShardId, u64>,
    /// Who brought the last of another shard's outbox.
    forwarders: BTreeMap<ShardId, NodeId>,
    waiting: Vec<Waiting>,
    heard: BTreeMap<GatewayId, Instant>,
    lost: BTreeSet<GatewayId>,
    last_entry_at: Instant,
    tick_proposed: bool,
    rotation: u64,
    /// Who has published QoS 0 without RETAIN lately, which is on no record.
    authors: Authors,
    takeovers: Takeovers,
    /// How many QoS 0 messages it has handed out, or kept.
    handed_out: u64,
    /// QoS 0 for sessions whose connection cannot be handed it yet.
    late: Late,
    /// Of each gateway the first request that was refused while the lead was being handed over.
    refused: BTreeMap<GatewayId, u64>,
}

impl Lead {
    pub(super) fn new(shard: ShardId, term: Term, now: Instant) -> Self {
        Lead {
            shard,
            term,
            since: now,
            proposed: false,
            serves: false,
            feeds: BTreeMap::new(),
            ready: BTreeSet::new(),
            hub_feeds: BTreeMap::new(),
            hubs_ready: BTreeSet::new(),
            outbox_next: BTreeMap::new(),
            outbox_ready: BTreeSet::new(),
            outbox_moved: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            trimmed: BTreeMap::new(),
            forwarders: BTreeMap::new(),
            waiting: Vec::new(),
            heard: BTreeMap::new(),
            lost: BTreeSet::new(),
            last_entry_at: now,
            tick_proposed: false,
            rotation: 0,
            authors: Authors::default(),
            takeovers: Takeovers::default(),
            handed_out: 0,
            late: Late::default(),
            refused: BTreeMap::new(),
        }
    }

    pub(super) fn term(&self) -> Term {
        self.term
    }

    /// Whether all that was ever acknowledged is applied here.
    pub(super) fn serves(&self) -> bool {
        self.serves
    }

    /// Whether the first entry of the term is still to be proposed.
    pub(super) fn is_to_propose(&self) -> bool {
        !self.proposed
    }

    pub(super) fn note_proposed(&mut self, proposed: bool) {
        self.proposed = proposed;
    }

    /// The link to a member is gone: it asks again for what it needs when it is back.
    pub(super) fn on_peer_down(&mut self, peer: NodeId) {
        self.feeds.retain(|_, feed| feed.to != peer);
        self.hub_feeds.retain(|_, feed| feed.to != peer);
        self.ready.extend(self.late.on_peer_down(peer));
        self.takeovers.on_peer_down(peer);
    }

    /// Somebody leads `shard` now: what it has not confirmed is sent again.
    pub(super) fn on_leads(&mut self, shard: ShardId) {
        self.outbox_next.remove(&shard);
        self.outbox_ready.insert(shard);
    }

    /// A gateway asks for something.
    #[expect(clippy::too_many_arguments, reason = "the fields of one frame, and the group")]
    pub(super) fn on_request(
        &mut self,
        group: &mut RaftGroup,
        from: GatewayId,
        (sequence, answered): (u64, u64),
        wall: WallTime,
        op: Op,
        time: WallTime,
        now: Instant,
    ) {
        self.heard.insert(from, now);
        let stamp = Stamp { producer: Producer::Gateway(from), sequence, answered };
        let op = match op {
            Op::Publish(mut publish) => {
                publish.message = moved(publish.message, wall, time);
                Op::Publish(publish)
            }
            Op::Report(message) => Op::Report(moved(message, wall, time)),
            op => op,
        };
        if !self.propose(group, &Entry { at: time, stamp: Some(stamp), op }, now) {
            self.note_refused(group, from, sequence);
        }
    }

    fn propose(&mut self, group: &mut RaftGroup, entry: &Entry, now: Instant) -> bool {
        self.last_entry_at = now;
        propose(group, entry)
    }

    /// An entry was applied: answers whoever asked for it, and shows what came of it.
    #[expect(clippy::too_many_arguments, reason = "an entry, what came of it, and who is to be told")]
    pub(super) fn on_applied(
        &mut self,
        term: Term,
        entry: &Entry,
        verdict: Verdict,
        effects: &mut Vec<Effect>,
        machine: &Machine,
        gateway: &mut Gateway,
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        if matches!(entry.op, Op::Lead(_)) && term == self.term {
            self.begin(machine, gateway.now(), around, out);
            gateway.event(Event::Leading { shard: self.shard, term: self.term.0 });
        }
        match &entry.op {
            Op::Tick => self.tick_proposed = false,
            Op::GatewayLost(lost) => {
                gateway.event(Event::GatewayDropped { shard: self.shard, node: lost.node });
            }
            // The span goes on from where the queue begins now.
            Op::Progress { session, .. } => drop(self.ready.insert(session.incarnation)),
            _ => {}
        }
        // A connection that lost its session goes before the one that has it now is told.
        for effect in effects.extract_if(.., |effect| matches!(effect, Effect::Evicted { .. })) {
            self.carry_out(effect, machine, gateway, out);
        }
        let again = self.is_late(entry) || term != self.term;
        if again {
            // QoS 0 that an earlier leader may have handed out, or that comes behind what a later connection of its publisher has sent.
            effects.retain(|effect| !matches!(effect, Effect::Live { .. } | Effect::Volatile { .. }));
        }
        // What fell due before the entry, who hears by the entry has as retained.
        for effect in effects.extract_if(.., |effect| matches!(effect, Effect::Live { .. })) {
            self.carry_out(effect, machine, gateway, out);
        }
        match entry.stamp {
            Some(Stamp { producer: Producer::Gateway(from), sequence, .. }) => {
                self.answer(from, sequence, verdict, machine, out);
            }
            Some(Stamp { producer: Producer::Shard(from), .. }) => self.confirm(from, machine, out),
            None => {}
        }
        for effect in effects.drain(..) {
            self.carry_out(effect, machine, gateway, out);
        }
    }

    /// Whether a later connection of the publisher has sent QoS 0 here, which is on no record.
    fn is_late(&mut self, entry: &Entry) -> bool {
        let Op::Publish(publish) = &entry.op else { return false };
        !self.authors.admit(&publish.message.publisher, publish.session, entry.at, RETIRED_KEPT)
    }

    /// The first entry of the term is applied.
    fn begin(
        &mut self,
        machine: &Machine,
        now: Instant,
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        self.serves = true;
        self.since = now;
        self.outbox_ready.extend(machine.outbox_shards());
        self.announce(around, out);
    }

    /// Says who leads.
    fn announce(&self, around: &Surroundings<'_>, out: &mut Vec<Addressed>) {
        for member in around.linked {
            out.push(Addressed { to: *member, frame: Frame::Leads { shard: self.shard, term: self.term.0 } });
        }
    }

    fn answer(
        &mut self,
        gateway: GatewayId,
        sequence: u64,
        verdict: Verdict,
        machine: &Machine,
        out: &mut Vec<Addressed>,
    ) {
        let awaits =
            machine.answer(Producer::Gateway(gateway), sequence).map_or(&[][..], |kept| &kept.awaits);
        let open: Vec<(ShardId, u64)> =
            awaits.iter().copied().filter(|wanted| !self.is_confirmed(*wanted, machine)).collect();
        if open.is_empty() {
            self.push_answer(gateway, sequence, verdict, machine, out);
        } else {
            self.waiting.push(Waiting { gateway, sequence, awaits: open });
        }
    }

    /// Sends an answer. One that waited for a will can say that a connection is attached that is so no more: its gateway may have been told so before it
    /// could know which connection was meant, and is told again.
    fn push_answer(
        &self,
        gateway: GatewayId,
        sequence: u64,
        verdict: Verdict,
        machine: &Machine,
        out: &mut Vec<Addressed>,
    ) {
        let attached = match &verdict {
            Verdict::Attached { session, .. } => Some(*session),
            _ => None,
        };
        let to = gateway.node;
        out.push(Addressed { to, frame: Frame::Answer { shard: self.shard, gateway, sequence, verdict } });
        if let Some(session) = attached.filter(|session| !has_now(gateway, *session, machine)) {
            out.push(Addressed { to, frame: Frame::Evicted { session } });
        }
    }

    fn carry_out(
        &mut self,
        effect: Effect,
        machine: &Machine,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        match effect {
            // Of QoS 1 and 2 nobody is named: those are in the queues.
            Effect::Live { message, hearers } => self.push_live(&message, &hearers, machine.time(), out),
            Effect::Ready(session) => drop(self.ready.insert(session)),
            Effect::Bound(session) => drop(self.ready.insert(session.incarnation)),
            Effect::Unbound { session, gateway: left } => {
                self.late.note_left(session, left, gateway.now());
                if self.feeds.get(&session.incarnation).is_some_and(|feed| feed.session <= session) {
                    self.feeds.remove(&session.incarnation);
                }
            }
            Effect::HubReady(hub) => drop(self.hubs_ready.insert(hub)),
            Effect::Forward { to } => drop(self.outbox_ready.insert(to)),
            Effect::Volatile { session, message, retain, subscription_ids } => {
                let target = (session, retain, subscription_ids);
                self.push_volatile(target, message, machine, gateway.now(), out);
            }
            Effect::Evicted { session, gateway } => {
                out.push(Addressed { to: gateway.node, frame: Frame::Evicted { session } });
            }
            Effect::Ended { client_id, why, .. } => gateway.event(Event::SessionEnded { client_id, why }),
            Effect::WillSent { client_id } => gateway.event(Event::WillSent { client_id }),
            // Every replica tells.
            Effect::Dropped { .. } => {}
        }
    }
}

/// Whether the session is attached so, by way of this gateway.
fn has_now(gateway: GatewayId, session: Attachment, machine: &Machine) -> bool {
    let record = machine.session(session.incarnation);
    record.is_some_and(|record| record.attachment() == session && record.gateway == Some(gateway))
}

/// A message whose expiry was given by one clock, as another one has it.
pub(super) fn moved(message: Rc<Message>, from: WallTime, to: WallTime) -> Rc<Message> {
    match message.expires_at {
        None => message,
        Some(at) => {
            let mut message = Rc::unwrap_or_clone(message);
            message.expires_at = Some(to + at.saturating_since(from));
            Rc::new(message)
        }
    }
}
