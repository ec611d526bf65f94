//! More messages than there are packet identifiers.

use super::Story;
use super::plot::{NOTHING, Plot};
use sim::history::Qos;
use sim::scenario::{Scenario, Span, Weights};

pub(super) const STORY: Story = Story::new(
    "id-wrap",
    "packet identifiers run out and begin again",
    "emqx#16296, emqx#17897, tbmq#207",
    make,
)
.one_in(10);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("id-wrap", seed);
    let publisher = plot.durable_v5("publisher");
    let subscriber = plot.durable_v5("subscriber");
    plot.spec(publisher).conduct.inflight_max = 500;
    plot.spec(publisher).conduct.rising_ids = true;
    plot.subscribe(1, subscriber, "t", Qos::AtLeastOnce);
    // About 36,000 messages; a part of the identifiers has 32,767.
    let weights = Weights { publish_qos1: 1, ..NOTHING };
    plot.work(publisher, (10, 3_800), (0, 0), weights, &["t"]);
    plot.scenario.topology.latency_us = Span { min: 50, max: 200 };
    if plot.rng.chance(1, 2) {
        let at_ms = plot.ms(2_000, 3_500);
        plot.crash(at_ms);
    }
    plot.ends(4_000)
}
