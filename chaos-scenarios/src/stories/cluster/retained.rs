//! Retained messages are set and deleted through failovers.

use crate::stories::Story;
use crate::stories::plot::{NOTHING, Plot};
use broker_core::ids::ShardId;
use broker_core::time::Instant;
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "retained-failover",
    "after a failover an old retained message is back, or a deleted one, or nodes give different ones",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("retained-failover", seed);
    let topics = ["r/a", "r/b", "r/c", "r/d"];
    for name in ["one", "two"] {
        let writer = plot.durable(name);
        plot.work(writer, (100, 6_000), (10, 100), Weights { retain: 3, clear: 1, ..NOTHING }, &topics);
    }
    for number in 0..plot.ms(3, 6) {
        let reader = plot.clean(&format!("reader{number}"));
        let at_ms = plot.ms(300, 7_500);
        plot.spec(reader).connect_at = Some(Instant::from_millis(at_ms));
        let (qos, filter) = (plot.any_qos(), *plot.rng.pick(&["r/+", "r/a", "#"]));
        plot.subscribe(at_ms, reader, filter, qos);
    }
    let last = plot.durable("last");
    plot.subscribe(7_500, last, "#", Qos::ExactlyOnce);
    for _ in 0..plot.ms(1, 3) {
        let shard = ShardId(u16::try_from(plot.rng.below(8)).expect("few shards"));
        let (otherwise, at_ms) = (plot.any_node(), plot.ms(500, 5_500));
        let until_ms = at_ms + plot.ms(50, 3_000);
        let power = plot.rng.chance(1, 2);
        plot.fault(at_ms, until_ms, FaultKind::CrashLeader { shard, otherwise, power });
    }
    plot.perhaps_slow_disk();
    plot.ends(8_000)
}
