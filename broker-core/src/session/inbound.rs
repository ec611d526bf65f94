//! Packets of a connected client become intents.

use super::gateway::{Conn, Gateway, State};
use super::intent::Intent;
use super::link::Link;
use super::refuse::Refusal;
use super::window::PubRec;
use crate::auth::{Action, Permissions};
use crate::base::ids::{ConnId, PacketId};
use crate::base::time::WallTime;
use crate::codec::packet::{
    Ack, Disconnect, Packet, PayloadFormat, Publish, QoS, Subscribe, Unsubscribe, Version,
};
use crate::codec::{self, Frame, ReasonCode};
use crate::event::{DropReason, Event};
use crate::message::{self, Message};
use crate::replication::{Owed, Receipt};
use crate::shard::Step;
use crate::topic::{TopicFilter, TopicName};
use bytestring::ByteString;
use std::rc::Rc;

/// What is too long or too deep is refused by these names.
pub(super) const TOPIC_LIMITS: &str = "topic_levels_max or topic_bytes_max";

impl Gateway {
    /// One packet of a connected client.
    pub(super) fn on_frame(&mut self, id: ConnId, frame: Frame) -> Result<(), Refusal> {
        let version = self.link(id).version;
        let packet = codec::decode(version, frame)?;
        codec::check_from_client(&packet)?;
        match packet {
            Packet::Publish(publish) => self.on_publish(id, publish),
            Packet::PubAck(ack) => {
                self.on_puback(id, &ack);
                Ok(())
            }
            Packet::PubRec(ack) => {
                self.on_pubrec(id, &ack);
                Ok(())
            }
            Packet::PubRel(ack) => {
                self.on_pubrel(id, ack.id);
                Ok(())
            }
            Packet::PubComp(ack) => {
                self.on_pubcomp(id, ack.id);
                Ok(())
            }
            Packet::Subscribe(subscribe) => {
                self.on_subscribe(id, subscribe);
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.on_unsubscribe(id, &unsubscribe);
                Ok(())
            }
            Packet::PingReq => {
                self.send(id, Packet::PingResp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.on_disconnect(id, &disconnect),
            Packet::Connect(_) => Err(violation(ReasonCode::ProtocolError, "a second CONNECT")), // [MQTT-3.1.0-2]
            Packet::Auth(_) => {
                Err(violation(ReasonCode::ProtocolError, "AUTH without an authentication method"))
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(violation(ReasonCode::ProtocolError, "a packet that only servers send"))
            }
        }
    }

    fn on_publish(&mut self, id: ConnId, publish: Publish) -> Result<(), Refusal> {
        let topic = self.resolve_topic(id, &publish)?;
        let receive_max = u32::from(self.limits.receive_max);
        let acknowledged = publish.id.map(|packet| (packet, publish.qos));
        let link = self.link(id);
        if acknowledged.is_some() && link.version == Version::V5 && link.unanswered >= receive_max {
            return Err(Refusal::limit("receive_max", ReasonCode::ReceiveMaximumExceeded)); // [MQTT-3.3.4-7]
        }
        if let Some((packet, QoS::ExactlyOnce)) = acknowledged
            && link.inbound.contains(&packet)
        {
            // A resend: its PUBREC is owed again, in its place. [MQTT-4.3.3-10]
            let receipt = Receipt::new(id, Owed::PubRec(packet));
            self.answer(receipt, ReasonCode::Success);
            return Ok(());
        }
        if acknowledged.is_some() {
            link.unanswered += 1;
        }
        let format = publish.properties.payload_format;
        let permissions = link.permissions.clone();
        if let Err(reason) = self.judge_message(&permissions, &topic, format, &publish.payload) {
            return self.refuse_publish(id, &publish, &topic, reason);
        }
        let wall = self.wall;
        let link = self.link(id);
        if let (Some((packet, QoS::ExactlyOnce)), false) = (acknowledged, link.durable) {
            link.inbound.insert(packet);
        }
        let receipt = acknowledged.map(|(packet, qos)| Receipt::new(id, owed(packet, qos)));
        let intent = Intent::Publish {
            conn: id,
            session: link.session,
            durable: link.durable,
            receipt,
            inbound: acknowledged.filter(|(_, qos)| *qos == QoS::ExactlyOnce).map(|(packet, _)| packet),
            message: Rc::new(message_of(publish, topic, link.client_id.clone(), wall)),
        };
        self.intents.push_back(intent);
        Ok(())
    }

    /// The topic of a PUBLISH, by name or by alias.
    fn resolve_topic(&mut self, id: ConnId, publish: &Publish) -> Result<TopicName, Refusal> {
        let max = self.limits.topic_alias_max;
        let out_of_range =
            |_| violation(ReasonCode::TopicAliasInvalid, "a topic alias above Topic Alias Maximum");
        let link = self.link(id);
        match (publish.topic.is_empty(), publish.properties.topic_alias) {
            (true, None) => Err(violation(ReasonCode::ProtocolError, "neither topic nor alias")),
            (true, Some(alias)) => {
                let topic = link.aliases_in.get(alias, max).map_err(out_of_range)?;
                topic.cloned().ok_or(violation(ReasonCode::ProtocolError, "a topic alias that was never set"))
            }
            (false, alias) => {
                let topic = TopicName::parse(publish.topic.clone())
                    .map_err(|error| Refusal::violation(ReasonCode::TopicNameInvalid, &error.to_string()))?;
                if let Some(alias) = alias {
                    link.aliases_in.set(alias, topic.owned(), max).map_err(out_of_range)?;
                }
                Ok(topic)
            }
        }
    }

    /// Whether a well-formed message, published or to be published as a will, is accepted.
    pub(super) fn judge_message(
        &self,
        permissions: &Permissions,
        topic: &TopicName,
        format: Option<PayloadFormat>,
        payload: &[u8],
    ) -> Result<(), ReasonCode> {
        if !self.topic_is_within_limits(topic.as_str()) {
            return Err(ReasonCode::TopicNameInvalid);
        }
        if format == Some(PayloadFormat::Utf8) && std::str::from_utf8(payload).is_err() {
            return Err(ReasonCode::PayloadFormatInvalid);
        }
        // What is under $SYS is the broker's own to say.
        let reserved = topic.is_dollar() && topic.levels().next() == Some("$SYS");
        if reserved || !permissions.allows(Action::Publish, topic) {
            return Err(ReasonCode::NotAuthorized);
        }
        Ok(())
    }

    /// Refuses a PUBLISH: with a reason code where the packet has an answer that can carry one. Where it has none, what is not
    /// authorized is dropped with a recorded reason, and anything else closes the connection. \[MQTT-3.3.5-2\]
    fn refuse_publish(
        &mut self,
        id: ConnId,
        publish: &Publish,
        topic: &TopicName,
        reason: ReasonCode,
    ) -> Result<(), Refusal> {
        let version = self.link(id).version;
        let limit = (reason == ReasonCode::TopicNameInvalid).then_some(TOPIC_LIMITS);
        if version == Version::V3 || publish.id.is_none() {
            if reason != ReasonCode::NotAuthorized {
                return Err(Refusal { limit, ..violation(reason, "a PUBLISH that cannot be accepted") });
            }
        } else if let Some(limit) = limit {
            self.limit_reached(limit, id);
        }
        if let Some(packet) = publish.id {
            self.answer_refused(id, packet, publish.qos, reason);
        }
        if reason == ReasonCode::NotAuthorized {
            let (topic, payload) = (topic.text().clone(), publish.payload.clone());
            self.event(Event::Dropped { client_id: None, topic, payload, reason: DropReason::NotAuthorized });
        }
        Ok(())
    }

    /// Answers a PUBLISH that is refused. A 3.1.1 client cannot be told, and goes through the handshake all the same.
    fn answer_refused(&mut self, id: ConnId, packet: PacketId, qos: QoS, reason: ReasonCode) {
        let receipt = Receipt::new(id, owed(packet, qos));
        let link = self.link(id);
        let exactly_once = qos == QoS::ExactlyOnce;
        if link.version == Version::V3 {
            if exactly_once && !link.durable {
                link.inbound.insert(packet);
            }
            self.answer(receipt, ReasonCode::Success);
            return;
        }
        let unless_taken = (exactly_once && link.durable).then_some((link.session.incarnation, packet));
        self.intents.push_back(Intent::Answer { receipt, reason, unless_taken });
    }

    fn answer(&mut self, receipt: Receipt, reason: ReasonCode) {
        self.intents.push_back(Intent::Answer { receipt, reason, unless_taken: None });
    }

    fn on_puback(&mut self, id: ConnId, ack: &Ack) {
        let link = self.link(id);
        if let Some(position) = link.shard.on_puback(ack.id) {
            self.progress(id, position);
        } else if link.local.on_puback(ack.id).is_some() {
            self.note_ready(id);
        }
    }

    fn on_pubrec(&mut self, id: ConnId, ack: &Ack) {
        if ack.reason.is_error() {
            return self.on_pubrec_error(id, ack.id);
        }
        let link = self.link(id);
        match link.shard.on_pubrec(ack.id) {
            PubRec::Received(position) => {
                let mut steps = std::mem::take(&mut link.progress);
                steps.push((position, Step::Received));
                let receipt = Some(Receipt::new(id, Owed::PubRel(position)));
                let session = link.session;
                self.intents.push_back(Intent::Progress { session, receipt, steps });
                return;
            }
            PubRec::Repeated => return,
            PubRec::Unknown => {}
        }
        match link.local.on_pubrec(ack.id) {
            PubRec::Received(position) => {
                // The window of a clean session dies with the connection: nothing is to be written down.
                link.local.on_received_committed(position);
                self.send(id, Packet::PubRel(Ack::new(ack.id, ReasonCode::Success)));
            }
            PubRec::Repeated => {}
            PubRec::Unknown => {
                self.send(id, Packet::PubRel(Ack::new(ack.id, ReasonCode::PacketIdentifierNotFound)));
            }
        }
    }

    /// The client refused a QoS 2 message: that ends it. \[MQTT-4.4.0-2\]
    fn on_pubrec_error(&mut self, id: ConnId, packet: PacketId) {
        let link = self.link(id);
        if let Some(position) = link.shard.on_pubrec_error(packet) {
            self.progress(id, position);
        } else if link.local.on_pubrec_error(packet).is_some() {
            self.note_ready(id);
        }
    }

    fn on_pubrel(&mut self, id: ConnId, packet: PacketId) {
        let link = self.link(id);
        let receipt = Receipt::new(id, Owed::PubComp(packet));
        let intent = if link.durable {
            Intent::Release { session: link.session, receipt, id: packet }
        } else {
            let known = link.inbound.remove(&packet);
            let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
            Intent::Answer { receipt, reason, unless_taken: None }
        };
        self.intents.push_back(intent);
    }

    fn on_pubcomp(&mut self, id: ConnId, packet: PacketId) {
        let link = self.link(id);
        if let Some(position) = link.shard.on_pubcomp(packet) {
            self.progress(id, position);
        } else if link.local.on_pubcomp(packet).is_some() {
            self.note_ready(id);
        }
    }

    fn on_subscribe(&mut self, id: ConnId, subscribe: Subscribe) {
        let mut filters = Vec::with_capacity(subscribe.filters.len());
        for asked in subscribe.filters {
            let filter = self.judge_filter(id, &asked.filter);
            filters.push(filter.map(|filter| (filter, asked.options)));
        }
        let link = self.link(id);
        let intent = Intent::Subscribe {
            session: link.session,
            durable: link.durable,
            receipt: Receipt::new(id, Owed::SubAck(subscribe.id)),
            subscription_id: subscribe.properties.subscription_id,
            filters,
        };
        self.intents.push_back(intent);
    }

    fn judge_filter(&mut self, id: ConnId, text: &ByteString) -> Result<TopicFilter, ReasonCode> {
        let filter = TopicFilter::parse(text).map_err(|_| ReasonCode::TopicFilterInvalid)?;
        // With the share name, which is kept too.
        if !self.topic_is_within_limits(text) {
            self.limit_reached(TOPIC_LIMITS, id);
            return Err(ReasonCode::TopicFilterInvalid);
        }
        if !self.link(id).permissions.allows_filter(&filter) {
            return Err(ReasonCode::NotAuthorized);
        }
        Ok(filter.owned())
    }

    fn on_unsubscribe(&mut self, id: ConnId, unsubscribe: &Unsubscribe) {
        let parse = |text: &ByteString| TopicFilter::parse(text).map_err(|_| ReasonCode::TopicFilterInvalid);
        let filters = unsubscribe.filters.iter().map(parse).collect();
        let link = self.link(id);
        let intent = Intent::Unsubscribe {
            session: link.session,
            durable: link.durable,
            receipt: Receipt::new(id, Owed::UnsubAck(unsubscribe.id)),
            filters,
        };
        self.intents.push_back(intent);
    }

    fn on_disconnect(&mut self, id: ConnId, disconnect: &Disconnect) -> Result<(), Refusal> {
        let expiry_s = disconnect.properties.session_expiry_s;
        if expiry_s.is_some_and(|seconds| seconds > 0) && self.link(id).expiry_s == 0 {
            // [MQTT-3.14.2-2]
            return Err(violation(
                ReasonCode::ProtocolError,
                "DISCONNECT gives an expiry to a session without one",
            ));
        }
        let conn = self.conns.get_mut(&id).expect("its frame was just taken");
        let State::Open(link) = std::mem::replace(&mut conn.state, State::Closing) else { return Ok(()) };
        self.event(Event::Disconnected {
            conn: id,
            client_id: Some(link.client_id.clone()),
            code: disconnect.reason.code(),
            why: "the client said DISCONNECT".to_owned(),
        });
        // [MQTT-3.14.4-3]: only the normal end deletes the will.
        let discard_will = disconnect.reason == ReasonCode::NORMAL_DISCONNECTION;
        let expiry_s = expiry_s.map(|seconds| seconds.min(self.limits.session_expiry_max_s));
        let receipt = Receipt::new(id, Owed::Close);
        self.detach(id, *link, Some(receipt), expiry_s, discard_will);
        Ok(())
    }

    /// A position of the shard's queue is complete: noted, to be proposed soon.
    pub(super) fn progress(&mut self, id: ConnId, position: crate::base::ids::Position) {
        let link = self.link(id);
        let first = link.progress.is_empty();
        link.progress.push((position, Step::Done));
        if link.progress_is_due() {
            let (session, steps) = (link.session, std::mem::take(&mut link.progress));
            self.intents.push_back(Intent::Progress { session, receipt: None, steps });
        } else if first {
            self.note_progress(id);
        }
        self.note_ready(id);
    }

    /// The link of a connection that is open.
    ///
    /// # Panics
    /// If it is not: packets are taken from open connections only.
    pub(super) fn link(&mut self, id: ConnId) -> &mut Link {
        self.conns
            .get_mut(&id)
            .and_then(Conn::link_mut)
            .expect("packets are taken from open connections only")
    }
}

fn violation(reason: ReasonCode, why: &str) -> Refusal {
    Refusal::violation(reason, why)
}

fn owed(packet: PacketId, qos: QoS) -> Owed {
    if qos == QoS::ExactlyOnce { Owed::PubRec(packet) } else { Owed::PubAck(packet) }
}

/// The message that a PUBLISH carries. What may be kept is copied out of the read buffer; QoS 0 that only passes is not.
fn message_of(publish: Publish, topic: TopicName, publisher: ByteString, now: WallTime) -> Message {
    let kept = publish.retain || publish.qos > QoS::AtMostOnce;
    let mut properties = publish.properties;
    let expires_at = message::expires_at(now, properties.message_expiry_s.take());
    properties.topic_alias = None;
    let (qos, retain, payload) = (publish.qos, publish.retain, publish.payload);
    let message = Message { topic, payload, qos, retain, properties, publisher, expires_at };
    if kept { message.owned() } else { message }
}
