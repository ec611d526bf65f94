use crate::checkers::Verdict;
use crate::checkers::tale::{QOS0, QOS1, QOS2, Tale};
use broker_core::event::{DropReason, Event};
use broker_core::face::Durability;
use broker_core::ids::{NodeId, WriteId};
use sim::history::{Closer, NodeDown, Publish, Subscription, What};

#[test]
fn a_message_lost_for_a_connected_subscriber_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let lost = tale.says(alice, "t", QOS1);
    tale.ends();
    assert_eq!(tale.violation(1).message, Some(lost));
    assert_eq!(tale.violation(24).message, Some(lost));
    tale.holds(&[4, 5, 21, 22, 25]);
}

#[test]
fn a_message_lost_in_a_crash_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let lost = tale.says(alice, "t", QOS2);
    tale.goes_down(NodeDown::PowerLost, &[alice, bob]);
    tale.starts();
    tale.join(alice);
    tale.join(bob);
    tale.ends();
    assert_eq!(tale.violation(1).message, Some(lost));
}

#[test]
fn with_writes_in_the_background_a_crash_excuses_everything() {
    let mut tale = Tale::new();
    tale.scenario.topology.nodes[0].durability = Durability::Async;
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.says(alice, "t", QOS1);
    tale.goes_down(NodeDown::PowerLost, &[alice, bob]);
    tale.starts();
    tale.join(bob);
    tale.ends();
    assert!(matches!(tale.verdict(1), Verdict::Unknown(_)));
}

#[test]
fn what_was_not_acknowledged_or_not_surely_wanted_may_be_missing() {
    let mut tale = Tale::new();
    let (alice, bob, carol) = (tale.durable("alice"), tale.durable("bob"), tale.durable("carol"));
    tale.subscribes(bob, "t", QOS0);
    tale.publishes(alice, "t", QOS1, 3);
    tale.asks(carol, Subscription::plain("t", QOS1), None);
    tale.says(alice, "t", QOS1);
    tale.ends();
    tale.holds(&[1, 5, 21, 22, 25]);
}

#[test]
fn what_is_queued_for_a_client_that_is_away_is_not_missing_yet() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.leaves(bob, 0);
    tale.says(alice, "t", QOS1);
    tale.ends();
    tale.is_fine();
}

#[test]
fn a_message_lost_while_its_session_was_away_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.leaves(bob, 0);
    let lost = tale.says(alice, "t", QOS1);
    tale.join(bob);
    tale.ends();
    assert_eq!(tale.violation(22).message, Some(lost));
    tale.holds(&[21, 24]);
}

#[test]
fn a_resumed_session_that_hears_nothing_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.closes(bob, Closer::Network);
    tale.join(bob);
    let lost = tale.says(alice, "t", QOS1);
    tale.ends();
    assert_eq!(tale.violation(21).message, Some(lost));
    tale.holds(&[22, 24]);
}

#[test]
fn qos_0_is_owed_while_nothing_is_at_fault() {
    for resumed in [false, true] {
        let mut tale = Tale::new();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        tale.subscribes(bob, "t", QOS0);
        if resumed {
            tale.closes(bob, Closer::Network);
            tale.join(bob);
        }
        let lost = tale.says(alice, "t", QOS0);
        tale.ends();
        let (sees, does_not) = if resumed { (21, 24) } else { (24, 21) };
        assert_eq!(tale.violation(sees).message, Some(lost));
        tale.holds(&[1, does_not]);
    }
}

#[test]
fn a_new_message_swallowed_because_its_identifier_was_used_before_is_found() {
    for (qos, number, other) in [(QOS1, 5, 4), (QOS2, 4, 5)] {
        let mut tale = Tale::new();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        tale.subscribes(bob, "t", QOS2);
        let first = tale.says(alice, "t", qos);
        tale.takes(bob, first, 1);
        let second = tale.says(alice, "t", qos);
        tale.ends();
        assert_eq!(tale.violation(number).message, Some(second));
        tale.holds(&[other]);
    }
}

#[test]
fn a_message_lost_while_its_subscription_was_replaced_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let lost = tale.publishes(alice, "t", QOS1, 3);
    tale.subscribes(bob, "t", QOS2);
    tale.acknowledged(alice, lost);
    tale.ends();
    assert_eq!(tale.violation(25).message, Some(lost));
}

#[test]
fn a_replacement_with_qos_0_excuses_what_was_under_way() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let lost = tale.publishes(alice, "t", QOS1, 3);
    tale.subscribes(bob, "t", QOS0);
    tale.acknowledged(alice, lost);
    tale.ends();
    tale.holds(&[1, 25]);
}

#[test]
fn a_true_reason_excuses_and_a_false_one_does_not() {
    let mut tale = Tale::new();
    tale.scenario.topology.nodes[0].limits.queue_messages_max = 2;
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.leaves(bob, 0);
    let kept = [tale.says(alice, "t", QOS1), tale.says(alice, "t", QOS1)];
    let over = tale.says(alice, "t", QOS1);
    tale.drops(bob, over, DropReason::QueueFull);
    tale.join(bob);
    tale.takes(bob, kept[0], 1);
    tale.takes(bob, kept[1], 2);
    tale.ends();
    tale.holds(&[1, 2]);
    tale.scenario.topology.nodes[0].limits.queue_messages_max = 1_000;
    assert_eq!(tale.violation(2).message, Some(over));
}

#[test]
fn every_reason_can_be_caught_lying() {
    let reasons = [
        DropReason::Expired,
        DropReason::QueueFull,
        DropReason::SlowConsumer,
        DropReason::NotAuthorized,
        DropReason::PacketTooLarge,
        DropReason::RetainedFull,
    ];
    for reason in reasons {
        let mut tale = Tale::new();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        tale.subscribes(bob, "t", QOS1);
        let lost = tale.says(alice, "t", QOS1);
        tale.drops(bob, lost, reason);
        tale.ends();
        assert_eq!(tale.violation(2).message, Some(lost), "{reason:?}");
    }
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let lost = tale.says(alice, "t", QOS1);
    tale.drops(bob, lost, DropReason::SessionEnded);
    tale.ends();
    assert_eq!(tale.violation(2).message, Some(lost), "an hour has not passed");
}

#[test]
fn a_message_that_may_expire_needs_a_reason_and_a_true_one() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.leaves(bob, 0);
    let short = Publish { topic: "t".into(), qos: QOS1, id: 3, expiry_s: Some(2), ..Publish::default() };
    let lost = tale.publishes_with(alice, short);
    tale.acknowledged(alice, lost);
    tale.wait_ms(4_000);
    tale.drops(bob, lost, DropReason::Expired);
    tale.join(bob);
    tale.ends();
    tale.holds(&[1, 2]);

    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let long = Publish { topic: "t".into(), qos: QOS1, id: 3, expiry_s: Some(60), ..Publish::default() };
    let lost = tale.publishes_with(alice, long);
    tale.acknowledged(alice, lost);
    tale.push(What::Broker { node: NodeId(1), event: Event::Durable { write: WriteId(1) } });
    tale.ends();
    tale.holds(&[1]);
    assert_eq!(tale.violation(2).message, Some(lost));
}

#[test]
fn without_the_brokers_own_account_reasons_are_unknown() {
    let mut tale = Tale::new();
    tale.durable("alice");
    tale.ends();
    assert!(matches!(tale.verdict(2), Verdict::Unknown(_)));
}
