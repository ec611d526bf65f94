//! The packets of MQTT 3.1.1 and 5.0 as values.
//!
//! One set of types serves both versions: what only 5.0 can say is a property, absent in 3.1.1 and left out when a
//! packet is written for it.

mod connect;
mod publish;
mod reply;
mod subscribe;

pub use connect::{ConnAck, ConnAckProperties, Connect, ConnectProperties, Will, WillProperties};
pub use publish::{PayloadFormat, Publish, PublishExtras, PublishProperties};
pub use reply::{Ack, AckProperties, Auth, AuthProperties, Disconnect, DisconnectProperties};
pub use subscribe::{
    RetainHandling, SubAck, Subscribe, SubscribeFilter, SubscribeProperties, SubscriptionOptions, UnsubAck,
    Unsubscribe,
};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

/// User properties: pairs of name and value, in order, names may repeat. \[MQTT-3.1.2-29, 3.3.2-17\]
pub type UserProperties = Vec<(ByteString, ByteString)>;

/// The version of the protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.0.
    V5,
}

impl Version {
    /// The protocol level in CONNECT: 4 or 5.
    pub const fn level(self) -> u8 {
        match self {
            Version::V3 => 4,
            Version::V5 => 5,
        }
    }
}

/// How often a message may arrive. \[MQTT-4.3\]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: once or never.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: once or more often.
    AtLeastOnce = 1,
    /// QoS 2: once.
    ExactlyOnce = 2,
}

impl TryFrom<u8> for QoS {
    type Error = BadQoS;

    fn try_from(bits: u8) -> Result<Self, BadQoS> {
        match bits {
            0 => Ok(QoS::AtMostOnce),
            1 => Ok(QoS::AtLeastOnce),
            2 => Ok(QoS::ExactlyOnce),
            _ => Err(BadQoS),
        }
    }
}

/// A number that is no QoS: 3 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadQoS;

/// The type of a packet, by its number on the wire. \[MQTT-2.1.2\]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the norm's")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// Every type, in the order of their numbers.
    pub const ALL: [PacketType; 15] = [
        PacketType::Connect,
        PacketType::ConnAck,
        PacketType::Publish,
        PacketType::PubAck,
        PacketType::PubRec,
        PacketType::PubRel,
        PacketType::PubComp,
        PacketType::Subscribe,
        PacketType::SubAck,
        PacketType::Unsubscribe,
        PacketType::UnsubAck,
        PacketType::PingReq,
        PacketType::PingResp,
        PacketType::Disconnect,
        PacketType::Auth,
    ];

    /// The type with this number, or `None` for 0 and above 15.
    pub fn new(number: u8) -> Option<Self> {
        PacketType::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The number on the wire: 1 to 15.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The flags beside the type, which all packets but PUBLISH have fixed. \[MQTT-2.1.3\]
    pub(super) const fn flags(self) -> Option<u8> {
        match self {
            PacketType::Publish => None,
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => Some(0b0010),
            _ => Some(0),
        }
    }
}

/// One control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A client asks to be let in; boxed because it is large and rare.
    Connect(Box<Connect>),
    /// The answer to CONNECT.
    ConnAck(ConnAck),
    /// A message.
    Publish(Publish),
    /// QoS 1: the message is taken over.
    PubAck(Ack),
    /// QoS 2, first answer: the message is taken over.
    PubRec(Ack),
    /// QoS 2, second step: the identifier is released.
    PubRel(Ack),
    /// QoS 2, last answer: the identifier may be used again.
    PubComp(Ack),
    /// A client asks for messages.
    Subscribe(Subscribe),
    /// The answer to SUBSCRIBE.
    SubAck(SubAck),
    /// A client wants no more messages.
    Unsubscribe(Unsubscribe),
    /// The answer to UNSUBSCRIBE.
    UnsubAck(UnsubAck),
    /// A client asks for a sign of life.
    PingReq,
    /// The answer to PINGREQ.
    PingResp,
    /// The end, with a reason in 5.0.
    Disconnect(Disconnect),
    /// A step of an authentication exchange (5.0 only).
    Auth(Auth),
}

impl Packet {
    /// The packet's type.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::ConnAck(_) => PacketType::ConnAck,
            Packet::Publish(_) => PacketType::Publish,
            Packet::PubAck(_) => PacketType::PubAck,
            Packet::PubRec(_) => PacketType::PubRec,
            Packet::PubRel(_) => PacketType::PubRel,
            Packet::PubComp(_) => PacketType::PubComp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::SubAck(_) => PacketType::SubAck,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::UnsubAck(_) => PacketType::UnsubAck,
            Packet::PingReq => PacketType::PingReq,
            Packet::PingResp => PacketType::PingResp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }
}
