//! Control packets as a client sees them, the same for both versions of the protocol.
//!
//! What 3.1.1 has no word for (reason codes, properties) is at its neutral value: reason 0, `None`, an empty list.

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    /// MQTT 3.1.1 (protocol level 4).
    V311,
    /// MQTT 5.0 (protocol level 5).
    #[default]
    V5,
}

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Qos {
    /// At most once.
    #[default]
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
    /// Exactly once.
    ExactlyOnce,
}

/// A control packet that a client sent or processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packet {
    /// CONNECT.
    Connect(Connect),
    /// CONNACK.
    ConnAck(ConnAck),
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK.
    PubAck(Ack),
    /// PUBREC.
    PubRec(Ack),
    /// PUBREL.
    PubRel(Ack),
    /// PUBCOMP.
    PubComp(Ack),
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// SUBACK.
    SubAck(Granted),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe),
    /// UNSUBACK; 3.1.1 has no reasons, so the list is empty there.
    UnsubAck(Granted),
    /// PINGREQ.
    PingReq,
    /// PINGRESP.
    PingResp,
    /// DISCONNECT.
    Disconnect(Disconnect),
    /// AUTH.
    Auth {
        /// The reason code.
        reason: u8,
    },
    /// Bytes that are no packet, sent by a client that misbehaves on purpose.
    Garbage {
        /// How many.
        bytes: u32,
    },
}

/// CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// The protocol's version.
    pub version: Version,
    /// The client identifier as sent; empty if the broker is to assign one.
    pub client_id: ByteString,
    /// Clean Start (3.1.1: Clean Session).
    pub clean_start: bool,
    /// Session Expiry Interval in seconds; 0xFFFFFFFF is for ever. For 3.1.1: 0 with Clean Session, else for ever.
    pub session_expiry_s: u32,
    /// Keep Alive in seconds; 0 is off.
    pub keep_alive_s: u16,
    /// Receive Maximum; absent in the packet means 65,535.
    pub receive_max: u16,
    /// Maximum Packet Size in bytes.
    pub packet_bytes_max: Option<u32>,
    /// Topic Alias Maximum.
    pub topic_alias_max: u16,
    /// The will.
    pub will: Option<Will>,
}

/// The will in CONNECT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Will {
    /// Where it is published.
    pub topic: ByteString,
    /// Unique, like every payload: see [`Tag`].
    pub payload: Bytes,
    /// Its quality of service.
    pub qos: Qos,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Will Delay Interval in seconds.
    pub delay_s: u32,
    /// Message Expiry Interval in seconds.
    pub expiry_s: Option<u32>,
}

/// CONNACK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnAck {
    /// Session Present.
    pub session_present: bool,
    /// The reason code in the numbering of MQTT 5.0 (3.1.1's return codes are translated).
    pub reason: u8,
    /// Receive Maximum; 65,535 if absent.
    pub receive_max: u16,
    /// Maximum Packet Size in bytes.
    pub packet_bytes_max: Option<u32>,
    /// Topic Alias Maximum; 0 if absent.
    pub topic_alias_max: u16,
    /// Session Expiry Interval, if the broker does not use the client's.
    pub session_expiry_s: Option<u32>,
    /// Server Keep Alive, if the broker does not use the client's.
    pub keep_alive_s: Option<u16>,
    /// Assigned Client Identifier.
    pub assigned_client_id: Option<ByteString>,
}

impl ConnAck {
    /// A CONNACK without properties, as all are in 3.1.1.
    pub const fn bare(reason: u8) -> Self {
        ConnAck {
            session_present: false,
            reason,
            receive_max: u16::MAX,
            packet_bytes_max: None,
            topic_alias_max: 0,
            session_expiry_s: None,
            keep_alive_s: None,
            assigned_client_id: None,
        }
    }
}

/// PUBLISH.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// DUP.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// The topic, with an alias already resolved; empty only if the alias is unknown to the receiver.
    pub topic: ByteString,
    /// The packet identifier; 0 with QoS 0.
    pub id: u16,
    /// The payload: unique (see [`Tag`]), or empty to clear a retained message.
    pub payload: Bytes,
    /// Message Expiry Interval in seconds.
    pub expiry_s: Option<u32>,
    /// Topic Alias as on the wire.
    pub alias: Option<u16>,
    /// Whether the topic was on the wire (false: the alias alone).
    pub topic_on_wire: bool,
    /// Subscription Identifiers, as received.
    pub subscription_ids: Vec<u32>,
    /// Response Topic.
    pub response_topic: Option<ByteString>,
    /// Correlation Data.
    pub correlation: Option<Bytes>,
    /// User Properties, in order.
    pub user_properties: Vec<(ByteString, ByteString)>,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The packet identifier.
    pub id: u16,
    /// The reason code; 0 in 3.1.1.
    pub reason: u8,
}

impl Ack {
    /// Success for `id`.
    pub const fn ok(id: u16) -> Self {
        Ack { id, reason: 0 }
    }

    /// Whether the reason is an error, which ends the exchange. \[MQTT-4.4.0-2\]
    pub const fn is_error(self) -> bool {
        self.reason >= 0x80
    }
}

/// SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The packet identifier.
    pub id: u16,
    /// The filters, in order.
    pub filters: Vec<Subscription>,
    /// Subscription Identifier.
    pub subscription_id: Option<u32>,
}

/// One filter of a SUBSCRIBE with its options.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subscription {
    /// The filter, `$share/NAME/` included.
    pub filter: ByteString,
    /// The highest quality of service wanted.
    pub qos: Qos,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Retain Handling: 0, 1 or 2.
    pub retain_handling: u8,
}

impl Subscription {
    /// `filter` at `qos` with the options of 3.1.1.
    pub fn plain(filter: impl Into<ByteString>, qos: Qos) -> Self {
        Subscription {
            filter: filter.into(),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: 0,
        }
    }
}

/// SUBACK or UNSUBACK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The packet identifier.
    pub id: u16,
    /// One reason code a filter, in the order of the request.
    pub reasons: Vec<u8>,
}

/// UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// The packet identifier.
    pub id: u16,
    /// The filters, in order.
    pub filters: Vec<ByteString>,
}

/// DISCONNECT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnect {
    /// The reason code; 0 in 3.1.1.
    pub reason: u8,
    /// Session Expiry Interval in seconds, if the client changes it.
    pub session_expiry_s: Option<u32>,
}

/// The name of one message of a run, at the head of its payload, so that a checker can follow it.
///
/// On the wire: `p`, the publisher's number, `.`, the message's number, then `|` and padding if the payload is to be
/// longer. Numbers are never used again within a run, resends carry the same payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    /// Which client of the scenario published it.
    pub publisher: super::ClientNo,
    /// The publisher's number for it, rising from 0 in the order of first sending; wills are numbered with them.
    pub number: u32,
}

impl Tag {
    /// The payload with this name, padded to at least `bytes` bytes.
    pub fn payload(self, bytes: usize) -> Bytes {
        let mut text = self.to_string();
        if text.len() < bytes {
            text.push('|');
        }
        let mut payload = text.into_bytes();
        payload.resize(payload.len().max(bytes), b'x');
        Bytes::from(payload)
    }

    /// The name in `payload`; `None` for an empty or foreign payload.
    pub fn parse(payload: &[u8]) -> Option<Tag> {
        let head = payload.split(|byte| *byte == b'|').next()?;
        let text = std::str::from_utf8(head).ok()?.strip_prefix('p')?;
        let (publisher, number) = text.split_once('.')?;
        Some(Tag { publisher: super::ClientNo(publisher.parse().ok()?), number: number.parse().ok()? })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}.{}", self.publisher.0, self.number)
    }
}

impl Publish {
    /// The message's name; `None` for an empty payload.
    pub fn tag(&self) -> Option<Tag> {
        Tag::parse(&self.payload)
    }

    /// Whether it is what a node tells of itself: nobody published it, and it never ends.
    pub fn is_report(&self) -> bool {
        self.topic.starts_with("$SYS/")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ClientNo, Tag};

    #[test]
    fn a_tag_survives_its_payload_whatever_the_padding() {
        let tag = Tag { publisher: ClientNo(3), number: 41 };
        for bytes in [0, 5, 6, 7, 300] {
            let payload = tag.payload(bytes);
            assert!(payload.len() >= bytes);
            assert_eq!(Tag::parse(&payload), Some(tag));
        }
        assert_eq!(Tag::parse(b""), None);
        assert_eq!(Tag::parse(b"p1"), None);
    }
}
