//! The node that a client is connected to dies, and the client goes on with its session on another one.

use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use broker_core::ids::NodeId;
use sim::history::Qos;
use sim::scenario::Scenario;

pub(super) const PUBLISHER: Story = Story::new(
    "publisher-gateway-dies",
    "what a publisher sent again elsewhere is lost, or delivered twice",
    "vernemq#2552, bifromq#281",
    publisher,
);

pub(super) const SUBSCRIBER: Story = Story::new(
    "subscriber-gateway-dies",
    "a session that goes on elsewhere resends what was done, or forgets what was owed",
    "vernemq#1744, mosquitto#3275",
    subscriber,
);

fn publisher(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("publisher-gateway-dies", seed);
    for name in ["one", "two"] {
        let publisher = plot.durable(name);
        plot.work(publisher, (200, 8_000), (2, 40), RELIABLE, &["t/a", "t/b", "t/c"]);
        let home = plot.any_node();
        plot.at_home(publisher, home);
        plot.spec(publisher).conduct.rising_ids = name == "one";
        strike(&mut plot, home);
    }
    for name in ["clean", "durable"] {
        let subscriber = if name == "clean" { plot.clean(name) } else { plot.durable(name) };
        plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
    }
    plot.perhaps_slow_disk();
    plot.ends(9_000)
}

fn subscriber(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("subscriber-gateway-dies", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (200, 8_000), (5, 60), RELIABLE, &["t/a", "t/b", "t/c"]);
    for name in ["one", "two"] {
        let subscriber = plot.durable(name);
        plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
        plot.spec(subscriber).conduct.ack_ms.max = plot.ms(0, 300);
        plot.spec(subscriber).conduct.answers_in_order = plot.rng.chance(1, 2);
        plot.spec(subscriber).receive_max = *plot.rng.pick(&[None, Some(3), Some(20)]);
        let home = plot.any_node();
        plot.at_home(subscriber, home);
        strike(&mut plot, home);
    }
    plot.ends(9_000)
}

/// One to three crashes of a node.
fn strike(plot: &mut Plot, node: NodeId) {
    for _ in 0..plot.ms(1, 3) {
        let at_ms = plot.ms(500, 7_000);
        plot.crash_of(node, at_ms);
    }
}
