//! A node is away for longer than its lease as a gateway: the shards drop it, and it does not know.

use crate::generator::cluster;
use crate::stories::Story;
use crate::stories::plot::{NOTHING, Plot, RELIABLE};
use broker_core::ids::NodeId;
use sim::history::{ClientNo, Qos};
use sim::scenario::{FaultKind, Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "lease-runs-out",
    "a gateway that the others gave up goes on serving, or what it began is done twice, or its clients are not missed",
    "ours",
    outage,
);

pub(super) const SLEEPER: Story = Story::new(
    "long-sleep",
    "a node stood still until all had gone on without it, and comes back with its old clients and its old leadership",
    "ours",
    sleep,
);

const TOPICS: [&str; 3] = ["t/a", "t/b", "t/c"];

fn outage(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("lease-runs-out", seed);
    let nodes = plot.nodes.clone();
    let order = cluster::shuffled(&mut plot.rng, &nodes);
    let (from_ms, lasts_ms) = (plot.ms(800, 3_000), cluster::longer_than_a_lease_ms(&mut plot.rng));
    let end_ms = from_ms + lasts_ms + plot.ms(500, 6_000);
    let at_home = plot.rng.chance(2, 3);
    let struck = clients_of(&mut plot, order[0], end_ms);
    clients_of(&mut plot, order[1], end_ms);
    let kind = match at_home {
        // So that its clients have no reason to leave before it lets them go.
        true => *plot.rng.pick(&[Away::Isolated, Away::Paused]),
        false => Away::Any,
    };
    let kind = match kind {
        Away::Isolated => FaultKind::Isolate { node: order[0] },
        Away::Paused => FaultKind::Pause { node: order[0] },
        Away::Any => cluster::outage(&mut plot.rng, &nodes),
    };
    plot.fault(from_ms, from_ms + lasts_ms, kind);
    leave_for_others(&mut plot, &struck, &order[1..], (from_ms, from_ms + lasts_ms));
    plot.perhaps_slow_disk();
    plot.ends(end_ms)
}

/// How the struck node is away.
#[derive(Clone, Copy)]
enum Away {
    Isolated,
    Paused,
    Any,
}

fn sleep(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("long-sleep", seed);
    let nodes = plot.nodes.clone();
    let (from_ms, lasts_ms) = (plot.ms(800, 3_000), cluster::longer_than_a_lease_ms(&mut plot.rng));
    let end_ms = from_ms + lasts_ms + plot.ms(500, 6_000);
    let order = cluster::shuffled(&mut plot.rng, &nodes);
    let struck = clients_of(&mut plot, order[0], end_ms);
    // Patient ones: they are still there when it wakes up.
    for client in &struck {
        plot.spec(*client).conduct.patience_ms = 30_000;
        plot.spec(*client).keep_alive_s = 0;
    }
    clients_of(&mut plot, order[1], end_ms);
    plot.fault(from_ms, from_ms + lasts_ms, FaultKind::Pause { node: order[0] });
    leave_for_others(&mut plot, &struck, &order[1..], (from_ms, from_ms + lasts_ms));
    if plot.rng.chance(1, 3) {
        // The leaders that took its place are gone when it is back.
        let at_ms = from_ms + lasts_ms - plot.ms(0, 1_500);
        plot.crash_of(order[1], at_ms);
    }
    plot.ends(end_ms)
}

/// Clients of every kind with this node as their home: a publisher, one that retains, a durable subscriber, a clean one, each
/// with a will or without.
fn clients_of(plot: &mut Plot, node: NodeId, end_ms: u64) -> Vec<ClientNo> {
    let publisher = plot.durable(&format!("publisher{node}"));
    plot.work(publisher, (200, end_ms), (20, 250), RELIABLE, &TOPICS);
    let retaining = plot.durable(&format!("retaining{node}"));
    let weights = Weights { retain: 3, clear: 1, publish_qos0: 1, ..NOTHING };
    plot.work(retaining, (200, end_ms), (50, 600), weights, &["r/a", "r/b"]);
    let durable = plot.durable(&format!("durable{node}"));
    let clean = plot.clean(&format!("clean{node}"));
    for (subscriber, filter) in [(durable, "t/#"), (clean, "#")] {
        plot.subscribe(50, subscriber, filter, Qos::ExactlyOnce);
    }
    let all = vec![publisher, retaining, durable, clean];
    for client in &all {
        plot.at_home(*client, node);
        plot.spec(*client).keep_alive_s = *plot.rng.pick(&[0, 0, 2, 10]);
        if plot.rng.chance(1, 3) {
            let delay_s = u32::try_from(plot.rng.below(4)).expect("below four");
            plot.will(*client, "t/will", Qos::AtLeastOnce, delay_s);
        }
    }
    all
}

/// Some of the clients go to other nodes while their own is away.
fn leave_for_others(
    plot: &mut Plot,
    clients: &[ClientNo],
    others: &[NodeId],
    (from_ms, until_ms): (u64, u64),
) {
    for client in clients {
        if plot.rng.chance(1, 3) {
            let (at_ms, node) = (plot.ms(from_ms, until_ms), *plot.rng.pick(others));
            plot.connect_to(at_ms, *client, node);
        }
    }
}
