//! Nodes tell of themselves.

use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use broker_core::time::Instant;
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "nodes-tell",
    "what a node tells of itself comes late, twice or out of its order, or stays when the node is gone",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("nodes-tell", seed);
    let period_ms = *plot.rng.pick(&[300, 1_000]);
    for node in &mut plot.scenario.topology.nodes {
        node.report_every_ms = Some(period_ms);
    }
    let publisher = plot.durable("publisher");
    plot.work(publisher, (100, 7_000), (20, 200), RELIABLE, &["a/b", "c"]);
    let (watcher, glance) = (plot.durable("watcher"), plot.clean("glance"));
    let qos = plot.any_qos();
    plot.subscribe(50, watcher, "$SYS/#", qos);
    plot.subscribe(50, glance, "$SYS/brokers/+/uptime", Qos::ExactlyOnce);
    if plot.rng.chance(1, 2) {
        let from_ms = plot.ms(1_000, 4_000);
        plot.away(watcher, from_ms, from_ms + 1_000);
    }
    for _ in 0..plot.ms(0, 3) {
        let (node, at_ms) = (plot.any_node(), plot.ms(500, 6_000));
        match plot.rng.below(3) {
            0 => plot.crash_of(node, at_ms),
            1 => plot.fault(at_ms, at_ms + 2_000, FaultKind::Isolate { node }),
            _ => plot.fault(at_ms, at_ms + 1_500, FaultKind::Pause { node }),
        }
    }
    let late = plot.clean("late");
    plot.spec(late).connect_at = Some(Instant::from_millis(7_000));
    plot.subscribe(7_000, late, "$SYS/#", Qos::AtMostOnce);
    plot.perhaps_slow_disk();
    plot.ends(8_000)
}
