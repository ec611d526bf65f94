use crate::checkers::tale::{QOS0, QOS1, QOS2, Tale};
use sim::history::{Publish, Subscription};

#[test]
fn what_is_sent_after_unsuback_is_found_and_what_was_sent_before_is_not() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let before = tale.says(alice, "t", QOS1);
    tale.unsubscribes(bob, "t");
    tale.takes(bob, before, 1);
    tale.holds(&[26]);
    let after = tale.says(alice, "t", QOS1);
    tale.takes(bob, after, 2);
    assert_eq!(tale.violation(26).message, Some(after));
}

#[test]
fn what_nobody_asked_for_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let message = tale.says(alice, "u", QOS1);
    tale.takes(bob, message, 1);
    assert_eq!(tale.violation(26).message, Some(message));
}

#[test]
fn overlapping_subscriptions_give_the_highest_qos_and_all_identifiers() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes_with(bob, Subscription::plain("t/+", QOS1), Some(4));
    tale.subscribes_with(bob, Subscription::plain("t/#", QOS2), Some(5));
    let message = tale.says(alice, "t/x", QOS2);
    let right = Publish { subscription_ids: vec![5, 4], ..tale.copy(message, 1) };
    tale.takes_as(bob, right);
    tale.holds(&[35]);

    let message = tale.says(alice, "t/x", QOS2);
    let low = Publish { qos: QOS1, subscription_ids: vec![4, 5], ..tale.copy(message, 2) };
    tale.takes_as(bob, low);
    assert_eq!(tale.violation(35).message, Some(message));
}

#[test]
fn a_missing_identifier_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes_with(bob, Subscription::plain("t/+", QOS1), Some(4));
    tale.subscribes_with(bob, Subscription::plain("t/#", QOS2), Some(5));
    let message = tale.says(alice, "t/x", QOS1);
    let poor = Publish { subscription_ids: vec![5], ..tale.copy(message, 1) };
    tale.takes_as(bob, poor);
    assert_eq!(tale.violation(35).message, Some(message));
}

#[test]
fn a_message_that_comes_back_to_its_publisher_against_its_wish_is_found() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    tale.subscribes_with(alice, Subscription { no_local: true, ..Subscription::plain("t", QOS1) }, None);
    let message = tale.says(alice, "t", QOS0);
    tale.holds(&[35, 1, 24]);
    tale.takes(alice, message, 0);
    assert_eq!(tale.violation(35).message, Some(message));
}

#[test]
fn subscriptions_that_change_meanwhile_are_not_judged() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.publishes(alice, "t", QOS2, 3);
    tale.subscribes(bob, "t", QOS1);
    tale.acknowledged(alice, message);
    let low = Publish { qos: QOS1, ..tale.copy(message, 1) };
    tale.takes_as(bob, low);
    tale.holds(&[35]);
}
