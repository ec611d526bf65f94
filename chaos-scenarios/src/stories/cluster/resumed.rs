//! A session goes on elsewhere while what no record knows of is on its way to where it was.

use crate::stories::Story;
use crate::stories::plot::{NOTHING, Plot};
use sim::history::Qos;
use sim::scenario::{Roams, Scenario, Span, Weights};

pub(super) const STORY: Story = Story::new(
    "heard-from-connack",
    "QoS 0 goes to where a resumed session was, after its CONNACK, and is lost; or it comes behind what was published later",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("heard-from-connack", seed);
    // Slow roads lengthen the time in which a shard knows less than the client.
    plot.scenario.topology.peers.latency_us = Span { min: 50, max: plot.rng.between(300, 8_000) };
    for name in ["one", "two"] {
        let publisher = plot.clean(name);
        let weights = Weights { publish_qos0: 12, publish_qos1: 1, ..NOTHING };
        plot.work(publisher, (300, 8_000), (1, 12), weights, &["t/a", "t/b", "t/c", "t/d", "t/e"]);
        let home = plot.any_node();
        plot.at_home(publisher, home);
    }
    for name in ["three", "four"] {
        let subscriber = plot.durable(name);
        plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
        plot.spec(subscriber).roams = Roams::Next;
        let weights = Weights { takeover: 3, drop: 1, disconnect: 1, ..NOTHING };
        plot.work(subscriber, (400, 8_000), (150, 800), weights, &[]);
    }
    plot.ends(9_000)
}
