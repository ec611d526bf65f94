//! Messages on their way to connected clients.

use super::alias::Naming;
use super::client::Client;
use super::feed::Feed;
use super::gateway::{Conn, Gateway, State};
use super::hub::{Route, Way};
use super::intent::Intent;
use super::link::{Delivery, Link};
use super::refuse::Refusal;
use crate::auth::Action;
use crate::base::ids::{ConnId, Incarnation, PacketId, Position, ShardId};
use crate::base::limits::Limits;
use crate::base::time::WallTime;
use crate::codec::packet::{Ack, Packet, QoS, Version};
use crate::codec::{PublishHead, ReasonCode};
use crate::event::{DropReason, Event};
use crate::message::Message;
use crate::replication::{Owed, Receipt};
use crate::shard::machine::read::Pending;
use crate::shard::{Machine, Participant, Step};
use bytestring::ByteString;
use std::rc::Rc;

/// With a payload of at most so many bytes a PUBLISH can be expressed whatever its head holds: the longest is that of
/// 1,024 user properties, of 128 KiB each.
const ANY_HEAD_FITS_BYTES: usize = 64 << 20;

/// A message on its way to everybody who hears it. Its texts and payload may be slices of what was read; the first client that
/// must keep it makes a copy for all.
pub(super) struct Live<'m> {
    message: &'m Rc<Message>,
    kept: Option<Rc<Message>>,
}

impl<'m> Live<'m> {
    /// A message that was read just now.
    fn passing(message: &'m Rc<Message>) -> Self {
        Live { message, kept: None }
    }

    /// A message that is kept already.
    pub(super) fn kept(message: &'m Rc<Message>) -> Self {
        Live { message, kept: Some(message.clone()) }
    }

    fn keep(&mut self) -> Rc<Message> {
        self.kept.get_or_insert_with(|| Rc::new(Message::clone(self.message).owned())).clone()
    }

    /// The message as it is kept for one client.
    fn delivery(&mut self, wish: Wish<'_>) -> Delivery {
        let Wish { qos, retain, ids } = wish;
        Delivery { message: self.keep(), qos, retain, subscription_ids: ids.to_vec() }
    }
}

/// A part of a session's queue, to be sent from.
pub(super) trait Stretch {
    /// What is to be sent for a position; `None` if nothing is there (yet).
    fn pending(&self, position: Position) -> Option<Pending<'_>>;

    /// Nothing is sent from this position on until more progress is on disk.
    fn send_end(&self) -> Position;

    /// Whether somebody else adds to it, up to its end: if it is empty there, that may wait for progress.
    fn is_pushed(&self) -> bool {
        false
    }
}

/// The queue as the machine of this node has it.
struct Applied<'m> {
    machine: &'m Machine,
    held: &'m Participant,
}

impl Stretch for Applied<'_> {
    fn pending(&self, position: Position) -> Option<Pending<'_>> {
        self.machine.pending(self.held, position)
    }

    fn send_end(&self) -> Position {
        self.held.send_end()
    }
}

/// How one subscription wants a message.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    /// The QoS to deliver with.
    pub(super) qos: QoS,
    /// The RETAIN flag to send.
    pub(super) retain: bool,
    /// Subscription identifiers to send.
    pub(super) ids: &'a [u32],
}

impl Gateway {
    /// Hands a message that took effect to every connected clean session that hears it. True if there is one. `kept` tells
    /// that the message has memory of its own.
    pub fn deliver_live(&mut self, message: &Rc<Message>, kept: bool) -> bool {
        self.deliver_heard(ShardId(0), Way::Passing, message, kept)
    }

    /// The same, for a message of one of many shards.
    pub fn deliver_heard(&mut self, shard: ShardId, way: Way, message: &Rc<Message>, kept: bool) -> bool {
        let mut routes = std::mem::take(&mut self.routes);
        let conns = &self.conns;
        let is_publisher = |id: ConnId| {
            conns.get(&id).and_then(Conn::client_id).is_some_and(|own| *own == message.publisher)
        };
        self.hub.routes(message, (shard, way), is_publisher, &mut routes);
        let matched = !routes.is_empty();
        let mut live = if kept { Live::kept(message) } else { Live::passing(message) };
        for Route { conn, qos, retain, subscription_ids } in routes.drain(..) {
            let Some(mut client) = self.client(conn) else { continue };
            let wish = Wish { qos, retain, ids: &subscription_ids };
            if way == Way::Passing && client.conn.link().is_some_and(|link| link.behind.holds(shard)) {
                client.hold_behind(shard, &mut live, wish);
            } else {
                client.deliver(&mut live, wish);
            }
        }
        self.routes = routes;
        matched
    }

    /// Hands a QoS 0 message to a session of the machine, if it is connected here.
    pub fn deliver_volatile(
        &mut self,
        session: Incarnation,
        message: &Rc<Message>,
        retain: bool,
        ids: &[u32],
    ) {
        let Some(conn) = self.attached.get(&session) else { return };
        if let Some(mut client) = self.client(*conn) {
            client.deliver(&mut Live::passing(message), Wish { qos: QoS::AtMostOnce, retain, ids });
        }
    }

    /// A session of the machine has something new in its queue.
    pub fn set_ready(&mut self, session: Incarnation, shard: ShardId) {
        let Some(&id) = self.attached.get(&session) else { return };
        let parts = self.parts;
        let Some(mut client) = self.client(id) else { return };
        if let Some(link) = client.conn.link_mut() {
            // Of a clean session a shard has a queue only from its first shared subscription on.
            if link.feeds.get_mut(shard).is_none() {
                link.feeds.add(Feed::new(parts, shard, Position(0), Position(0)));
            }
            client.note_ready();
        }
    }

    /// Sends what the windows let through. One window serves both queues of a session, so both are looked at.
    pub fn pump(&mut self, machine: &Machine) {
        while let Some(id) = self.ready.pop() {
            let Some(mut client) = self.client(id) else { continue };
            client.pump_local();
            let has_feed = client.conn.link_mut().is_some_and(|link| !link.feeds.is_empty());
            let result = if has_feed { client.pump_machine(machine) } else { Ok(()) };
            // Not before: what is dropped on the way (it expired, it is too large) makes the connection ready again.
            client.conn.ready = false;
            if let Err(refusal) = result {
                self.refuse(id, refusal);
            }
        }
    }
}

impl Client<'_> {
    /// Sends a message to a clean session (or QoS 0 to any), or queues it there if its window is full.
    pub(super) fn deliver(&mut self, live: &mut Live<'_>, wish: Wish<'_>) {
        let State::Open(link) = &self.conn.state else { return };
        let message = live.message;
        let waiting = self.conn.outbox.bytes();
        if wish.qos == QoS::AtMostOnce {
            let room = waiting + message.payload.len() <= self.limits.outbox_bytes_max as usize;
            let result =
                if room { self.write(message, wish, None, false) } else { Err(DropReason::SlowConsumer) };
            if let Err(reason) = result {
                self.record_drop(message, reason);
            }
        } else if link.local_queue.is_empty() && link.local_may_go() && waiting <= self.outbox_room() {
            self.send_local(message, wish);
        } else if has_room(link, message, self.limits) {
            let link = self.link();
            link.local_queue_bytes += message.size();
            link.local_queue.push_back(live.delivery(wish));
        } else {
            self.record_drop(message, DropReason::QueueFull);
        }
    }

    /// Keeps a message until the retained ones of `shard` that it must not overtake have come.
    fn hold_behind(&mut self, shard: ShardId, live: &mut Live<'_>, wish: Wish<'_>) {
        let message = live.message;
        let limits = self.limits;
        let Some(link) = self.conn.link_mut() else { return };
        if !has_room(link, message, limits) {
            self.record_drop(message, DropReason::QueueFull);
        } else if let Some(waiting) = link.behind.of(shard) {
            waiting.push_back(live.delivery(wish));
            link.local_queue_bytes += message.size();
        }
    }

    /// Sends what the window of a clean session lets through.
    pub(super) fn pump_local(&mut self) {
        loop {
            let room = self.conn.outbox.bytes() <= self.outbox_room();
            let Some(link) = self.conn.link_mut().filter(|link| room && link.local_may_go()) else { return };
            let Some(delivery) = link.local_queue.pop_front() else { return };
            let Delivery { message, qos, retain, subscription_ids } = delivery;
            link.local_queue_bytes -= message.size();
            self.send_local(&message, Wish { qos, retain, ids: &subscription_ids });
        }
    }

    /// Sends the next message of a clean session, which the window lets through.
    fn send_local(&mut self, message: &Message, wish: Wish<'_>) {
        let packet = self.link().local.next_id();
        match self.write(message, wish, Some(packet), false) {
            Ok(()) => {
                self.link().local.send_publish(wish.qos);
            }
            Err(reason) => self.record_drop(message, reason),
        }
    }

    /// Sends from the queue that a machine of this node has for the session.
    fn pump_machine(&mut self, machine: &Machine) -> Result<(), Refusal> {
        let Some(link) = self.conn.link_mut() else { return Ok(()) };
        let Some(held) = machine.participant(link.session.incarnation) else { return Ok(()) };
        self.hasten_progress(held);
        self.pump_feed(ShardId(0), &Applied { machine, held })
    }

    /// Sends what the window of a shard's queue lets through.
    pub(super) fn pump_feed(&mut self, shard: ShardId, queue: &impl Stretch) -> Result<(), Refusal> {
        loop {
            let waiting = self.conn.outbox.bytes();
            let room = waiting <= self.outbox_room();
            let link = self.link();
            let quota = link.quota();
            let Some(feed) = link.feeds.get_mut(shard) else { return Ok(()) };
            let position = feed.window.next();
            let pending = queue.pending(position);
            if position >= queue.send_end() && (pending.is_some() || queue.is_pushed()) {
                self.propose_progress();
                return Ok(());
            }
            let Some(pending) = pending else { return Ok(()) };
            let held_back = quota == 0 || !room;
            match pending {
                // A drop that is not on disk yet.
                Pending::Message { .. } if position < feed.dropped => return Ok(()),
                Pending::Message { .. } | Pending::Release if held_back => return Ok(()),
                Pending::Done => feed.window.skip(),
                Pending::Release => {
                    let packet = feed.window.send_release();
                    self.send(Packet::PubRel(Ack::new(packet, ReasonCode::Success)))?;
                }
                Pending::Message { queued, message, maybe_sent } => {
                    let packet = feed.window.next_id();
                    let wish = Wish { qos: queued.qos, retain: queued.retain, ids: &queued.subscription_ids };
                    if let Err(reason) = self.write(message, wish, Some(packet), maybe_sent) {
                        self.record_drop(message, reason);
                        let first = Step::of_drop(queued.qos, maybe_sent);
                        self.drop_from(shard, position, first, queue);
                        return Ok(());
                    }
                    let feed = self.link().feeds.get_mut(shard).expect("it was just read from");
                    feed.window.send_publish(queued.qos);
                }
            }
        }
    }

    /// Writes down that the message at `position`, and those behind it that may not be sent either, are dropped. Nothing behind them
    /// is sent before that is on disk: after a crash they would be taken for sent, and be resent behind what came after them. `first` is
    /// what becomes of the message at `position`; those behind it were never sent.
    fn drop_from(&mut self, shard: ShardId, position: Position, first: Step, queue: &impl Stretch) {
        let mut next = position.next();
        while let Some(Pending::Message { message, maybe_sent: false, .. }) = queue.pending(next)
            && let Err(reason) = self.admit(message, false)
        {
            self.record_drop(message, reason);
            next = next.next();
        }
        let receipt = Some(Receipt::new(self.id, Owed::Next(shard)));
        let link = self.link();
        let session = link.session;
        let feed = link.feeds.get_mut(shard).expect("it was just read from");
        feed.dropped = next;
        let mut steps = std::mem::take(&mut feed.progress);
        steps.push((position, first));
        steps.extend((position.next().0..next.0).map(|dropped| (Position(dropped), Step::Done)));
        self.intents.push_back(Intent::Progress { session, shard, receipt, steps });
    }

    /// Progress is written down lazily, but not while the queue is filling up: messages that were delivered must not count
    /// against the limits for long.
    fn hasten_progress(&mut self, held: &Participant) {
        let (messages, bytes) = held.queue.backlog();
        if messages >= self.limits.queue_messages_max / 2 || bytes >= self.limits.queue_bytes_max / 2 {
            self.propose_progress();
        }
    }

    /// QoS 1 and 2 stay queued while so many bytes wait for the socket.
    fn outbox_room(&self) -> usize {
        self.limits.outbox_bytes_max as usize / 2
    }

    fn record_drop(&mut self, message: &Message, reason: DropReason) {
        if let Some(limit) = limit_behind(reason) {
            self.limit_reached(limit);
        }
        let client_id = self.conn.client_id().cloned();
        self.event(drop_event(client_id, message, reason));
    }

    /// Whether a message may be sent to this client now, whatever its size.
    fn admit(&self, message: &Message, maybe_sent: bool) -> Result<(), DropReason> {
        let State::Open(link) = &self.conn.state else { return Err(DropReason::SessionEnded) };
        // What may have been sent already is sent again to the end. [MQTT-4.3.3-7, -13]
        if !maybe_sent && message.is_expired(self.wall) {
            return Err(DropReason::Expired);
        }
        if !link.permissions.allows(Action::Subscribe, &message.topic) {
            return Err(DropReason::NotAuthorized);
        }
        Ok(())
    }

    /// Appends a PUBLISH to the connection's outbox, or says why the message may not be sent to this client now; nothing has
    /// changed then.
    fn write(
        &mut self,
        message: &Message,
        wish: Wish<'_>,
        id: Option<PacketId>,
        maybe_sent: bool,
    ) -> Result<(), DropReason> {
        self.admit(message, maybe_sent)?;
        let State::Open(link) = &self.conn.state else { return Err(DropReason::SessionEnded) };
        let version = link.version;
        let naming = match version {
            Version::V3 => Naming::Plain,
            Version::V5 => link.aliases_out.name(&message.topic),
        };
        let head = head(message, wish, id, maybe_sent, self.wall);
        let max = self.conn.packet_bytes_max;
        let fits = |naming| head.named(naming).fits(version, max);
        let any_fits = max == u32::MAX && message.payload.len() <= ANY_HEAD_FITS_BYTES;
        // A new alias makes this one packet longer. It is not worth the message.
        let naming = match naming {
            _ if any_fits || fits(naming) => naming,
            Naming::Introduce(_) if fits(Naming::Plain) => Naming::Plain,
            _ => return Err(DropReason::PacketTooLarge), // [MQTT-3.1.2-25]
        };
        self.mark_dirty();
        if let Naming::Introduce(alias) = naming {
            self.link().aliases_out.introduce(&message.topic, alias);
        }
        head.named(naming).encode(version, self.conn.outbox.buffer());
        self.conn.outbox.payload(&message.payload);
        self.counts.publishes_sent += 1;
        Ok(())
    }
}

/// The limit that made a message not reach a session, if one did.
pub fn limit_behind(reason: DropReason) -> Option<&'static str> {
    match reason {
        DropReason::QueueFull => Some("queue_messages_max or queue_bytes_max"),
        DropReason::SlowConsumer => Some("outbox_bytes_max"),
        DropReason::RetainedFull => Some("retained_messages_max or retained_bytes_max"),
        DropReason::Expired
        | DropReason::SessionEnded
        | DropReason::NotAuthorized
        | DropReason::PacketTooLarge => None,
    }
}

/// The record of a message that does not reach a session.
pub fn drop_event(client_id: Option<ByteString>, message: &Message, reason: DropReason) -> Event {
    Event::Dropped {
        client_id,
        topic: message.topic.text().clone(),
        payload: message.payload.clone(),
        reason,
    }
}

fn has_room(link: &Link, message: &Message, limits: &Limits) -> bool {
    let bytes = link.local_queue_bytes + message.size();
    let messages = link.local_queue.len() + link.behind.len();
    messages < limits.queue_messages_max as usize && bytes <= limits.queue_bytes_max
}

fn head<'a>(
    message: &'a Message,
    wish: Wish<'a>,
    id: Option<PacketId>,
    dup: bool,
    wall: WallTime,
) -> PublishHead<'a> {
    PublishHead {
        dup,
        qos: wish.qos,
        retain: wish.retain,
        topic: message.topic.as_str(),
        id,
        properties: &message.properties,
        message_expiry_s: message.expiry_left_s(wall),
        topic_alias: None,
        subscription_ids: wish.ids,
        payload_bytes: message.payload.len(),
    }
}

/// A head that names the topic in one of three ways.
trait Named {
    fn named(self, naming: Naming) -> Self;
}

impl Named for PublishHead<'_> {
    fn named(self, naming: Naming) -> Self {
        match naming {
            Naming::Plain => self,
            Naming::Introduce(alias) => PublishHead { topic_alias: Some(alias), ..self },
            Naming::Alias(alias) => PublishHead { topic: "", topic_alias: Some(alias), ..self },
        }
    }
}
