//! Links that stall in one direction and then break, in the middle of handshakes.

use super::Story;
use super::plot::{Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{Direction, FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "lost-pubrel",
    "PUBREL is lost, or a resend lacks DUP, without any crash",
    "bifromq#281",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("lost-pubrel", seed);
    let publisher = plot.durable("publisher");
    let subscriber = plot.durable("subscriber");
    plot.subscribe(20, subscriber, "t/+", Qos::ExactlyOnce);
    plot.work(publisher, (200, 4_000), (2, 50), RELIABLE, &["t/a", "t/b"]);
    plot.spec(subscriber).conduct.ack_ms.max = plot.ms(0, 40);
    for _ in 0..plot.ms(3, 10) {
        let from_ms = plot.ms(250, 3_800);
        let until_ms = from_ms + plot.ms(1, 200);
        let client = if plot.rng.chance(1, 2) { publisher } else { subscriber };
        let direction = *plot.rng.pick(&[Direction::ToBroker, Direction::ToClient, Direction::Both]);
        plot.fault(from_ms, until_ms, FaultKind::Stall { client, direction });
        plot.fault(until_ms, until_ms, FaultKind::Reset { client });
    }
    plot.ends(4_500)
}
