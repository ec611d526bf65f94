//! What members of a cluster say to each other: a version byte, then a [`Frame`] in postcard.

use crate::base::ids::{NodeId, Position, ShardId};
use crate::base::time::{Instant, WallTime};
use crate::cluster::{Change, Directory, Introduction, Refusal, Stranger};
use crate::message::Message;
use crate::replication::raft;
use crate::session::mirror::Pushed;
use crate::shard::{Attachment, GatewayId, Op, PeerOp, Verdict};
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::rc::Rc;

/// The version of [`Frame`].
const VERSION: u8 = 5;

/// One thing said. The order of variants is part of the format: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Frame {
    /// Between the replicas of a shard.
    Raft { shard: ShardId, message: Bytes },
    /// The sender leads the shard since this term, and serves.
    Leads { shard: ShardId, term: u64 },
    /// A gateway asks the leader of a shard.
    Request {
        shard: ShardId,
        gateway: GatewayId,
        sequence: u64,
        /// All requests below have been answered.
        answered: u64,
        /// The gateway's wall clock, to which the times in `op` refer.
        wall: WallTime,
        op: Op,
    },
    /// The answer.
    Answer { shard: ShardId, gateway: GatewayId, sequence: u64, verdict: Verdict },
    /// A gateway wants the queue of a session from `next` on, or from its beginning.
    Feed { shard: ShardId, session: Attachment, next: Option<Position> },
    /// The queue of a session begins at `base`; what is below `sent` may have been sent.
    FeedStart { shard: ShardId, session: Attachment, base: Position, sent: Position },
    /// The queue of a session from `first` on; nothing is sent from `end` on until more progress is on disk.
    Push {
        shard: ShardId,
        session: Attachment,
        wall: WallTime,
        first: Position,
        end: Position,
        items: Vec<Pushed>,
    },
    /// A gateway wants the queue of its hub from `next` on.
    HubFeed { shard: ShardId, gateway: GatewayId, next: Position },
    /// The queue of a gateway's hub from `first` on.
    HubPush { shard: ShardId, gateway: GatewayId, wall: WallTime, first: Position, items: Vec<HubItem> },
    /// QoS 0 without RETAIN, to the leader of its topic's shard: lost if anything is in its way.
    Volatile { shard: ShardId, session: Attachment, wall: WallTime, message: Rc<Message> },
    /// QoS 0 for sessions and clean sessions of a gateway.
    VolatilePush {
        shard: ShardId,
        place: Place,
        wall: WallTime,
        message: Rc<Message>,
        live: bool,
        targets: Vec<VolatileTarget>,
    },
    /// This attachment is not the session's any more.
    Evicted { session: Attachment },
    /// A gateway has these attachments of sessions of the shard.
    Holds { shard: ShardId, sessions: Vec<Attachment> },
    /// A gateway is alive, as of its own clock.
    Renew { shard: ShardId, gateway: GatewayId, at: Instant },
    /// The leader of the shard has heard that, and has applied the gateway's requests up to `last`.
    Renewed { shard: ShardId, gateway: GatewayId, at: Instant, last: u64 },
    /// From the outbox of a shard to another one.
    Forward { from: ShardId, to: ShardId, sequence: u64, op: PeerOp },
    /// The other shard has applied all up to this number.
    Confirmed { from: ShardId, to: ShardId, upto: u64 },
    /// A gateway asks what the session of a client was attached as last.
    AskSession { shard: ShardId, client_id: ByteString },
    /// The answer, when no connection has it any more that could be asked to end. It may be old: the attach is decided by the shard.
    SessionIs { shard: ShardId, client_id: ByteString, last: Option<Attachment> },
    /// What the sender knows of the cluster.
    Directory(Box<Directory>),
    /// An operator wants the members to change: to the leader of the meta group.
    Change { request: u64, change: Change },
    /// The version of the directory with which it is so, or why it is not to be.
    Changed { request: u64, result: Result<u64, Refusal> },
    /// The group's committed configuration is the assignment of this epoch: to the leader of the meta group.
    Settled { group: ShardId, epoch: u64 },
    /// Of a `VolatilePush`: these connections are gone.
    Returned {
        shard: ShardId,
        place: Place,
        wall: WallTime,
        message: Rc<Message>,
        targets: Vec<VolatileTarget>,
    },
    /// Another connection has the session: has everything come back that this one was not handed?
    Recall { shard: ShardId, session: Attachment },
    /// It has.
    Recalled { shard: ShardId, session: Attachment },
    /// The client of a session is about to be attached anew: this connection is to end.
    Yield { session: Attachment },
    /// It has ended, and what it left behind is on record.
    Yielded { session: Attachment },
    /// Who the sender is: the first frame over each link.
    Introduction(Introduction),
    /// The sender takes the other side for a stranger.
    Stranger(Stranger),
}

/// Where a message stands among those of QoS 0 that the leader of a shard hands out, in the order of its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) term: u64,
    pub(super) number: u64,
}

/// A position of a hub's queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct HubItem {
    /// `None`: it was dropped.
    pub(super) message: Option<Rc<Message>>,
    /// The SUBSCRIBE that a retained message is for; everybody who hears it, if there is none.
    pub(super) tag: Option<u64>,
}

/// A session that is to get a QoS 0 message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct VolatileTarget {
    /// On this connection only: on a later one it could come behind what was sent later.
    pub(super) session: Attachment,
    pub(super) retain: bool,
    pub(super) subscription_ids: Vec<u32>,
}

/// A frame for a member.
#[derive(Debug)]
pub(super) struct Addressed {
    pub(super) to: NodeId,
    pub(super) frame: Frame,
}

/// Bytes from another member that are no frame of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadFrame;

/// What members say to each other in `bytes`, a frame, in a few words; `None` of what is said all the time, and of what cannot be read.
pub fn told(bytes: &[u8]) -> Option<String> {
    Some(match Frame::decode(bytes).ok()? {
        Frame::Raft { message, .. } => return raft::told(&message),
        Frame::Request { op, .. } => format!("Request: {}", variant(&op)),
        Frame::Answer { verdict, .. } => format!("Answer: {}", variant(&verdict)),
        Frame::Feed { .. } => "Feed".to_owned(),
        Frame::FeedStart { .. } => "FeedStart".to_owned(),
        Frame::Push { items, .. } if !items.is_empty() => {
            let items: Vec<String> = items.iter().map(variant).collect();
            format!("Push: {}", items.join(", "))
        }
        Frame::HubPush { items, .. } => format!("HubPush of {}", items.len()),
        Frame::Forward { op, .. } => format!("Forward: {}", variant(&op)),
        Frame::Confirmed { .. } => "Confirmed".to_owned(),
        _ => return None,
    })
}

/// The name of what it is, without what it holds.
fn variant(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.chars().take_while(|letter| letter.is_alphanumeric()).collect()
}

impl Frame {
    /// The shard whose leader it is for, if it is for one.
    pub(super) fn shard(&self) -> Option<ShardId> {
        match self {
            Frame::Request { shard, .. }
            | Frame::Feed { shard, .. }
            | Frame::HubFeed { shard, .. }
            | Frame::Volatile { shard, .. }
            | Frame::Holds { shard, .. }
            | Frame::AskSession { shard, .. }
            | Frame::Returned { shard, .. }
            | Frame::Recalled { shard, .. }
            | Frame::Renew { shard, .. } => Some(*shard),
            Frame::Forward { to, .. } => Some(*to),
            Frame::Confirmed { from, .. } => Some(*from),
            Frame::Yielded { session } => Some(session.incarnation.shard()),
            _ => None,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        postcard::to_extend(self, vec![VERSION]).expect("encoding into memory does not fail").into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Frame, BadFrame> {
        match bytes.split_first() {
            Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|_| BadFrame),
            _ => Err(BadFrame),
        }
    }
}
