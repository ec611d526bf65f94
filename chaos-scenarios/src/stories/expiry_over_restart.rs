//! Messages with a short life wait in queues while the node goes down.

use super::Story;
use super::plot::{NODE, Plot, RELIABLE};
use sim::scenario::{FaultKind, Scenario, Span};

pub(super) const STORY: Story = Story::new(
    "expiry-over-restart",
    "a message outlives its expiry interval, or the interval does not shrink, over a restart",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("expiry-over-restart", seed);
    let publisher = plot.durable_v5("publisher");
    plot.work(publisher, (200, 3_000), (10, 60), RELIABLE, &["t"]);
    let load = plot.spec(publisher).workload.as_mut().expect("set above");
    load.expiry_percent = 80;
    load.expiry_s = Span { min: 1, max: 6 };
    for name in ["one", "two"] {
        let subscriber = plot.durable_v5(name);
        let qos = plot.reliable();
        plot.subscribe(20, subscriber, "t", qos);
        let (gone, back) = (plot.ms(200, 1_000), plot.ms(3_000, 8_000));
        plot.away(subscriber, gone, back);
        plot.spec(subscriber).conduct.ack_ms.max = plot.ms(0, 2_000);
    }
    for _ in 0..plot.ms(0, 2) {
        let at_ms = plot.ms(500, 7_000);
        plot.crash(at_ms);
    }
    if plot.rng.chance(1, 3) {
        let ppm = *plot.rng.pick(&[-200_000, 200_000]);
        plot.fault(1_000, 4_000, FaultKind::ClockRate { node: NODE, ppm });
    }
    plot.ends(9_000)
}
