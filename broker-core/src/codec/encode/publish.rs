//! PUBLISH: all but the payload, which goes out as it is. \[MQTT-3.3\]

use crate::base::ids::PacketId;
use crate::codec::packet::{PacketType, Publish, PublishProperties, QoS, Version};
use crate::codec::property::PropertyId;
use crate::codec::read::VARINT_MAX;
use crate::codec::write::{Count, PropertyList, Sink};
use bytes::BytesMut;
use std::num::NonZeroU16;

/// A PUBLISH without its payload, put together from a message that many receivers share and what is this receiver's.
#[derive(Clone, Copy, Debug)]
pub struct PublishHead<'a> {
    /// It may have been sent before.
    pub dup: bool,
    /// The QoS of this hop.
    pub qos: QoS,
    /// It was kept, or is passed on as published.
    pub retain: bool,
    /// The topic; empty if the alias stands for it.
    pub topic: &'a str,
    /// Present with QoS 1 and 2 and only then.
    pub id: Option<PacketId>,
    /// The message's own properties. Expiry, alias and subscription identifiers are not taken from here.
    pub properties: &'a PublishProperties,
    /// What is left of the message's expiry, in seconds. \[MQTT-3.3.2-6\]
    pub message_expiry_s: Option<u32>,
    /// This connection's number for the topic.
    pub topic_alias: Option<NonZeroU16>,
    /// The identifiers of the receiver's subscriptions that it matched. \[MQTT-3.3.4-3\]
    pub subscription_ids: &'a [u32],
    /// How many bytes of payload will follow.
    pub payload_bytes: usize,
}

impl<'a> PublishHead<'a> {
    /// The head of `publish` as it stands.
    pub fn of(publish: &'a Publish) -> Self {
        PublishHead {
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            topic: &publish.topic,
            id: publish.id,
            properties: &publish.properties,
            message_expiry_s: publish.properties.message_expiry_s,
            topic_alias: publish.properties.topic_alias,
            subscription_ids: &publish.properties.subscription_ids,
            payload_bytes: publish.payload.len(),
        }
    }

    /// The size of the packet, payload included.
    ///
    /// # Panics
    /// As [`super::encode`].
    pub fn packet_bytes(&self, version: Version) -> usize {
        super::packet_bytes(self.body_bytes(version))
    }

    /// Whether the packet, payload included, has at most `bytes_max` bytes, and not more than any packet may have. A
    /// message that came in the largest packet does not fit into one if its topic had been named by an alias.
    pub fn fits(&self, version: Version, bytes_max: u32) -> bool {
        let body_bytes = self.body_bytes(version);
        body_bytes <= VARINT_MAX as usize && super::packet_bytes(body_bytes) <= bytes_max as usize
    }

    /// Appends the packet up to where the payload begins.
    ///
    /// # Panics
    /// As [`super::encode`].
    pub fn encode(&self, version: Version, out: &mut BytesMut) {
        out.u8(self.first_byte(version));
        out.varint(self.body_bytes(version));
        self.variable_header(version, out);
    }

    /// Type and flags, of a PUBLISH that can be sent.
    pub(super) fn first_byte(&self, version: Version) -> u8 {
        assert_eq!(self.id.is_some(), self.qos > QoS::AtMostOnce, "an identifier goes with QoS 1 and 2");
        assert!(!self.dup || self.qos > QoS::AtMostOnce, "QoS 0 is never sent again");
        assert!(
            !self.topic.is_empty() || (version == Version::V5 && self.topic_alias.is_some()),
            "a topic, or an alias for it"
        );
        let flags = u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain);
        PacketType::Publish.number() << 4 | flags
    }

    /// All between the fixed header and the payload.
    pub(super) fn variable_header<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.bytes(self.topic.as_bytes());
        if let Some(id) = self.id {
            sink.u16(id.get());
        }
        if version == Version::V5 {
            sink.properties(self);
        }
    }

    fn body_bytes(&self, version: Version) -> usize {
        let mut count = Count(self.payload_bytes);
        self.variable_header(version, &mut count);
        count.0
    }
}

impl PropertyList for PublishHead<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let properties = self.properties;
        sink.property_u8(PropertyId::PayloadFormat, properties.payload_format.map(|format| format as u8));
        sink.property_u32(PropertyId::MessageExpiry, self.message_expiry_s);
        sink.property_u16(PropertyId::TopicAlias, self.topic_alias.map(NonZeroU16::get));
        if let Some(extras) = &properties.extras {
            sink.property_bytes(PropertyId::ResponseTopic, extras.response_topic.as_ref());
            sink.property_bytes(PropertyId::CorrelationData, extras.correlation_data.as_ref());
            sink.property_bytes(PropertyId::ContentType, extras.content_type.as_ref());
        }
        for &id in self.subscription_ids {
            sink.property_varint(PropertyId::SubscriptionId, id);
        }
        sink.property_user(&properties.user);
    }
}
