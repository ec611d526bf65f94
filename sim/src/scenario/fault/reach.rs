//! Whom a fault is about, and which nodes it cuts off from each other.

use super::FaultKind;
use crate::history::ClientNo;
use broker_core::ids::NodeId;

impl FaultKind {
    /// Its name, for lists and timelines.
    pub const fn name(&self) -> &'static str {
        match self {
            FaultKind::Kill { .. } => "kill",
            FaultKind::PowerLoss { .. } => "power loss",
            FaultKind::CrashLeader { .. } => "crash of a leader",
            FaultKind::Stop { .. } => "stop",
            FaultKind::Pause { .. } => "pause",
            FaultKind::CrashAtDiskOp { .. } => "crash at disk op",
            FaultKind::CrashInRecovery { .. } => "crash in recovery",
            FaultKind::SlowSync { .. } => "slow sync",
            FaultKind::FailSync { .. } => "failing sync",
            FaultKind::FailWrite { .. } => "failing write",
            FaultKind::DiskFull { .. } => "full disk",
            FaultKind::BitRot { .. } => "bit rot",
            FaultKind::Wipe { .. } => "wiped disk",
            FaultKind::Latency { .. } => "latency",
            FaultKind::Reset { .. } => "reset",
            FaultKind::HalfOpen { .. } => "half-open",
            FaultKind::Stall { .. } => "stall",
            FaultKind::SlowReader { .. } => "slow reader",
            FaultKind::Fragment { .. } => "fragments",
            FaultKind::WallJump { .. } => "wall clock jump",
            FaultKind::ClockRate { .. } => "clock rate",
            FaultKind::ClientCrash { .. } => "client crash",
            FaultKind::ClientStall { .. } => "client stall",
            FaultKind::LateAck { .. } => "late acknowledgements",
            FaultKind::NoAck { .. } => "no acknowledgements",
            FaultKind::PeerLatency { .. } => "latency between nodes",
            FaultKind::PeerBandwidth { .. } => "narrow road between nodes",
            FaultKind::PeerReset { .. } => "reset between nodes",
            FaultKind::PeerBlock { .. } => "block between nodes",
            FaultKind::Partition { .. } => "partition",
            FaultKind::Isolate { .. } => "isolated node",
            FaultKind::IsolateLeader { .. } => "isolated leader",
            FaultKind::Bridge { .. } => "bridge",
            FaultKind::MajoritiesRing { .. } => "ring of majorities",
            FaultKind::Flap { .. } => "flapping link between nodes",
            FaultKind::Clog { .. } => "clogged node",
            FaultKind::Join { .. } => "node that joins",
            FaultKind::Leave { .. } => "node that leaves",
            FaultKind::Drain { .. } => "drained node",
            FaultKind::Replace { lost: false, .. } => "replaced node",
            FaultKind::Replace { lost: true, .. } => "lost node that is replaced",
        }
    }

    /// What it does, in a few words.
    pub const fn about(&self) -> &'static str {
        match self {
            FaultKind::Kill { .. } => {
                "the process of a node is gone; what its system had of its writes survives"
            }
            FaultKind::PowerLoss { .. } => {
                "a machine is off; un-synced writes are lost, torn, or survive out of order; nobody is told"
            }
            FaultKind::CrashLeader { .. } => {
                "the node that leads a shard was killed, or its machine lost power"
            }
            FaultKind::Stop { .. } => "a node was told to stop, and did so in order",
            FaultKind::Pause { .. } => "a node stands still; its connections stay",
            FaultKind::CrashAtDiskOp { .. } => "a node goes down in the middle of one of its next disk calls",
            FaultKind::CrashInRecovery { .. } => "the next recoveries of a node lose power in the middle",
            FaultKind::SlowSync { .. } => "syncs take longer",
            FaultKind::FailSync { .. } => "a sync fails, which ends the process",
            FaultKind::FailWrite { .. } => "a write fails, which ends the process",
            FaultKind::DiskFull { .. } => "files cannot be created or grown",
            FaultKind::BitRot { .. } => "bits of what was on disk have flipped",
            FaultKind::Wipe { .. } => "a node came back under its number with an empty disk",
            FaultKind::Latency { .. } => "what a client and its node say to each other takes longer",
            FaultKind::Reset { .. } => "a client's connection was reset",
            FaultKind::HalfOpen { .. } => {
                "a client's connection is dead and nobody is told; new ones are not answered"
            }
            FaultKind::Stall { .. } => {
                "what a client and its node say to each other arrives at the end, one way or both"
            }
            FaultKind::SlowReader { .. } => "a client reads slowly",
            FaultKind::Fragment { .. } => "bytes arrive in small pieces",
            FaultKind::WallJump { .. } => "a wall clock has jumped, for good",
            FaultKind::ClockRate { .. } => "a monotonic clock runs fast or slow",
            FaultKind::ClientCrash { .. } => {
                "a client is gone; its session store survives if it is persistent"
            }
            FaultKind::ClientStall { .. } => "a client stands still",
            FaultKind::Join { .. } => "a node is to be a member",
            FaultKind::Leave { .. } => "a member is to hold nothing, and then to be none",
            FaultKind::Drain { .. } => "a member is to hold nothing for a while",
            FaultKind::Replace { .. } => "a node is to take the place of a member",
            FaultKind::LateAck { .. } => "a client answers late",
            FaultKind::NoAck { .. } => "a client does not answer",
            FaultKind::PeerLatency { .. } => "frames from one node to another take longer",
            FaultKind::PeerBandwidth { .. } => "the road from one node to another is narrow",
            FaultKind::PeerReset { .. } => "the link between two nodes was reset; what was under way is lost",
            FaultKind::PeerBlock { .. } => "nothing gets from one node to another; the other way is free",
            FaultKind::Partition { .. } => "nothing gets from one group of nodes to another",
            FaultKind::Isolate { .. } => "a node is cut off from all others",
            FaultKind::IsolateLeader { .. } => "the node that leads a shard is cut off from all others",
            FaultKind::Bridge { .. } => "two halves hear nothing of each other, but one node hears both",
            FaultKind::MajoritiesRing { .. } => "every node hears a majority, and no two the same",
            FaultKind::Flap { .. } => "the link between two nodes is cut and free in turns",
            FaultKind::Clog { .. } => {
                "what a node sends to others and is sent by them is held up, and arrives at the end"
            }
        }
    }

    /// The node it is about, if it is about one.
    pub const fn node(&self) -> Option<NodeId> {
        match self {
            FaultKind::Kill { node }
            | FaultKind::PowerLoss { node }
            | FaultKind::Stop { node }
            | FaultKind::Pause { node }
            | FaultKind::CrashAtDiskOp { node, .. }
            | FaultKind::CrashInRecovery { node, .. }
            | FaultKind::SlowSync { node, .. }
            | FaultKind::FailSync { node }
            | FaultKind::FailWrite { node }
            | FaultKind::DiskFull { node }
            | FaultKind::BitRot { node, .. }
            | FaultKind::Wipe { node }
            | FaultKind::WallJump { node, .. }
            | FaultKind::ClockRate { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// The same, about another node; what is about no single node stays as it is.
    #[must_use]
    pub fn at_node(mut self, other: NodeId) -> Self {
        match &mut self {
            FaultKind::Kill { node }
            | FaultKind::PowerLoss { node }
            | FaultKind::Stop { node }
            | FaultKind::Pause { node }
            | FaultKind::CrashAtDiskOp { node, .. }
            | FaultKind::CrashInRecovery { node, .. }
            | FaultKind::SlowSync { node, .. }
            | FaultKind::FailSync { node }
            | FaultKind::FailWrite { node }
            | FaultKind::DiskFull { node }
            | FaultKind::BitRot { node, .. }
            | FaultKind::Wipe { node }
            | FaultKind::WallJump { node, .. }
            | FaultKind::ClockRate { node, .. }
            | FaultKind::Isolate { node }
            | FaultKind::Clog { node } => *node = other,
            _ => {}
        }
        self
    }

    /// Whether it is about what nodes say to each other.
    pub const fn is_between_nodes(&self) -> bool {
        matches!(
            self,
            FaultKind::PeerLatency { .. }
                | FaultKind::PeerBandwidth { .. }
                | FaultKind::PeerReset { .. }
                | FaultKind::PeerBlock { .. }
                | FaultKind::Partition { .. }
                | FaultKind::Isolate { .. }
                | FaultKind::IsolateLeader { .. }
                | FaultKind::Bridge { .. }
                | FaultKind::MajoritiesRing { .. }
                | FaultKind::Flap { .. }
                | FaultKind::Clog { .. }
        )
    }

    /// Whether nothing gets from `from` to `to` while it lasts; for [`FaultKind::Flap`] while it is cut. That of an isolated
    /// leader depends on the run.
    pub fn cuts(&self, from: NodeId, to: NodeId) -> bool {
        let either = |node: &NodeId| from == *node || to == *node;
        match self {
            FaultKind::PeerBlock { from: one, to: other } => from == *one && to == *other,
            FaultKind::Partition { groups } => {
                let group = |node: NodeId| groups.iter().position(|group| group.contains(&node));
                group(from).is_none_or(|group_of_from| group(to) != Some(group_of_from))
            }
            FaultKind::Isolate { node } => either(node),
            FaultKind::Bridge { bridge, half } => {
                !either(bridge) && half.contains(&from) != half.contains(&to)
            }
            FaultKind::MajoritiesRing { order } => {
                let place = |node: NodeId| order.iter().position(|one| *one == node);
                let (Some(one), Some(other)) = (place(from), place(to)) else { return true };
                let apart = one.abs_diff(other);
                apart != 1 && (order.len() <= 3 || apart + 1 != order.len())
            }
            FaultKind::Flap { a, b, .. } => either(a) && either(b),
            _ => false,
        }
    }

    /// The client it is about, if it is about one.
    pub const fn client(&self) -> Option<ClientNo> {
        match self {
            FaultKind::Latency { client, .. }
            | FaultKind::Reset { client }
            | FaultKind::HalfOpen { client }
            | FaultKind::Stall { client, .. }
            | FaultKind::SlowReader { client, .. }
            | FaultKind::Fragment { client, .. }
            | FaultKind::ClientCrash { client }
            | FaultKind::ClientStall { client }
            | FaultKind::LateAck { client, .. }
            | FaultKind::NoAck { client } => Some(*client),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FaultKind, NodeId};

    /// Who hears whom among the first `count` nodes: a string for each, with the names of those it hears.
    fn hears(kind: &FaultKind, count: u32) -> Vec<String> {
        let heard = |to: u32| {
            let others = (1..=count).filter(move |from| *from != to);
            others.filter(move |from| !kind.cuts(NodeId(*from), NodeId(to))).map(|from| from.to_string())
        };
        (1..=count).map(|to| heard(to).collect()).collect()
    }

    fn nodes(names: &[u32]) -> Vec<NodeId> {
        names.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_node_in_no_group_of_a_partition_is_alone() {
        let kind = FaultKind::Partition { groups: vec![nodes(&[1, 2]), nodes(&[3, 4])] };
        assert_eq!(hears(&kind, 6), ["2", "1", "4", "3", "", ""]);
    }

    #[test]
    fn a_bridge_hears_both_halves() {
        let kind = FaultKind::Bridge { bridge: NodeId(3), half: nodes(&[1, 2]) };
        assert_eq!(hears(&kind, 5), ["23", "13", "1245", "35", "34"]);
    }

    #[test]
    fn on_a_ring_everybody_hears_a_majority_and_no_two_the_same() {
        let kind = FaultKind::MajoritiesRing { order: nodes(&[1, 2, 3, 4, 5]) };
        assert_eq!(hears(&kind, 5), ["25", "13", "24", "35", "14"]);
        let kind = FaultKind::MajoritiesRing { order: nodes(&[2, 3, 1]) };
        assert_eq!(hears(&kind, 3), ["3", "3", "12"]);
    }

    #[test]
    fn a_block_has_one_direction_and_isolation_both() {
        let kind = FaultKind::PeerBlock { from: NodeId(1), to: NodeId(2) };
        assert_eq!(hears(&kind, 3), ["23", "3", "12"]);
        assert_eq!(hears(&FaultKind::Isolate { node: NodeId(2) }, 3), ["3", "", "1"]);
    }
}
