//! The first slice through the whole house: one QoS 2 message, from client to client, across a power loss.

use sim::history::{ClientNo, Packet, Publish, Qos, Subscription, Version, What};
use sim::scenario::{Action, ClientSpec, FaultKind, Milestone, PublishSpec, Scenario, When};
use sim::{Outcome, Production, RunOptions, run};

/// A publisher hands one QoS 2 message over; the power goes while the subscriber is away; then it comes back.
fn one_message_across_a_power_loss(seed: u64) -> Scenario {
    let mut scenario = Scenario::single_node("one message across a power loss", seed);
    let publisher = scenario.client(ClientSpec::durable("publisher", Version::V311));
    let subscriber = scenario.client(ClientSpec::durable("subscriber", Version::V5));
    let subscribe = Action::Subscribe {
        filters: vec![Subscription::plain("a/+", Qos::ExactlyOnce)],
        subscription_id: None,
    };
    let at = |ms| When::At(broker_core::time::Instant::from_millis(ms));
    let subscribed = scenario.step(at(10), subscriber, subscribe);
    let after = |step| When::After { step, milestone: Milestone::Done, delay_ms: 5 };
    let gone = scenario.step(after(subscribed), subscriber, Action::Drop);
    let publish = Action::Publish(PublishSpec::new("a/b", Qos::ExactlyOnce));
    scenario.step(after(gone), publisher, publish);
    scenario.fault(1_000, 2_000, FaultKind::PowerLoss { node: scenario.topology.nodes[0].node });
    scenario.step(at(3_000), subscriber, Action::Connect { clean_start: None, node: None });
    scenario
}

fn deliveries(outcome: &Outcome, client: ClientNo) -> Vec<&Publish> {
    let records = outcome.history.records.iter();
    let received = records.filter_map(|record| match &record.what {
        What::Received { client: who, packet: Packet::Publish(publish), .. } if *who == client => {
            Some(publish)
        }
        _ => None,
    });
    received.collect()
}

#[test]
fn an_acknowledged_qos_2_message_survives_a_power_loss_and_arrives_once() {
    for seed in 0..50 {
        let scenario = one_message_across_a_power_loss(seed);
        let outcome = run(&scenario, &Production, RunOptions::default());
        assert_eq!(outcome.crash, None, "seed {seed}");
        let delivered = deliveries(&outcome, ClientNo(1));
        assert_eq!(delivered.len(), 1, "seed {seed}: {delivered:?}");
        let completed = outcome
            .history
            .of_client(ClientNo(0))
            .filter(|record| matches!(record.what, What::Received { packet: Packet::PubComp(_), .. }));
        assert_eq!(completed.count(), 1, "seed {seed}");
        let Some(What::End { restless }) = outcome.history.records.last().map(|record| &record.what) else {
            panic!("a history ends with its end");
        };
        assert!(restless.is_empty(), "seed {seed}: {restless:?} have not come to rest");
    }
}

#[test]
fn the_same_scenario_gives_the_same_trace() {
    let options = RunOptions { lines: true, ..RunOptions::default() };
    for seed in 0..5 {
        let scenario = one_message_across_a_power_loss(seed);
        let (first, second) = (run(&scenario, &Production, options), run(&scenario, &Production, options));
        assert_eq!(first.lines, second.lines);
        assert_eq!(first.trace, second.trace);
        let other = run(&one_message_across_a_power_loss(seed + 1), &Production, options);
        assert_ne!(first.trace, other.trace, "another seed is another run");
    }
}
