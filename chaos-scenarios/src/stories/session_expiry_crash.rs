//! Sessions expire, or not quite, while the node is down or its wall clock jumps.

use super::Story;
use super::plot::{NODE, Plot, RELIABLE};
use sim::history::Qos;
use sim::scenario::{FaultKind, Scenario};

pub(super) const STORY: Story = Story::new(
    "session-expiry-crash",
    "a crash resets, shortens or forgets the expiry of sessions",
    "ours",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("session-expiry-crash", seed);
    let publisher = plot.durable("publisher");
    plot.work(publisher, (100, 16_000), (20, 200), RELIABLE, &["t"]);
    for name in ["one", "two", "three"] {
        let client = plot.durable_v5(name);
        plot.spec(client).session_expiry_s = 1 + u32::try_from(plot.rng.below(3)).expect("below three");
        plot.subscribe(50, client, "t", Qos::AtLeastOnce);
        let gone = plot.ms(300, 2_000);
        // In time, about then, or much too late even for a session that a crash lengthened.
        let back = gone + *plot.rng.pick(&[200, 900, 2_500, 14_900]);
        plot.away(client, gone, back);
    }
    match plot.rng.below(4) {
        0 => {}
        1 => long_outage(&mut plot),
        _ => short_outage(&mut plot),
    }
    plot.ends(18_000)
}

/// The node is away for a moment, and its wall clock may jump meanwhile.
fn short_outage(plot: &mut Plot) {
    let from_ms = plot.ms(500, 3_000);
    let until_ms = from_ms + plot.ms(50, 2_500);
    plot.fault(from_ms, until_ms, FaultKind::PowerLoss { node: NODE });
    if plot.rng.chance(1, 3) {
        let by_ms = *plot.rng.pick(&[-3_600_000, -500, 500, 1_500]);
        plot.fault(from_ms + 10, from_ms + 10, FaultKind::WallJump { node: NODE, by_ms });
    }
}

/// The node is away for so long that the sessions of those who were connected end meanwhile, and they come back soon after.
fn long_outage(plot: &mut Plot) {
    let from_ms = plot.ms(400, 1_000);
    plot.fault(from_ms, from_ms + 14_000, FaultKind::PowerLoss { node: NODE });
    for name in ["four", "five"] {
        let client = plot.durable_v5(name);
        plot.spec(client).session_expiry_s = 1 + u32::try_from(plot.rng.below(2)).expect("below two");
        plot.subscribe(50, client, "t", Qos::AtLeastOnce);
        plot.spec(client).conduct.backoff.first_ms = 28_000;
        plot.spec(client).conduct.backoff.max_ms = 28_000;
    }
}
