//! A client loses a right while messages for it are queued and retained.

use super::Story;
use super::plot::{Plot, RELIABLE};
use broker_core::time::Instant;
use sim::history::Qos;
use sim::scenario::{AccessAction, AccessList, AccessRule, FaultKind, Scenario, Weights};

pub(super) const STORY: Story = Story::new(
    "access-list-replay",
    "queued and retained messages reach a client that lost the right to them",
    "BIT-nats-2026-58209",
    make,
);

fn make(seed: u64) -> Scenario {
    let mut plot = Plot::new("access-list-replay", seed);
    let publisher = plot.durable("publisher");
    let reader = plot.durable("reader");
    let late = plot.clean("late");
    plot.spec(late).connect_at = None;
    plot.work(
        publisher,
        (100, 3_500),
        (5, 40),
        Weights { retain: 2, ..RELIABLE },
        &["open/a", "secret/a", "secret/b"],
    );
    plot.will(publisher, "secret/will", Qos::AtLeastOnce, 0);
    plot.subscribe(20, reader, "#", Qos::ExactlyOnce);
    let lost_ms = plot.ms(500, 2_000);
    let list = |from_ms, rules| AccessList { from: Instant::from_millis(from_ms), rules, otherwise: true };
    let deny = |client, action| AccessRule { client, allow: false, action, filter: "secret/#".to_owned() };
    plot.scenario.acl.push(list(0, Vec::new()));
    plot.scenario.acl.push(list(
        lost_ms,
        vec![deny(Some(reader), AccessAction::Subscribe), deny(Some(late), AccessAction::Subscribe)],
    ));
    if plot.rng.chance(1, 2) {
        plot.scenario.acl.push(list(lost_ms + 1_500, vec![deny(None, AccessAction::Publish)]));
        let at_ms = lost_ms + 1_600;
        plot.fault(at_ms, at_ms, FaultKind::Reset { client: publisher });
    }
    let (gone, back) = (plot.ms(300, lost_ms), lost_ms + plot.ms(100, 1_500));
    plot.away(reader, gone, back);
    plot.connect(lost_ms + 500, late);
    plot.subscribe(lost_ms + 600, late, "+/+", Qos::AtLeastOnce);
    if plot.rng.chance(1, 2) {
        let at_ms = plot.ms(500, 3_500);
        plot.crash(at_ms);
    }
    plot.ends(4_500)
}
