//! Clients subscribe, again and again, to topics whose retained message is being replaced.

use super::Story;
use super::plot::{NOTHING, Plot};
use sim::history::Subscription;
use sim::scenario::{Action, Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "subscribe-to-retained",
    "between the retained message and the live ones there is a gap, or one comes twice",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("subscribe-to-retained", seed);
    let writer = plot.durable("writer");
    plot.work(writer, (50, 3_500), (1, 15), Weights { retain: 8, clear: 1, ..NOTHING }, &["r/a", "r/b"]);
    for number in 0..plot.ms(4, 10) {
        let reader = if plot.rng.chance(1, 2) {
            plot.durable_v5(&format!("r{number}"))
        } else {
            plot.clean(&format!("r{number}"))
        };
        for _ in 0..plot.ms(1, 3) {
            let at_ms = plot.ms(100, 3_300);
            let options = Subscription {
                no_local: false,
                retain_as_published: plot.rng.chance(1, 4),
                retain_handling: u8::try_from(plot.rng.below(3)).expect("below three"),
                ..Subscription::plain("r/+", plot.any_qos())
            };
            plot.at(at_ms, reader, Action::Subscribe { filters: vec![options], subscription_id: None });
        }
    }
    if plot.rng.chance(1, 3) {
        let at_ms = plot.ms(500, 3_000);
        plot.crash(at_ms);
    }
    plot.ends(4_000)
}
