//! A publisher loses its connection, or the broker its node, at every point of the QoS 2 handshake.

use super::Story;
use super::plot::{EXACTLY_ONCE, Plot};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "qos2-replay",
    "a QoS 2 PUBLISH is replayed on a resumed session, at every point of the handshake",
    "vernemq#2552",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("qos2-replay", seed);
    let publisher = plot.durable("publisher");
    let subscriber = plot.durable("subscriber");
    plot.subscribe(20, subscriber, "t", Qos::ExactlyOnce);
    plot.work(publisher, (200, 4_000), (1, 60), EXACTLY_ONCE, &["t"]);
    plot.spec(publisher).conduct.inflight_max = 8;
    plot.spec(publisher).conduct.double_pubrel_percent = if plot.rng.chance(1, 2) { 30 } else { 0 };
    for _ in 0..plot.ms(4, 16) {
        let at_ms = plot.ms(250, 4_000);
        match plot.rng.below(5) {
            0 => plot.fault(at_ms, at_ms, FaultKind::Reset { client: subscriber }),
            1 => plot.crash(at_ms),
            _ => plot.fault(at_ms, at_ms, FaultKind::Reset { client: publisher }),
        }
    }
    plot.perhaps_slow_disk();
    plot.ends(4_500)
}
