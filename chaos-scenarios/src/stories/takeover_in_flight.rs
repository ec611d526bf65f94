//! Sessions are taken over while messages are on their way in both directions.

use super::Story;
use super::plot::{NOTHING, Plot};
use sim::history::Qos;
use sim::scenario::{Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "takeover-in-flight",
    "a session is taken over before what was on its way has been settled",
    "rmqtt PR#477, vernemq#1744",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("takeover-in-flight", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (200, 3_800), (2, 30), Weights { takeover: 1, ..many(20) }, &["t/a", "t/b"]);
    let subscriber = plot.durable("subscriber");
    plot.subscribe(20, subscriber, "t/#", Qos::ExactlyOnce);
    plot.spec(subscriber).conduct.ack_ms.max = plot.ms(0, 60);
    plot.work(subscriber, (300, 3_800), (20, 300), Weights { takeover: 1, ..NOTHING }, &[]);
    if plot.rng.chance(1, 2) {
        // The same session on another machine.
        let other = plot.durable("subscriber");
        plot.scenario.clients[other.index()].version = plot.scenario.clients[subscriber.index()].version;
        plot.spec(other).connect_at = None;
        for _ in 0..3 {
            let (first, second) = (plot.ms(400, 3_500), plot.ms(400, 3_500));
            plot.connect(first, other);
            plot.connect(second, subscriber);
        }
    }
    if plot.rng.chance(1, 3) {
        let at_ms = plot.ms(500, 3_500);
        plot.crash(at_ms);
    }
    plot.ends(4_500)
}

/// Publishes of QoS 1 and 2, `times` as often as anything else.
fn many(times: u16) -> Weights {
    Weights { publish_qos1: times, publish_qos2: times, ..NOTHING }
}
