//! The entries of a shard's log.

use super::peer::PeerOp;
use super::stream::{GatewayId, Stamp};
use crate::base::ids::{Epoch, Incarnation, PacketId, Position, ShardId};
use crate::base::limits::Limits;
use crate::base::time::WallTime;
use crate::codec::packet::{QoS, SubscriptionOptions};
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
    /// Whose it is, and which of its requests: what was applied already changes nothing again. `None` for what the
    /// proposer itself has to say; such an entry changes nothing if it comes twice, or its proposer sees to it that it does not.
    pub stamp: Option<Stamp>,
    /// What changes.
    pub op: Op,
}

/// What an entry changes. The order of variants is part of the format on disk: new ones go to the end.
///
/// [`Op::Publish`], [`Op::Release`], [`Op::Progress`] and those of the hub are asked of the topic's shard, what else a gateway
/// asks is asked of the session's.
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
    /// The first entry of a new leader: these limits hold from here on, for the reason given at [`Op::Boot`]. Whoever is
    /// attached stays attached.
    Lead(QueueLimits),
    /// A gateway was not heard of for its lease, and all its clients are closed by now or it is dead: it and the older ones of
    /// its node are dropped.
    GatewayLost(GatewayId),
    /// QoS 2 publishes of the session may go to `shard` from here on.
    Touch {
        /// Whose.
        session: Attachment,
        /// Where.
        shard: ShardId,
    },
    /// The gateway that asks hears this filter for one more of its clean sessions. Each is given back by one [`Op::Unhear`].
    Hear {
        /// What; without a share name.
        filter: TopicFilter,
        /// Whether the retained messages are wanted.
        retained: bool,
        /// What the gateway will know them by.
        tag: u64,
    },
    /// The gateway that asks hears this filter for one less.
    Unhear {
        /// What.
        filter: TopicFilter,
    },
    /// The gateway that asks does not need what its hub has below this position.
    Heard {
        /// Up to and without this one.
        upto: Position,
    },
    /// Another shard has applied what the outbox held for it: proposed by this shard's own leader.
    StreamConfirmed {
        /// Which.
        shard: ShardId,
        /// Up to and with this number.
        upto: u64,
    },
    /// From the outbox of another shard.
    Peer(PeerOp),
    /// A node tells of itself.
    Report(Rc<Message>),
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

/// CONNECT. The client is where the request comes from: at the gateway that the entry's stamp names.
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
    /// What the session must still be.
    pub expected: Expected,
}

/// What an attach takes the session for. If that is not so any more, another connection came in between, and this one may be of a client that
/// has given up and is somewhere else by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// Whatever it is: the proposer's attaches take effect in the order of their connections.
    Anything,
    /// It has been this attachment's last, or it did not exist.
    Last(Option<Attachment>),
}

/// What is known of a connection that is taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldConnection {
    /// Nothing: it was not the proposer's, or there is none.
    Unknown,
    /// It never sent anything.
    Silent,
    /// It was this attachment's, and sent this.
    Sent(Attachment, SentUpto),
}

/// How far a connection sent the queue of each shard: nothing from the position on. Of a shard that is not named it sent nothing.
pub type SentUpto = Vec<(ShardId, Position)>;

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
    /// How far it sent the queues.
    pub sent: SentUpto,
    /// If it ended because another connection of its client is about to attach: how long that may take, in milliseconds. The session's expiry and
    /// the will's delay count from then.
    pub grace_ms: u32,
}

/// A message, and for a durable publisher with QoS 2 its packet identifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// The publisher's session and epoch.
    pub session: Attachment,
    /// The packet identifier to remember until PUBREL. The session's shard knows, by [`Op::Touch`], that this one may hold it.
    pub inbound: Option<PacketId>,
    /// The message.
    pub message: Rc<Message>,
}

/// What became of a position of a session's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// PUBREC came, or the message is not sent again although its client may be waiting for the end of the exchange: PUBREL is owed.
    Received,
    /// Delivery is complete, or the message was dropped for a recorded reason.
    Done,
}

impl Step {
    /// What becomes of a message that is dropped. Of QoS 2 that may have been sent, the client may have sent PUBREC: it is owed a PUBREL,
    /// and its PUBCOMP ends the exchange, also if it does not know the identifier. \[MQTT-4.3.3-7, -13, MQTT-4.4.0-1\]
    pub(crate) fn of_drop(qos: QoS, maybe_sent: bool) -> Self {
        if maybe_sent && qos == QoS::ExactlyOnce { Step::Received } else { Step::Done }
    }
}
