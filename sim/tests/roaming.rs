//! Where clients connect when there are several nodes. The nodes know nothing of each other here.

use broker_core::ids::NodeId;
use broker_core::time::Instant;
use sim::history::{ClientNo, Disconnect, Version, What};
use sim::scenario::{Action, ClientSpec, FaultKind, NodeSpec, Roams, Scenario, When};
use sim::{Outcome, Production, RunOptions, run};

/// Three nodes, and a client of all of them.
fn scenario(seed: u64, roams: Roams) -> (Scenario, ClientNo) {
    let mut scenario = Scenario::single_node("roaming", seed);
    let nodes: Vec<NodeId> = (1..=3).map(NodeId).collect();
    scenario.topology.nodes =
        nodes.iter().map(|node| NodeSpec { node: *node, ..NodeSpec::default() }).collect();
    let spec = ClientSpec { nodes, roams, ..ClientSpec::durable("roamer", Version::V5) };
    let client = scenario.client(spec);
    (scenario, client)
}

/// The nodes a client connected to, in order.
fn visited(outcome: &Outcome, client: ClientNo) -> Vec<u32> {
    let opened = outcome.history.records.iter().filter_map(|record| match record.what {
        What::Opened { client: who, node, .. } if who == client => Some(node.0),
        _ => None,
    });
    opened.collect()
}

fn perform(scenario: &Scenario) -> Outcome {
    let outcome = run(scenario, &Production, RunOptions::default());
    assert_eq!(outcome.crash, None, "seed {}", scenario.seed);
    outcome
}

fn at(ms: u64) -> When {
    When::At(Instant::from_millis(ms))
}

/// Goes and comes back, three times.
fn come_and_go(scenario: &mut Scenario, client: ClientNo) {
    for round in 0..3 {
        scenario.step(at(500 + 400 * round), client, Action::Disconnect(Disconnect::default()));
        let back = Action::Connect { clean_start: None, node: None };
        scenario.step(at(700 + 400 * round), client, back);
    }
}

#[test]
fn a_client_that_stays_goes_on_only_when_it_is_turned_away() {
    let (mut healthy, client) = scenario(1, Roams::Stay);
    come_and_go(&mut healthy, client);
    assert_eq!(visited(&perform(&healthy), client), [1, 1, 1, 1]);
    let (mut refused, client) = scenario(1, Roams::Stay);
    refused.fault(1_000, 3_000, FaultKind::Kill { node: NodeId(1) });
    refused.fault(1_000, 3_000, FaultKind::Kill { node: NodeId(2) });
    assert_eq!(visited(&perform(&refused), client), [1, 1, 2, 3], "it is refused twice, and served then");
    let (mut stopped, client) = scenario(1, Roams::Stay);
    stopped.fault(1_000, 3_000, FaultKind::Stop { node: NodeId(1) });
    assert_eq!(visited(&perform(&stopped), client), [1, 2], "0x8B sends it on");
    let (mut dark, client) = scenario(1, Roams::Stay);
    dark.fault(100, 3_000, FaultKind::PowerLoss { node: NodeId(1) });
    dark.step(at(500), client, Action::Drop);
    dark.step(at(600), client, Action::Connect { clean_start: None, node: None });
    assert_eq!(visited(&perform(&dark), client), [1, 1, 2], "no answer sends it on");
}

#[test]
fn a_client_that_roams_takes_the_next_node_or_any() {
    let (mut next, client) = scenario(1, Roams::Next);
    come_and_go(&mut next, client);
    assert_eq!(visited(&perform(&next), client), [1, 2, 3, 1]);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let (mut random, client) = scenario(seed, Roams::Random);
        come_and_go(&mut random, client);
        seen.extend(visited(&perform(&random), client));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_step_may_name_the_node() {
    let (mut named, client) = scenario(1, Roams::Stay);
    named.step(at(500), client, Action::Connect { clean_start: None, node: Some(NodeId(3)) });
    come_and_go(&mut named, client);
    assert_eq!(visited(&perform(&named), client), [1, 3, 3, 3, 3], "and where it was told to go it stays");
}
