//! The members of the cluster change under traffic.

use crate::generator::cluster::members;
use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const JOIN: Story = Story::new(
    "node-joins",
    "a node that joins has its replicas before they have what was acknowledged, or takes them from under their clients",
    "ours",
    |seed| {
        make("node-joins", seed, |scenario, at_ms| {
            members::join(scenario, at_ms);
        })
    },
);

pub(super) const REPLACE: Story = Story::new(
    "lost-node-replaced",
    "a node is lost with its disk, and what it had is never on as many nodes as before, or on nobody's",
    "ours",
    |seed| {
        make("lost-node-replaced", seed, |scenario, at_ms| {
            let old = scenario.topology.nodes[seed as usize % scenario.topology.nodes.len()].node;
            members::replace(scenario, at_ms, old, true);
        })
    },
);

pub(super) const DRAIN: Story = Story::new(
    "node-drained",
    "a node that joins and is drained again leaves sessions behind that nobody finds",
    "vernemq#1744",
    |seed| {
        make("node-drained", seed, |scenario, at_ms| {
            let node = members::join(scenario, at_ms);
            scenario.fault(at_ms + 6_000, at_ms + 11_000, FaultKind::Drain { node });
        })
    },
);

fn make(name: &str, seed: u64, change: impl FnOnce(&mut Scenario, u64)) -> Scenario {
    let mut plot = Plot::in_cluster(name, seed);
    let at_ms = plot.ms(1_000, 2_500);
    let end_ms = 14_000;
    for name in ["one", "two", "three"] {
        let publisher = plot.durable(name);
        plot.work(publisher, (200, end_ms), (20, 150), RELIABLE, &["t/a", "t/b", "t/c", "t/d"]);
    }
    for name in ["four", "five"] {
        let subscriber = plot.durable(name);
        plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
        plot.will(subscriber, "t/will", Qos::AtLeastOnce, 0);
    }
    let passing = plot.clean("passing");
    plot.subscribe(50, passing, "t/#", Qos::AtLeastOnce);
    change(&mut plot.scenario, at_ms);
    // In every other run somebody dies while replicas move.
    if seed.is_multiple_of(2) {
        let from_ms = at_ms + plot.ms(100, 3_000);
        let node = plot.any_node();
        let down_ms = plot.ms(200, 4_000);
        let power = plot.rng.chance(1, 2);
        let kind = if power { FaultKind::PowerLoss { node } } else { FaultKind::Kill { node } };
        plot.fault(from_ms, from_ms + down_ms, kind);
    }
    plot.ends(end_ms + 1_000)
}
