//! Clients send what no client may send, beside others that behave.

use super::Story;
use super::plot::{NOTHING, Plot, RELIABLE};
use sim::history::{Qos, Subscription};
use sim::scenario::{Action, Misdeed, Scenario, Weights};

pub(super) const STORY: Story =
    Story::new("hostile-clients", "a client that misbehaves harms others", "ours", make);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("hostile-clients", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (100, 3_500), (5, 40), RELIABLE, &["t/a", "t/b"]);
    let subscriber = plot.durable("subscriber");
    plot.subscribe(20, subscriber, "t/+", Qos::ExactlyOnce);
    let limits = &mut plot.scenario.topology.nodes[0].limits;
    limits.receive_max = 20;
    limits.topic_levels_max = 8;
    for number in 0..plot.ms(1, 4) {
        let hostile = plot.durable(&format!("hostile{number}"));
        let weights = Weights { misdeed: 3, subscribe: 1, publish_qos0: 2, ping: 1, ..NOTHING };
        plot.work(hostile, (100, 3_500), (10, 200), weights, &["t/a", "t/b/c/d/e/f/g/h/i/j"]);
        let load = plot.spec(hostile).workload.as_mut().expect("set above");
        load.subscriptions = vec![Subscription::plain("t/#", Qos::AtLeastOnce)];
        for _ in 0..3 {
            let at_ms = plot.ms(200, 3_500);
            let misdeed =
                if plot.rng.chance(1, 2) { Misdeed::TooManyInFlight } else { Misdeed::SecondConnect };
            plot.at(at_ms, hostile, Action::Misdeed(misdeed));
        }
    }
    plot.ends(4_500)
}
