//! QoS 0, which no record knows of: handed on to whoever is connected.

use super::super::frame::{Addressed, Frame, Place, VolatileTarget};
use super::push::Feed;
use super::{Lead, moved};
use crate::base::ids::{Incarnation, NodeId};
use crate::base::time::{Instant, WallTime};
use crate::message::Message;
use crate::shard::machine::due::RETIRED_KEPT;
use crate::shard::{Attachment, Effect, GatewayId, Machine};
use std::collections::BTreeMap;
use std::rc::Rc;

impl Lead {
    fn next_place(&mut self) -> Place {
        self.handed_out += 1;
        Place { term: self.term.0, number: self.handed_out }
    }

    pub(super) fn push_live(
        &mut self,
        message: &Rc<Message>,
        hearers: &[GatewayId],
        time: WallTime,
        out: &mut Vec<Addressed>,
    ) {
        let place = self.next_place();
        for gateway in hearers {
            let frame = Frame::VolatilePush {
                shard: self.shard,
                place,
                wall: time,
                message: message.clone(),
                live: true,
                targets: Vec::new(),
            };
            out.push(Addressed { to: gateway.node, frame });
        }
    }

    /// QoS 0 of an entry, for one session.
    pub(super) fn push_volatile(
        &mut self,
        (session, retain, subscription_ids): (Incarnation, bool, Vec<u32>),
        message: Rc<Message>,
        machine: &Machine,
        now: Instant,
        out: &mut Vec<Addressed>,
    ) {
        let Some((session, to)) = reached(session, machine, &self.feeds) else { return };
        let place = self.next_place();
        let target = VolatileTarget { session, retain, subscription_ids };
        match to.filter(|_| !self.late.goes_first(session.incarnation)) {
            Some(to) => {
                let (shard, wall, targets) = (self.shard, machine.time(), vec![target]);
                let frame = Frame::VolatilePush { shard, place, wall, message, live: false, targets };
                out.push(Addressed { to, frame });
            }
            None => self.late.keep(place, message, target, (machine.time(), now)),
        }
    }

    /// QoS 0 without RETAIN: to whoever is connected.
    pub(in crate::routing::ownership) fn on_volatile(
        &mut self,
        session: Attachment,
        message: Rc<Message>,
        wall: WallTime,
        (time, now): (WallTime, Instant),
        machine: &Machine,
        out: &mut Vec<Addressed>,
    ) {
        // By an earlier connection of its publisher it can be late.
        if !self.authors.admit(&message.publisher, session, time, RETIRED_KEPT) {
            return;
        }
        self.rotation = self.rotation.wrapping_add(1);
        let message = moved(message, wall, time);
        let place = self.next_place();
        let mut nodes: BTreeMap<NodeId, (bool, Vec<VolatileTarget>)> = BTreeMap::new();
        let (late, feeds) = (&mut self.late, &self.feeds);
        machine.route_volatile(&message, self.rotation, |effect| {
            let Effect::Volatile { session, retain, subscription_ids, .. } = effect else { return };
            let Some((session, to)) = reached(session, machine, feeds) else { return };
            let target = VolatileTarget { session, retain, subscription_ids };
            match to.filter(|_| !late.goes_first(session.incarnation)) {
                Some(to) => nodes.entry(to).or_default().1.push(target),
                None => late.keep(place, message.clone(), target, (time, now)),
            }
        });
        for gateway in machine.hearers(&message.topic) {
            nodes.entry(gateway.node).or_default().0 = true;
        }
        for (to, (live, targets)) in nodes {
            let (shard, message) = (self.shard, message.clone());
            out.push(Addressed {
                to,
                frame: Frame::VolatilePush { shard, place, wall: time, message, live, targets },
            });
        }
    }
}

/// The connection that a session has, as far as this shard knows, and its node, if that is known to have it.
fn reached(
    session: Incarnation,
    machine: &Machine,
    feeds: &BTreeMap<Incarnation, Feed>,
) -> Option<(Attachment, Option<NodeId>)> {
    let held = machine.participant(session)?;
    let epoch = held.bound.map_or(held.epoch, |bound| bound.epoch);
    // Before it asks for the queue, the gateway may not have heard that the connection is its own.
    let fed = feeds.get(&session).filter(|feed| held.is_bound(feed.session));
    Some((Attachment { incarnation: session, epoch }, fed.map(|feed| feed.to)))
}
