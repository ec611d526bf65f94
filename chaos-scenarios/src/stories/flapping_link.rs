//! Links that break every few milliseconds.

use super::Story;
use super::plot::{Plot, RELIABLE};
use sim::scenario::{FaultKind, Scenario, Weights};

pub(super) const STORY: Story =
    Story::new("flapping-link", "a link that flaps costs subscriptions or messages", "emqx PR#14248", make);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("flapping-link", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (100, 3_800), (2, 30), Weights { publish_qos0: 1, ..RELIABLE }, &["t/a", "t/b"]);
    let mut clients = vec![publisher];
    for name in ["one", "two"] {
        let subscriber = if plot.rng.chance(3, 4) { plot.durable(name) } else { plot.clean(name) };
        let qos = plot.reliable();
        plot.subscribe(20, subscriber, "t/+", qos);
        clients.push(subscriber);
    }
    for client in clients {
        plot.spec(client).conduct.backoff.first_ms = 1 + plot.rng.below(20);
        let mut at_ms = 200;
        while at_ms < 3_800 {
            at_ms += plot.ms(5, 400);
            let kind = match plot.rng.below(6) {
                0 => FaultKind::HalfOpen { client },
                1 => FaultKind::Fragment {
                    client,
                    bytes_max: 1 + u32::try_from(plot.rng.below(9)).expect("below nine"),
                },
                _ => FaultKind::Reset { client },
            };
            let until_ms = at_ms + plot.ms(0, 60);
            plot.fault(at_ms, until_ms, kind);
        }
    }
    plot.ends(4_500)
}
