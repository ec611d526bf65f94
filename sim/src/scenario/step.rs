//! The steps of a script as data: who does what, when.

use crate::history::{ClientNo, Disconnect, Qos, Subscription};
use broker_core::ids::NodeId;
use broker_core::time::Instant;
use serde::{Deserialize, Serialize};

/// The name of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepId(pub u32);

/// One step of a script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// When it is done.
    pub when: When,
    /// By whom.
    pub client: ClientNo,
    /// What.
    pub action: Action,
}

/// When a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// At this time.
    At(Instant),
    /// `delay_ms` after an earlier step reached a milestone.
    After {
        /// The earlier step.
        step: StepId,
        /// How far it got.
        milestone: Milestone,
        /// How long after, in milliseconds.
        delay_ms: u64,
    },
    /// `delay_ms` after `client` processed its `count`-th PUBLISH of the run.
    Received {
        /// Who received.
        client: ClientNo,
        /// How many.
        count: u32,
        /// How long after, in milliseconds.
        delay_ms: u64,
    },
}

/// How far a step got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Milestone {
    /// Its packet was sent.
    Sent,
    /// Its PUBREC was received.
    Received,
    /// Its last acknowledgement was received: CONNACK, PUBACK, PUBCOMP, SUBACK, UNSUBACK. For a QoS 0 publish and for a
    /// step without an acknowledgement: it was sent.
    Done,
}

/// What a client can be told to do. Without a connection, PUBLISH, SUBSCRIBE and UNSUBSCRIBE wait for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Connects (a second time, if it is connected: a takeover of its own session).
    Connect {
        /// Clean start; `None` as the client is specified.
        clean_start: Option<bool>,
        /// Where; `None` is where the client would go by itself.
        node: Option<NodeId>,
    },
    /// Publishes.
    Publish(PublishSpec),
    /// Subscribes.
    Subscribe {
        /// The filters.
        filters: Vec<Subscription>,
        /// Subscription Identifier (5.0).
        subscription_id: Option<u32>,
    },
    /// Unsubscribes.
    Unsubscribe {
        /// The filters.
        filters: Vec<String>,
    },
    /// Sends DISCONNECT, closes, and stays away until it is told to connect.
    Disconnect(Disconnect),
    /// Closes the socket without DISCONNECT, and stays away until it is told to connect.
    Drop,
    /// Sends PINGREQ.
    Ping,
    /// Does something no client may do.
    Misdeed(Misdeed),
}

/// A publish of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishSpec {
    /// The topic.
    pub topic: String,
    /// Its quality of service.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// The size of the payload in bytes (at least that of its tag); `None` is an empty payload, which clears a retained
    /// message.
    pub payload_bytes: Option<u32>,
    /// Message Expiry Interval in seconds (5.0).
    pub expiry_s: Option<u32>,
    /// User Properties (5.0).
    pub user_properties: Vec<(String, String)>,
}

impl PublishSpec {
    /// A short message.
    pub fn new(topic: &str, qos: Qos) -> Self {
        PublishSpec {
            topic: topic.to_owned(),
            qos,
            retain: false,
            payload_bytes: Some(0),
            expiry_s: None,
            user_properties: Vec::new(),
        }
    }

    /// The same, retained.
    #[must_use]
    pub fn retained(self) -> Self {
        PublishSpec { retain: true, ..self }
    }
}

/// What no client may do. The broker is to close that client only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Misdeed {
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Sends random bytes.
    RandomBytes {
        /// How many.
        count: u16,
    },
    /// Sends half of a PUBLISH and closes.
    HalfPacket,
    /// Sends a second CONNECT. \[MQTT-3.1.0-2\]
    SecondConnect,
    /// Sends one more QoS 1 publish than the broker's Receive Maximum allows. \[MQTT-3.3.4-9\]
    TooManyInFlight,
    /// Acknowledges packets that were never sent to it.
    StrayAcks,
    /// Publishes to a topic with a wildcard. \[MQTT-3.3.2-2\]
    WildcardTopic,
}
