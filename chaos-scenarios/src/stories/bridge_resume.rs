//! A slow receiver with a small Receive Maximum comes back again and again to a long queue.

use super::Story;
use super::plot::{Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "bridge-resume",
    "a resumed session resends without end, forgets a PUBREL, or ignores Receive Maximum",
    "mosquitto#3275, mosquitto#2165, mosquitto#3002",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("bridge-resume", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (100, 2_000), (1, 10), RELIABLE, &["t/a", "t/b"]);
    let bridge = plot.durable_v5("bridge");
    plot.spec(bridge).receive_max = Some(*plot.rng.pick(&[1, 2, 3, 5, 10]));
    plot.spec(bridge).conduct.ack_ms.max = plot.ms(0, 30);
    plot.spec(bridge).conduct.answers_in_order = plot.rng.chance(1, 2);
    plot.subscribe(20, bridge, "t/#", Qos::ExactlyOnce);
    plot.away(bridge, 300, 1_500);
    for _ in 0..plot.ms(3, 12) {
        let at_ms = plot.ms(1_600, 4_500);
        plot.fault(at_ms, at_ms, FaultKind::Reset { client: bridge });
    }
    if plot.rng.chance(1, 2) {
        let at_ms = plot.ms(1_600, 4_500);
        plot.crash(at_ms);
    }
    plot.ends(5_000)
}
