//! Clients with a will say goodbye, vanish, come back in time or too late, and take themselves over.

use super::Story;
use super::plot::{NOTHING, Plot};
use sim::history::Qos;
use sim::scenario::{Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "will-and-takeover",
    "a will is sent although its client came back, or not sent although it did not",
    "emqx#18565, emqx PR#11868",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("will-and-takeover", seed);
    let watcher = plot.durable_v5("watcher");
    plot.subscribe(20, watcher, "will/#", Qos::AtLeastOnce);
    for name in ["one", "two", "three", "four"] {
        let client = plot.durable(name);
        let delay_s = if plot.rng.chance(1, 2) {
            0
        } else {
            1 + u32::try_from(plot.rng.below(3)).expect("below three")
        };
        let qos = plot.reliable();
        plot.will(client, &format!("will/{name}"), qos, delay_s);
        let ops =
            Weights { disconnect: 1, disconnect_with_will: 1, drop: 2, takeover: 2, ping: 4, ..NOTHING };
        plot.work(client, (300, 4_000), (50, 900), ops, &[]);
        plot.spec(client).conduct.backoff.max_ms = plot.ms(50, 3_000);
        plot.spec(client).conduct.backoff.first_ms = plot.ms(10, 2_500);
    }
    if plot.rng.chance(1, 3) {
        let at_ms = plot.ms(500, 3_500);
        plot.crash(at_ms);
    }
    plot.ends(5_000)
}
