//! What a shard holds of one session.

use super::entry::{Attachment, Will};
use super::queue::Queue;
use crate::base::ids::{Epoch, Incarnation, PacketId, Position};
use crate::base::time::{Duration, WallTime};
use crate::codec::packet::SubscriptionOptions;
use crate::topic::TopicFilter;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The session expiry that never comes. \[MQTT-3.1.2-23\]
pub const NEVER_S: u32 = u32::MAX;

/// One subscription of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Granted QoS, No Local, Retain As Published, Retain Handling.
    pub options: SubscriptionOptions,
    /// The subscription identifier.
    pub id: Option<u32>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Whose.
    pub client_id: ByteString,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Its latest attach.
    pub epoch: Epoch,
    /// Created with an expiry: it has a queue here, and its QoS 2 identifiers. A clean session has them at its gateway.
    pub durable: bool,
    /// Whether it has a connection.
    pub attached: bool,
    /// Seconds it outlives its connection.
    pub expiry_s: u32,
    /// When it ends, while it has no connection.
    pub expires_at: Option<WallTime>,
    /// The will of the last connection, until it is sent or deleted.
    pub will: Option<Will>,
    /// When the will is due, while there is no connection.
    pub will_due: Option<WallTime>,
    /// The most unacknowledged messages its client takes at a time.
    pub window: u16,
    /// Its subscriptions; of a clean session the shared ones only.
    pub subscriptions: BTreeMap<TopicFilter, Subscription>,
    /// QoS 2 publishes that were received and not released.
    pub inbound: BTreeSet<PacketId>,
    /// Messages towards it.
    pub queue: Queue,
}

impl SessionRecord {
    /// The current attachment.
    pub fn attachment(&self) -> Attachment {
        Attachment { incarnation: self.incarnation, epoch: self.epoch }
    }

    /// The gateway sends nothing from this position on until more progress is committed.
    pub fn send_end(&self) -> Position {
        Position(self.queue.base().0 + send_span(self.window))
    }

    /// Whether something counts from the end of the connection that it has: a session expiry, or the delay of a will.
    pub(super) fn is_timed(&self) -> bool {
        let delayed = self.will.as_ref().is_some_and(|will| will.delay_s > 0);
        self.attached && self.expiry_s > 0 && (self.expiry_s != NEVER_S || delayed)
    }

    /// Starts the clock of the session's expiry, and of its will.
    pub(super) fn detach(&mut self, closed_at: WallTime) {
        self.attached = false;
        self.expires_at = match self.expiry_s {
            NEVER_S => None,
            seconds => Some(closed_at + Duration::from_secs(u64::from(seconds))),
        };
        self.will_due = self.will.as_ref().map(|will| {
            let due = closed_at + Duration::from_secs(u64::from(will.delay_s));
            self.expires_at.map_or(due, |end| end.min(due))
        });
    }
}

/// How many positions past the committed base a gateway may send: two windows and some slack, so that progress can be
/// committed lazily without holding the client up. It bounds what a crash leaves in doubt.
pub fn send_span(window: u16) -> u64 {
    (2 * u64::from(window) + 16).min(SEND_SPAN_MAX)
}

/// Below the part of the packet identifier space that a queue has, so that no two open positions share an identifier.
pub const SEND_SPAN_MAX: u64 = 16_384;
