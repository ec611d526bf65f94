//! QoS 0 for a session whose connection cannot be handed it yet.
//!
//! CONNACK waits for the session's shard only. Until this shard, the topic's, has applied the attach too, and the gateway has asked for the
//! queue, what there is for the session without a record of it has nowhere to go; it is kept for as long as that may take where nothing is
//! at fault. What was handed to the connection before, and found it gone, comes back, and goes first.

use super::super::frame::{Addressed, Frame, Place, VolatileTarget};
use super::Lead;
use crate::base::ids::{Incarnation, NodeId};
use crate::base::time::{Duration, Instant, WallTime};
use crate::message::Message;
use crate::shard::{Attachment, GatewayId, Machine};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// How long a message is kept, and an answer of an earlier gateway awaited.
const KEPT: Duration = Duration::from_secs(1);
/// How many are kept for a session.
const OF_SESSION_MAX: usize = 256;
/// How many are kept for all. Most sessions without a connection are not about to have one, and nobody knows which: of what is kept for so many that there is no
/// room the latest stays.
const OF_ALL_MAX: usize = 16_384;

/// A message that waits.
#[derive(Debug)]
struct Waiting {
    place: Place,
    since: Instant,
    /// The shard time then, to which its expiry refers.
    at: WallTime,
    message: Rc<Message>,
    target: VolatileTarget,
}

/// A connection that a session had before, and what it was not handed may still come back.
#[derive(Clone, Copy, Debug)]
struct Earlier {
    session: Attachment,
    node: NodeId,
    since: Instant,
}

impl Earlier {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_since(self.since) < KEPT
    }
}

/// Messages that wait for their sessions' connections.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// In the order in which they were to be handed out; for no session none.
    waiting: BTreeMap<Incarnation, VecDeque<Waiting>>,
    count: usize,
    /// Since when, and for whom, each of them is kept, in that order, among others that are kept no more.
    order: VecDeque<(Instant, Incarnation)>,
    /// The connections that sessions had last.
    left: BTreeMap<Incarnation, Earlier>,
    /// Those that were asked for what they were not handed. Until they answer, the session's next connection is handed nothing.
    recalled: BTreeMap<Incarnation, Earlier>,
}

impl Late {
    /// Keeps a message for a while: nobody was promised it. If there is no room the latest are kept: they are most likely to have been published after
    /// the session's CONNACK.
    pub(super) fn keep(
        &mut self,
        place: Place,
        message: Rc<Message>,
        target: VolatileTarget,
        (at, now): (WallTime, Instant),
    ) {
        let session = target.session.incarnation;
        let waiting = self.waiting.entry(session).or_default();
        if waiting.len() >= OF_SESSION_MAX {
            if waiting.front().is_some_and(|first| place < first.place) {
                return;
            }
            waiting.pop_front();
            self.count -= 1;
        }
        let before = waiting.partition_point(|other| other.place < place);
        waiting.insert(before, Waiting { place, since: now, at, message, target });
        self.count += 1;
        self.order.push_back((now, session));
        while self.count > OF_ALL_MAX {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((oldest, session)) = self.order.pop_front() else { return };
        let Some(waiting) = self.waiting.get_mut(&session) else { return };
        if let Some(place) = waiting.iter().position(|waiting| waiting.since == oldest) {
            waiting.remove(place);
            self.count -= 1;
        }
        if waiting.is_empty() {
            self.waiting.remove(&session);
        }
    }

    /// A connection may not be handed the session's messages any more. One that was itself handed none, because an earlier one was not done with, leaves
    /// nothing behind.
    pub(super) fn note_left(&mut self, session: Attachment, gateway: GatewayId, now: Instant) {
        let earlier = self.left.get(&session.incarnation).is_some_and(|earlier| earlier.is_recent(now));
        if !earlier && !self.is_recalling(session.incarnation) {
            let earlier = Earlier { session, node: gateway.node, since: now };
            self.left.insert(session.incarnation, earlier);
        }
    }

    /// Whether what comes back from this connection goes before everything that a later one was handed.
    fn is_in_time(&self, session: Attachment, bound: Option<Attachment>) -> bool {
        let of = |earlier: &Earlier| earlier.session == session;
        match self.recalled.get(&session.incarnation) {
            Some(recalled) => of(recalled),
            None => bound == Some(session) || self.left.get(&session.incarnation).is_some_and(of),
        }
    }

    /// Whether the session's connection is to be handed nothing directly: something waits, or may come back, that goes first.
    pub(super) fn goes_first(&self, session: Incarnation) -> bool {
        self.waiting.contains_key(&session) || self.left.contains_key(&session) || self.is_recalling(session)
    }

    fn is_recalling(&self, session: Incarnation) -> bool {
        self.recalled.contains_key(&session)
    }

    /// The session has a connection: the one before it, if it is to be asked what it was not handed.
    fn recall(&mut self, session: Incarnation, linked: &[NodeId], now: Instant) -> Option<Earlier> {
        let asked = |earlier: &Earlier| earlier.is_recent(now) && linked.contains(&earlier.node);
        let earlier = self.left.remove(&session).filter(asked)?;
        self.recalled.insert(session, Earlier { since: now, ..earlier });
        Some(earlier)
    }

    /// An earlier connection's gateway has given back everything. True if that was awaited.
    fn on_recalled(&mut self, node: NodeId, session: Attachment) -> bool {
        let awaited = |earlier: &Earlier| earlier.node == node && earlier.session == session;
        let done = self.recalled.get(&session.incarnation).is_some_and(awaited);
        done && self.recalled.remove(&session.incarnation).is_some()
    }

    /// The sessions for which nothing is awaited any more, as the gateway cannot be reached.
    pub(super) fn on_peer_down(&mut self, peer: NodeId) -> Vec<Incarnation> {
        self.left.retain(|_, earlier| earlier.node != peer);
        self.give_up(|earlier| earlier.node == peer)
    }

    fn give_up(&mut self, which: impl Fn(&Earlier) -> bool) -> Vec<Incarnation> {
        self.recalled.extract_if(.., |_, earlier| which(earlier)).map(|(session, _)| session).collect()
    }

    fn take(&mut self, session: Incarnation, now: Instant) -> impl Iterator<Item = Waiting> + use<> {
        let waiting = self.waiting.remove(&session).unwrap_or_default();
        self.count -= waiting.len();
        waiting.into_iter().filter(move |waiting| now.saturating_since(waiting.since) < KEPT)
    }

    /// Time has passed: forgets what was not asked for in time. Gives the sessions for which nothing is awaited any more.
    pub(super) fn on_timer(&mut self, now: Instant) -> Vec<Incarnation> {
        self.forget_old(now);
        self.left.retain(|_, earlier| earlier.is_recent(now));
        self.give_up(|earlier| !earlier.is_recent(now))
    }

    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(since, _)| now.saturating_since(*since) >= KEPT) {
            self.drop_oldest();
        }
    }
}

impl Lead {
    /// A session has a connection, as far as this shard is concerned, and its gateway knows that: hands on what waits for it. If an earlier connection
    /// may not have been handed everything, its gateway is asked first.
    pub(super) fn push_late(
        &mut self,
        session: Attachment,
        to: NodeId,
        linked: &[NodeId],
        now: Instant,
        out: &mut Vec<Addressed>,
    ) {
        let (shard, incarnation) = (self.shard, session.incarnation);
        if self.late.is_recalling(incarnation) {
            return;
        }
        if let Some(Earlier { session, node, .. }) = self.late.recall(incarnation, linked, now) {
            out.push(Addressed { to: node, frame: Frame::Recall { shard, session } });
            return;
        }
        for Waiting { place, since, at, message, target } in self.late.take(incarnation, now) {
            let targets = vec![VolatileTarget { session, ..target }];
            let wall = at + now.saturating_since(since);
            let frame = Frame::VolatilePush { shard, place, wall, message, live: false, targets };
            out.push(Addressed { to, frame });
        }
    }

    /// A gateway did not have the connections any more that these messages were for.
    pub(in crate::routing::ownership) fn on_returned(
        &mut self,
        place: Place,
        message: &Rc<Message>,
        targets: Vec<VolatileTarget>,
        machine: &Machine,
        (time, now): (WallTime, Instant),
    ) {
        if place.term != self.term.0 {
            return;
        }
        for target in targets {
            let session = target.session;
            let Some(held) = machine.participant(session.incarnation) else { continue };
            let bound = held.bound.map(|bound| Attachment { epoch: bound.epoch, ..session });
            if self.late.is_in_time(session, bound) {
                self.late.keep(place, message.clone(), target, (time, now));
            }
        }
    }

    /// A gateway has given back all that this connection was not handed.
    pub(in crate::routing::ownership) fn on_recalled(&mut self, from: NodeId, session: Attachment) {
        if self.late.on_recalled(from, session) {
            self.ready.insert(session.incarnation);
        }
    }
}

#[cfg(test)]
mod tests;
