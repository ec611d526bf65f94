//! Writes are made in the background, and the node crashes.

use super::Story;
use super::plot::{Plot, RELIABLE};
use broker_core::face::Durability;
use sim::history::Qos;
use sim::scenario::Scenario;

pub(super) const STORY: Story = Story::new(
    "async-crash",
    "with writes in the background a crash costs the last moments, and nothing else goes wrong",
    "ours",
    make,
)
.may_forget();

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("async-crash", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (50, 3_000), (1, 20), RELIABLE, &["t/a", "t/b"]);
    let subscriber = plot.durable("subscriber");
    plot.subscribe(20, subscriber, "t/#", Qos::ExactlyOnce);
    plot.scenario.topology.nodes[0].durability = Durability::Async;
    for _ in 0..plot.ms(1, 3) {
        let at_ms = plot.ms(300, 3_000);
        plot.crash(at_ms);
    }
    plot.ends(3_500)
}
