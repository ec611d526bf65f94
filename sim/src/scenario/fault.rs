//! Faults as data: each has a start and an end, so that it can be listed, shaded on a timeline and taken away.

mod reach;

use crate::history::{ClientNo, FaultId};
use broker_core::ids::{NodeId, ShardId};
use broker_core::time::Instant;
use serde::{Deserialize, Serialize};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its name in the history.
    pub id: FaultId,
    /// When it begins.
    pub from: Instant,
    /// When it ends; the heal ends it in any case.
    pub until: Instant,
    /// What it is.
    pub kind: FaultKind,
}

/// Which way of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// From the client to the broker.
    ToBroker,
    /// From the broker to the client.
    ToClient,
    /// Both ways.
    Both,
}

/// The kinds of faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// The process of a node is killed at the start and started at the end; the writes that the operating system had
    /// taken survive.
    Kill {
        /// Which.
        node: NodeId,
    },
    /// The machine of a node loses power at the start and is started at the end; un-synced writes are lost, torn or
    /// survive out of order.
    PowerLoss {
        /// Which.
        node: NodeId,
    },
    /// The node that leads a shard at the start is killed then, or loses power, and is started at the end.
    CrashLeader {
        /// Of which shard.
        shard: ShardId,
        /// The node that goes down if none is known to lead it.
        otherwise: NodeId,
        /// Whether its machine loses power (or only the process dies).
        power: bool,
    },
    /// A node is told to stop at the start (SIGTERM), does so in order, and is started at the end.
    Stop {
        /// Which.
        node: NodeId,
    },
    /// A node stands still (SIGSTOP): connections stay, nothing is answered.
    Pause {
        /// Which.
        node: NodeId,
    },
    /// From the start on, the node goes down in the middle of its `ops`-th disk call, and is started at the end.
    CrashAtDiskOp {
        /// Which.
        node: NodeId,
        /// How many disk calls from now, 1 is the next.
        ops: u32,
        /// Whether its machine loses power (or only the process dies).
        power: bool,
    },
    /// The node loses power at the start; its supervisor starts it again, but the next `times` recoveries lose power
    /// too, in the middle of their `ops`-th disk call, until one succeeds or the fault ends.
    CrashInRecovery {
        /// Which.
        node: NodeId,
        /// How many disk calls into the recovery, 1 is the first.
        ops: u32,
        /// How many recoveries.
        times: u32,
    },
    /// Syncs take longer.
    SlowSync {
        /// Whose.
        node: NodeId,
        /// By how much, in milliseconds.
        extra_ms: u64,
    },
    /// The first sync fails, which is fatal to the node; its supervisor starts it again.
    FailSync {
        /// Whose.
        node: NodeId,
    },
    /// The first write fails, which is fatal to the node; its supervisor starts it again.
    FailWrite {
        /// Whose.
        node: NodeId,
    },
    /// No space is left on the disk: files cannot be created or grown.
    DiskFull {
        /// Whose.
        node: NodeId,
    },
    /// The node is killed at the start, bits of its files that were on disk flip, and it is started at the end. It must
    /// notice: a node that finds damage in the middle of its log refuses to start.
    BitRot {
        /// Whose.
        node: NodeId,
        /// How many bits.
        bits: u32,
    },
    /// The node is killed at the start, its disk is replaced by an empty one, and it is started at the end, under its old number.
    Wipe {
        /// Which.
        node: NodeId,
    },
    /// A link becomes slower.
    Latency {
        /// Whose.
        client: ClientNo,
        /// By how much each way, in milliseconds.
        extra_ms: u64,
    },
    /// The client's connection is reset at the start.
    Reset {
        /// Whose.
        client: ClientNo,
    },
    /// Bytes vanish both ways and no close is seen: what is connected at the start never works again (as behind a
    /// router that forgot it), and new connections are not answered until the end.
    HalfOpen {
        /// Whose.
        client: ClientNo,
    },
    /// Nothing arrives until the end, then everything does.
    Stall {
        /// Whose.
        client: ClientNo,
        /// Which way.
        direction: Direction,
    },
    /// The client reads slowly, so that little credit flows back.
    SlowReader {
        /// Which.
        client: ClientNo,
        /// Bytes it takes in every 10 milliseconds.
        bytes_per_10ms: u32,
    },
    /// Bytes arrive in chunks of at most this many, both ways.
    Fragment {
        /// Whose.
        client: ClientNo,
        /// The longest chunk in bytes, at least 1.
        bytes_max: u32,
    },
    /// The wall clock of a node jumps at the start, for good; a node reads it when it starts.
    WallJump {
        /// Whose.
        node: NodeId,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
    /// The monotonic clock of a node runs fast (or slow, if negative) while the fault lasts.
    ClockRate {
        /// Whose.
        node: NodeId,
        /// Parts in a million, above -500,000.
        ppm: i32,
    },
    /// A client's process dies at the start and is started at the end. Its session store survives if it is persistent.
    ClientCrash {
        /// Which.
        client: ClientNo,
    },
    /// A client stands still: it neither reads nor sends.
    ClientStall {
        /// Which.
        client: ClientNo,
    },
    /// A client answers late.
    LateAck {
        /// Which.
        client: ClientNo,
        /// By how much, in milliseconds.
        extra_ms: u64,
    },
    /// Frames from one node to another take longer.
    PeerLatency {
        /// From which.
        from: NodeId,
        /// To which.
        to: NodeId,
        /// By how much, in milliseconds.
        extra_ms: u64,
    },
    /// The road from one node to another is narrow.
    PeerBandwidth {
        /// From which.
        from: NodeId,
        /// To which.
        to: NodeId,
        /// How many bytes it takes in a millisecond, at least 1.
        bytes_per_ms: u64,
    },
    /// The link between two nodes is reset at the start.
    PeerReset {
        /// One of them.
        a: NodeId,
        /// The other.
        b: NodeId,
    },
    /// Nothing gets from one node to another; the other way is free. As with all faults that cut nodes off from each other,
    /// what is under way is lost if silence ends the link meanwhile; otherwise it arrives at the end, or never, and the link
    /// is dead until silence ends it (a router forgot it).
    PeerBlock {
        /// From which.
        from: NodeId,
        /// To which.
        to: NodeId,
    },
    /// Nothing gets from one group of nodes to another. A node in no group is alone.
    Partition {
        /// The groups.
        groups: Vec<Vec<NodeId>>,
    },
    /// A node is cut off from all others.
    Isolate {
        /// Which.
        node: NodeId,
    },
    /// The node that leads a shard at the start is cut off from all others.
    IsolateLeader {
        /// Of which shard.
        shard: ShardId,
        /// The node that is cut off if none is known to lead it.
        otherwise: NodeId,
    },
    /// The nodes are in two halves that hear nothing of each other, but one node hears both.
    Bridge {
        /// The node between the halves.
        bridge: NodeId,
        /// One of the halves; the other nodes are the other.
        half: Vec<NodeId>,
    },
    /// Every node hears a majority, and no two the same one: each hears its neighbours on a ring only. With three nodes the
    /// ring is open between the first and the last.
    MajoritiesRing {
        /// The nodes around the ring.
        order: Vec<NodeId>,
    },
    /// The link between two nodes is cut and free in turns, each for half of a period; each cut resets it.
    Flap {
        /// One of them.
        a: NodeId,
        /// The other.
        b: NodeId,
        /// The period in milliseconds, at least 2.
        period_ms: u64,
    },
    /// Nothing that a node sends to others or is sent by them arrives until the end, then everything does that silence has
    /// not ended.
    Clog {
        /// Which.
        node: NodeId,
    },
    /// A node that is none of the founders is to be a member.
    Join {
        /// Which.
        node: NodeId,
    },
    /// A member is to hold nothing and then to be none; it is switched off when it is not.
    Leave {
        /// Which.
        node: NodeId,
    },
    /// A member is to hold nothing and to serve no client, until the end.
    Drain {
        /// Which.
        node: NodeId,
    },
    /// A node that is none of the founders is to take the place of a member.
    Replace {
        /// The member.
        old: NodeId,
        /// The node that takes its place.
        new: NodeId,
        /// Whether the machine of the old one is lost at the start, with its disk (or it is there until it has left).
        lost: bool,
    },
    /// A client does not answer PUBLISH, PUBREC and PUBREL while the fault lasts, and answers what is open at its end.
    NoAck {
        /// Which.
        client: ClientNo,
    },
}
