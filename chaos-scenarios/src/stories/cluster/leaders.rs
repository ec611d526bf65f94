//! The leader of a shard dies or is cut off with entries that it could not commit.

use crate::stories::Story;
use crate::stories::plot::{NOTHING, Plot};
use broker_core::ids::ShardId;
use sim::history::{ClientNo, Qos};
use sim::scenario::{FaultKind, Scenario, Weights};

pub(super) const UNCOMMITTED: Story = Story::new(
    "leader-dies",
    "what a dead leader had not committed is acknowledged, or what it had is lost",
    "ours",
    uncommitted,
);

pub(super) const ISOLATED: Story = Story::new(
    "owner-partitioned",
    "the owner of a shard is cut off and goes on as if it still were the owner",
    "emqx PR#17424, emqx PR#17382, emqx PR#17269",
    isolated,
);

pub(super) const KILLED: Story = Story::new(
    "leader-killed",
    "a leader dies while all else is well, and its shards have nobody for longer than an election takes",
    "ours",
    killed,
);

/// Traffic through all shards that a story may have, from every node.
fn traffic(plot: &mut Plot) -> Vec<ClientNo> {
    let topics = ["t/a", "t/b", "t/c", "t/d", "t/e"];
    let weights = Weights { publish_qos1: 10, publish_qos2: 10, retain: 1, ..NOTHING };
    let mut clients = Vec::new();
    for node in plot.nodes.clone() {
        let publisher = plot.durable(&format!("publisher{node}"));
        plot.at_home(publisher, node);
        plot.work(publisher, (200, 8_000), (10, 100), weights, &topics);
        let subscriber = plot.durable(&format!("subscriber{node}"));
        plot.at_home(subscriber, node);
        plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
        clients.extend([publisher, subscriber]);
    }
    clients
}

fn killed(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("leader-killed", seed);
    traffic(&mut plot);
    let shard = ShardId(u16::try_from(plot.rng.below(8)).expect("few shards"));
    let (otherwise, power) = (plot.any_node(), plot.rng.chance(1, 2));
    let at_ms = plot.ms(2_000, 5_000);
    plot.fault(at_ms, at_ms + 5_000, FaultKind::CrashLeader { shard, otherwise, power });
    plot.ends(12_000)
}

fn uncommitted(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("leader-dies", seed);
    traffic(&mut plot);
    for _ in 0..plot.ms(1, 3) {
        let shard = ShardId(u16::try_from(plot.rng.below(8)).expect("few shards"));
        let otherwise = plot.any_node();
        let (at_ms, alone_ms) = (plot.ms(1_000, 6_500), plot.ms(0, 300));
        // What it proposes while nobody hears it stays uncommitted.
        let isolated = FaultKind::IsolateLeader { shard, otherwise };
        plot.fault(at_ms, at_ms + alone_ms + 20, isolated);
        let back_ms = at_ms + alone_ms + plot.ms(50, 3_000);
        let power = plot.rng.chance(1, 2);
        plot.fault(at_ms + alone_ms, back_ms, FaultKind::CrashLeader { shard, otherwise, power });
    }
    plot.perhaps_slow_disk();
    plot.ends(9_000)
}

fn isolated(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("owner-partitioned", seed);
    let clients = traffic(&mut plot);
    for _ in 0..plot.ms(1, 3) {
        let shard = ShardId(u16::try_from(plot.rng.below(8)).expect("few shards"));
        let otherwise = plot.any_node();
        let at_ms = plot.ms(800, 5_000);
        let until_ms = at_ms + plot.ms(300, 6_000);
        plot.fault(at_ms, until_ms, FaultKind::IsolateLeader { shard, otherwise });
    }
    // Some give up on a node that does not answer, and go on elsewhere while it is cut off.
    for client in clients {
        if plot.rng.chance(1, 3) {
            let (gone, node) = (plot.ms(1_500, 6_000), plot.any_node());
            plot.connect_to(gone, client, node);
        }
    }
    plot.ends(9_000)
}
