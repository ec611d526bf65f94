//! The state of a shard and the one function that changes it.
//!
//! A machine plays two roles. As the shard of a session it holds [`SessionRecord`]s and decides what becomes of them (`attach`,
//! `subscribe`, `due`); as the shard of a topic it holds messages, and what concerns them of sessions ([`Participant`]s: `peer`,
//! `publish`) and of gateways ([`Hub`]s). The first tells the second by [`PeerOp`]s: those for other shards go into the
//! outbox, those for itself are carried out in the same entry, so that a single shard needs no second one.

mod attach;
mod check;
pub(crate) mod due;
mod hub;
mod outbox;
mod peer;
mod publish;
pub mod read;
mod retained;
mod store;
mod subscribe;

use super::authors::Authors;
use super::entry::{Attachment, Entry, Op, Publish, QueueLimits, Step};
use super::groups::Groups;
use super::hub::Hub;
use super::log::MessageLog;
use super::outbox::Outboxes;
use super::participant::Participant;
use super::peer::PeerOp;
use super::session::{SessionRecord, Subscription};
use super::shard_set::ShardSet;
use super::stream::{GatewayId, Producer, Stamp};
use super::streams::{Streams, Turn};
use super::verdict::{Answered, Effect, Verdict};
use crate::base::ids::{Incarnation, Offset, Position, ShardId};
use crate::base::limits::Limits;
use crate::base::time::WallTime;
use crate::cluster::Placement;
use crate::topic::TopicFilter;
use crate::topic::retained::RetainedStore;
use crate::topic::trie::SubscriptionTrie;
use bytestring::ByteString;
use due::Due;
use std::collections::{BTreeMap, BTreeSet};

/// The deterministic queue machine of one shard.
#[derive(Debug)]
pub struct Machine {
    shard: ShardId,
    placement: Placement,
    limits: QueueLimits,
    /// The time of the last entry applied.
    time: WallTime,
    streams: Streams,
    outboxes: Outboxes,
    // As the shard of sessions.
    next_incarnation: Incarnation,
    sessions: BTreeMap<Incarnation, SessionRecord>,
    // As the shard of topics.
    log: MessageLog,
    participants: BTreeMap<Incarnation, Participant>,
    /// Sessions of other shards that ended, until nothing that was asked for them can come any more.
    retired: BTreeMap<Incarnation, WallTime>,
    authors: Authors,
    groups: Groups,
    hubs: BTreeMap<GatewayId, Hub>,
    retained: RetainedStore<Offset>,
    // What follows can be derived from what is above.
    clients: BTreeMap<ByteString, Incarnation>,
    routes: SubscriptionTrie<Incarnation, Subscription>,
    group_routes: SubscriptionTrie<TopicFilter, ()>,
    hub_routes: SubscriptionTrie<GatewayId, ()>,
    due: BTreeSet<(WallTime, Due)>,
    /// Sessions from the end of whose connection something will count.
    timed: BTreeSet<Incarnation>,
    retained_bytes: u64,
    /// The shards for which the entry that is being applied has put something into the outbox.
    told: ShardSet,
}

impl Machine {
    /// An empty machine for one of the shards of `placement`. Default limits hold until the first [`Op::Boot`] or [`Op::Lead`].
    pub fn new(shard: ShardId, placement: Placement) -> Self {
        Machine {
            shard,
            placement,
            limits: QueueLimits::from(&Limits::default()),
            time: WallTime::default(),
            streams: Streams::default(),
            outboxes: Outboxes::default(),
            next_incarnation: Incarnation::first_of(shard),
            sessions: BTreeMap::new(),
            log: MessageLog::default(),
            participants: BTreeMap::new(),
            retired: BTreeMap::new(),
            authors: Authors::default(),
            groups: Groups::default(),
            hubs: BTreeMap::new(),
            retained: RetainedStore::new(),
            clients: BTreeMap::new(),
            routes: SubscriptionTrie::new(),
            group_routes: SubscriptionTrie::new(),
            hub_routes: SubscriptionTrie::new(),
            due: BTreeSet::new(),
            timed: BTreeSet::new(),
            retained_bytes: 0,
            told: ShardSet::default(),
        }
    }

    /// An empty machine that holds everything.
    pub fn sole() -> Self {
        Machine::new(ShardId(0), sole_placement())
    }

    /// Applies one committed entry. What is due at its time is carried out first.
    ///
    /// An entry with a stamp is applied if it is the next one of its stream. If it was applied before, the answer is what it was
    /// then, and nothing changes but the time.
    pub fn apply(&mut self, entry: &Entry, effects: &mut Vec<Effect>) -> Verdict {
        let before = self.time;
        self.time = before.max(entry.at);
        let verdict = match entry.stamp {
            None => self.apply_unstamped(&entry.op, before, effects),
            Some(stamp) => self.apply_stamped(stamp, &entry.op, before, effects),
        };
        if !self.told.is_empty() {
            let told = std::mem::take(&mut self.told);
            effects.extend(told.iter().map(|to| Effect::Forward { to }));
        }
        verdict
    }

    fn apply_unstamped(&mut self, op: &Op, before: WallTime, effects: &mut Vec<Effect>) -> Verdict {
        // Losses come first: they set clocks that may be due by now.
        match op {
            Op::Boot(limits) => {
                self.limits = *limits;
                self.boot(before, effects);
            }
            Op::Lead(limits) => self.limits = *limits,
            Op::GatewayLost(gateway) => self.lose_gateway(*gateway, before, effects),
            _ => {}
        }
        self.carry_out_due(effects);
        self.carry_out(None, op, effects)
    }

    fn apply_stamped(
        &mut self,
        stamp: Stamp,
        op: &Op,
        before: WallTime,
        effects: &mut Vec<Effect>,
    ) -> Verdict {
        let turn = self.streams.turn(stamp);
        if let Turn::First(gateway) = turn {
            self.lose_older(gateway, before, effects);
        }
        self.carry_out_due(effects);
        if let Turn::Past(verdict) = turn {
            return verdict;
        }
        let verdict = self.carry_out(Some(stamp.producer), op, effects);
        let awaits = self.awaited(op);
        self.streams.applied(stamp, Answered { verdict: verdict.clone(), awaits });
        verdict
    }

    /// Carries out what `producer` asks for; `None` is the proposer itself.
    fn carry_out(&mut self, producer: Option<Producer>, op: &Op, effects: &mut Vec<Effect>) -> Verdict {
        if !may_ask(producer, op) {
            return Verdict::UnknownProducer;
        }
        let gateway = producer.and_then(Producer::gateway).unwrap_or_default();
        match op {
            Op::Boot(_) | Op::Tick | Op::Lead(_) | Op::GatewayLost(_) => Verdict::Applied,
            Op::Attach(attach) => self.attach(attach, gateway, effects),
            Op::Detach(detach) => self.detach(detach, effects),
            Op::Publish(publish) => self.publish(publish, effects),
            Op::Release { session, id } => {
                if self.admit(*session) {
                    let held = self.participants.get_mut(&session.incarnation);
                    Verdict::Released { known: held.is_some_and(|held| held.inbound.remove(id)) }
                } else {
                    Verdict::Fenced
                }
            }
            Op::Subscribe { session, subscription_id, filters } => {
                self.subscribe(*session, *subscription_id, filters, effects)
            }
            Op::Unsubscribe { session, filters } => self.unsubscribe(*session, filters, effects),
            Op::Progress { session, steps } => self.progress(*session, steps),
            Op::Touch { shard, .. } if shard.0 >= self.placement.shards() => Verdict::Fenced,
            Op::Touch { session, shard } => match self.current(*session) {
                Some(record) => {
                    record.touched.insert(*shard);
                    Verdict::Touched
                }
                None => Verdict::Fenced,
            },
            Op::Hear { filter, retained, tag } => {
                let retained = retained.then_some(*tag);
                self.hear(gateway, filter, retained, effects)
            }
            Op::Unhear { filter } => self.unhear(gateway, filter),
            Op::Heard { upto } => self.heard(gateway, *upto),
            Op::StreamConfirmed { shard, upto } => {
                self.outboxes.confirm(*shard, *upto);
                Verdict::Applied
            }
            Op::Peer(op) => {
                self.on_peer(op, effects);
                Verdict::Applied
            }
            Op::Report(message) => self.report(message, effects),
        }
    }

    /// The record of a session of this shard whose attachment is the current one.
    fn current(&mut self, session: Attachment) -> Option<&mut SessionRecord> {
        self.sessions.get_mut(&session.incarnation).filter(|record| record.epoch == session.epoch)
    }

    /// Fencing: whether what a connection asks for its session may change anything. Its own shard knows every attach and every end; another
    /// one learns of them from whoever tells first, the session's shard or the connection itself.
    fn admit(&mut self, session: Attachment) -> bool {
        if session.incarnation.shard() == self.shard {
            return self.current(session).is_some();
        }
        match self.participants.get_mut(&session.incarnation) {
            Some(held) if session.epoch < held.epoch => false,
            Some(held) => {
                held.epoch = session.epoch;
                true
            }
            None => !self.retired.contains_key(&session.incarnation),
        }
    }

    fn progress(&mut self, session: Attachment, steps: &[(Position, Step)]) -> Verdict {
        if !self.admit(session) {
            return Verdict::Fenced;
        }
        let Some(held) = self.participants.get_mut(&session.incarnation) else { return Verdict::Applied };
        for &(position, step) in steps {
            let log = &self.log;
            let size = |queued: &super::queue::Queued| log.get(queued.offset).size();
            if let Some(queued) = held.queue.finish(position, step == Step::Received, size) {
                self.log.release(queued.offset);
            }
        }
        Verdict::Applied
    }
}

/// The placement of a cluster of one node with one shard.
fn sole_placement() -> Placement {
    Placement::new(1)
}

/// Whether this is for the producer to ask: a gateway speaks for its clients, a shard for its sessions, the proposer for the shard
/// itself, and a node that holds everything for its clients too.
fn may_ask(producer: Option<Producer>, op: &Op) -> bool {
    match op {
        Op::Boot(_) | Op::Lead(_) | Op::GatewayLost(_) | Op::StreamConfirmed { .. } => producer.is_none(),
        Op::Tick => producer.is_none(),
        Op::Hear { .. } | Op::Unhear { .. } | Op::Heard { .. } => {
            matches!(producer, Some(Producer::Gateway(_)))
        }
        Op::Peer(_) => matches!(producer, Some(Producer::Shard(_))),
        Op::Attach(_)
        | Op::Report(_)
        | Op::Detach(_)
        | Op::Publish(_)
        | Op::Release { .. }
        | Op::Subscribe { .. }
        | Op::Unsubscribe { .. }
        | Op::Progress { .. }
        | Op::Touch { .. } => !matches!(producer, Some(Producer::Shard(_))),
    }
}
