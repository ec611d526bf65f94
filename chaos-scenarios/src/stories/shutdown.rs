//! The node is told to stop in order, under traffic, and comes back.

use super::Story;
use super::plot::{NODE, Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "shutdown",
    "an orderly stop loses or reorders what was acknowledged",
    "bifromq#55, bifromq#61",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("shutdown", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (100, 4_000), (1, 20), RELIABLE, &["t/a", "t/b"]);
    for name in ["one", "two"] {
        let subscriber = plot.durable(name);
        let qos = plot.reliable();
        plot.subscribe(20, subscriber, "t/#", qos);
        plot.will(subscriber, "t/will", qos, 0);
    }
    let passing = plot.clean("passing");
    plot.subscribe(20, passing, "t/#", Qos::AtLeastOnce);
    for _ in 0..plot.ms(1, 4) {
        let from_ms = plot.ms(300, 3_800);
        let until_ms = from_ms + plot.ms(50, 800);
        plot.fault(from_ms, until_ms, FaultKind::Stop { node: NODE });
    }
    plot.perhaps_slow_disk();
    plot.ends(4_500)
}
