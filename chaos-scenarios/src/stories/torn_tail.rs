//! The power fails in the middle of disk calls, and again during recovery.

use super::Story;
use super::plot::{NODE, Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "torn-tail",
    "a torn last write, or a crash during recovery, costs what was acknowledged",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("torn-tail", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (50, 4_000), (1, 12), Weights { retain: 1, ..RELIABLE }, &["t/a", "t/b"]);
    plot.spec(publisher).workload.as_mut().expect("set above").payload_bytes.max = 3_000;
    let subscriber = plot.durable("subscriber");
    plot.subscribe(20, subscriber, "t/#", Qos::ExactlyOnce);
    plot.scenario.topology.nodes[0].segment_bytes = *plot.rng.pick(&[8 << 10, 32 << 10, 128 << 10]);
    plot.scenario.topology.nodes[0].snapshot_log_bytes = *plot.rng.pick(&[8 << 10, 64 << 10]);
    let mut at_ms = 200;
    for _ in 0..plot.ms(2, 6) {
        at_ms += plot.ms(100, 500);
        let ops = u32::try_from(plot.ms(1, 30)).expect("a small number");
        let kind = if plot.rng.chance(2, 3) {
            FaultKind::CrashAtDiskOp { node: NODE, ops, power: true }
        } else {
            let times = u32::try_from(plot.ms(1, 3)).expect("a small number");
            FaultKind::CrashInRecovery { node: NODE, ops, times }
        };
        let until_ms = at_ms + plot.ms(50, 300);
        plot.fault(at_ms, until_ms, kind);
        at_ms = until_ms;
    }
    plot.perhaps_slow_disk();
    plot.ends(5_000)
}
