//! What comes of applying an entry.

use super::entry::Attachment;
use super::shard_set::ShardSet;
use super::stream::GatewayId;
use crate::base::ids::{Incarnation, Position, ShardId};
use crate::codec::ReasonCode;
use crate::codec::packet::QoS;
use crate::event::{DropReason, SessionEnd};
use crate::message::Message;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// The answer to the proposer of an entry. It is kept for producers that ask again: the order of variants is part of the format
/// on disk, new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// The entry of a lower epoch or of a session that is gone: it changed nothing.
    Fenced,
    /// The session is attached.
    Attached {
        /// By this attachment.
        session: Attachment,
        /// Whether state was held for it. \[MQTT-3.2.2-2\]
        present: bool,
        /// Whether it outlives its connection.
        durable: bool,
        /// The shards that may have a queue for it.
        consuming: ShardSet,
        /// The shards that may hold packet identifiers of its QoS 2 publishes.
        touched: ShardSet,
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
    /// A request came before the one that is next in its stream: it changed nothing.
    OutOfTurn {
        /// The number that is next.
        expected: u64,
    },
    /// The producer was dropped, or its stream is not known here and does not begin with this request, or it has no right
    /// to ask this: nothing changed.
    UnknownProducer,
    /// A request that was applied before, and whose answer the producer has said it has.
    AnsweredBefore,
    /// The session may publish QoS 2 to the shard it asked for.
    Touched,
    /// The gateway hears the filter.
    Hearing {
        /// From this position of its hub's queue on. The retained messages it asked for are before that, with its tag.
        from: Position,
    },
    /// The session is not what the attach takes it for: it changed nothing.
    AttachedSince {
        /// What it is.
        last: Option<Attachment>,
    },
}

/// The answer to a request of a numbered stream, as it is kept until the producer has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The answer.
    pub verdict: Verdict,
    /// It may be given when these shards have confirmed the outbox up to and with these numbers.
    pub awaits: Vec<(ShardId, u64)>,
}

/// What a connected client should see of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A message took effect: connected clean sessions that match are to get it.
    Live {
        /// The message.
        message: Rc<Message>,
        /// The gateways whose clean sessions heard it when it took effect, if it is QoS 0: what is more they have in their queues.
        hearers: Vec<GatewayId>,
    },
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
    Evicted {
        /// This attachment is not the session's any more.
        session: Attachment,
        /// It was here.
        gateway: GatewayId,
    },
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
    /// The queue of a session may be read by this attachment from here on.
    Bound(Attachment),
    /// This attachment may not read it any more.
    Unbound {
        /// Whose it was.
        session: Attachment,
        /// It was here.
        gateway: GatewayId,
    },
    /// There is something new in the queue of a gateway's hub.
    HubReady(GatewayId),
    /// There is something new in the outbox for this shard.
    Forward {
        /// For whom.
        to: ShardId,
    },
}
