//! What the leader of a shard does: it answers requests, pushes queues, brings the outbox to other shards, and keeps the leases of gateways.

use super::frame::{Addressed, Frame, HubItem, VolatileTarget};
use super::replica::propose;
use crate::base::ids::{Incarnation, NodeId, Position, ShardId, Term};
use crate::base::time::{Duration, Instant, WallTime};
use crate::codec::packet::QoS;
use crate::event::Event;
use crate::message::Message;
use crate::replication::raft::RaftGroup;
use crate::session::Gateway;
use crate::session::mirror::Pushed;
use crate::shard::machine::due::{ALIVE_INTERVAL, RETIRED_KEPT};
use crate::shard::machine::read::Pending;
use crate::shard::{
    Attachment, Authors, Effect, Entry, GatewayId, Machine, Op, PeerOp, Producer, Stamp, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A gateway that was not heard of for so long is dropped.
const LEASE: Duration = Duration::from_secs(10);
/// While somebody's expiry counts from the end of a connection, an entry is written at least this often.
const ALIVE_PERIOD: Duration = Duration::from_secs(4);
/// What another shard has not confirmed any part of for so long is sent to it again: its leader was handing over, or full.
const FORWARD_AGAIN: Duration = Duration::from_secs(2);
/// Positions in one push.
const PUSH_ITEMS: usize = 64;
/// Bytes of messages in one push, unless the first is larger.
const PUSH_BYTES: u64 = 256 << 10;
/// Positions of a hub's queue that are pushed before the gateway says that it heard them.
const HUB_SPAN: u64 = 1_024;

const _: () = assert!(ALIVE_PERIOD.as_nanos() < ALIVE_INTERVAL.as_nanos());

/// What a leader knows of the rest of the cluster.
pub(super) struct Surroundings<'a> {
    /// Who leads each shard, as far as is known, and since which term.
    pub(super) leaders: &'a [(Option<NodeId>, u64)],
    /// All members.
    pub(super) members: &'a [NodeId],
}

/// A queue that is being pushed to a gateway.
#[derive(Debug)]
struct Feed {
    session: Attachment,
    to: NodeId,
    next: Option<Position>,
    /// The end of the span that the gateway was told.
    end: Position,
}

/// A hub's queue that is being pushed.
#[derive(Debug)]
struct HubFeed {
    to: NodeId,
    next: Position,
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
            op => op,
        };
        self.propose(group, &Entry { at: time, stamp: Some(stamp), op }, now);
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
            // The span goes on from where the queue begins now.
            Op::Progress { session, .. } => drop(self.ready.insert(session.incarnation)),
            _ => {}
        }
        // A connection that lost its session goes before the one that has it now is told.
        for effect in effects.extract_if(.., |effect| matches!(effect, Effect::Evicted { .. })) {
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
            // QoS 0 that an earlier leader may have handed out.
            let again = term != self.term && matches!(effect, Effect::Live(_) | Effect::Volatile { .. });
            if !again {
                self.carry_out(effect, machine, gateway, out);
            }
        }
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
        for member in around.members {
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
            let frame = Frame::Answer { shard: self.shard, gateway, sequence, verdict };
            out.push(Addressed { to: gateway.node, frame });
        } else {
            self.waiting.push(Waiting { gateway, sequence, awaits: open });
        }
    }

    fn is_confirmed(&self, (shard, upto): (ShardId, u64), machine: &Machine) -> bool {
        let told = self.confirmed.get(&shard).is_some_and(|confirmed| *confirmed >= upto);
        // What is on record as confirmed is not in the outbox any more.
        told || machine.outbox(shard, 0).next().is_none_or(|(first, _)| first > upto)
    }

    /// Tells the leader of another shard how far its outbox was applied here.
    fn confirm(&mut self, from: ShardId, machine: &Machine, out: &mut Vec<Addressed>) {
        let upto = machine.last_of(Producer::Shard(from));
        if let Some(to) = self.forwarders.get(&from) {
            out.push(Addressed { to: *to, frame: Frame::Confirmed { from, to: self.shard, upto } });
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
            Effect::Live(message) => {
                if message.qos == QoS::AtMostOnce {
                    self.push_live(&message, machine, out);
                }
            }
            Effect::Ready(session) => drop(self.ready.insert(session)),
            Effect::Bound(attachment) => drop(self.ready.insert(attachment.incarnation)),
            Effect::HubReady(hub) => drop(self.hubs_ready.insert(hub)),
            Effect::Forward { to } => drop(self.outbox_ready.insert(to)),
            Effect::Volatile { session, message, retain, subscription_ids } => {
                if let Some(bound) = machine.participant(session).and_then(|held| held.bound) {
                    let session = Attachment { incarnation: session, epoch: bound.epoch };
                    let targets = vec![VolatileTarget { session, retain, subscription_ids }];
                    let (shard, wall) = (self.shard, machine.time());
                    let frame = Frame::VolatilePush { shard, wall, message, live: false, targets };
                    out.push(Addressed { to: bound.gateway.node, frame });
                }
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

    fn push_live(&self, message: &Rc<Message>, machine: &Machine, out: &mut Vec<Addressed>) {
        for gateway in machine.hearers(&message.topic) {
            let frame = Frame::VolatilePush {
                shard: self.shard,
                wall: machine.time(),
                message: message.clone(),
                live: true,
                targets: Vec::new(),
            };
            out.push(Addressed { to: gateway.node, frame });
        }
    }

    /// QoS 0 without RETAIN: to whoever is connected.
    pub(super) fn on_volatile(
        &mut self,
        session: Attachment,
        message: Rc<Message>,
        wall: WallTime,
        time: WallTime,
        machine: &Machine,
        out: &mut Vec<Addressed>,
    ) {
        // By an earlier connection of its publisher it can be late.
        if !self.authors.admit(&message.publisher, session, time, RETIRED_KEPT) {
            return;
        }
        self.rotation = self.rotation.wrapping_add(1);
        let message = moved(message, wall, time);
        let mut nodes: BTreeMap<NodeId, (bool, Vec<VolatileTarget>)> = BTreeMap::new();
        machine.route_volatile(&message, self.rotation, |effect| {
            if let Effect::Volatile { session, retain, subscription_ids, .. } = effect
                && let Some(bound) = machine.participant(session).and_then(|held| held.bound)
            {
                let session = Attachment { incarnation: session, epoch: bound.epoch };
                let target = VolatileTarget { session, retain, subscription_ids };
                nodes.entry(bound.gateway.node).or_default().1.push(target);
            }
        });
        for gateway in machine.hearers(&message.topic) {
            nodes.entry(gateway.node).or_default().0 = true;
        }
        for (to, (live, targets)) in nodes {
            let (shard, message) = (self.shard, message.clone());
            out.push(Addressed {
                to,
                frame: Frame::VolatilePush { shard, wall: time, message, live, targets },
            });
        }
    }

    /// A gateway wants the queue of a session; it begins when that is bound to this attachment.
    pub(super) fn on_feed(&mut self, from: NodeId, session: Attachment, next: Option<Position>) {
        // An earlier connection's gateway may have been slow.
        if self.feeds.get(&session.incarnation).is_some_and(|feed| feed.session > session) {
            return;
        }
        self.feeds.insert(session.incarnation, Feed { session, to: from, next, end: Position(0) });
        self.ready.insert(session.incarnation);
    }

    /// A gateway wants the queue of its hub.
    pub(super) fn on_hub_feed(&mut self, from: NodeId, gateway: GatewayId, next: Position) {
        self.hub_feeds.insert(gateway, HubFeed { to: from, next });
        self.hubs_ready.insert(gateway);
    }

    /// A gateway lives.
    pub(super) fn on_renew(
        &mut self,
        gateway: GatewayId,
        at: Instant,
        machine: &Machine,
        now: Instant,
        out: &mut Vec<Addressed>,
    ) {
        // One that was dropped has nothing here any more and must not think that it has.
        let last = machine.last_of(Producer::Gateway(gateway));
        if last > 0 {
            self.heard.insert(gateway, now);
            let frame = Frame::Renewed { shard: self.shard, gateway, at, last };
            out.push(Addressed { to: gateway.node, frame });
        }
    }

    /// A gateway says which attachments of the shard's sessions it has: those that are not current are told so.
    pub(super) fn on_holds(
        &self,
        from: NodeId,
        sessions: Vec<Attachment>,
        machine: &Machine,
        out: &mut Vec<Addressed>,
    ) {
        for session in sessions {
            let record = machine.session(session.incarnation);
            if record.is_none_or(|record| record.attachment() != session) {
                out.push(Addressed { to: from, frame: Frame::Evicted { session } });
            }
        }
    }

    /// From the outbox of another shard.
    #[expect(clippy::too_many_arguments, reason = "the fields of one frame, and the group")]
    pub(super) fn on_forward(
        &mut self,
        group: &mut RaftGroup,
        machine: &Machine,
        sender: NodeId,
        from: ShardId,
        sequence: u64,
        op: PeerOp,
        (time, now): (WallTime, Instant),
        out: &mut Vec<Addressed>,
    ) {
        self.forwarders.insert(from, sender);
        let producer = Producer::Shard(from);
        if machine.last_of(producer) >= sequence {
            self.confirm(from, machine, out);
            return;
        }
        let stamp = Stamp { producer, sequence, answered: sequence };
        self.propose(group, &Entry { at: time, stamp: Some(stamp), op: Op::Peer(op) }, now);
    }

    /// Another shard has applied a part of this one's outbox: answers that waited for it may go.
    pub(super) fn on_confirmed(
        &mut self,
        by: ShardId,
        upto: u64,
        machine: &Machine,
        now: Instant,
        out: &mut Vec<Addressed>,
    ) {
        let confirmed = self.confirmed.entry(by).or_default();
        if *confirmed < upto {
            *confirmed = upto;
            self.outbox_moved.insert(by, now);
        }
        for Waiting { gateway, sequence, awaits } in std::mem::take(&mut self.waiting) {
            let open: Vec<(ShardId, u64)> =
                awaits.into_iter().filter(|wanted| !self.is_confirmed(*wanted, machine)).collect();
            if !open.is_empty() {
                self.waiting.push(Waiting { gateway, sequence, awaits: open });
            } else if let Some(kept) = machine.answer(Producer::Gateway(gateway), sequence) {
                let verdict = kept.verdict.clone();
                let frame = Frame::Answer { shard: self.shard, gateway, sequence, verdict };
                out.push(Addressed { to: gateway.node, frame });
            }
        }
    }

    /// Pushes what is new in queues and outboxes.
    pub(super) fn push_all(
        &mut self,
        machine: &Machine,
        time: WallTime,
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        for session in std::mem::take(&mut self.ready) {
            self.push_feed(session, machine, time, out);
        }
        for gateway in std::mem::take(&mut self.hubs_ready) {
            self.push_hub(gateway, machine, time, out);
        }
        for to in std::mem::take(&mut self.outbox_ready) {
            self.push_outbox(to, machine, around, out);
        }
    }

    fn push_feed(
        &mut self,
        session: Incarnation,
        machine: &Machine,
        time: WallTime,
        out: &mut Vec<Addressed>,
    ) {
        let Some(feed) = self.feeds.get_mut(&session) else { return };
        let Some(held) = machine.participant(session) else { return };
        if held.epoch > feed.session.epoch {
            self.feeds.remove(&session);
            return;
        }
        if !held.is_bound(feed.session) {
            return;
        }
        let (shard, session, to) = (self.shard, feed.session, feed.to);
        let mut next = match feed.next {
            Some(next) => next,
            None => {
                let (base, sent) = (held.queue.base(), held.queue.sent());
                out.push(Addressed { to, frame: Frame::FeedStart { shard, session, base, sent } });
                base
            }
        };
        let end = held.send_end();
        loop {
            let (first, mut items, mut bytes) = (next, Vec::new(), 0);
            while next < end && items.len() < PUSH_ITEMS && bytes < PUSH_BYTES {
                let Some(pending) = machine.pending(held, next) else { break };
                items.push(match pending {
                    Pending::Message { queued, message, .. } => {
                        bytes += message.size();
                        Pushed::Message { queued: queued.clone(), message: message.clone() }
                    }
                    Pending::Release => Pushed::Release,
                    Pending::Done => Pushed::Done,
                });
                next = next.next();
            }
            if items.is_empty() && end == feed.end {
                break;
            }
            feed.end = end;
            out.push(Addressed { to, frame: Frame::Push { shard, session, wall: time, first, end, items } });
        }
        feed.next = Some(next);
    }

    fn push_hub(&mut self, gateway: GatewayId, machine: &Machine, time: WallTime, out: &mut Vec<Addressed>) {
        let Some(feed) = self.hub_feeds.get_mut(&gateway) else { return };
        let Some(hub) = machine.hub(gateway) else {
            self.hub_feeds.remove(&gateway);
            return;
        };
        let end = Position(hub.base().0 + HUB_SPAN).min(hub.tail());
        while feed.next < end {
            let (first, mut items, mut bytes) = (feed.next, Vec::new(), 0);
            while feed.next < end && items.len() < PUSH_ITEMS && bytes < PUSH_BYTES {
                let entry = hub.get(feed.next);
                let message = entry.map(|entry| machine.message(entry.offset).clone());
                bytes += message.as_ref().map_or(0, |message| message.size());
                items.push(HubItem { message, tag: entry.and_then(|entry| entry.tag) });
                feed.next = feed.next.next();
            }
            let shard = self.shard;
            out.push(Addressed {
                to: feed.to,
                frame: Frame::HubPush { shard, gateway, wall: time, first, items },
            });
        }
    }

    fn push_outbox(
        &mut self,
        to: ShardId,
        machine: &Machine,
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        let Some(leader) = around.leaders[usize::from(to.0)].0 else { return };
        let next = self.outbox_next.entry(to).or_insert(0);
        for (sequence, op) in machine.outbox(to, *next) {
            let frame = Frame::Forward { from: self.shard, to, sequence, op: op.clone() };
            out.push(Addressed { to: leader, frame });
            *next = sequence + 1;
        }
    }

    /// Time has passed: what is due, who was not heard of, what is to be put on record.
    pub(super) fn on_timer(
        &mut self,
        machine: &Machine,
        group: &mut RaftGroup,
        time: WallTime,
        now: Instant,
    ) {
        let due = machine.next_due().is_some_and(|at| at <= time);
        for to in machine.outbox_shards() {
            let moved = *self.outbox_moved.entry(to).or_insert(now);
            let confirmed = self.confirmed.get(&to).copied().unwrap_or(0);
            if machine.outbox(to, confirmed + 1).next().is_none() {
                self.outbox_moved.insert(to, now);
            } else if now.saturating_since(moved) >= FORWARD_AGAIN {
                self.outbox_moved.insert(to, now);
                self.outbox_next.insert(to, confirmed + 1);
                self.outbox_ready.insert(to);
            }
        }
        let silent = now.saturating_since(self.last_entry_at) >= ALIVE_PERIOD;
        let timed = machine.timed_sessions().len() > 0;
        if !self.tick_proposed && (due || (silent && timed)) {
            self.tick_proposed = self.propose(group, &Entry { at: time, stamp: None, op: Op::Tick }, now);
        }
        for gateway in machine.gateways() {
            let heard = self.heard.get(&gateway).copied().unwrap_or(self.since).max(self.since);
            if now.saturating_since(heard) > LEASE && !self.lost.contains(&gateway) {
                let entry = Entry { at: time, stamp: None, op: Op::GatewayLost(gateway) };
                if self.propose(group, &entry, now) {
                    self.lost.insert(gateway);
                }
            }
        }
        for (shard, upto) in self.confirmed.clone() {
            if self.trimmed.get(&shard).is_none_or(|trimmed| *trimmed < upto) {
                let entry = Entry { at: time, stamp: None, op: Op::StreamConfirmed { shard, upto } };
                if self.propose(group, &entry, now) {
                    self.trimmed.insert(shard, upto);
                }
            }
        }
    }
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
