//! Clients with a will lose their node; some come back elsewhere in time, some too late, some never.

use crate::stories::Story;
use crate::stories::plot::Plot;
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "cluster-will",
    "after the death of a node a will is not sent, or sent by two nodes, or sent although its client is back",
    "emqx#1668, emqx#18565, emqx PR#11868",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("cluster-will", seed);
    let watcher = plot.durable("watcher");
    plot.subscribe(20, watcher, "will/+", Qos::ExactlyOnce);
    let struck = plot.any_node();
    for name in ["one", "two", "three", "four"] {
        let client = if plot.rng.chance(1, 2) { plot.durable(name) } else { plot.clean(name) };
        let delay_s = u32::try_from(plot.rng.below(4)).expect("below four");
        let qos = plot.reliable();
        plot.will(client, &format!("will/{name}"), qos, delay_s);
        if plot.rng.chance(2, 3) {
            plot.at_home(client, struck);
        }
        if plot.rng.chance(1, 2) {
            plot.spec(client).conduct.backoff.first_ms = 60_000;
            plot.spec(client).conduct.backoff.max_ms = 60_000;
        }
    }
    let at_ms = plot.ms(500, 3_000);
    match plot.rng.below(4) {
        0 => {
            let lasts_ms = plot.ms(1_000, 8_000);
            plot.fault(at_ms, at_ms + lasts_ms, FaultKind::Isolate { node: struck });
        }
        1 => {
            let lasts_ms = plot.ms(500, 8_000);
            plot.fault(at_ms, at_ms + lasts_ms, FaultKind::PowerLoss { node: struck });
        }
        _ => plot.crash_of(struck, at_ms),
    }
    // Long enough for leases and delays to run out before the end.
    plot.ends(35_000)
}
