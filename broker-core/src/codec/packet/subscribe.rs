//! SUBSCRIBE, UNSUBSCRIBE and their answers.

use super::reply::AckProperties;
use super::{QoS, UserProperties};
use crate::base::ids::PacketId;
use crate::codec::reason::ReasonCode;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

/// A client asks for messages. \[MQTT-3.8\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Its identifier.
    pub id: PacketId,
    /// What only 5.0 can say.
    pub properties: SubscribeProperties,
    /// At least one filter. \[MQTT-3.8.3-2\]
    pub filters: Vec<SubscribeFilter>,
}

/// The properties of SUBSCRIBE. \[MQTT-3.8.2.1\]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeProperties {
    /// The identifier of these subscriptions: 1 to 268,435,455.
    pub subscription_id: Option<u32>,
    /// User properties.
    pub user: UserProperties,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// The filter as written, maybe not a valid one: that is answered filter by filter with 0x8F.
    pub filter: ByteString,
    /// How its messages are to come.
    pub options: SubscriptionOptions,
}

/// How a subscription's messages are to come. 3.1.1 has only the QoS. \[MQTT-3.8.3.1\]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SubscriptionOptions {
    /// The highest QoS at which the client wants them.
    pub qos: QoS,
    /// Not those that the client itself publishes.
    pub no_local: bool,
    /// With the RETAIN flag as published.
    pub retain_as_published: bool,
    /// Which retained messages are sent at once.
    pub retain_handling: RetainHandling,
}

/// Which retained messages a subscription gets at once. \[MQTT-3.3.1-9 to 3.3.1-11\]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RetainHandling {
    /// 0: all that match.
    #[default]
    Always = 0,
    /// 1: all that match, if the subscription is new.
    IfNew = 1,
    /// 2: none.
    Never = 2,
}

/// The answer to SUBSCRIBE. \[MQTT-3.9\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// The SUBSCRIBE's identifier.
    pub id: PacketId,
    /// What only 5.0 can say.
    pub properties: AckProperties,
    /// One for each filter, in order: the QoS granted, or why not; 3.1.1 says 0x80 for every failure.
    pub reasons: Vec<ReasonCode>,
}

/// A client wants no more messages. \[MQTT-3.10\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Its identifier.
    pub id: PacketId,
    /// User properties (5.0 only).
    pub user: UserProperties,
    /// At least one filter, as written. \[MQTT-3.10.3-2\]
    pub filters: Vec<ByteString>,
}

/// The answer to UNSUBSCRIBE. \[MQTT-3.11\]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// The UNSUBSCRIBE's identifier.
    pub id: PacketId,
    /// What only 5.0 can say.
    pub properties: AckProperties,
    /// One for each filter, in order; not sent in 3.1.1, and empty when decoded from it.
    pub reasons: Vec<ReasonCode>,
}
