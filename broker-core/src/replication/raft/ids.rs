//! Nodes and positions as the crate `raft` numbers them.

use crate::base::ids::{Index, NodeId, Term};
use crate::replication::replica::{Base, HardState};
use raft::eraftpb;

/// Its number for a node: 0 means nobody there.
pub(super) fn raft_id(node: NodeId) -> u64 {
    u64::from(node.0) + 1
}

/// The node of a number; `None` for nobody.
///
/// # Panics
/// If no node has such a number.
pub(super) fn node_of(id: u64) -> Option<NodeId> {
    id.checked_sub(1).map(|node| NodeId(u32::try_from(node).expect("made of a node's number")))
}

pub(super) fn hard_state_to_raft(hard: &HardState) -> eraftpb::HardState {
    eraftpb::HardState {
        term: hard.term.0,
        vote: hard.vote.map_or(raft::INVALID_ID, raft_id),
        commit: hard.commit.0,
        ..Default::default()
    }
}

pub(super) fn hard_state_of(hard: &eraftpb::HardState) -> HardState {
    HardState { term: Term(hard.term), vote: node_of(hard.vote), commit: Index(hard.commit) }
}

pub(super) fn voters_to_raft(voters: &[NodeId]) -> eraftpb::ConfState {
    let voters: Vec<u64> = voters.iter().map(|node| raft_id(*node)).collect();
    eraftpb::ConfState { voters, ..Default::default() }
}

/// The position of a snapshot, without the machine: that travels apart.
pub(super) fn base_to_raft(base: &Base) -> eraftpb::Snapshot {
    let mut snapshot = eraftpb::Snapshot::default();
    let metadata = snapshot.mut_metadata();
    metadata.index = base.index.0;
    metadata.term = base.term.0;
    metadata.set_conf_state(voters_to_raft(&base.voters));
    snapshot
}
