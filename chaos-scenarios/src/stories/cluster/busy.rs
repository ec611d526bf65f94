//! More entries in a millisecond than one.

use crate::stories::Story;
use crate::stories::plot::{NOTHING, Plot};
use sim::history::Qos;
use sim::scenario::{Action, Architecture, PublishSpec, Scenario, Span, Weights};

pub(super) const STORY: Story = Story::new(
    "busy-shard",
    "what a clock of whole milliseconds leaves out adds up with every entry, and in a busy shard nothing expires",
    "ours",
    make,
);

/// When the shard gets busy: leadership has moved where it stays, and long after that everybody knows for sure that the subscriber is gone.
const BEGIN_MS: u64 = 28_000;

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("busy-shard", seed);
    plot.scenario.architecture = Architecture::Ownership { shards: 1, replicas: 3 };
    plot.scenario.topology.peers.latency_us = Span { min: 20, max: 60 };
    for node in &mut plot.scenario.topology.nodes {
        node.sync_us = Span { min: 20, max: 60 };
    }
    for name in ["one", "two"] {
        let publisher = plot.durable(name);
        let weights = Weights { publish_qos1: 1, ..NOTHING };
        plot.work(publisher, (BEGIN_MS, BEGIN_MS + 2_600), (1, 1), weights, &["busy/a", "busy/b"]);
    }
    let (publisher, subscriber) = (plot.durable_v5("publisher"), plot.durable_v5("subscriber"));
    plot.subscribe(50, subscriber, "brief", Qos::AtLeastOnce);
    plot.leave(400, subscriber);
    for _ in 0..5 {
        let at_ms = BEGIN_MS + plot.ms(100, 300);
        let spec = PublishSpec { expiry_s: Some(1), ..PublishSpec::new("brief", Qos::AtLeastOnce) };
        plot.at(at_ms, publisher, Action::Publish(spec));
    }
    plot.connect(BEGIN_MS + 2_500, subscriber);
    plot.ends(BEGIN_MS + 3_000)
}
