//! The members of a group are on different nodes, and leave in every way while messages are with them.

use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use sim::scenario::{Action, FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "cluster-shared",
    "a member of a group on a node that restarted is never reached, or two members have one message",
    "vernemq#595, emqx PR#9094, emqx PR#8527",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("cluster-shared", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (200, 7_000), (5, 60), RELIABLE, &["job/a", "job/b", "job/c"]);
    for (place, node) in plot.nodes.clone().into_iter().enumerate() {
        let name = format!("member{node}");
        let member = if plot.rng.chance(2, 3) { plot.durable_v5(&name) } else { plot.clean(&name) };
        plot.at_home(member, node);
        let qos = plot.reliable();
        plot.subscribe(50, member, "$share/g/job/+", qos);
        plot.spec(member).conduct.ack_ms.max = plot.ms(0, 150);
        plot.spec(member).receive_max = Some(10);
        let (from_ms, until_ms) = (plot.ms(800, 3_500), plot.ms(4_000, 7_000));
        // The first one stays whatever happens, so that there is a group.
        match plot.rng.below(5) {
            _ if place == 0 => {}
            0 => plot.fault(from_ms, until_ms, FaultKind::NoAck { client: member }),
            1 => plot.away(member, from_ms, until_ms),
            2 => {
                plot.at(from_ms, member, Action::Unsubscribe { filters: vec!["$share/g/job/+".to_owned()] });
            }
            3 => {
                plot.connect_to(from_ms, member, plot.nodes[0]);
            }
            _ => plot.crash_of(node, from_ms),
        }
    }
    if plot.rng.chance(1, 2) {
        let (node, at_ms) = (plot.any_node(), plot.ms(800, 6_000));
        plot.crash_of(node, at_ms);
    }
    plot.ends(8_000)
}
