//! What the shard of a session tells the shards that the session concerns.

use super::entry::Attachment;
use super::session::Subscription;
use super::stream::GatewayId;
use crate::base::ids::{Incarnation, Position};
use crate::message::Message;
use crate::topic::TopicFilter;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// One thing to tell. The order of variants is part of the format on disk: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerOp {
    /// This attachment has the session now: what has a lower epoch is refused.
    Bind {
        /// Whose.
        attachment: Attachment,
        /// The client identifier.
        client_id: ByteString,
        /// The most unacknowledged messages the client takes at a time.
        window: u16,
        /// Where the client is; `None` if the session has no connection.
        gateway: Option<GatewayId>,
    },
    /// The connection of this attachment is gone.
    Unbind {
        /// Whose.
        attachment: Attachment,
        /// What it sent of the queue here.
        sent: Sent,
    },
    /// A subscription was made or changed.
    Route {
        /// Whose.
        attachment: Attachment,
        /// What for.
        filter: TopicFilter,
        /// How.
        subscription: Subscription,
        /// Whether it replaces one: then Retain Handling 1 asks for no retained messages. \[MQTT-3.3.1-10\]
        existed: bool,
    },
    /// A subscription was given up.
    Unroute {
        /// Whose.
        attachment: Attachment,
        /// What from.
        filter: TopicFilter,
    },
    /// A session ended.
    Retire {
        /// Which.
        incarnation: Incarnation,
    },
    /// A will.
    Publish {
        /// The message, without its expiry.
        message: Rc<Message>,
        /// Seconds after which it expires, by the time of the shard that is told: clocks of shards differ.
        expiry_s: Option<u32>,
    },
}

/// What the connection that is gone sent of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sent {
    /// Nothing.
    Nothing,
    /// Nothing from this position on.
    Below(Position),
    /// Nobody knows: at most what a gateway may send beyond what is committed.
    Unknown,
}
