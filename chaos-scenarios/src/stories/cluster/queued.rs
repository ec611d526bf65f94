//! Messages are queued for clients that are away, and nodes go down: those they were connected to, and others.

use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use sim::scenario::Scenario;

pub(super) const STORY: Story = Story::new(
    "cluster-queued-at-crash",
    "the offline queue lives on one node, and is gone or late when that goes down",
    "vernemq#1577, vernemq#1700",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("cluster-queued-at-crash", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (300, 7_000), (5, 60), RELIABLE, &["queue/a", "queue/b", "queue/c"]);
    for name in ["one", "two", "three"] {
        let subscriber = plot.durable(name);
        let (qos, filter) = (plot.any_qos(), *plot.rng.pick(&["queue/#", "queue/a"]));
        plot.subscribe(50, subscriber, filter, qos);
        let (gone, back) = (plot.ms(500, 2_000), plot.ms(4_000, 9_000));
        plot.away(subscriber, gone, back);
    }
    for _ in 0..plot.ms(1, 4) {
        let (node, at_ms) = (plot.any_node(), plot.ms(1_500, 7_000));
        plot.crash_of(node, at_ms);
    }
    plot.perhaps_slow_disk();
    plot.ends(10_000)
}
