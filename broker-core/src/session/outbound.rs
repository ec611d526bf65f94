//! Messages on their way to connected clients.

use super::alias::Naming;
use super::gateway::{Conn, Gateway, PROGRESS_DELAY, State};
use super::link::{Delivery, Link};
use crate::auth::Action;
use crate::base::ids::{ConnId, Incarnation, PacketId, Position};
use crate::base::limits::Limits;
use crate::base::time::WallTime;
use crate::codec::packet::{Ack, Packet, QoS, Version};
use crate::codec::{PublishHead, ReasonCode};
use crate::event::{DropReason, Event};
use crate::face::TimerKind;
use crate::message::Message;
use crate::replication::{Owed, Receipt};
use crate::shard::machine::read::Pending;
use crate::shard::{Machine, Step};
use bytestring::ByteString;
use std::rc::Rc;

/// How one message goes out on one connection.
#[derive(Clone, Copy)]
struct Shape<'a> {
    dup: bool,
    qos: QoS,
    retain: bool,
    id: Option<PacketId>,
    subscription_ids: &'a [u32],
}

impl Gateway {
    /// Hands a message that took effect to every connected clean session that hears it. True if there is one.
    pub fn deliver_live(&mut self, message: &Rc<Message>) -> bool {
        let mut routes = std::mem::take(&mut self.routes);
        let conns = &self.conns;
        let is_publisher = |id: ConnId| {
            conns.get(&id).and_then(Conn::client_id).is_some_and(|own| *own == message.publisher)
        };
        self.hub.routes(message, is_publisher, &mut routes);
        let matched = !routes.is_empty();
        for route in routes.drain(..) {
            self.deliver(route.conn, message, route.qos, route.retain, route.subscription_ids);
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
        ids: Vec<u32>,
    ) {
        if let Some(conn) = self.attached.get(&session) {
            self.deliver(*conn, message, QoS::AtMostOnce, retain, ids);
        }
    }

    /// Sends a message to a clean session (or QoS 0 to any), or queues it there if its window is full.
    pub(super) fn deliver(
        &mut self,
        id: ConnId,
        message: &Rc<Message>,
        qos: QoS,
        retain: bool,
        ids: Vec<u32>,
    ) {
        let (wall, outbox_bytes_max) = (self.wall, self.limits.outbox_bytes_max as usize);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let State::Open(link) = &mut conn.state else { return };
        if qos == QoS::AtMostOnce {
            let room = conn.outbox.bytes() + message.payload.len() <= outbox_bytes_max;
            let shape = Shape { dup: false, qos, retain, id: None, subscription_ids: &ids };
            let clean = conn.outbox.is_clean();
            let result =
                if room { write_publish(conn, message, shape, wall) } else { Err(DropReason::SlowConsumer) };
            match result {
                Ok(()) if clean => self.dirty.push(id),
                Ok(()) => {}
                Err(reason) => self.record_drop(id, message, reason),
            }
            return;
        }
        let delivery = Delivery { message: message.clone(), qos, retain, subscription_ids: ids };
        if !has_room(link, &delivery, &self.limits) {
            self.record_drop(id, message, DropReason::QueueFull);
            return;
        }
        link.local_queue_bytes += message.size();
        link.local_queue.push_back(delivery);
        if link.local_queue.len() == 1 {
            self.pump_local(id);
        }
    }

    /// Sends what the window of a clean session lets through.
    fn pump_local(&mut self, id: ConnId) {
        let (wall, outbox_room) = (self.wall, self.limits.outbox_bytes_max as usize / 2);
        loop {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            let State::Open(link) = &mut conn.state else { return };
            if !link.local_may_go() || conn.outbox.bytes() > outbox_room {
                return;
            }
            let Some(Delivery { message, qos, retain, subscription_ids }) = link.local_queue.pop_front()
            else {
                return;
            };
            link.local_queue_bytes -= message.size();
            let packet = Some(link.local.next_id());
            let shape = Shape { dup: false, qos, retain, id: packet, subscription_ids: &subscription_ids };
            let clean = conn.outbox.is_clean();
            match write_publish(conn, &message, shape, wall) {
                Ok(()) => {
                    if let State::Open(link) = &mut conn.state {
                        link.local.send_publish(qos);
                    }
                    if clean {
                        self.dirty.push(id);
                    }
                }
                Err(reason) => self.record_drop(id, &message, reason),
            }
        }
    }

    /// A session of the machine has something new in its queue.
    pub fn set_ready(&mut self, session: Incarnation) {
        let Some(&id) = self.attached.get(&session) else { return };
        if let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) {
            link.hears_shard = true;
            self.note_ready(id);
        }
    }

    /// Notes that a connection may send more of its queues: something is new there, or the window or the socket has room again.
    pub(super) fn note_ready(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !std::mem::replace(&mut conn.ready, true) {
            self.ready.push(id);
        }
    }

    /// Sends what the windows let through. One window serves both queues of a session, so both are looked at.
    pub fn pump(&mut self, machine: &Machine) {
        while let Some(id) = self.ready.pop() {
            self.pump_local(id);
            if self.conns.get_mut(&id).and_then(Conn::link_mut).is_some_and(|link| link.hears_shard) {
                self.hasten_progress(id, machine);
                self.pump_shard(id, machine);
            }
            // Not before: what is dropped on the way (it expired, it is too large) makes the connection ready again.
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.ready = false;
            }
        }
    }

    /// Progress is written down lazily, but not while the queue is filling up: messages that were delivered must not count
    /// against the limits for long.
    fn hasten_progress(&mut self, id: ConnId, machine: &Machine) {
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return };
        let Some(record) = machine.session(link.session.incarnation).filter(|_| !link.progress.is_empty())
        else {
            return;
        };
        let (messages, bytes) = record.queue.backlog();
        if messages >= self.limits.queue_messages_max / 2 || bytes >= self.limits.queue_bytes_max / 2 {
            self.propose_progress_of(id);
        }
    }

    fn pump_shard(&mut self, id: ConnId, machine: &Machine) {
        let (wall, outbox_room) = (self.wall, self.limits.outbox_bytes_max as usize / 2);
        loop {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            let State::Open(link) = &mut conn.state else { return };
            let session = link.session.incarnation;
            let Some(record) = machine.session(session) else { return };
            let position = link.shard.next();
            if position < record.queue.base() {
                link.shard.skip();
                continue;
            }
            let Some(pending) = machine.pending(session, position) else { return };
            if position >= record.send_end() {
                self.propose_progress_of(id);
                return;
            }
            if matches!(pending, Pending::Done) {
                link.shard.skip();
                continue;
            }
            if position < link.dropped || link.quota() == 0 || conn.outbox.bytes() > outbox_room {
                return;
            }
            match pending {
                Pending::Done => {}
                Pending::Release => {
                    let packet = link.shard.send_release();
                    self.send(id, Packet::PubRel(Ack::new(packet, ReasonCode::Success)));
                }
                Pending::Message { queued, message, maybe_sent } => {
                    let shape = Shape {
                        dup: maybe_sent,
                        qos: queued.qos,
                        retain: queued.retain,
                        id: Some(link.shard.next_id()),
                        subscription_ids: &queued.subscription_ids,
                    };
                    let clean = conn.outbox.is_clean();
                    let result = write_publish(conn, message, shape, wall);
                    let State::Open(link) = &mut conn.state else { return };
                    match result {
                        Ok(()) => {
                            link.shard.send_publish(queued.qos);
                            if clean {
                                self.dirty.push(id);
                            }
                        }
                        Err(reason) => {
                            self.record_drop(id, message, reason);
                            self.drop_from(id, position, machine);
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Writes down that the message at `position`, and those behind it that have expired too, are dropped. Nothing behind them is sent
    /// before that is on disk: after a crash they would be taken for sent, and be resent behind what came after them.
    fn drop_from(&mut self, id: ConnId, position: Position, machine: &Machine) {
        let session = self.link(id).session;
        let mut next = position.next();
        while let Some(Pending::Message { message, maybe_sent: false, .. }) =
            machine.pending(session.incarnation, next)
            && message.is_expired(self.wall)
        {
            self.record_drop(id, message, DropReason::Expired);
            next = next.next();
        }
        let link = self.link(id);
        link.dropped = next;
        let mut steps = std::mem::take(&mut link.progress);
        steps.extend((position.0..next.0).map(|dropped| (Position(dropped), Step::Done)));
        let receipt = Some(Receipt::new(id, Owed::Next));
        self.intents.push_back(super::Intent::Progress { session, receipt, steps });
    }

    fn propose_progress_of(&mut self, id: ConnId) {
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return };
        if !link.progress.is_empty() {
            let (session, steps) = (link.session, std::mem::take(&mut link.progress));
            self.intents.push_back(super::Intent::Progress { session, receipt: None, steps });
        }
    }

    /// Sends a packet that is not PUBLISH. A client that does not take even the shortest form of what it asked for is of
    /// no use to itself. \[MQTT-3.1.2-24\]
    pub(super) fn send(&mut self, id: ConnId, packet: Packet) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (State::Open(link) | State::Frozen(link)) = &conn.state else { return };
        if conn.outbox.is_clean() {
            self.dirty.push(id);
        }
        if !conn.write(link.version, packet) {
            self.close(id, ReasonCode::PacketTooLarge, "an answer is larger than its Maximum Packet Size");
        }
    }

    /// Notes that a connection has progress to be written down within [`PROGRESS_DELAY`].
    pub(super) fn note_progress(&mut self, id: ConnId) {
        self.progressed.push(id);
        if self.timers.get(TimerKind::Progress).is_none() {
            self.timers.set(TimerKind::Progress, self.now + PROGRESS_DELAY);
        }
    }

    fn record_drop(&mut self, id: ConnId, message: &Message, reason: DropReason) {
        let client_id = self.conns.get_mut(&id).and_then(Conn::link_mut).map(|link| link.client_id.clone());
        self.event(drop_event(client_id, message, reason));
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

fn has_room(link: &Link, delivery: &Delivery, limits: &Limits) -> bool {
    let bytes = link.local_queue_bytes + delivery.message.size();
    link.local_queue.len() < limits.queue_messages_max as usize && bytes <= limits.queue_bytes_max
}

/// Appends a PUBLISH to the connection's outbox, or says why the message may not be sent to this client now; nothing has
/// changed then.
fn write_publish(
    conn: &mut Conn,
    message: &Message,
    shape: Shape<'_>,
    wall: WallTime,
) -> Result<(), DropReason> {
    let State::Open(link) = &mut conn.state else { return Err(DropReason::SessionEnded) };
    // What may have been sent already is sent again to the end. [MQTT-4.3.3-7, -13]
    if !shape.dup && message.is_expired(wall) {
        return Err(DropReason::Expired);
    }
    if !link.permissions.allows(Action::Subscribe, &message.topic) {
        return Err(DropReason::NotAuthorized);
    }
    let naming = match link.version {
        Version::V3 => Naming::Plain,
        Version::V5 => link.aliases_out.name(&message.topic),
    };
    let head = head(message, shape, wall);
    let fits = |naming| head.named(naming).packet_bytes(link.version) <= conn.packet_bytes_max as usize;
    // A new alias makes this one packet longer. It is not worth the message.
    let naming = match naming {
        _ if conn.packet_bytes_max == u32::MAX || fits(naming) => naming,
        Naming::Introduce(_) if fits(Naming::Plain) => Naming::Plain,
        _ => return Err(DropReason::PacketTooLarge), // [MQTT-3.1.2-25]
    };
    if let Naming::Introduce(alias) = naming {
        link.aliases_out.introduce(&message.topic, alias);
    }
    head.named(naming).encode(link.version, &mut conn.outbox.buffer);
    conn.outbox.payload(&message.payload);
    Ok(())
}

fn head<'a>(message: &'a Message, shape: Shape<'a>, wall: WallTime) -> PublishHead<'a> {
    PublishHead {
        dup: shape.dup,
        qos: shape.qos,
        retain: shape.retain,
        topic: message.topic.as_str(),
        id: shape.id,
        properties: &message.properties,
        message_expiry_s: message.expiry_left_s(wall),
        topic_alias: None,
        subscription_ids: shape.subscription_ids,
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
