//! The node dies under clients with a will.

use super::Story;
use super::plot::Plot;
use sim::history::Qos;
use sim::scenario::Scenario;

pub(super) const STORY: Story = Story::new(
    "will-at-node-death",
    "after the death of the node a will is not sent, or sent twice",
    "emqx#1668",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("will-at-node-death", seed);
    let watcher = plot.durable("watcher");
    plot.subscribe(20, watcher, "will/+", Qos::ExactlyOnce);
    for name in ["one", "two", "three"] {
        let client = if plot.rng.chance(1, 2) { plot.durable(name) } else { plot.clean(name) };
        let (qos, delay_s) = (plot.reliable(), u32::try_from(plot.rng.below(3)).expect("below three"));
        plot.will(client, &format!("will/{name}"), qos, delay_s);
        // Some come back and take their will with them; some stay away.
        if plot.rng.chance(1, 2) {
            plot.spec(client).conduct.backoff.first_ms = 20_000;
            plot.spec(client).conduct.backoff.max_ms = 20_000;
        }
    }
    for _ in 0..plot.ms(1, 3) {
        let at_ms = plot.ms(300, 3_000);
        plot.crash(at_ms);
    }
    plot.ends(4_500)
}
