//! CONNECT and CONNACK: who a client is, and what the two sides promise each other.

use super::publish::{PayloadFormat, PublishExtras, PublishProperties};
use super::{QoS, UserProperties, Version};
use crate::base::password::Password;
use crate::codec::reason::ReasonCode;
use crate::topic::TopicName;
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU16, NonZeroU32};

/// A client asks to be let in. \[MQTT-3.1\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The version both sides speak from here on.
    pub version: Version,
    /// Discard what is left of an earlier session (3.1.1: Clean Session, which also ends the session with the
    /// connection).
    pub clean_start: bool,
    /// The longest silence of the client, in seconds; 0 turns the watch off.
    pub keep_alive_s: u16,
    /// The client's name; empty if the server is to assign one.
    pub client_id: ByteString,
    /// The user name.
    pub user_name: Option<ByteString>,
    /// The password: any bytes.
    pub password: Option<Password>,
    /// What to publish if the client is lost.
    pub will: Option<Will>,
    /// What only 5.0 can say.
    pub properties: ConnectProperties,
}

impl Connect {
    /// A CONNECT with a clean start, no keep alive and nothing optional.
    pub fn new(version: Version, client_id: impl Into<ByteString>) -> Self {
        Connect {
            version,
            clean_start: true,
            keep_alive_s: 0,
            client_id: client_id.into(),
            user_name: None,
            password: None,
            will: None,
            properties: ConnectProperties::default(),
        }
    }
}

/// The properties of CONNECT. \[MQTT-3.1.2.11\]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties {
    /// How long the session outlives the connection, in seconds: absent is 0, 0xFFFFFFFF is for ever.
    pub session_expiry_s: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes at once: absent is 65,535.
    pub receive_max: Option<NonZeroU16>,
    /// The largest packet the client takes, in bytes: absent is as large as the protocol allows.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// The highest topic alias the client takes: absent is 0.
    pub topic_alias_max: Option<u16>,
    /// The client would like Response Information: absent is no.
    pub request_response_information: Option<bool>,
    /// The client would like reason strings and user properties on failures: absent is yes.
    pub request_problem_information: Option<bool>,
    /// User properties.
    pub user: UserProperties,
    /// The method of extended authentication.
    pub auth_method: Option<ByteString>,
    /// Its first data.
    pub auth_data: Option<Bytes>,
}

/// What the server publishes if the client is lost. \[MQTT-3.1.2.5\]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Will {
    /// Its QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Its topic.
    pub topic: TopicName,
    /// Its payload.
    pub payload: Bytes,
    /// What only 5.0 can say.
    pub properties: WillProperties,
}

/// The properties of a will. \[MQTT-3.1.3.2\]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WillProperties {
    /// How long after the loss it is published, in seconds: absent is 0.
    pub delay_s: Option<u32>,
    /// Whether the payload is text.
    pub payload_format: Option<PayloadFormat>,
    /// How long the message is good for once published, in seconds.
    pub message_expiry_s: Option<u32>,
    /// What the payload is.
    pub content_type: Option<ByteString>,
    /// Where an answer is awaited: a valid topic name.
    pub response_topic: Option<ByteString>,
    /// What the answer is to carry.
    pub correlation_data: Option<Bytes>,
    /// User properties.
    pub user: UserProperties,
}

impl From<WillProperties> for PublishProperties {
    /// The properties of the will's PUBLISH: all but the delay.
    fn from(will: WillProperties) -> Self {
        let WillProperties {
            delay_s: _,
            payload_format,
            message_expiry_s,
            content_type,
            response_topic,
            correlation_data,
            user,
        } = will;
        PublishProperties {
            payload_format,
            message_expiry_s,
            user,
            extras: PublishExtras { content_type, response_topic, correlation_data }.boxed(),
            ..PublishProperties::default()
        }
    }
}

/// The answer to CONNECT. \[MQTT-3.2\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server goes on with an earlier session. Only with [`ReasonCode::Success`]. \[MQTT-3.2.2-6\]
    pub session_present: bool,
    /// Success, or why not; 3.1.1 says [`ReasonCode::connack_v3`].
    pub reason: ReasonCode,
    /// What only 5.0 can say; boxed because it is large and sent once a connection.
    pub properties: Box<ConnAckProperties>,
}

impl ConnAck {
    /// A CONNACK without properties.
    pub fn new(session_present: bool, reason: ReasonCode) -> Self {
        ConnAck { session_present, reason, properties: Box::default() }
    }
}

/// The properties of CONNACK. \[MQTT-3.2.2.3\]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// The session expiry granted, in seconds: absent is what the client asked for.
    pub session_expiry_s: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes at once: absent is 65,535.
    pub receive_max: Option<NonZeroU16>,
    /// The highest QoS the server takes, 0 or 1: absent is 2.
    pub qos_max: Option<QoS>,
    /// Whether the server retains messages: absent is yes.
    pub retain_available: Option<bool>,
    /// The largest packet the server takes, in bytes: absent is as large as the protocol allows.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// The name the server gave to a client without one.
    pub assigned_client_id: Option<ByteString>,
    /// The highest topic alias the server takes: absent is 0.
    pub topic_alias_max: Option<u16>,
    /// Why, for people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user: UserProperties,
    /// Whether filters may have wildcards: absent is yes.
    pub wildcard_subscriptions_available: Option<bool>,
    /// Whether subscriptions may have identifiers: absent is yes.
    pub subscription_ids_available: Option<bool>,
    /// Whether subscriptions may be shared: absent is yes.
    pub shared_subscriptions_available: Option<bool>,
    /// The keep alive the client is to use instead of its own, in seconds.
    pub server_keep_alive_s: Option<u16>,
    /// A basis for response topics.
    pub response_information: Option<ByteString>,
    /// Another server to use.
    pub server_reference: Option<ByteString>,
    /// The method of extended authentication.
    pub auth_method: Option<ByteString>,
    /// Its last data.
    pub auth_data: Option<Bytes>,
}
