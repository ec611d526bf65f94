//! The entries of a shard's log, and what comes of applying one.

use crate::base::ids::{Epoch, Incarnation, PacketId, Position};
use crate::base::limits::Limits;
use crate::base::time::WallTime;
use crate::codec::ReasonCode;
use crate::codec::packet::{QoS, SubscriptionOptions};
use crate::event::{DropReason, SessionEnd};
use crate::message::Message;
use crate::topic::TopicFilter;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The proposer's shard time. Shard time never falls: a lower one counts as the last one applied.
    pub at: WallTime,
    /// What changes.
    pub op: Op,
}

/// What an entry changes. The order of variants is part of the format on disk: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// A new process: what the previous one had attached is detached, and its limits hold from here on. They are part of
    /// the log because they decide what comes of an entry: with those of a configuration that was changed in between, a
    /// replay would drop what was acknowledged.
    Boot(QueueLimits),
    /// Time passes: what is due is carried out.
    Tick,
    /// A client connects.
    Attach(Box<Attach>),
    /// A connection of a session ended.
    Detach(Detach),
    /// A message.
    Publish(Publish),
    /// PUBREL: the packet identifier of a QoS 2 publish is free again.
    Release {
        /// Whose.
        session: Attachment,
        /// Which.
        id: PacketId,
    },
    /// SUBSCRIBE.
    Subscribe {
        /// Whose.
        session: Attachment,
        /// The subscription identifier of all of them.
        subscription_id: Option<u32>,
        /// What for.
        filters: Vec<(TopicFilter, SubscriptionOptions)>,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// Whose.
        session: Attachment,
        /// What from.
        filters: Vec<TopicFilter>,
    },
    /// How far delivery to a session got.
    Progress {
        /// Whose.
        session: Attachment,
        /// What became of which position.
        steps: Vec<(Position, Step)>,
    },
}

/// The limits that decide what comes of an entry. They are those of [`Limits`] with the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of `Limits`")]
pub struct QueueLimits {
    pub queue_messages_max: u32,
    pub queue_bytes_max: u64,
    pub subscriptions_max: u32,
    pub sessions_max: u32,
    pub retained_messages_max: u32,
    pub retained_bytes_max: u64,
}

impl From<&Limits> for QueueLimits {
    fn from(limits: &Limits) -> Self {
        QueueLimits {
            queue_messages_max: limits.queue_messages_max,
            queue_bytes_max: limits.queue_bytes_max,
            subscriptions_max: limits.subscriptions_max,
            sessions_max: limits.sessions_max,
            retained_messages_max: limits.retained_messages_max,
            retained_bytes_max: limits.retained_bytes_max,
        }
    }
}

/// One attachment of one session: what carries a lower epoch than the session's is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    /// The session.
    pub incarnation: Incarnation,
    /// The attach.
    pub epoch: Epoch,
}

/// CONNECT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attach {
    /// The client identifier.
    pub client_id: ByteString,
    /// Whether a session that exists is discarded. \[MQTT-3.1.2-4\]
    pub clean_start: bool,
    /// Seconds the session outlives its connection; `u32::MAX` for ever.
    pub expiry_s: u32,
    /// The most unacknowledged messages the client takes at a time.
    pub window: u16,
    /// The will.
    pub will: Option<Will>,
    /// What the proposer knows of the connection that is taken over.
    pub old: OldConnection,
}

/// What is known of a connection that is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldConnection {
    /// Nothing: it was not the proposer's, or there is none.
    Unknown,
    /// It never sent anything.
    Silent,
    /// It was this attachment's, and sent nothing from this position on.
    Sent(Attachment, Position),
}

/// A will message and when to send it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Will {
    /// Seconds between the loss of the connection and the sending.
    pub delay_s: u32,
    /// Seconds after sending at which it expires.
    pub expiry_s: Option<u32>,
    /// The message, without its expiry.
    pub message: Message,
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detach {
    /// Whose.
    pub session: Attachment,
    /// A new session expiry, from DISCONNECT.
    pub expiry_s: Option<u32>,
    /// Whether the will goes without being sent: DISCONNECT with 0x00. \[MQTT-3.14.4-3\]
    pub discard_will: bool,
    /// All positions below it may have been sent, none from it on were.
    pub sent: Position,
}

/// A message, and for a durable publisher with QoS 2 its packet identifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// The publisher's session and epoch.
    pub session: Attachment,
    /// The packet identifier to remember until PUBREL.
    pub inbound: Option<PacketId>,
    /// The message.
    pub message: Rc<Message>,
}

/// What became of a position of a session's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// PUBREC came: the message was received, PUBREL is owed.
    Received,
    /// Delivery is complete, or the message was dropped for a recorded reason.
    Done,
}

/// The answer to the proposer of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The entry of a lower epoch or of a session that is gone: it changed nothing.
    Fenced,
    /// The session is attached.
    Attached {
        /// By this attachment.
        session: Attachment,
        /// Whether state was held for it. \[MQTT-3.2.2-2\]
        present: bool,
    },
    /// `sessions_max` is reached.
    SessionsFull,
    /// The message was taken.
    Accepted {
        /// Whether a session of the machine will get it.
        matched: bool,
    },
    /// The packet identifier is in use: a resend, without effect. \[MQTT-4.3.3-10\]
    Duplicate,
    /// A limit on retained messages is reached: the message was not taken.
    RetainedFull,
    /// PUBREL was applied.
    Released {
        /// Whether the identifier was in use.
        known: bool,
    },
    /// The answers to SUBSCRIBE, in order.
    Subscribed(Vec<Result<QoS, ReasonCode>>),
    /// Whether each subscription existed, in order.
    Unsubscribed(Vec<bool>),
    /// It was applied.
    Applied,
}

/// What a connected client should see of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A message took effect: connected clean sessions that match are to get it.
    Live(Rc<Message>),
    /// A durable session has something new in its queue.
    Ready(Incarnation),
    /// QoS 0 for a session of the machine; lost if it is not connected.
    Volatile {
        /// For whom.
        session: Incarnation,
        /// What.
        message: Rc<Message>,
        /// The RETAIN flag to send.
        retain: bool,
        /// Subscription identifiers to send.
        subscription_ids: Vec<u32>,
    },
    /// Another connection took the session over.
    Evicted(Attachment),
    /// A session ended.
    Ended {
        /// Which.
        session: Incarnation,
        /// Whose.
        client_id: ByteString,
        /// Why.
        why: SessionEnd,
    },
    /// A will was published.
    WillSent {
        /// Whose.
        client_id: ByteString,
    },
    /// A message will not reach a session, and why.
    Dropped {
        /// Which session; `None` if it reached none.
        client_id: Option<ByteString>,
        /// What.
        message: Rc<Message>,
        /// Why.
        reason: DropReason,
    },
}
