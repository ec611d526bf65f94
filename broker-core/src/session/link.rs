//! One client that is connected: what its connection remembers.

use super::alias;
use super::window::{Part, Window};
use crate::auth::Permissions;
use crate::base::ids::{PacketId, Position};
use crate::base::time::{Duration, Instant};
use crate::codec::packet::{QoS, Version};
use crate::message::Message;
use crate::shard::session::Subscription;
use crate::shard::{Attachment, Step};
use crate::topic::TopicFilter;
use bytestring::ByteString;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// The parts of the packet identifier space: one for the gateway's own queue of a clean session, one for the shard's.
const PARTS: u16 = 2;
/// The part of the gateway's own queue.
pub(super) const LOCAL: Part = Part::of(0, PARTS);
/// The part of the shard's queue.
pub(super) const SHARD: Part = Part::of(1, PARTS);

/// Messages that can be unacknowledged towards one client at most, whatever `inflight_max` allows.
pub const INFLIGHT_MOST: u16 = LOCAL.span_max();

/// What the client said it takes.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Unacknowledged QoS 1 and 2 messages towards it. \[MQTT-3.3.4-9\]
    pub receive_max: u16,
    /// Topic aliases.
    pub topic_alias_max: u16,
    /// Whether it wants reason strings with packets other than CONNACK and DISCONNECT. \[MQTT-3.1.2-29\]
    pub problem_information: bool,
}

/// A message that waits for its turn in a clean session.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What.
    pub message: Rc<Message>,
    /// The QoS to deliver with.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// Subscription identifiers to send.
    pub subscription_ids: Vec<u32>,
}

/// A connected client.
#[derive(Debug)]
pub struct Link {
    /// Its client identifier.
    pub client_id: ByteString,
    /// Its session.
    pub session: Attachment,
    /// Whether its session outlives the connection.
    pub durable: bool,
    /// The session expiry in force, seconds.
    pub expiry_s: u32,
    pub(super) version: Version,
    pub(super) permissions: Arc<Permissions>,
    /// How long it may be silent.
    pub(super) silence_max: Option<Duration>,
    pub(super) last_heard: Instant,
    pub(super) limits: ClientLimits,
    pub(super) aliases_in: alias::Incoming,
    pub(super) aliases_out: alias::Outgoing,
    /// QoS 2 publishes of a clean session that were received and not released.
    pub(super) inbound: BTreeSet<PacketId>,
    /// QoS 1 and 2 publishes that were received and not answered to the end. \[MQTT-4.9.0-2\]
    pub(super) unanswered: u32,
    /// Publishes, and what follows them, that wait for the log.
    pub(super) uncommitted: u32,
    /// Subscriptions of a clean session, without shared ones.
    pub(super) subscriptions: BTreeMap<TopicFilter, Subscription>,
    pub(super) local: Window,
    pub(super) local_queue: VecDeque<Delivery>,
    pub(super) local_queue_bytes: u64,
    pub(super) shard: Window,
    /// Positions of the shard's queue below it that were not sent are being dropped: nothing behind them is sent until that is on disk.
    pub(super) dropped: Position,
    /// Whether the shard has a queue for it: every durable session, and a clean one with a shared subscription.
    pub(super) hears_shard: bool,
    /// Steps that are not proposed yet.
    pub(super) progress: Vec<(Position, Step)>,
}

impl Link {
    /// How many more QoS 1 and 2 messages may be sent now.
    pub(super) fn quota(&self) -> u16 {
        self.limits.receive_max.saturating_sub(self.local.open() + self.shard.open())
    }

    /// Whether the next message of a clean session's own queue may be sent as far as the client is concerned.
    pub(super) fn local_may_go(&self) -> bool {
        self.quota() > 0 && self.local.has_room()
    }

    /// The position up to which the shard's queue was sent, for `Detach`.
    pub(super) fn sent(&self) -> Position {
        self.shard.next()
    }

    /// Whether enough progress has gathered to be written down.
    pub(super) fn progress_is_due(&self) -> bool {
        self.progress.len() > usize::from(self.limits.receive_max / 2) + 8
    }
}
