//! Clients fall silent: behind a dead link, or standing still.

use super::Story;
use super::plot::{NOTHING, Plot};
use sim::history::Qos;
use sim::scenario::{Direction, FaultKind, Scenario, Weights};

pub(super) const STORY: Story =
    Story::new("keep-alive", "a silent client is kept, or a live one is thrown out", "ours", make);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("keep-alive", seed);
    let watcher = plot.durable("watcher");
    plot.subscribe(20, watcher, "will/#", Qos::AtLeastOnce);
    for name in ["one", "two", "three"] {
        let client = if plot.rng.chance(1, 2) { plot.durable(name) } else { plot.clean(name) };
        plot.spec(client).keep_alive_s = 1 + u16::try_from(plot.rng.below(2)).expect("below two");
        plot.spec(client).conduct.patience_ms = plot.ms(500, 6_000);
        plot.will(client, &format!("will/{name}"), Qos::AtLeastOnce, 0);
        // It has something to say: what is answered shows that it was kept.
        plot.work(client, (200, 7_500), (100, 900), Weights { publish_qos1: 1, ping: 1, ..NOTHING }, &["t"]);
        if plot.rng.chance(3, 4) {
            let from_ms = plot.ms(300, 2_000);
            let until_ms = from_ms + plot.ms(200, 5_000);
            let kind = match plot.rng.below(3) {
                0 => FaultKind::HalfOpen { client },
                1 => FaultKind::ClientStall { client },
                _ => FaultKind::Stall { client, direction: Direction::ToBroker },
            };
            plot.fault(from_ms, until_ms, kind);
        }
    }
    plot.ends(8_000)
}
