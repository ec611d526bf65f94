//! PUBLISH becomes an intent, or is refused.

use super::client::Client;
use super::intent::Intent;
use super::refuse::Refusal;
use super::report::RESERVED;
use crate::auth::{Action, Permissions};
use crate::base::ids::PacketId;
use crate::base::limits::Limits;
use crate::base::time::WallTime;
use crate::codec::ReasonCode;
use crate::codec::packet::{PayloadFormat, Publish, QoS, Version};
use crate::event::{DropReason, Event};
use crate::message::{self, Message};
use crate::replication::{Owed, Receipt};
use crate::topic::TopicName;
use bytestring::ByteString;
use std::rc::Rc;

/// What is too long or too deep is refused by these names.
pub(super) const TOPIC_LIMITS: &str = "topic_levels_max or topic_bytes_max";

/// Whether a well-formed message, published or to be published as a will, is accepted.
pub(super) fn judge_message(
    limits: &Limits,
    permissions: &Permissions,
    topic: &TopicName,
    format: Option<PayloadFormat>,
    payload: &[u8],
) -> Result<(), ReasonCode> {
    if !limits.allow_topic(topic.as_str()) {
        return Err(ReasonCode::TopicNameInvalid);
    }
    if format == Some(PayloadFormat::Utf8) && std::str::from_utf8(payload).is_err() {
        return Err(ReasonCode::PayloadFormatInvalid);
    }
    let reserved = topic.is_dollar() && topic.levels().next() == Some(RESERVED);
    if reserved || !permissions.allows(Action::Publish, topic) {
        return Err(ReasonCode::NotAuthorized);
    }
    Ok(())
}

impl Client<'_> {
    /// PUBLISH. \[MQTT-3.3\]
    pub(super) fn on_publish(&mut self, publish: Publish) -> Result<(), Refusal> {
        self.counts.publishes_received += 1;
        let topic = self.resolve_topic(&publish)?;
        let (id, wall, limits) = (self.id, self.wall, self.limits);
        let receive_max = u32::from(limits.receive_max);
        let acknowledged = publish.id.map(|packet| (packet, publish.qos));
        let link = self.link();
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
        if let Err(reason) = judge_message(limits, &link.permissions, &topic, format, &publish.payload) {
            return self.refuse_publish(&publish, &topic, reason);
        }
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
    fn resolve_topic(&mut self, publish: &Publish) -> Result<TopicName, Refusal> {
        let limits = self.limits;
        let max = limits.topic_alias_max;
        let out_of_range =
            |_| violation(ReasonCode::TopicAliasInvalid, "a topic alias above Topic Alias Maximum");
        let link = self.link();
        match (publish.topic.is_empty(), publish.properties.topic_alias) {
            (true, None) => Err(violation(ReasonCode::ProtocolError, "neither topic nor alias")),
            (true, Some(alias)) => {
                let topic = link.aliases_in.get(alias, max).map_err(out_of_range)?;
                topic.cloned().ok_or(violation(ReasonCode::ProtocolError, "a topic alias that was never set"))
            }
            (false, alias) => {
                let topic = TopicName::of_parsed(publish.topic.clone());
                if let Some(alias) = alias {
                    // What is too long is refused, and not kept either.
                    let kept = limits.allow_topic(topic.as_str()).then(|| topic.owned());
                    link.aliases_in.set(alias, kept, max).map_err(out_of_range)?;
                }
                Ok(topic)
            }
        }
    }

    /// Refuses a PUBLISH: with a reason code where the packet has an answer that can carry one. Where it has none, what is not
    /// authorized is dropped with a recorded reason, and anything else closes the connection. \[MQTT-3.3.5-2\]
    fn refuse_publish(
        &mut self,
        publish: &Publish,
        topic: &TopicName,
        reason: ReasonCode,
    ) -> Result<(), Refusal> {
        let version = self.link().version;
        let limit = (reason == ReasonCode::TopicNameInvalid).then_some(TOPIC_LIMITS);
        if version == Version::V3 || publish.id.is_none() {
            if reason != ReasonCode::NotAuthorized {
                return Err(Refusal { limit, ..violation(reason, "a PUBLISH that cannot be accepted") });
            }
        } else if let Some(limit) = limit {
            self.limit_reached(limit);
        }
        if let Some(packet) = publish.id {
            self.answer_refused(packet, publish.qos, reason);
        }
        if reason == ReasonCode::NotAuthorized {
            let (topic, payload) = (topic.text().clone(), publish.payload.clone());
            self.event(Event::Dropped { client_id: None, topic, payload, reason: DropReason::NotAuthorized });
        }
        Ok(())
    }

    /// Answers a PUBLISH that is refused. A 3.1.1 client cannot be told, and goes through the handshake all the same.
    fn answer_refused(&mut self, packet: PacketId, qos: QoS, reason: ReasonCode) {
        let receipt = Receipt::new(self.id, owed(packet, qos));
        let link = self.link();
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
}

fn violation(reason: ReasonCode, why: &str) -> Refusal {
    Refusal::violation(reason, why)
}

fn owed(packet: PacketId, qos: QoS) -> Owed {
    if qos == QoS::ExactlyOnce { Owed::PubRec(packet) } else { Owed::PubAck(packet) }
}

/// The message that a PUBLISH carries. Its texts and payload are slices of what was read: who keeps it makes it
/// [its own](Message::owned).
fn message_of(publish: Publish, topic: TopicName, publisher: ByteString, now: WallTime) -> Message {
    let (qos, retain, payload) = (publish.qos, publish.retain, publish.payload);
    let mut properties = publish.properties;
    let expires_at = message::expires_at(now, properties.message_expiry_s.take());
    properties.topic_alias = None;
    Message { topic, payload, qos, retain, properties, publisher, expires_at }
}
