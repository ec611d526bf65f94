//! What a node tells of itself, retained, under `$SYS/brokers/NODE/`.

use super::gateway::Gateway;
use crate::base::ids::NodeId;
use crate::base::time::{Duration, Instant};
use crate::codec::packet::{PublishProperties, QoS};
use crate::face::TimerKind;
use crate::message::Message;
use crate::topic::TopicName;
use bytes::Bytes;
use bytestring::ByteString;

/// The first level of what is the broker's own to say.
pub(super) const RESERVED: &str = "$SYS";
/// A node that is silent for so many periods is not to be taken for what it said last.
const KEPT_PERIODS: u32 = 3;

/// What a node counts, since its process began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) publishes_received: u64,
    pub(super) publishes_sent: u64,
    pub(super) publishes_dropped: u64,
}

/// What a node holds, of the shards that it leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Led {
    /// How many shards.
    pub shards: usize,
    /// Their sessions, connected or not.
    pub sessions: usize,
    /// Messages in their queues, and retained ones.
    pub messages: usize,
}

/// When a node tells of itself.
#[derive(Debug)]
pub(super) struct Reporting {
    node: NodeId,
    period: Duration,
    began: Instant,
    is_due: bool,
}

impl Gateway {
    /// Has the node tell of itself now, and then once a `period`.
    pub fn report_every(&mut self, node: NodeId, period: Duration) {
        self.reporting = Some(Reporting { node, period, began: self.now, is_due: false });
        self.timers.set(TimerKind::Report, self.now);
    }

    pub(super) fn note_report_due(&mut self) {
        let Some(reporting) = &mut self.reporting else { return };
        reporting.is_due = true;
        self.timers.set(TimerKind::Report, self.now + reporting.period);
    }

    /// Whether it is time to tell; once a period.
    pub fn take_report_due(&mut self) -> bool {
        self.reporting.as_mut().is_some_and(|reporting| std::mem::take(&mut reporting.is_due))
    }

    /// What the node tells of itself now: a topic and a value each.
    pub fn report(&self, led: Led) -> Vec<Message> {
        let Some(reporting) = &self.reporting else { return Vec::new() };
        let uptime_s = self.now.saturating_since(reporting.began).as_millis() / 1_000;
        let counts = &self.counts;
        let values = [
            ("version", concat!("quorate ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("uptime", uptime_s.to_string()),
            ("clients/connected", self.clients.len().to_string()),
            ("publish/messages/received", counts.publishes_received.to_string()),
            ("publish/messages/sent", counts.publishes_sent.to_string()),
            ("publish/messages/dropped", counts.publishes_dropped.to_string()),
            ("bytes/received", counts.bytes_received.to_string()),
            ("bytes/sent", counts.bytes_sent.to_string()),
            ("shards/led", led.shards.to_string()),
            ("sessions", led.sessions.to_string()),
            ("store/messages", led.messages.to_string()),
        ];
        let expires_at = Some(self.wall + reporting.period * KEPT_PERIODS);
        let message = |(name, value): (&str, String)| Message {
            topic: TopicName::of_parsed(ByteString::from(format!(
                "{RESERVED}/brokers/{}/{name}",
                reporting.node
            ))),
            payload: Bytes::from(value),
            qos: QoS::AtMostOnce,
            retain: true,
            properties: PublishProperties::default(),
            publisher: ByteString::new(),
            expires_at,
        };
        values.into_iter().map(message).collect()
    }
}
