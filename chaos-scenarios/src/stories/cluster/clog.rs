//! Nodes are clogged one after another, and freed in another order: what was held up arrives all at once, and late.

use crate::generator::cluster;
use crate::stories::Story;
use crate::stories::plot::{Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story =
    Story::new("swizzle-clog", "frames that were held up arrive after the world has moved on", "ours", make);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("swizzle-clog", seed);
    for name in ["one", "two"] {
        let publisher = plot.durable(name);
        plot.work(publisher, (200, 8_000), (10, 80), RELIABLE, &["t/a", "t/b", "t/c"]);
        let subscriber = plot.durable(&format!("of {name}"));
        plot.subscribe(50, subscriber, "t/#", Qos::ExactlyOnce);
    }
    for _ in 0..plot.ms(1, 3) {
        let nodes = plot.nodes.clone();
        let order = cluster::shuffled(&mut plot.rng, &nodes);
        let count = plot.rng.between(1, order.len() as u64);
        let first_ms = plot.ms(800, 5_000);
        for node in order.into_iter().take(usize::try_from(count).expect("a small number")) {
            let from_ms = first_ms + plot.ms(0, 1_000);
            let until_ms = from_ms + plot.ms(100, 3_500);
            plot.fault(from_ms, until_ms, FaultKind::Clog { node });
        }
    }
    plot.ends(9_000)
}
