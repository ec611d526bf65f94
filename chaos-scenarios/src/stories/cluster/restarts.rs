//! Every node is restarted in turn, under traffic.

use crate::generator::cluster;
use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "rolling-restart",
    "restarting one node throws out the clients of others, loses or reorders messages, or leaves leadership where it fell",
    "bifromq#55, bifromq#61",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("rolling-restart", seed);
    let nodes = plot.nodes.clone();
    let order = cluster::shuffled(&mut plot.rng, &nodes);
    let (each_ms, down_ms) = (plot.ms(1_500, 4_000), plot.ms(100, 1_500));
    let end_ms = 1_500 + each_ms * nodes.len() as u64;
    for name in ["one", "two"] {
        let publisher = plot.durable(name);
        plot.work(publisher, (200, end_ms), (10, 100), RELIABLE, &["t/a", "t/b", "t/c"]);
    }
    for name in ["three", "four"] {
        let subscriber = plot.durable(name);
        plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
        plot.will(subscriber, "t/will", Qos::AtLeastOnce, 0);
    }
    let passing = plot.clean("passing");
    plot.subscribe(50, passing, "t/#", Qos::AtLeastOnce);
    // Whoever was restarted leads again what it should lead.
    plot.scenario.phases.until_led = true;
    let orderly = plot.rng.chance(2, 3);
    for (place, node) in order.into_iter().enumerate() {
        let from_ms = 1_000 + each_ms * place as u64;
        let kind = if orderly { FaultKind::Stop { node } } else { FaultKind::Kill { node } };
        plot.fault(from_ms, from_ms + down_ms, kind);
    }
    plot.ends(end_ms + 1_000)
}
