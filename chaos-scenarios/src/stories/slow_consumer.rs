//! Subscribers read slowly, or not at all, and the queues have limits.

use super::Story;
use super::plot::{Plot, RELIABLE};
use sim::scenario::{FaultKind, Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "slow-consumer",
    "a slow consumer costs more than its configured share, or its messages vanish without a reason",
    "vernemq#390",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("slow-consumer", seed);
    for name in ["one", "two"] {
        let publisher = plot.durable(name);
        plot.work(publisher, (100, 3_500), (1, 12), Weights { publish_qos0: 4, ..RELIABLE }, &["t/a", "t/b"]);
        plot.spec(publisher).workload.as_mut().expect("set above").payload_bytes.max = 4_000;
    }
    let limits = &mut plot.scenario.topology.nodes[0].limits;
    limits.outbox_bytes_max = 16 << 10;
    limits.queue_messages_max = 100;
    limits.queue_bytes_max = 200 << 10;
    limits.inflight_max = 20;
    for name in ["slow", "slower", "away"] {
        let subscriber = plot.durable(name);
        let qos = plot.any_qos();
        plot.subscribe(20, subscriber, "t/+", qos);
        let (from_ms, until_ms) = (plot.ms(200, 800), plot.ms(2_000, 4_000));
        let rate = u32::try_from(plot.ms(1, 400)).expect("a small number");
        match plot.rng.below(4) {
            0 => plot.away(subscriber, from_ms, until_ms),
            1 => plot.fault(from_ms, until_ms, FaultKind::ClientStall { client: subscriber }),
            _ => plot.fault(
                from_ms,
                until_ms,
                FaultKind::SlowReader { client: subscriber, bytes_per_10ms: rate },
            ),
        }
    }
    plot.ends(4_500)
}
