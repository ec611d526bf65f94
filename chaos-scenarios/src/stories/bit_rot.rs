//! Bits flip on the disk while the node is down.

use super::Story;
use super::plot::{NODE, Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story =
    Story::new("bit-rot", "damage in the middle of the log goes unnoticed", "ours", make).may_forget();

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("bit-rot", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (50, 2_500), (1, 15), RELIABLE, &["t/a", "t/b"]);
    let subscriber = plot.durable("subscriber");
    plot.subscribe(20, subscriber, "t/#", Qos::ExactlyOnce);
    let (gone, back) = (plot.ms(200, 800), plot.ms(1_500, 2_500));
    plot.away(subscriber, gone, back);
    let from_ms = plot.ms(800, 1_500);
    let bits = u32::try_from(plot.ms(1, 40)).expect("a small number");
    plot.fault(from_ms, from_ms + 100, FaultKind::BitRot { node: NODE, bits });
    plot.ends(3_000)
}
