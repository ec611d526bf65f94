//! PUBLISH: a message on its way.

use super::{QoS, UserProperties};
use crate::base::ids::PacketId;
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// A message on its way. \[MQTT-3.3\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// It may have been sent before. Only with QoS 1 and 2. \[MQTT-3.3.1-2\]
    pub dup: bool,
    /// The QoS of this hop.
    pub qos: QoS,
    /// Keep it for later subscribers, or: it was kept.
    pub retain: bool,
    /// The topic: a valid topic name, or empty in 5.0 where an alias stands for it. A slice of what was read.
    pub topic: ByteString,
    /// Present with QoS 1 and 2 and only then. \[MQTT-2.2.1-2\]
    pub id: Option<PacketId>,
    /// What only 5.0 can say.
    pub properties: PublishProperties,
    /// The message itself. A slice of what was read.
    pub payload: Bytes,
}

impl Publish {
    /// A QoS 0 message without properties. For QoS 1 and 2 set `qos` and `id`.
    pub fn new(topic: impl Into<ByteString>, payload: impl Into<Bytes>) -> Self {
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: topic.into(),
            id: None,
            properties: PublishProperties::default(),
            payload: payload.into(),
        }
    }
}

/// The properties of PUBLISH. \[MQTT-3.3.2.3\]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishProperties {
    /// Whether the payload is text.
    pub payload_format: Option<PayloadFormat>,
    /// How long the message is good for, in seconds.
    pub message_expiry_s: Option<u32>,
    /// The number that stands for the topic on this connection.
    pub topic_alias: Option<NonZeroU16>,
    /// User properties, handed on in order. \[MQTT-3.3.2-17, 3.3.2-18\]
    pub user: UserProperties,
    /// The identifiers of the subscriptions it matched: 1 to 268,435,455. Only from server to client.
    pub subscription_ids: Vec<u32>,
    /// What few messages have, apart so that the others stay small; `None` where it would be empty.
    pub extras: Option<Box<PublishExtras>>,
}

impl PublishProperties {
    /// Where an answer is awaited.
    pub fn response_topic(&self) -> Option<&ByteString> {
        self.extras.as_ref()?.response_topic.as_ref()
    }

    /// What the answer is to carry.
    pub fn correlation_data(&self) -> Option<&Bytes> {
        self.extras.as_ref()?.correlation_data.as_ref()
    }

    /// What the payload is.
    pub fn content_type(&self) -> Option<&ByteString> {
        self.extras.as_ref()?.content_type.as_ref()
    }
}

/// The properties of PUBLISH that few messages have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishExtras {
    /// Where an answer is awaited: a valid topic name. \[MQTT-3.3.2-14\]
    pub response_topic: Option<ByteString>,
    /// What the answer is to carry.
    pub correlation_data: Option<Bytes>,
    /// What the payload is.
    pub content_type: Option<ByteString>,
}

impl PublishExtras {
    /// The form that [`PublishProperties::extras`] takes: `None` if nothing is set.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != PublishExtras::default()).then(|| Box::new(self))
    }
}

/// What a payload says of itself. \[MQTT-3.3.2.3.2\]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum PayloadFormat {
    /// Any bytes.
    Bytes = 0,
    /// UTF-8 text.
    Utf8 = 1,
}
