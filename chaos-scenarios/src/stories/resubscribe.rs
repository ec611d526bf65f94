//! Subscriptions are replaced and given up under traffic.

use super::Story;
use super::plot::{NOTHING, Plot, RELIABLE};
use sim::history::Subscription;
use sim::scenario::{Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "resubscribe",
    "replacing a subscription loses messages, giving one up does not stop them",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("resubscribe", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (100, 3_800), (1, 20), RELIABLE, &["t/a", "t/b", "t/c"]);
    for name in ["one", "two"] {
        let subscriber = if plot.rng.chance(2, 3) { plot.durable_v5(name) } else { plot.clean(name) };
        let weights = Weights { subscribe: 5, unsubscribe: plot.ms(0, 2) as u16, ..NOTHING };
        plot.work(subscriber, (50, 3_800), (10, 200), weights, &[]);
        let ids = plot.rng.chance(1, 2);
        let qos = [plot.reliable(), plot.any_qos(), plot.reliable()];
        let workload = plot.spec(subscriber).workload.as_mut().expect("set above");
        workload.subscriptions = ["t/a", "t/+", "#"]
            .iter()
            .zip(qos)
            .map(|(filter, qos)| Subscription::plain(*filter, qos))
            .collect();
        workload.initial = 2;
        workload.subscription_ids = ids;
    }
    if plot.rng.chance(1, 2) {
        let at_ms = plot.ms(500, 3_500);
        plot.crash(at_ms);
    }
    plot.ends(4_500)
}
