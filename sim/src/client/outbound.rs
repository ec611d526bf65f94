//! What a client sends.

use super::request::{Kind, Request};
use super::{Ask, Client, Desk, wire};
use crate::history::{Ack, Closer, Connect, Packet, Publish, Qos, Version, What};
use crate::scenario::{Milestone, Misdeed, PublishSpec, StepId};
use broker_core::time::Duration;
use bytes::Bytes;

/// Publishes a client holds back while it cannot send; more are not taken on by its workload.
pub(super) const PENDING_MAX: usize = 64;

impl Client {
    /// Takes a publish on, to be sent when there is a connection and quota.
    pub(super) fn publish(&mut self, desk: &mut Desk<'_>, spec: &PublishSpec, step: Option<StepId>) {
        let payload = match spec.payload_bytes {
            Some(bytes) => self.next_tag().payload(bytes as usize),
            None => Bytes::new(),
        };
        let v5 = self.spec.version == Version::V5;
        let user = spec.user_properties.iter().filter(|_| v5);
        let publish = Publish {
            qos: spec.qos,
            retain: spec.retain,
            topic: spec.topic.as_str().into(),
            payload,
            expiry_s: spec.expiry_s.filter(|_| v5),
            topic_on_wire: true,
            user_properties: user
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
            ..Publish::default()
        };
        self.pending.push_back((publish, step));
        self.pump(desk);
    }

    /// Takes a request on, to be sent when there is a connection.
    pub(super) fn request(&mut self, desk: &mut Desk<'_>, request: Request) {
        match &request.kind {
            Kind::Subscribe { filters, subscription_id } => {
                for filter in filters {
                    let kind =
                        Kind::Subscribe { filters: vec![filter.clone()], subscription_id: *subscription_id };
                    self.subscriptions.insert(filter.filter.clone(), Request { kind, step: None });
                }
            }
            Kind::Unsubscribe { filters } => {
                for filter in filters {
                    self.subscriptions.remove(filter);
                }
            }
        }
        self.requests.push_back(request);
        self.pump(desk);
    }

    /// The broker has no session: the subscriptions are asked for again, in place of what waits.
    pub(super) fn subscribe_again(&mut self) {
        if !self.spec.conduct.resubscribes {
            return;
        }
        let (scripted, _): (Vec<Request>, Vec<Request>) =
            std::mem::take(&mut self.requests).into_iter().partition(|request| request.step.is_some());
        self.requests.extend(self.subscriptions.values().cloned());
        self.requests.extend(scripted);
    }

    /// Sends what waits, as far as there are a connection and quota.
    pub(super) fn pump(&mut self, desk: &mut Desk<'_>) {
        let Some(conn) = self.usable(desk) else {
            return;
        };
        while let Some(request) = self.requests.pop_front() {
            let id = desk.store.free_id(self.spec.conduct.rising_ids);
            desk.store.request(id);
            let (packet, step) = (request.packet(id), request.step);
            if let Some(connection) = &mut self.connection {
                connection.requests.insert(id, request);
            }
            self.send(desk, packet);
            desk.reached(step, Milestone::Sent);
        }
        while self.connection.as_ref().is_some_and(|connection| connection.conn == conn)
            && self.has_quota(desk)
        {
            let Some((publish, step)) = self.pending.pop_front() else {
                return;
            };
            self.send_first(desk, publish, step);
        }
    }

    /// Sends the answers that are due.
    pub(super) fn send_answers(&mut self, desk: &mut Desk<'_>) {
        if self.mood.mute || self.mood.stalled {
            return;
        }
        while let Some(packet) = self.connection.as_mut().and_then(|one| one.take_answer(desk.stage.now)) {
            if self.usable(desk).is_none() {
                return;
            }
            let twice = matches!(packet, Packet::PubRel(_))
                && self.dice.percent(self.spec.conduct.double_pubrel_percent);
            if twice {
                self.send(desk, packet.clone());
            }
            self.send(desk, packet);
        }
    }

    /// Asks for a sign of life, and waits for it.
    pub(super) fn ping(&mut self, desk: &mut Desk<'_>) {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.open) else {
            return;
        };
        connection.no_ping = true;
        if self.usable(desk).is_none() {
            // The session is another client's now: the broker will say so.
            return;
        }
        self.send(desk, Packet::PingReq);
        let patience = desk.stage.now + Duration::from_millis(self.spec.conduct.patience_ms);
        if let Some(connection) = &mut self.connection {
            connection.patience.get_or_insert(patience);
        }
    }

    /// Sends a PUBLISH with an alias where that is possible.
    pub(super) fn send_publish(&mut self, desk: &mut Desk<'_>, mut publish: Publish) {
        if self.spec.version == Version::V311 {
            // It may be the resend of a message that a client of 5.0 with the same session published.
            publish.expiry_s = None;
            publish.user_properties.clear();
        }
        if let Some(connection) = &mut self.connection {
            connection.alias_out(&mut publish);
        }
        self.send(desk, Packet::Publish(publish));
    }

    /// Hands a packet to the network.
    pub(super) fn send(&mut self, desk: &mut Desk<'_>, packet: Packet) {
        let bytes = wire::encode(self.spec.version, &packet, &self.number.to_string());
        self.send_raw(desk, packet, bytes);
    }

    /// Does what no client may do.
    pub(super) fn misbehave(&mut self, desk: &mut Desk<'_>, misdeed: &Misdeed) {
        if self.usable(desk).is_none() {
            return;
        }
        match misdeed {
            Misdeed::Bytes(bytes) => self.send_garbage(desk, Bytes::copy_from_slice(bytes)),
            Misdeed::RandomBytes { count } => {
                let bytes = (0..*count).map(|_| self.dice.below(256) as u8).collect();
                self.send_garbage(desk, bytes);
                let until = desk.stage.now + Duration::from_millis(self.spec.conduct.patience_ms);
                if let Some(connection) = &mut self.connection {
                    connection.garbled_until.get_or_insert(until);
                }
            }
            Misdeed::HalfPacket => {
                let publish = Publish { topic: "half".into(), topic_on_wire: true, ..Publish::default() };
                let bytes = wire::encode(self.spec.version, &Packet::Publish(publish), "");
                self.send_garbage(desk, bytes.slice(..bytes.len() / 2));
                self.lose(desk, true, Closer::Client);
            }
            Misdeed::SecondConnect => {
                let connect = Connect { will: None, ..self.connect_packet(false) };
                self.send(desk, Packet::Connect(connect));
            }
            Misdeed::TooManyInFlight => self.send_too_many(desk),
            Misdeed::StrayAcks => {
                let ack = Ack::ok(u16::MAX - self.dice.below(5_000) as u16);
                for packet in
                    [Packet::PubAck(ack), Packet::PubRec(ack), Packet::PubRel(ack), Packet::PubComp(ack)]
                {
                    self.send(desk, packet);
                }
            }
            Misdeed::WildcardTopic => {
                let head: &[u8] = match self.spec.version {
                    Version::V311 => &[0x30, 0x03, 0x00, 0x01, b'#'],
                    Version::V5 => &[0x30, 0x04, 0x00, 0x01, b'#', 0x00],
                };
                self.send_garbage(desk, Bytes::from_static(head));
            }
        }
    }

    fn send_first(&mut self, desk: &mut Desk<'_>, mut publish: Publish, step: Option<StepId>) {
        let in_exchange = publish.qos != Qos::AtMostOnce;
        if in_exchange {
            publish.id = desk.store.free_id(self.spec.conduct.rising_ids);
        }
        let limit = self.connection.as_ref().and_then(|connection| connection.packet_bytes_max);
        let len = wire::encode(self.spec.version, &Packet::Publish(publish.clone()), "").len();
        if limit.is_some_and(|limit| len > limit as usize) {
            // [MQTT-3.2.2-15]: it must not be sent; an application would be told.
            return;
        }
        if in_exchange {
            desk.store.published(publish.clone(), step);
        }
        self.send_publish(desk, publish);
        desk.reached(step, Milestone::Sent);
        if !in_exchange {
            desk.reached(step, Milestone::Done);
        }
    }

    /// One more QoS 1 publish than allowed, with identifiers that no session uses.
    fn send_too_many(&mut self, desk: &mut Desk<'_>) {
        let max = self.connection.as_ref().map_or(0, |connection| connection.receive_max);
        for place in 0..=max.min(2_000) {
            let payload = self.next_tag().payload(0);
            let publish = Publish {
                qos: Qos::AtLeastOnce,
                topic: "too/many".into(),
                id: 60_000 + place,
                payload,
                topic_on_wire: true,
                ..Publish::default()
            };
            self.send(desk, Packet::Publish(publish));
        }
    }

    fn send_garbage(&mut self, desk: &mut Desk<'_>, bytes: Bytes) {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.send_raw(desk, Packet::Garbage { bytes: len }, bytes);
    }

    fn send_raw(&mut self, desk: &mut Desk<'_>, packet: Packet, bytes: Bytes) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        connection.sent(desk.stage.now);
        if packet != Packet::PingReq {
            desk.stage.last_traffic = desk.stage.now;
        }
        desk.stage.record(What::Sent { client: self.number, conn: connection.conn, packet });
        desk.asks.push(Ask::Write(connection.conn, bytes));
    }

    fn has_quota(&self, desk: &Desk<'_>) -> bool {
        let Some((next, _)) = self.pending.front() else {
            return false;
        };
        let receive_max = self.connection.as_ref().map_or(0, |connection| connection.receive_max);
        let quota = usize::from(self.spec.conduct.inflight_max.min(receive_max));
        next.qos == Qos::AtMostOnce || desk.store.in_flight() < quota
    }

    /// The connection, if it is open and owns the store.
    fn usable(&self, desk: &Desk<'_>) -> Option<broker_core::ids::ConnId> {
        let connection = self.connection.as_ref().filter(|connection| connection.open)?;
        let works = desk.store.owner == Some(connection.conn) && !self.mood.stalled;
        works.then_some(connection.conn)
    }
}
