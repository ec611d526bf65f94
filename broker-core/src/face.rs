//! The core's face: what goes in and what comes out.
//!
//! A driver feeds inputs with the time, drains outputs at the end of each turn, and calls with [`Input::Wake`] when
//! [`Broker::deadline`] is due. It decides nothing.

use crate::auth::{Credentials, Decision};
use crate::base::ids::{ConnId, Lsn, NodeId, WriteId};
use crate::base::limits::Limits;
use crate::base::time::{Duration, Instant, WallTime};
use crate::cluster::{Change, Directory, Member, Refusal};
use crate::event::Event;
pub use crate::storage::{Record, Recovered, Snapshot};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a node is told when it opens.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The node's name in its cluster.
    pub node: NodeId,
    /// The seed of all randomness in the core.
    pub seed: u64,
    /// The bounds.
    pub limits: Limits,
    /// What an acknowledgement waits for.
    pub durability: Durability,
    /// Take a snapshot when this many bytes of records were handed out since the last one (and at least twice its size).
    pub snapshot_log_bytes: u64,
    /// How often the node tells of itself, retained, under `$SYS/brokers/NODE/`; `None` is never.
    pub report_every: Option<Duration>,
    /// The wall clock at opening.
    pub wall: WallTime,
    /// The cluster it is a member of; `None` is a node that holds everything itself.
    pub cluster: Option<ClusterSetup>,
}

/// What a node is told of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSetup {
    /// The members with which the cluster begins, this node among them; they count only at a node's first start, and are the same at all of them. Empty: the
    /// node joins a cluster that is there, when that is told to take it.
    pub founders: BTreeMap<NodeId, Member>,
    /// How many shards there are: the same number everywhere and for ever, 1 to [`SHARDS_MAX`].
    pub shards: u16,
    /// How many replicas a shard has; all members if they are fewer. The same number everywhere and for ever.
    pub replicas: u8,
}

/// The most shards a cluster can have: each has a part of the packet identifier space.
pub const SHARDS_MAX: u16 = 64;

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// On disk (fdatasync) before it is acknowledged.
    #[default]
    Sync,
    /// Written in the background: a crash may lose what was acknowledged shortly before.
    Async,
}

/// What a driver tells the core.
#[derive(Debug)]
pub enum Input {
    /// A deadline is due.
    Wake,
    /// A connection was accepted.
    ClientOpened {
        /// Its number, never used before.
        conn: ConnId,
        /// Where it comes from, for logs and authentication.
        peer: String,
    },
    /// Bytes arrived.
    ClientBytes {
        /// On this connection.
        conn: ConnId,
        /// Any part of the stream.
        bytes: Bytes,
    },
    /// The socket took bytes: credit for more.
    ClientSent {
        /// On this connection.
        conn: ConnId,
        /// How many of the bytes handed out.
        bytes: usize,
    },
    /// A connection is gone, by reset, by end of stream or by the driver's shutdown.
    ClientClosed {
        /// This connection.
        conn: ConnId,
    },
    /// The answer to [`Output::Authenticate`].
    Authenticated {
        /// For this connection (ignored if it is gone).
        conn: ConnId,
        /// The answer.
        decision: Decision,
    },
    /// A write, and all before it, is on disk.
    Persisted {
        /// The write.
        write: WriteId,
    },
    /// A snapshot, handed out by [`Output::Snapshot`], is on disk.
    SnapshotStored {
        /// It holds the effect of all records up to this one.
        upto: Lsn,
    },
    /// There is a link to this member now, both ways. What was sent to it before and has not arrived is lost.
    PeerUp {
        /// Which member.
        peer: NodeId,
    },
    /// A frame arrived, in the order in which its sender handed it out.
    PeerFrame {
        /// From this member.
        peer: NodeId,
        /// A whole frame.
        frame: Bytes,
    },
    /// The link to this member is gone.
    PeerDown {
        /// Which member.
        peer: NodeId,
    },
    /// An operator wants the members of the cluster to change. It is answered with [`Output::MembersChanged`] when that is decided. If there is no answer
    /// within 5 s it may be decided or not, and can be asked for again, through any member.
    ChangeMembers {
        /// The number of the answer, never used before in this life of the node.
        request: u64,
        /// What is wanted.
        change: Change,
    },
    /// The node is to stop: clients are told and closed (0x8B), what is pending is persisted first, and other members of its cluster are asked to lead
    /// what it leads: it is not to end before [`Broker::may_stop`].
    Shutdown,
}

/// What the core asks of a driver. Outputs are to be carried out in order.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes, after those of earlier outputs for the same connection.
    SendClient {
        /// On this connection.
        conn: ConnId,
        /// Whole packets or parts of them.
        bytes: Bytes,
    },
    /// Close the connection once all that was handed out for it is sent (or the peer does not take it in reasonable
    /// time). The core has forgotten it; no `ClientClosed` is needed.
    CloseClient {
        /// This connection.
        conn: ConnId,
    },
    /// Stop or go on reading from the connection: back-pressure towards a publisher that is ahead of the disk. Bytes that
    /// were already read may still be handed in. Reading is on when a connection opens.
    ReadClient {
        /// This connection.
        conn: ConnId,
        /// Whether to read.
        on: bool,
    },
    /// Send a frame to another member, after those of earlier outputs for it; lost if there is no link.
    SendPeer {
        /// To this member.
        peer: NodeId,
        /// A whole frame.
        frame: Bytes,
    },
    /// Answer with [`Input::Authenticated`].
    Authenticate {
        /// For this connection.
        conn: ConnId,
        /// What the client said.
        credentials: Credentials,
    },
    /// Append `records` to the write-ahead log, sync, and answer with [`Input::Persisted`].
    Persist {
        /// The number of this write.
        write: WriteId,
        /// The records, numbered on from the last ones.
        records: Vec<Record>,
        /// False if nothing waits for the sync: it may be done later, with another write's.
        urgent: bool,
    },
    /// Store this snapshot, answer with [`Input::SnapshotStored`]; records up to the older kept snapshot may go.
    Snapshot(Snapshot),
    /// These are the members of the cluster now, as far as this node knows: links to all others are to be kept, and to nobody else.
    Members {
        /// How often the directory was changed; 0 as long as nothing is known.
        version: u64,
        /// Where each is.
        members: BTreeMap<NodeId, String>,
    },
    /// The answer to [`Input::ChangeMembers`].
    MembersChanged {
        /// Of that request.
        request: u64,
        /// The version of the directory by which it is so, or why it is not to be.
        result: Result<u64, Refusal>,
    },
    /// Something happened.
    Event(Event),
}

/// Why the core wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKind {
    /// A new connection has not sent CONNECT.
    ConnectTimeout(ConnId),
    /// A client has been silent for 1.5 times its keep alive. \[MQTT-3.1.2-22\]
    KeepAlive(ConnId),
    /// A session expires, a will is due, queued messages expire; in a cluster also elections, heartbeats and leases.
    Expiry,
    /// Progress of consumers is to be written down.
    Progress,
    /// The node is to tell of itself.
    Report,
}

/// The broker as a driver sees it.
pub trait Broker {
    /// Takes one input at `now`. Never fails: bad bytes close that client only.
    fn handle(&mut self, now: Instant, input: Input);
    /// Ends the turn: one write, and every output that may be released.
    fn drain(&mut self, out: &mut Vec<Output>);
    /// When, and why, it wants [`Input::Wake`].
    fn deadline(&self) -> Option<(Instant, TimerKind)>;
    /// Whether a node that was told to stop may end as far as other members of its cluster are concerned: they lead what it led, or nobody is there who could,
    /// or 2 s have passed. It is asked at the end of a turn.
    fn may_stop(&self) -> bool {
        true
    }
    /// The cluster's directory as far as this node knows it; `None` for a node that stands alone.
    fn directory(&self) -> Option<&Directory> {
        None
    }
}
