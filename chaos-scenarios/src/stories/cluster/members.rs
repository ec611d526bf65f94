//! The members of the cluster change under traffic.

use crate::generator::cluster::{self, members};
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

pub(super) const ROTTEN: Story = Story::new(
    "rotten-disk-replaced",
    "a node goes on with a damaged disk, or takes from the others what they still have",
    "ours",
    |seed| {
        let (mut plot, at_ms) = served("rotten-disk-replaced", seed);
        let (node, bits) = (plot.any_node(), u32::try_from(plot.ms(1, 40)).expect("a small number"));
        plot.fault(at_ms, at_ms + 100, FaultKind::BitRot { node, bits });
        members::replace(&mut plot.scenario, at_ms + plot.rng.between(500, 3_000), node, true);
        plot.ends(END_MS + 1_000)
    },
);

pub(super) const WIPED: Story = Story::new(
    "wiped-disk-comes-back",
    "a node that has lost its disk comes back under its number, votes again where it has voted, and what it had acknowledged is forgotten",
    "ours",
    |seed| {
        let (mut plot, at_ms) = served("wiped-disk-comes-back", seed);
        let nodes = cluster::shuffled(&mut plot.rng, &plot.nodes.clone());
        let (knows, wiped, absent) = (nodes[0], nodes[1], nodes[2]);
        // What is acknowledged while one is absent, two have; then one of them has it no more, and the other one is away.
        let back_ms = at_ms + plot.ms(500, 2_000);
        plot.fault(at_ms, back_ms, FaultKind::Isolate { node: absent });
        plot.fault(back_ms, back_ms + 50, FaultKind::Wipe { node: wiped });
        let replaced_ms = back_ms + plot.ms(3_000, 5_000);
        plot.fault(back_ms, replaced_ms, FaultKind::Isolate { node: knows });
        members::replace(&mut plot.scenario, replaced_ms, wiped, true);
        plot.ends(END_MS + 1_000)
    },
);

/// Until when its clients work.
const END_MS: u64 = 14_000;

fn make(name: &str, seed: u64, change: impl FnOnce(&mut Scenario, u64)) -> Scenario {
    let (mut plot, at_ms) = served(name, seed);
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
    plot.ends(END_MS + 1_000)
}

/// Clients at work, and when something is to happen to the members.
fn served(name: &str, seed: u64) -> (Plot, u64) {
    let mut plot = Plot::in_cluster(name, seed);
    let at_ms = plot.ms(1_000, 2_500);
    for name in ["one", "two", "three"] {
        let publisher = plot.durable(name);
        plot.work(publisher, (200, END_MS), (20, 150), RELIABLE, &["t/a", "t/b", "t/c", "t/d"]);
    }
    for name in ["four", "five"] {
        let subscriber = plot.durable(name);
        plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
        plot.will(subscriber, "t/will", Qos::AtLeastOnce, 0);
    }
    let passing = plot.clean("passing");
    plot.subscribe(50, passing, "t/#", Qos::AtLeastOnce);
    (plot, at_ms)
}
