//! Two hundred QoS 2 messages, all completed: all must be delivered.

use super::Story;
use super::plot::Plot;
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "pubcomp-without-delivery",
    "every publish is completed with PUBCOMP, and not every message is delivered",
    "vernemq#496",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("pubcomp-without-delivery", seed);
    let publisher = plot.durable("publisher");
    let subscriber = plot.durable_v5("subscriber");
    let receive_max = plot.ms(1, 20);
    plot.spec(subscriber).receive_max = u16::try_from(receive_max).ok();
    plot.spec(publisher).conduct.inflight_max = 20;
    plot.spec(publisher).conduct.rising_ids = plot.rng.chance(1, 2);
    plot.subscribe(20, subscriber, "t", Qos::ExactlyOnce);
    for number in 0..200 {
        plot.publish(200 + number * 10, publisher, "t", Qos::ExactlyOnce);
    }
    for _ in 0..plot.ms(0, 3) {
        let at_ms = plot.ms(300, 2_500);
        plot.crash(at_ms);
    }
    let at_ms = plot.ms(300, 2_500);
    plot.fault(at_ms, at_ms, FaultKind::Reset { client: subscriber });
    plot.ends(4_000)
}
