//! What a client wants, for routing to decide.

use crate::base::ids::{ConnId, Incarnation, PacketId, Position, ShardId};
use crate::codec::ReasonCode;
use crate::codec::packet::SubscriptionOptions;
use crate::message::Message;
use crate::replication::Receipt;
use crate::shard::{Attach, Attachment, Detach, Step};
use crate::topic::TopicFilter;
use std::rc::Rc;

/// What a client wants. The order of a connection's intents is the order of its packets.
#[derive(Debug)]
pub enum Intent {
    /// CONNECT, accepted so far.
    Attach {
        /// Owed: CONNACK.
        receipt: Receipt,
        /// What to attach.
        attach: Box<Attach>,
    },
    /// PUBLISH.
    Publish {
        /// From here.
        conn: ConnId,
        /// The publisher's session.
        session: Attachment,
        /// Whether that session outlives its connection.
        durable: bool,
        /// Owed: PUBACK or PUBREC; nothing for QoS 0.
        receipt: Option<Receipt>,
        /// The packet identifier of a QoS 2 publish.
        inbound: Option<PacketId>,
        /// The message.
        message: Rc<Message>,
    },
    /// An answer that changes nothing, in its place among the answers of the connection: a refusal, or a duplicate.
    Answer {
        /// Owed.
        receipt: Receipt,
        /// What to answer.
        reason: ReasonCode,
        /// A QoS 2 publish that is refused may be the resend of one that was taken, before a right was withdrawn: it is
        /// answered as that, or the client would use the identifier again while it is still remembered.
        unless_taken: Option<(Incarnation, PacketId)>,
    },
    /// PUBREL of a durable session.
    Release {
        /// The session.
        session: Attachment,
        /// Owed: PUBCOMP.
        receipt: Receipt,
        /// The packet identifier.
        id: PacketId,
    },
    /// SUBSCRIBE.
    Subscribe {
        /// The session.
        session: Attachment,
        /// Whether it outlives its connection.
        durable: bool,
        /// Owed: SUBACK.
        receipt: Receipt,
        /// The subscription identifier.
        subscription_id: Option<u32>,
        /// What was asked for, or why it is refused.
        filters: Vec<Result<(TopicFilter, SubscriptionOptions), ReasonCode>>,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// The session.
        session: Attachment,
        /// Whether it outlives its connection.
        durable: bool,
        /// Owed: UNSUBACK.
        receipt: Receipt,
        /// What was asked for, or why it is refused.
        filters: Vec<Result<TopicFilter, ReasonCode>>,
    },
    /// How far delivery from a shard's queue got.
    Progress {
        /// The session.
        session: Attachment,
        /// The shard.
        shard: ShardId,
        /// Owed: PUBREL, if one waits for this.
        receipt: Option<Receipt>,
        /// The steps.
        steps: Vec<(Position, Step)>,
    },
    /// The connection ended.
    Detach {
        /// Owed: the socket's end, if the client said DISCONNECT.
        receipt: Option<Receipt>,
        /// How.
        detach: Detach,
    },
}
