//! Scenarios for a cluster: the swarm over several nodes, and any scenario of one node made one of several.

mod faults;
pub(crate) mod members;

use crate::stories::Story;
use broker_core::ids::NodeId;
use broker_core::rng::Rng;
use broker_core::time::{Duration, Instant};
use faults::Families;
pub(crate) use faults::{blackout, outage, shuffled, split};
use sim::scenario::{
    Architecture, ClientSpec, Fault, NodeSpec, PeerRoads, Phases, Roams, Scenario, Span, When,
};

/// The swarm over several nodes, as a story.
pub(crate) const CLUSTER_SWARM: Story = Story::new(
    "cluster-swarm",
    "anything may happen to anybody, and to what nodes say to each other",
    "ours",
    swarm,
);

/// How long the nodes of a cluster are given to find each other and to agree on who leads, in milliseconds.
const START_MS: u64 = 3_000;
/// How much longer than on one node everything lasts, in the swarm: a failover takes seconds.
const STRETCH: u64 = 2;

/// The scenario of `seed`.
fn swarm(seed: u64) -> Scenario {
    let mut rng = Rng::from_seed(seed).fork("cluster swarm");
    let mut scenario = super::scenario(seed);
    stretch(&mut scenario);
    if !rng.fork("flood").chance(1, 6) {
        calm(&mut scenario);
    }
    found(&mut scenario, &mut rng);
    spread(&mut scenario, &mut rng);
    let nodes: Vec<NodeId> = scenario.topology.nodes.iter().map(|node| node.node).collect();
    let families = Families::draw(&mut rng);
    let heal_ms = scenario.phases.safety_ms;
    let mut outage = rng.fork("longer than the lease");
    if outage.chance(1, 8) {
        outlast(&mut scenario, &mut outage, &nodes);
    }
    let heal_ms = heal_ms.max(scenario.phases.safety_ms);
    for _ in 0..rng.below(6) {
        let from_ms = rng.between(500, heal_ms - 1_000);
        for (from_ms, until_ms, kind) in families.fault(&mut rng, &nodes, from_ms) {
            scenario.fault(from_ms, until_ms.min(heal_ms), kind);
        }
    }
    if rng.chance(1, 4) {
        members::change(&mut scenario, &mut rng);
    }
    if rng.chance(7, 8) {
        shift(&mut scenario);
    }
    scenario
}

/// Makes a scenario of one node one of several: any clients at any of them, and faults that strike any.
pub(crate) fn in_cluster(mut scenario: Scenario) -> Scenario {
    let mut rng = Rng::from_seed(scenario.seed).fork("in a cluster");
    found(&mut scenario, &mut rng);
    spread(&mut scenario, &mut rng);
    shift(&mut scenario);
    scenario
}

/// A node is out for longer than its lease as a gateway lasts, while its clients go on.
fn outlast(scenario: &mut Scenario, rng: &mut Rng, nodes: &[NodeId]) {
    let (from_ms, lasts_ms) = (rng.between(1_000, 5_000), longer_than_a_lease_ms(rng));
    let kind = outage(rng, nodes);
    scenario.fault(from_ms, from_ms + lasts_ms, kind);
    scenario.phases.safety_ms = scenario.phases.safety_ms.max(from_ms + lasts_ms + 4_000);
    let until = scenario.phases.heal_at();
    for load in scenario.clients.iter_mut().filter_map(|client| client.workload.as_mut()) {
        load.until = until;
        load.pause_ms = Span { min: load.pause_ms.min * STRETCH, max: load.pause_ms.max * STRETCH };
    }
}

/// How long an outage lasts, in milliseconds, after which shards have dropped the node as a gateway: their lease is ten seconds.
pub(crate) fn longer_than_a_lease_ms(rng: &mut Rng) -> u64 {
    *rng.pick(&[10_500, 12_000, 15_000, 19_000])
}

/// Founds a cluster of nodes like the first.
pub(crate) fn found(scenario: &mut Scenario, rng: &mut Rng) {
    let small: u32 = *rng.pick(&[3, 3, 3, 4, 5]);
    let count = match rng.fork("large").below(16) {
        0 => 7,
        1 => 6,
        _ => small,
    };
    let shards = *rng.pick(&[1, 2, 4, 8]);
    let replicas = if rng.chance(1, 3) { 5 } else { 3 };
    scenario.architecture = Architecture::Ownership { shards, replicas };
    let like = scenario.topology.nodes.first().cloned().unwrap_or_default();
    let clocks_agree = rng.chance(3, 4);
    let nodes = (1..=count).map(|number| {
        let off_ms = if clocks_agree { 0 } else { rng.below(2_000) };
        NodeSpec { node: NodeId(number), wall_ms: like.wall_ms + off_ms, ..like.clone() }
    });
    scenario.topology.nodes = nodes.collect();
    let (min, max) = *rng.pick(&[(50, 500), (50, 500), (500, 3_000), (1_000, 20_000)]);
    scenario.topology.peers = PeerRoads { latency_us: Span { min, max }, ..PeerRoads::default() };
}

/// Gives every client its nodes, and every fault its node.
fn spread(scenario: &mut Scenario, rng: &mut Rng) {
    let nodes: Vec<NodeId> = scenario.topology.nodes.iter().map(|node| node.node).collect();
    for client in &mut scenario.clients {
        settle(client, &nodes, rng);
    }
    for fault in &mut scenario.faults {
        fault.kind = fault.kind.clone().at_node(*rng.pick(&nodes));
    }
}

/// Gives a client the nodes of a cluster, from any of them on. A CONNECT may have to wait for an election.
pub(crate) fn settle(client: &mut ClientSpec, nodes: &[NodeId], rng: &mut Rng) {
    client.nodes = shuffled(rng, nodes);
    client.roams = *rng.pick(&[Roams::Stay, Roams::Stay, Roams::Next, Roams::Random]);
    client.conduct.patience_ms = rng.between(1_500, 5_000);
}

/// Lets everything happen after the cluster has been founded.
pub(crate) fn shift(scenario: &mut Scenario) {
    let by = Duration::from_millis(START_MS);
    for client in &mut scenario.clients {
        client.connect_at = client.connect_at.map(|at| at + by);
        if let Some(load) = &mut client.workload {
            (load.from, load.until) = (load.from + by, load.until + by);
        }
    }
    for step in &mut scenario.steps {
        if let When::At(at) = &mut step.when {
            *at = *at + by;
        }
    }
    for fault in &mut scenario.faults {
        (fault.from, fault.until) = (fault.from + by, fault.until + by);
    }
    for list in scenario.acl.iter_mut().filter(|list| list.from > Instant::ZERO) {
        list.from = list.from + by;
    }
    scenario.phases = Phases { safety_ms: scenario.phases.safety_ms + START_MS, ..scenario.phases };
}

/// Lets everything take longer.
fn stretch(scenario: &mut Scenario) {
    let longer = |at: Instant| Instant::from_nanos(at.as_nanos() * STRETCH);
    for client in &mut scenario.clients {
        if let Some(load) = &mut client.workload {
            load.until = longer(load.until);
            load.pause_ms = Span { min: load.pause_ms.min * STRETCH, max: load.pause_ms.max * STRETCH };
        }
    }
    for Fault { from, until, .. } in &mut scenario.faults {
        (*from, *until) = (longer(*from), longer(*until));
    }
    scenario.phases.safety_ms *= STRETCH;
}

/// Keeps clients from flooding the nodes: one seed with ten thousand messages takes the time of twenty with a few hundred, and these are
/// not easier to survive.
fn calm(scenario: &mut Scenario) {
    for load in scenario.clients.iter_mut().filter_map(|client| client.workload.as_mut()) {
        load.pause_ms = Span { min: load.pause_ms.min.max(20), max: load.pause_ms.max.max(120) };
    }
}

#[cfg(test)]
mod tests {
    use super::{Scenario, swarm};
    use std::collections::BTreeSet;

    #[test]
    fn seeds_reach_every_fault_between_nodes_and_clusters_of_three_to_seven() {
        let all: Vec<Scenario> = (0..400).map(swarm).collect();
        let kinds: BTreeSet<&str> =
            all.iter().flat_map(|scenario| scenario.faults.iter().map(|fault| fault.kind.name())).collect();
        for kind in super::faults::NAMES.iter().chain(&super::members::NAMES) {
            assert!(kinds.contains(kind), "{kind} is never drawn: {kinds:?}");
        }
        let founders =
            |scenario: &Scenario| scenario.topology.nodes.iter().filter(|node| !node.joins).count();
        let sizes: BTreeSet<usize> = all.iter().map(founders).collect();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        assert!(all.iter().any(|scenario| scenario.faults.is_empty()), "some seed has no fault at all");
    }
}
