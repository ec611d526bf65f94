//! Changes of a cluster's members, in the middle of everything else.

use super::Scenario;
use broker_core::ids::NodeId;
use broker_core::rng::Rng;
use sim::scenario::{Architecture, FaultKind, NodeSpec, Roams};

/// The names of the faults that are changes of the members.
#[cfg(test)]
pub(super) const NAMES: [&str; 5] =
    ["node that joins", "node that leaves", "drained node", "replaced node", "lost node that is replaced"];

/// Lets the members change once or twice.
pub(crate) fn change(scenario: &mut Scenario, rng: &mut Rng) {
    let heal_ms = scenario.phases.safety_ms;
    let founders: Vec<NodeId> = scenario.topology.nodes.iter().map(|spec| spec.node).collect();
    let enough = founders.len() > replicas(scenario);
    let from_ms = rng.between(500, heal_ms / 2);
    let until_ms = rng.between(from_ms + 1_000, heal_ms);
    let old = *rng.pick(&founders);
    match rng.below(if enough { 7 } else { 5 }) {
        0 | 1 => {
            join(scenario, from_ms);
        }
        2 => replace(scenario, from_ms, old, true),
        3 => replace(scenario, from_ms, old, false),
        // There is one more, and then one less.
        4 => {
            join(scenario, from_ms);
            let kind = FaultKind::Leave { node: old };
            scenario.fault(until_ms, until_ms, kind);
            roam(scenario);
        }
        5 => {
            scenario.fault(from_ms, until_ms, FaultKind::Drain { node: old });
        }
        _ => {
            scenario.fault(from_ms, from_ms, FaultKind::Leave { node: old });
            roam(scenario);
        }
    }
}

/// A new node joins.
pub(crate) fn join(scenario: &mut Scenario, at_ms: u64) -> NodeId {
    let node = newcomer(scenario);
    scenario.fault(at_ms, at_ms, FaultKind::Join { node });
    node
}

/// A new node takes the place of `old`, which may be lost with its disk.
pub(crate) fn replace(scenario: &mut Scenario, at_ms: u64, old: NodeId, lost: bool) {
    let new = newcomer(scenario);
    scenario.fault(at_ms, at_ms, FaultKind::Replace { old, new, lost });
    roam(scenario);
}

/// A node that is there from the start, and no member.
fn newcomer(scenario: &mut Scenario) -> NodeId {
    let like = scenario.topology.nodes.last().cloned().expect("a cluster has nodes");
    let node = NodeId(like.node.0 + 1);
    scenario.topology.nodes.push(NodeSpec { node, joins: true, ..like });
    for client in scenario.clients.iter_mut().filter(|client| client.nodes.len() > 1) {
        client.nodes.push(node);
    }
    node
}

/// Clients go elsewhere when a node is not there any more.
fn roam(scenario: &mut Scenario) {
    for client in scenario.clients.iter_mut().filter(|client| client.roams == Roams::Stay) {
        client.roams = Roams::Next;
    }
}

fn replicas(scenario: &Scenario) -> usize {
    match scenario.architecture {
        Architecture::Centralized => 1,
        Architecture::Ownership { replicas, .. } => replicas.into(),
    }
}
