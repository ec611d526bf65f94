//! What every part of the world may touch: the time, the queue of what is to come, the history and the trace.

use crate::history::{ClientNo, FaultId, History, What};
use crate::peers::{Pair, Side};
use crate::scenario::{Direction, StepId};
use crate::trace::Trace;
use broker_core::ids::{ConnId, NodeId, ShardId};
use broker_core::time::{Duration, Instant};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Something that is to happen at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    /// A node's process is started.
    Start(NodeIx),
    /// A node handles what has arrived.
    Turn(NodeIx, Life),
    /// A node's deadline is due.
    Wake(NodeIx, Life),
    /// A sync of a node's disk ends.
    SyncDone(NodeIx, Life),
    /// A lazy sync of a node's disk is due.
    SyncDue(NodeIx, Life),
    /// A snapshot is written.
    SnapshotDone(NodeIx, Life),
    /// A check of credentials ends.
    Checked(NodeIx, Life, ConnId),
    /// Has a node that was told to stop done so?
    StopCheck(NodeIx, Life),
    /// Something on a connection arrives.
    Arrive(ConnId, Direction),
    /// Two nodes without a link try to make one.
    Dial(Pair),
    /// An attempt with this number to make a link has got through.
    Join(Pair, u64),
    /// Something may arrive at one end of the link between two nodes.
    ArriveAtPeer(Pair, Side),
    /// One end of the link between two nodes may have heard nothing for too long.
    Silence(Pair, Side),
    /// A flapping link between two nodes is cut or free again.
    Flap(FaultId),
    /// The operator may have had no answer to this request.
    Operate(u64),
    /// A client's timer is due.
    ClientTimer(ClientNo),
    /// A step is due.
    Step(StepId),
    /// A fault begins.
    FaultStart(FaultId),
    /// A fault ends.
    FaultEnd(FaultId),
    /// The safety phase ends.
    Heal,
    /// Have all come to rest?
    RestCheck,
}

/// A node's place in the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeIx(pub(crate) usize);

/// One life of a node's process; what was scheduled in an earlier life is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life(pub(crate) u64);

/// The stage on which the parts play.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The time of the world.
    pub(crate) now: Instant,
    /// What happened.
    pub(crate) history: History,
    /// The same and more, folded.
    pub(crate) trace: Trace,
    /// Ordered by time, then by the order of scheduling.
    queue: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    scheduled: u64,
    conns: u64,
    /// The node that last said that it leads a shard.
    pub(crate) leaders: BTreeMap<ShardId, NodeId>,
    /// When a client last sent or received something that is not a ping.
    pub(crate) last_traffic: Instant,
}

impl Stage {
    pub(crate) fn new(trace: Trace) -> Self {
        Stage {
            now: Instant::ZERO,
            history: History::default(),
            trace,
            queue: BinaryHeap::new(),
            scheduled: 0,
            conns: 0,
            leaders: BTreeMap::new(),
            last_traffic: Instant::ZERO,
        }
    }

    /// Lets `happening` happen at `at`, or at once if that is past. What is due at the same time happens in the order in
    /// which it was scheduled.
    pub(crate) fn schedule(&mut self, at: Instant, happening: Happening) {
        self.scheduled += 1;
        self.queue.push(Reverse((at.max(self.now), self.scheduled, happening)));
    }

    /// Lets `happening` happen `delay` from now.
    pub(crate) fn after(&mut self, delay: Duration, happening: Happening) {
        self.schedule(self.now + delay, happening);
    }

    /// Moves time to the next happening; `None` ends the run, which is when that is after `end`.
    pub(crate) fn next(&mut self, end: Instant) -> Option<Happening> {
        let Reverse((at, _, happening)) = self.queue.pop()?;
        if at > end {
            return None;
        }
        self.now = at;
        Some(happening)
    }

    /// The number of a new connection.
    pub(crate) fn new_conn(&mut self) -> ConnId {
        self.conns += 1;
        ConnId(self.conns)
    }

    /// Records `what` in the history.
    pub(crate) fn record(&mut self, what: What) {
        self.history.push(self.now, what);
    }

    /// Folds an event into the trace.
    pub(crate) fn note(&mut self, kind: &'static str, numbers: &[u64], bytes: &[u8]) {
        self.trace.event(self.now, kind, numbers, bytes);
    }
}
