//! A node stands still for a while, and goes on as if nothing had happened.

use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "stand-still",
    "a node that stood still still thinks that it leads, and that its clients are its own",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("stand-still", seed);
    for node in plot.nodes.clone() {
        let publisher = plot.durable(&format!("publisher{node}"));
        plot.at_home(publisher, node);
        plot.work(publisher, (200, 8_000), (10, 100), RELIABLE, &["t/a", "t/b", "t/c"]);
        let name = format!("subscriber{node}");
        let subscriber = if plot.rng.chance(1, 3) { plot.clean(&name) } else { plot.durable(&name) };
        plot.at_home(subscriber, node);
        plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
        plot.spec(subscriber).keep_alive_s = *plot.rng.pick(&[0, 1, 3]);
    }
    for _ in 0..plot.ms(1, 3) {
        let (node, at_ms) = (plot.any_node(), plot.ms(800, 5_000));
        let lasts_ms = *plot.rng.pick(&[200, 1_200, 2_500, 5_000]);
        plot.fault(at_ms, at_ms + lasts_ms, FaultKind::Pause { node });
    }
    plot.ends(9_000)
}
