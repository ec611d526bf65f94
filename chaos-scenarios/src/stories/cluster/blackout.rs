//! All machines lose power at once.

use crate::generator::cluster;
use crate::stories::Story;
use crate::stories::plot::{NOTHING, Plot};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario, Weights};

pub(super) const STORY: Story =
    Story::new("all-lose-power", "what only memory held, on however many nodes, is gone", "ours", make);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("all-lose-power", seed);
    let weights = Weights { publish_qos1: 10, publish_qos2: 10, retain: 3, clear: 1, ..NOTHING };
    for name in ["one", "two"] {
        let publisher = plot.durable(name);
        plot.work(publisher, (200, 7_000), (5, 60), weights, &["t/a", "t/b", "t/c"]);
    }
    let subscriber = plot.durable("three");
    plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
    let sleeper = plot.durable("four");
    plot.subscribe(50, sleeper, "t/+", Qos::AtLeastOnce);
    plot.away(sleeper, 600, 7_500);
    let late = plot.durable("five");
    plot.subscribe(7_800, late, "#", Qos::ExactlyOnce);
    for _ in 0..plot.ms(1, 2) {
        let (nodes, at_ms) = (plot.nodes.clone(), plot.ms(1_000, 6_000));
        for (from_ms, until_ms, kind) in cluster::blackout(&mut plot.rng, &nodes, at_ms) {
            plot.fault(from_ms, until_ms, kind);
        }
        if plot.rng.chance(1, 3) {
            // One of them has no luck with its recovery either.
            let (node, ops) = (plot.any_node(), u32::try_from(plot.ms(1, 12)).expect("a small number"));
            plot.fault(at_ms + 50, at_ms + 3_500, FaultKind::CrashInRecovery { node, ops, times: 2 });
        }
    }
    plot.perhaps_slow_disk();
    plot.ends(9_000)
}
