//! Every bound of the core, by name. A limit that is reached is answered, counted and never a panic.

use serde::{Deserialize, Serialize};

/// What one node accepts and holds. The defaults suit a small lab machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest MQTT packet taken from a client, in bytes; larger ones close the client with 0x95. \[MQTT-3.2.2-15\]
    pub packet_bytes_max: u32,
    /// Unacknowledged QoS 1 and 2 publishes a client may have towards the broker (Receive Maximum in CONNACK); more
    /// close it with 0x93. \[MQTT-3.3.4-9\]
    pub receive_max: u16,
    /// Unacknowledged QoS 1 and 2 messages towards one client; the client's own Receive Maximum may lower it.
    pub inflight_max: u16,
    /// Messages queued for one session; one more is dropped with a recorded reason.
    pub queue_messages_max: u32,
    /// Bytes of topic, payload and properties queued for one session; a message that would pass it is dropped with a recorded reason.
    pub queue_bytes_max: u64,
    /// Bytes that wait for one client's socket; beyond it QoS 0 is dropped with a recorded reason, beyond half of it QoS 1 and 2
    /// stay queued, and with twice as many (of answers that it does not take) the client is not read from.
    pub outbox_bytes_max: u32,
    /// Subscriptions of one session; one more is refused with 0x97.
    pub subscriptions_max: u32,
    /// Levels of a topic name or filter; more are refused with 0x90 or 0x8F.
    pub topic_levels_max: u16,
    /// Bytes of a topic name or filter; more are refused with 0x90 or 0x8F.
    pub topic_bytes_max: u16,
    /// Open client connections; one more is refused with 0x97 (v3.1.1: 0x03).
    pub connections_max: u32,
    /// Sessions, connected or not; one more is refused with 0x97 (v3.1.1: 0x03).
    pub sessions_max: u32,
    /// Retained messages; one more topic is refused with 0x97 (QoS 0: dropped with a recorded reason).
    pub retained_messages_max: u32,
    /// Bytes of retained topics and payloads.
    pub retained_bytes_max: u64,
    /// Topic aliases a client may set (Topic Alias Maximum in CONNACK).
    pub topic_alias_max: u16,
    /// Topic aliases the broker sets towards a client that allows them; 0 sets none.
    pub topic_alias_out_max: u16,
    /// Longest session expiry granted, in seconds; 0xFFFFFFFF is for ever.
    pub session_expiry_max_s: u32,
    /// Longest keep alive accepted of MQTT 5.0 clients, in seconds; a longer or absent one is replaced and told in CONNACK. 0
    /// leaves the client's. A 3.1.1 client cannot be told, and keeps its own.
    pub keep_alive_max_s: u16,
    /// Time for a new connection to send its CONNECT, in milliseconds.
    pub connect_timeout_ms: u32,
    /// Bytes of client identifier.
    pub client_id_bytes_max: u16,
}

impl Limits {
    /// Whether a topic name or filter is neither too long nor too deep.
    pub fn allow_topic(&self, topic: &str) -> bool {
        topic.len() <= usize::from(self.topic_bytes_max)
            && topic.bytes().filter(|byte| *byte == b'/').count() < usize::from(self.topic_levels_max)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            packet_bytes_max: 1 << 20,
            receive_max: 1024,
            inflight_max: 256,
            queue_messages_max: 100_000,
            queue_bytes_max: 256 << 20,
            outbox_bytes_max: 4 << 20,
            subscriptions_max: 1_000,
            topic_levels_max: 64,
            topic_bytes_max: 4_096,
            connections_max: 100_000,
            sessions_max: 200_000,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 1 << 30,
            topic_alias_max: 64,
            topic_alias_out_max: 16,
            session_expiry_max_s: u32::MAX,
            keep_alive_max_s: 0,
            connect_timeout_ms: 10_000,
            client_id_bytes_max: 256,
        }
    }
}
