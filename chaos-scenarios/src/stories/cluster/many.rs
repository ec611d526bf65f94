//! More retained messages than one frame between nodes carries.

use crate::stories::Story;
use crate::stories::plot::{NOTHING, Plot};
use broker_core::ids::ShardId;
use broker_core::time::Instant;
use sim::history::Qos;
use sim::scenario::{Action, Architecture, FaultKind, PublishSpec, Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "many-retained",
    "a subscriber is given the beginning of many retained messages, and not the rest",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("many-retained", seed);
    let shards = *plot.rng.pick(&[1, 2]);
    plot.scenario.architecture = Architecture::Ownership { shards, replicas: 3 };
    let writer = plot.durable("writer");
    for number in 0..plot.ms(70, 200) {
        let (at_ms, qos) = (plot.ms(50, 3_000), plot.any_qos());
        let spec = PublishSpec { retain: true, ..PublishSpec::new(&format!("m/{number}"), qos) };
        plot.at(at_ms, writer, Action::Publish(spec));
    }
    let changer = plot.durable("changer");
    plot.work(
        changer,
        (4_000, 7_000),
        (5, 50),
        Weights { retain: 3, clear: 1, ..NOTHING },
        &["m/3", "m/14", "m/15", "m/92"],
    );
    for number in 0..3 {
        let reader = match plot.rng.chance(1, 2) {
            true => plot.durable(&format!("reader{number}")),
            false => plot.clean(&format!("reader{number}")),
        };
        let (at_ms, qos) = (plot.ms(4_000, 6_500), plot.any_qos());
        plot.spec(reader).connect_at = Some(Instant::from_millis(at_ms));
        plot.subscribe(at_ms, reader, "m/+", qos);
    }
    if plot.rng.chance(1, 2) {
        let (otherwise, at_ms) = (plot.any_node(), plot.ms(4_000, 6_500));
        let until_ms = at_ms + plot.ms(50, 2_000);
        plot.fault(at_ms, until_ms, FaultKind::CrashLeader { shard: ShardId(0), otherwise, power: false });
    }
    let last = plot.clean("last");
    plot.spec(last).connect_at = Some(Instant::from_millis(7_500));
    plot.subscribe(7_500, last, "#", Qos::ExactlyOnce);
    plot.ends(8_500)
}
