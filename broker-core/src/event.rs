//! What happened, as values: they become log lines, metrics, the timeline, and the recorded reasons that the checkers read.

use crate::base::ids::{ConnId, Lsn, NodeId, ShardId, WriteId};
use crate::cluster::Stranger;
use bytes::Bytes;
use bytestring::ByteString;
use serde::Serialize;

/// One thing that happened in the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Event {
    /// A node opened its data: what it found. A member of a cluster holds what its snapshot holds, until the leaders say what of the rest is committed.
    Recovered {
        /// Entries replayed after the snapshot.
        entries: u64,
        /// The last record read.
        last: Lsn,
        /// Sessions held.
        sessions: u64,
        /// Messages held.
        messages: u64,
    },
    /// A client was accepted.
    Connected {
        /// The connection.
        conn: ConnId,
        /// Its client identifier, assigned or given.
        client_id: ByteString,
        /// 4 for 3.1.1, 5 for 5.0.
        protocol: u8,
        /// Session Present as sent in CONNACK.
        session_present: bool,
    },
    /// A client was refused before or at CONNACK.
    Refused {
        /// The connection.
        conn: ConnId,
        /// Where it came from, as the driver named it.
        peer: String,
        /// The reason code (MQTT 5.0 numbering).
        code: u8,
        /// Why, in words.
        why: String,
    },
    /// Another member said something that this node does not understand, or that cannot be.
    PeerFrameRefused {
        /// Which member.
        peer: NodeId,
    },
    /// Who says that it is this member has lost the data that the member had, or a part: nothing is said to it. It must be replaced by a node with
    /// another number.
    StrangerRefused {
        /// Who it says it is.
        peer: NodeId,
        /// What is wrong with it.
        why: Stranger,
    },
    /// A member takes this node for a stranger, as in [`Event::StrangerRefused`].
    TakenForStranger {
        /// Which member.
        peer: NodeId,
        /// What is wrong with this node.
        why: Stranger,
    },
    /// A directory of this cluster came that has another number of shards, or of replicas of each, than this node: it cannot be a
    /// member of that cluster. Nothing was changed.
    OtherShape {
        /// Those of the directory.
        cluster: (u16, u8),
        /// Those of this node.
        own: (u16, u8),
    },
    /// This node holds a replica of the shard from now on.
    ReplicaBegun {
        /// Which shard.
        shard: ShardId,
    },
    /// This node holds no replica of the shard any more: others have taken its place.
    ReplicaGivenUp {
        /// Which shard.
        shard: ShardId,
    },
    /// A connection ended.
    Disconnected {
        /// The connection.
        conn: ConnId,
        /// Its client identifier, if it had got that far.
        client_id: Option<ByteString>,
        /// The reason code (MQTT 5.0 numbering), 0 for a normal end.
        code: u8,
        /// Why, in words.
        why: String,
    },
    /// A message was not delivered to a session, and this is the recorded reason.
    Dropped {
        /// The session's client identifier; `None` if the message reached no session at all.
        client_id: Option<ByteString>,
        /// The topic.
        topic: ByteString,
        /// The payload (shared, not copied).
        payload: Bytes,
        /// Why.
        reason: DropReason,
    },
    /// A limit was reached.
    LimitReached {
        /// The name of the field in `Limits`.
        limit: &'static str,
        /// The client it concerns.
        client_id: Option<ByteString>,
    },
    /// A session ended and its state was discarded.
    SessionEnded {
        /// The session's client identifier.
        client_id: ByteString,
        /// Why.
        why: SessionEnd,
    },
    /// A will message was published.
    WillSent {
        /// The client whose will it was.
        client_id: ByteString,
    },
    /// This node leads a shard from now on, and serves it.
    Leading {
        /// Which.
        shard: ShardId,
        /// In which term.
        term: u64,
    },
    /// This node has learnt who leads a shard and serves it.
    LeaderKnown {
        /// Which.
        shard: ShardId,
        /// Who.
        leader: NodeId,
        /// In which term.
        term: u64,
    },
    /// This node, which leads a shard, asks another one to lead it. What is asked of the shard waits until that one does, or until it is clear that it does not.
    HandingOver {
        /// Which.
        shard: ShardId,
        /// Who is to lead.
        to: NodeId,
    },
    /// This node, which leads a shard, has not heard of a gateway for the length of its lease: the shard has dropped it, and detached
    /// its sessions.
    GatewayDropped {
        /// Which shard.
        shard: ShardId,
        /// The node that is the gateway.
        node: NodeId,
    },
    /// A write is on disk.
    Durable {
        /// Which.
        write: WriteId,
    },
    /// A snapshot was taken.
    Snapshot {
        /// It holds the effect of all records up to this one.
        upto: Lsn,
    },
}

/// Why a message did not reach a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum DropReason {
    /// Its expiry interval passed. \[MQTT-3.3.2-5\]
    Expired,
    /// `queue_messages_max` or `queue_bytes_max` was reached.
    QueueFull,
    /// QoS 0 towards a client that reads too slowly (`outbox_bytes_max`).
    SlowConsumer,
    /// The session ended.
    SessionEnded,
    /// The access list does not let this client receive it.
    NotAuthorized,
    /// It is larger than the client's Maximum Packet Size. \[MQTT-3.1.2-25\]
    PacketTooLarge,
    /// A retained message that a limit refused.
    RetainedFull,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum SessionEnd {
    /// Its expiry interval passed after the connection closed.
    Expired,
    /// A CONNECT with Clean Start took its place.
    CleanStart,
    /// It was to end with its connection.
    ConnectionClosed,
}
