//! Messages are queued for a client that is away, and the node goes down.

use super::Story;
use super::plot::{Plot, RELIABLE};
use sim::scenario::Scenario;

pub(super) const STORY: Story = Story::new(
    "queued-at-crash",
    "the node goes down while messages are queued for clients that are away",
    "vernemq#1577, vernemq#1700",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("queued-at-crash", seed);
    let publisher = plot.durable("publisher");
    let crashes = plot.ms(1, 3);
    for name in ["one", "two", "three"] {
        let subscriber = plot.durable(name);
        let qos = plot.any_qos();
        plot.subscribe(50, subscriber, "queue/#", qos);
        let (gone, back) = (plot.ms(300, 1_200), plot.ms(2_000, 4_500));
        plot.away(subscriber, gone, back);
    }
    plot.work(publisher, (300, 3_500), (2, 40), RELIABLE, &["queue/a", "queue/b"]);
    for _ in 0..crashes {
        let at_ms = plot.ms(1_000, 4_000);
        plot.crash(at_ms);
    }
    plot.perhaps_slow_disk();
    plot.ends(5_000)
}
