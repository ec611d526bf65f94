//! Queues of sessions and hubs on their way to gateways.

use super::super::frame::{Addressed, Frame, HubItem};
use super::{Lead, Surroundings};
use crate::base::ids::{Incarnation, NodeId, Position};
use crate::base::time::{Instant, WallTime};
use crate::session::mirror::Pushed;
use crate::shard::machine::read::Pending;
use crate::shard::{Attachment, GatewayId, Machine};

/// Positions in one push.
const PUSH_ITEMS: usize = 64;
/// Bytes of messages in one push, unless the first is larger.
const PUSH_BYTES: u64 = 256 << 10;
/// Positions of a hub's queue that are pushed before the gateway says that it heard them.
const HUB_SPAN: u64 = 1_024;

/// A queue that is being pushed to a gateway.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) session: Attachment,
    pub(super) to: NodeId,
    pub(super) next: Option<Position>,
    /// The end of the span that the gateway was told.
    pub(super) end: Position,
}

/// A hub's queue that is being pushed.
#[derive(Debug)]
pub(super) struct HubFeed {
    pub(super) to: NodeId,
    pub(super) next: Position,
}

impl Lead {
    /// A gateway wants the queue of a session; it begins when that is bound to this attachment.
    pub(in crate::routing::ownership) fn on_feed(
        &mut self,
        from: NodeId,
        session: Attachment,
        next: Option<Position>,
    ) {
        // An earlier connection's gateway may have been slow.
        if self.feeds.get(&session.incarnation).is_some_and(|feed| feed.session > session) {
            return;
        }
        self.feeds.insert(session.incarnation, Feed { session, to: from, next, end: Position(0) });
        self.ready.insert(session.incarnation);
    }

    /// A gateway wants the queue of its hub.
    pub(in crate::routing::ownership) fn on_hub_feed(
        &mut self,
        from: NodeId,
        gateway: GatewayId,
        next: Position,
    ) {
        self.hub_feeds.insert(gateway, HubFeed { to: from, next });
        self.hubs_ready.insert(gateway);
    }

    /// Pushes what is new in queues and outboxes, and answers what waited.
    pub(in crate::routing::ownership) fn push_all(
        &mut self,
        machine: &Machine,
        (time, now): (WallTime, Instant),
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        self.answer_askers(machine, out);
        for session in std::mem::take(&mut self.ready) {
            self.push_feed(session, machine, (time, now), around.linked, out);
        }
        for gateway in std::mem::take(&mut self.hubs_ready) {
            self.push_hub(gateway, machine, time, out);
        }
        for to in std::mem::take(&mut self.outbox_ready) {
            self.push_outbox(to, machine, around, out);
        }
    }

    pub(super) fn push_feed(
        &mut self,
        session: Incarnation,
        machine: &Machine,
        (time, now): (WallTime, Instant),
        linked: &[NodeId],
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
        self.push_late(session, to, linked, now, out);
    }

    pub(super) fn push_hub(
        &mut self,
        gateway: GatewayId,
        machine: &Machine,
        time: WallTime,
        out: &mut Vec<Addressed>,
    ) {
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
}
