//! The network falls apart in every shape, and heals.

use crate::generator::cluster;
use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "split-views",
    "partitions, bridges, rings, one-way roads: nodes disagree on who is there",
    "emqx PR#17269, emqx PR#14248",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("split-views", seed);
    for name in ["one", "two"] {
        let publisher = plot.durable(name);
        plot.work(publisher, (200, 8_000), (10, 80), RELIABLE, &["t/a", "t/b", "t/c"]);
    }
    for name in ["three", "four", "five"] {
        let subscriber = if plot.rng.chance(1, 3) { plot.clean(name) } else { plot.durable(name) };
        let qos = plot.reliable();
        plot.subscribe(50, subscriber, "t/#", qos);
    }
    for _ in 0..plot.ms(1, 3) {
        let nodes = plot.nodes.clone();
        let kind = match plot.rng.chance(1, 5) {
            true => {
                let order = cluster::shuffled(&mut plot.rng, &nodes);
                FaultKind::Flap { a: order[0], b: order[1], period_ms: plot.ms(50, 2_000) }
            }
            false => cluster::split(&mut plot.rng, &nodes),
        };
        let at_ms = plot.ms(800, 6_000);
        let lasts_ms = *plot.rng.pick(&[300, 1_500, 4_000, 6_000]);
        plot.fault(at_ms, at_ms + lasts_ms, kind);
    }
    plot.ends(9_000)
}
