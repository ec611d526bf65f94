//! Windows of clients: what was sent through a wide one is finished through a narrow one.

use broker_core::time::Instant;
use sim::history::{ClientNo, Packet, Qos, Subscription, Tag, Version, What};
use sim::scenario::{Action, ClientSpec, Conduct, PublishSpec, Scenario, Span, When};
use sim::{Production, RunOptions, run};
use std::collections::BTreeSet;

const MESSAGES: u32 = 60;

/// A subscriber that answers slowly and in any order is cut off; its successor takes one message at a time.
fn a_narrow_successor(seed: u64, qos: Qos, cut_ms: u64) -> Scenario {
    let mut scenario = Scenario::single_node("a narrow successor", seed);
    let publisher = scenario.client(ClientSpec::durable("publisher", Version::V5));
    let conduct =
        Conduct { ack_ms: Span { min: 0, max: 400 }, answers_in_order: false, ..Conduct::default() };
    let wide = scenario.client(ClientSpec { conduct, ..ClientSpec::durable("subscriber", Version::V5) });
    let narrow = scenario.client(ClientSpec {
        receive_max: Some(1),
        connect_at: None,
        ..ClientSpec::durable("subscriber", Version::V5)
    });
    let at = |ms| When::At(Instant::from_millis(ms));
    let filters = vec![Subscription::plain("a", Qos::ExactlyOnce)];
    scenario.step(at(10), wide, Action::Subscribe { filters, subscription_id: None });
    for number in 0..u64::from(MESSAGES) {
        scenario.step(at(50 + 2 * number), publisher, Action::Publish(PublishSpec::new("a", qos)));
    }
    scenario.step(at(cut_ms), narrow, Action::Connect { clean_start: None, node: None });
    scenario.phases.safety_ms = 2_000;
    scenario
}

#[test]
fn a_client_that_comes_back_with_a_narrow_window_is_served_to_the_end() {
    for seed in 0..60 {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let cut_ms = 200 + 10 * seed;
            let outcome = run(&a_narrow_successor(seed, qos, cut_ms), &Production, RunOptions::default());
            assert_eq!(outcome.crash, None, "seed {seed}");
            let received: BTreeSet<Tag> = outcome
                .history
                .records
                .iter()
                .filter_map(|record| match &record.what {
                    What::Received { client, packet: Packet::Publish(publish), .. }
                        if *client != ClientNo(0) =>
                    {
                        publish.tag()
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(received.len(), MESSAGES as usize, "seed {seed} {qos:?}: messages are missing");
            let end = outcome.history.records.last().map(|record| &record.what);
            assert!(
                matches!(end, Some(What::End { restless }) if restless.is_empty()),
                "seed {seed} {qos:?}: {end:?}"
            );
        }
    }
}
