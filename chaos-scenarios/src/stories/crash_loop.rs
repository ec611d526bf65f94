//! The power fails again and again, a moment after each start.

use super::Story;
use super::plot::{EXACTLY_ONCE, NODE, Plot};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario, Span};

pub(super) const STORY: Story = Story::new(
    "crash-loop",
    "the power fails again and again, so soon that hardly anything of a life is on disk",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("crash-loop", seed);
    // Names and payloads of one length: records of one life have the sizes of those of the life before.
    for name in ["pub1", "pub2"] {
        let publisher = plot.durable_v5(name);
        plot.work(publisher, (50, 3_500), (2, 30), EXACTLY_ONCE, &["t"]);
        plot.spec(publisher).workload.as_mut().expect("set above").payload_bytes = Span::exactly(40);
    }
    for name in ["sub1", "sub2"] {
        let subscriber = plot.durable_v5(name);
        plot.subscribe(20, subscriber, "t", Qos::ExactlyOnce);
    }
    for client in &mut plot.scenario.clients {
        client.conduct.backoff.first_ms = 2;
        client.conduct.backoff.max_ms = 6;
    }
    let longest_us = plot.ms(2_000, 60_000);
    plot.scenario.topology.nodes[0].sync_us = Span { min: 1_000, max: longest_us };
    let mut at_ms = 500;
    while at_ms < 3_200 {
        plot.fault(at_ms, at_ms + 3, FaultKind::PowerLoss { node: NODE });
        at_ms += plot.ms(10, 150);
    }
    plot.ends(4_000)
}
