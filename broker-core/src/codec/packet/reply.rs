//! The answers to PUBLISH, and the two packets that only carry a reason: DISCONNECT and AUTH.

use super::UserProperties;
use crate::base::ids::PacketId;
use crate::codec::reason::ReasonCode;
use bytes::Bytes;
use bytestring::ByteString;

/// PUBACK, PUBREC, PUBREL or PUBCOMP. \[MQTT-3.4 to 3.7\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The PUBLISH's identifier.
    pub id: PacketId,
    /// Success, or why not; not sent in 3.1.1.
    pub reason: ReasonCode,
    /// What only 5.0 can say.
    pub properties: AckProperties,
}

impl Ack {
    /// An acknowledgement without properties.
    pub fn new(id: PacketId, reason: ReasonCode) -> Self {
        Ack { id, reason, properties: AckProperties::default() }
    }
}

/// The properties of all acknowledgements (SUBACK and UNSUBACK too).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckProperties {
    /// Why, for people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user: UserProperties,
}

/// The end of a connection. \[MQTT-3.14\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why; not sent in 3.1.1, where only clients send DISCONNECT.
    pub reason: ReasonCode,
    /// What only 5.0 can say.
    pub properties: DisconnectProperties,
}

impl Disconnect {
    /// A DISCONNECT without properties.
    pub fn new(reason: ReasonCode) -> Self {
        Disconnect { reason, properties: DisconnectProperties::default() }
    }
}

/// The properties of DISCONNECT. \[MQTT-3.14.2.2\]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisconnectProperties {
    /// How long the session outlives the connection after all, in seconds. Only from client to server.
    pub session_expiry_s: Option<u32>,
    /// Why, for people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user: UserProperties,
    /// Another server to use. Only from server to client.
    pub server_reference: Option<ByteString>,
}

/// A step of an authentication exchange, 5.0 only. \[MQTT-3.15\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Success, continue, or (from a client) begin anew.
    pub reason: ReasonCode,
    /// Method and data.
    pub properties: AuthProperties,
}

/// The properties of AUTH. \[MQTT-3.15.2.2\]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthProperties {
    /// The method; may be absent only where nothing at all is said (`f0 00`).
    pub method: Option<ByteString>,
    /// The data.
    pub data: Option<Bytes>,
    /// Why, for people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user: UserProperties,
}
