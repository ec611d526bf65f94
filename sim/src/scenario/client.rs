//! Clients as data: who they are, how they behave, what they do.

use crate::history::{Qos, Subscription, Version};
use broker_core::ids::NodeId;
use broker_core::time::Instant;
use serde::{Deserialize, Serialize};

/// A range to draw from, both ends included. The unit is in the name of the field that holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The lowest.
    pub min: u64,
    /// The highest.
    pub max: u64,
}

impl Span {
    /// Always `value`.
    pub const fn exactly(value: u64) -> Self {
        Span { min: value, max: value }
    }
}

/// One client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientSpec {
    /// Its MQTT client identifier; two clients with the same one take each other's session over. Empty lets the broker
    /// assign one (such a client forgets its session with each connection).
    pub client_id: String,
    /// The version it speaks.
    pub version: Version,
    /// Where it connects: at first to the first of these.
    pub nodes: Vec<NodeId>,
    /// Which of them it takes when it connects again.
    pub roams: Roams,
    /// When it connects first; `None` if a step does it.
    pub connect_at: Option<Instant>,
    /// When it wants a clean start.
    pub clean_start: CleanStart,
    /// Session Expiry Interval in seconds (5.0; in 3.1.1 it is 0 with a clean session, else for ever).
    pub session_expiry_s: u32,
    /// Keep Alive in seconds; 0 is off. A client with one pings in time.
    pub keep_alive_s: u16,
    /// Receive Maximum (5.0); `None` sends none.
    pub receive_max: Option<u16>,
    /// Maximum Packet Size (5.0); `None` sends none.
    pub packet_bytes_max: Option<u32>,
    /// Topic Alias Maximum (5.0).
    pub topic_alias_max: u16,
    /// Whether it uses topic aliases of its own where the broker lets it (5.0).
    pub uses_aliases: bool,
    /// The will it leaves.
    pub will: Option<WillSpec>,
    /// How it behaves.
    pub conduct: Conduct,
    /// What it does by itself, beside the scenario's steps.
    pub workload: Option<Workload>,
}

impl ClientSpec {
    /// A well-behaved client of version `version` that connects at the start and keeps its session for an hour.
    pub fn durable(client_id: &str, version: Version) -> Self {
        ClientSpec {
            client_id: client_id.to_owned(),
            version,
            nodes: vec![NodeId(1)],
            roams: Roams::Stay,
            connect_at: Some(Instant::ZERO),
            clean_start: CleanStart::Never,
            session_expiry_s: 3_600,
            keep_alive_s: 0,
            receive_max: None,
            packet_bytes_max: None,
            topic_alias_max: 0,
            uses_aliases: false,
            will: None,
            conduct: Conduct::default(),
            workload: None,
        }
    }

    /// Whether its session is meant to outlive a connection.
    pub fn keeps_session(&self) -> bool {
        let outlives = match self.version {
            Version::V311 => self.clean_start != CleanStart::Always,
            Version::V5 => self.session_expiry_s > 0,
        };
        outlives && !self.client_id.is_empty()
    }

    /// The same, but its session ends with each connection.
    pub fn clean(client_id: &str, version: Version) -> Self {
        ClientSpec {
            clean_start: CleanStart::Always,
            session_expiry_s: 0,
            ..ClientSpec::durable(client_id, version)
        }
    }
}

/// Which of its nodes a client connects to next. One that is turned away (no connection, no CONNACK, a refusal, or a
/// DISCONNECT that tells it to go elsewhere: 0x89, 0x8B, 0x9C, 0x9D) goes on to the next one in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Roams {
    /// The same.
    #[default]
    Stay,
    /// The next one in its list; the first follows the last.
    Next,
    /// Any.
    Random,
}

/// When a client wants a clean start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CleanStart {
    /// With each connection.
    Always,
    /// With its first connection only.
    First,
    /// Never, unless a step says so.
    Never,
    /// With this share of its connections.
    Sometimes {
        /// Percent.
        percent: u8,
    },
}

/// A will. Its payload is unique to the connection that leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WillSpec {
    /// Where it is published.
    pub topic: String,
    /// Its quality of service.
    pub qos: Qos,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Will Delay Interval in seconds (5.0).
    pub delay_s: u32,
    /// Message Expiry Interval in seconds (5.0).
    pub expiry_s: Option<u32>,
}

/// How a client behaves. The default is a polite client that answers at once and comes back when it is cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conduct {
    /// How long it takes to answer a PUBLISH, PUBREC or PUBREL, in milliseconds, drawn for each: answers to different
    /// packets may overtake each other if `answers_in_order` is not set.
    pub ack_ms: Span,
    /// Whether it answers in the order of arrival, whatever the delays.
    pub answers_in_order: bool,
    /// Percent of its PUBRELs that it sends twice (legal only after a reconnect, so the broker may meet it by surprise).
    pub double_pubrel_percent: u8,
    /// Percent of QoS 1 and 2 deliveries that it refuses with reason 0x83 (5.0).
    pub refuse_percent: u8,
    /// How it comes back after losing its connection.
    pub backoff: Backoff,
    /// How long it waits for CONNACK and PINGRESP before it gives a connection up, in milliseconds.
    pub patience_ms: u64,
    /// Whether it takes packet identifiers in rising order; otherwise always the lowest that is free, so that identifiers
    /// are used again soon.
    pub rising_ids: bool,
    /// Whether it subscribes again to all it wants when the broker has no session of it.
    pub resubscribes: bool,
    /// How many QoS 1 and 2 publishes it has in flight at most (the broker's Receive Maximum may lower it).
    pub inflight_max: u16,
}

impl Default for Conduct {
    fn default() -> Self {
        Conduct {
            ack_ms: Span::exactly(0),
            answers_in_order: true,
            double_pubrel_percent: 0,
            refuse_percent: 0,
            backoff: Backoff::default(),
            patience_ms: 1_000,
            rising_ids: false,
            resubscribes: true,
            inflight_max: 16,
        }
    }
}

/// How a client comes back: after `first_ms`, then twice that, up to `max_ms`, each drawn between a half and the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first pause in milliseconds.
    pub first_ms: u64,
    /// The longest pause in milliseconds.
    pub max_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { first_ms: 20, max_ms: 500 }
    }
}

/// What a client does by itself: operations at random intervals, drawn by weight from its own stream of randomness.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// From when on.
    pub from: Instant,
    /// Until when (the heal ends it in any case).
    pub until: Instant,
    /// The pause between two operations in milliseconds.
    pub pause_ms: Span,
    /// How often each operation is drawn.
    pub weights: Weights,
    /// The topics it publishes to.
    pub topics: Vec<String>,
    /// The subscriptions it takes from; it takes the first `initial` of them when it begins.
    pub subscriptions: Vec<Subscription>,
    /// How many subscriptions it takes when it begins.
    pub initial: u16,
    /// Whether its SUBSCRIBEs have a Subscription Identifier (5.0): the place in `subscriptions`, from 1.
    pub subscription_ids: bool,
    /// The size of payloads in bytes.
    pub payload_bytes: Span,
    /// Percent of publishes with a Message Expiry Interval (5.0).
    pub expiry_percent: u8,
    /// The interval, in seconds.
    pub expiry_s: Span,
}

/// How often each operation is drawn, relative to the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// PUBLISH with QoS 0.
    pub publish_qos0: u16,
    /// PUBLISH with QoS 1.
    pub publish_qos1: u16,
    /// PUBLISH with QoS 2.
    pub publish_qos2: u16,
    /// PUBLISH with RETAIN (any QoS).
    pub retain: u16,
    /// PUBLISH with RETAIN and no payload (QoS 1).
    pub clear: u16,
    /// SUBSCRIBE.
    pub subscribe: u16,
    /// UNSUBSCRIBE.
    pub unsubscribe: u16,
    /// DISCONNECT 0x00 and back after the backoff.
    pub disconnect: u16,
    /// DISCONNECT 0x04 (with will; 5.0) and back.
    pub disconnect_with_will: u16,
    /// The socket closes without DISCONNECT, and back.
    pub drop: u16,
    /// A second connection while the first is open: the client takes its own session over.
    pub takeover: u16,
    /// Drops the connection, forgets its session and comes back with a clean start.
    pub forget: u16,
    /// PINGREQ.
    pub ping: u16,
    /// Something no client may do, drawn from the misdeeds of the workload.
    pub misdeed: u16,
}
