//! Retained messages are set and deleted, and the power fails.

use super::Story;
use super::plot::{NOTHING, Plot};
use broker_core::time::Instant;
use sim::history::Qos;
use sim::scenario::{Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "retained-power-loss",
    "after a power loss an old retained message is back, or a deleted one",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("retained-power-loss", seed);
    let topics = ["r/a", "r/b", "r/c"];
    for name in ["one", "two"] {
        let writer = plot.durable(name);
        plot.work(writer, (100, 3_200), (5, 60), Weights { retain: 3, clear: 1, ..NOTHING }, &topics);
    }
    for number in 0..plot.ms(3, 6) {
        let reader = plot.clean(&format!("reader{number}"));
        let at_ms = plot.ms(300, 4_300);
        plot.spec(reader).connect_at = Some(Instant::from_millis(at_ms));
        let qos = plot.any_qos();
        plot.subscribe(at_ms, reader, "r/+", qos);
    }
    let last = plot.durable("last");
    plot.subscribe(4_300, last, "#", Qos::ExactlyOnce);
    for _ in 0..plot.ms(1, 4) {
        let at_ms = plot.ms(300, 3_500);
        plot.crash(at_ms);
    }
    plot.perhaps_slow_disk();
    plot.ends(4_800)
}
