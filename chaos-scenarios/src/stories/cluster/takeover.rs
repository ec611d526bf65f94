//! Sessions are taken over from one node to another while messages are on their way in both directions.

use crate::stories::Story;
use crate::stories::plot::{NOTHING, Plot};
use sim::history::Qos;
use sim::scenario::{FaultKind, Roams, Scenario, Span, Weights};

pub(super) const STORY: Story = Story::new(
    "takeover-between-nodes",
    "a session has two owners for a while, or none, and what was on its way is lost or comes twice",
    "rmqtt PR#477, vernemq#1744, emqx#18565",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("takeover-between-nodes", seed);
    let publishing = Weights { publish_qos1: 20, publish_qos2: 20, takeover: 1, drop: 1, ..NOTHING };
    let publisher = plot.durable("publisher");
    plot.work(publisher, (200, 6_000), (5, 50), publishing, &["t/a", "t/b", "t/c"]);
    plot.spec(publisher).roams = Roams::Next;
    let subscriber = plot.durable("subscriber");
    plot.subscribe(20, subscriber, "t/#", Qos::ExactlyOnce);
    plot.spec(subscriber).conduct.ack_ms.max = plot.ms(0, 100);
    plot.spec(subscriber).roams = Roams::Next;
    plot.work(subscriber, (300, 6_000), (100, 900), Weights { takeover: 1, ..NOTHING }, &[]);
    if plot.rng.chance(1, 2) {
        // The same session on another machine.
        let other = plot.durable("subscriber");
        plot.scenario.clients[other.index()].version = plot.scenario.clients[subscriber.index()].version;
        plot.spec(other).connect_at = None;
        for _ in 0..3 {
            let (first, second) = (plot.ms(400, 5_500), plot.ms(400, 5_500));
            let (here, there) = (plot.any_node(), plot.any_node());
            plot.connect_to(first, other, here);
            plot.connect_to(second, subscriber, there);
        }
    }
    let (from, to) = (plot.any_node(), plot.any_node());
    if plot.rng.chance(1, 2) && from != to {
        let extra_ms = plot.ms(10, 400);
        plot.fault(300, 5_000, FaultKind::PeerLatency { from, to, extra_ms });
    }
    if plot.rng.chance(1, 3) {
        let at_ms = plot.ms(500, 5_000);
        plot.crash_of(from, at_ms);
    }
    plot.ends(7_000)
}

pub(super) const IN_A_ROW: Story = Story::new(
    "takeovers-in-a-row",
    "a client tries one node after the other; an answer that was held up gives its session to a connection that nobody ends, or the session expires while its \
     client waits for it",
    "ours",
    in_a_row,
);

/// When the first row of takeovers begins: everybody is connected.
const BEGIN_MS: u64 = 2_000;
/// From one row to the next.
const ROW_MS: u64 = 2_500;
const ROWS: u64 = 4;

fn in_a_row(seed: u64) -> Scenario {
    let mut plot = Plot::in_cluster("takeovers-in-a-row", seed);
    plot.scenario.topology.peers.latency_us = Span { min: 50, max: plot.rng.between(300, 8_000) };
    let listener = plot.durable("listener");
    plot.subscribe(20, listener, "will/#", Qos::ExactlyOnce);
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let client = plot.durable_v5(name);
        plot.spec(client).session_expiry_s = *plot.rng.pick(&[1, 2, 3_600]);
        if plot.rng.chance(3, 4) {
            let (qos, delay_s) = (plot.reliable(), *plot.rng.pick(&[0, 0, 0, 1]));
            plot.will(client, &format!("will/{name}"), qos, delay_s);
        }
        for row in 0..ROWS {
            let mut at_ms = BEGIN_MS + row * ROW_MS + plot.ms(0, 400);
            let mut last = None;
            for _ in 0..plot.ms(1, 4) {
                let node = plot.any_node();
                plot.connect_to(at_ms, client, node);
                last = Some((node, at_ms));
                at_ms += *plot.rng.pick(&[1, 5, 20, 100]) * plot.ms(1, 3);
            }
            // Cut off while its client waits there.
            if let Some((node, at_ms)) = last.filter(|_| plot.rng.chance(1, 4)) {
                let (from_ms, lasts_ms) = (at_ms + plot.ms(2, 40), plot.ms(1_000, 2_300));
                plot.fault(from_ms, from_ms + lasts_ms, FaultKind::Isolate { node });
            }
        }
    }
    // Some roads are long, others are not: an answer comes behind what was asked later.
    for _ in 0..plot.ms(1, 3) {
        let (from, to) = (plot.any_node(), plot.any_node());
        let extra_ms = *plot.rng.pick(&[20, 100, 400]) * plot.ms(1, 2);
        if from != to {
            plot.fault(BEGIN_MS, BEGIN_MS + ROWS * ROW_MS, FaultKind::PeerLatency { from, to, extra_ms });
        }
    }
    plot.ends(BEGIN_MS + ROWS * ROW_MS + 2_000)
}
