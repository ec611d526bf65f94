//! The disk is full, or its calls fail, for a while.

use super::Story;
use super::plot::{NODE, Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "disk-full",
    "a full or failing disk costs what was acknowledged, or the node does not recover from it",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("disk-full", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (50, 4_000), (1, 15), RELIABLE, &["t/a", "t/b"]);
    plot.spec(publisher).workload.as_mut().expect("set above").payload_bytes.max = 2_000;
    let subscriber = plot.durable("subscriber");
    plot.subscribe(20, subscriber, "t/#", Qos::ExactlyOnce);
    plot.scenario.topology.nodes[0].segment_bytes = 16 << 10;
    plot.scenario.topology.nodes[0].snapshot_log_bytes = 16 << 10;
    for _ in 0..plot.ms(1, 4) {
        let from_ms = plot.ms(300, 3_500);
        let until_ms = from_ms + plot.ms(100, 1_200);
        let kind = match plot.rng.below(4) {
            0 => FaultKind::FailSync { node: NODE },
            1 => FaultKind::FailWrite { node: NODE },
            _ => FaultKind::DiskFull { node: NODE },
        };
        plot.fault(from_ms, until_ms, kind);
    }
    plot.ends(5_000)
}
