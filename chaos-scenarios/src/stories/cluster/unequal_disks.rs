//! Fast and slow disks under one log, and power that goes between a write and its sync.

use crate::generator::cluster;
use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use broker_core::ids::ShardId;
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario, Span};

pub(super) const STORY: Story = Story::new(
    "unequal-disks",
    "a quorum is counted of disks that have not yet what they answered for, and power goes; the one that had it is late",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("unequal-disks", seed);
    let disks = [(100, 500), (100, 500), (10_000, 40_000), (30_000, 120_000)];
    for place in 0..plot.nodes.len() {
        let (min, max) = *plot.rng.pick(&disks);
        plot.scenario.topology.nodes[place].sync_us = Span { min, max };
    }
    for name in ["one", "two", "three"] {
        let publisher = plot.durable(name);
        plot.work(publisher, (200, 12_000), (5, 100), RELIABLE, &["t/a", "t/b", "t/c", "t/d"]);
    }
    // What was delivered already cannot be missed: these two come for theirs when all is over.
    for name in ["four", "five"] {
        let sleeper = plot.durable(name);
        plot.subscribe(50, sleeper, "t/#", Qos::ExactlyOnce);
        plot.away(sleeper, 700, 12_500);
    }
    let mut at_ms = plot.ms(1_000, 2_000);
    while at_ms < 11_000 {
        at_ms = blow(&mut plot, at_ms);
    }
    plot.ends(13_000)
}

/// A leader loses power and stays away; the others lose it at about the same time, and are back soon, to elect another. Says when the
/// next blow may come.
fn blow(plot: &mut Plot, at_ms: u64) -> u64 {
    let shard = ShardId(u16::try_from(plot.rng.below(8)).expect("few shards"));
    let otherwise = plot.any_node();
    let away_ms = plot.ms(1_500, 4_000);
    plot.fault(at_ms, at_ms + away_ms, FaultKind::CrashLeader { shard, otherwise, power: true });
    let nodes = plot.nodes.clone();
    let spread_ms = *plot.rng.pick(&[1, 15, 60]);
    let struck = plot.rng.between(1, nodes.len() as u64);
    let order = cluster::shuffled(&mut plot.rng, &nodes);
    for node in order.into_iter().take(usize::try_from(struck).expect("few nodes")) {
        let from_ms = at_ms + plot.rng.below(spread_ms);
        let until_ms = from_ms + plot.ms(5, 300);
        plot.fault(from_ms, until_ms, FaultKind::PowerLoss { node });
    }
    if plot.rng.chance(1, 2) {
        // And some of them again, while they vote.
        for _ in 0..plot.ms(1, 4) {
            let (node, from_ms) = (plot.any_node(), at_ms + plot.ms(600, 2_500));
            let until_ms = from_ms + plot.ms(5, 100);
            plot.fault(from_ms, until_ms, FaultKind::PowerLoss { node });
        }
    }
    at_ms + away_ms + plot.ms(500, 2_500)
}
