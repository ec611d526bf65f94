//! A message is published the moment SUBACK arrives.

use super::Story;
use super::plot::{NODE, Plot};
use sim::history::Qos;
use sim::scenario::{Action, FaultKind, Milestone, PublishSpec, Scenario, When};

pub(super) const STORY: Story =
    Story::new("suback-route", "SUBACK or CONNACK is sent before the route is live", "bifromq#281", make);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("suback-route", seed);
    let publisher = plot.durable("publisher");
    for number in 0..plot.ms(2, 5) {
        let subscriber = if plot.rng.chance(1, 2) {
            plot.durable(&format!("s{number}"))
        } else {
            plot.clean(&format!("s{number}"))
        };
        let topic = format!("route/{number}");
        let filter = if plot.rng.chance(1, 2) { topic.clone() } else { "route/+".to_owned() };
        let at_ms = plot.ms(50, 1_500);
        let asked = plot.subscribe(at_ms, subscriber, &filter, Qos::ExactlyOnce);
        let connected = plot.at(at_ms + 1_000, subscriber, Action::Connect { clean_start: None, node: None });
        for (step, count) in [(asked, 3), (connected, 3)] {
            for _ in 0..count {
                let qos = plot.any_qos();
                let when = When::After { step, milestone: Milestone::Done, delay_ms: 0 };
                plot.scenario.step(when, publisher, Action::Publish(PublishSpec::new(&topic, qos)));
            }
        }
    }
    if plot.rng.chance(1, 2) {
        let extra_ms = plot.ms(5, 60);
        plot.fault(0, 3_000, FaultKind::SlowSync { node: NODE, extra_ms });
    }
    plot.ends(4_000)
}
