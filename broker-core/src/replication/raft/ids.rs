//! Nodes and positions as the crate `raft` numbers them.

use crate::base::ids::{Index, NodeId, Term};
use crate::replication::configuration::{Configuration, Reconfigure, Step};
use crate::replication::replica::{Base, HardState};
use raft::eraftpb::{self, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};

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

pub(super) fn members_to_raft(members: &Configuration) -> eraftpb::ConfState {
    let ids = |nodes: &[NodeId]| -> Vec<u64> { nodes.iter().map(|node| raft_id(*node)).collect() };
    eraftpb::ConfState {
        voters: ids(&members.voters),
        voters_outgoing: ids(&members.outgoing),
        learners: ids(&members.learners),
        ..Default::default()
    }
}

/// The configuration that the crate came to, by the assignment `epoch`. The crate's order is that of a hash table.
pub(super) fn members_of(state: &eraftpb::ConfState, epoch: u64) -> Configuration {
    let nodes = |ids: &[u64]| -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = ids.iter().filter_map(|id| node_of(*id)).collect();
        nodes.sort_unstable();
        nodes
    };
    let (voters, learners) = (nodes(&state.voters), nodes(&state.learners));
    Configuration { voters, outgoing: nodes(&state.voters_outgoing), learners, epoch }
}

pub(super) fn change_to_raft(change: &Reconfigure) -> ConfChangeV2 {
    let mut raft = ConfChangeV2::default();
    for step in &change.steps {
        let (kind, node) = match step {
            Step::Learner(node) => (ConfChangeType::AddLearnerNode, node),
            Step::Voter(node) => (ConfChangeType::AddNode, node),
            Step::Remove(node) => (ConfChangeType::RemoveNode, node),
        };
        let mut single = ConfChangeSingle { node_id: raft_id(*node), ..Default::default() };
        single.set_change_type(kind);
        raft.changes.push(single);
    }
    if change.steps.len() > 1 {
        // Who leaves it is a leader's decision: one that leads by then, whichever began it.
        raft.set_transition(ConfChangeTransition::Explicit);
    }
    raft
}

/// The position of a snapshot, without the machine: that travels apart.
pub(super) fn base_to_raft(base: &Base) -> eraftpb::Snapshot {
    let mut snapshot = eraftpb::Snapshot::default();
    let metadata = snapshot.mut_metadata();
    metadata.index = base.index.0;
    metadata.term = base.term.0;
    metadata.set_conf_state(members_to_raft(&base.members));
    snapshot
}
