use crate::checkers::tale::{QOS1, Tale};
use broker_core::time::Instant;
use sim::history::{ClientNo, Closer, Publish, Tag};
use sim::scenario::{AccessAction, AccessList, AccessRule};

/// Bob is away; Alice sends him a message that lives for 5 s; Bob is back after `away_ms`.
fn bob_was_away(away_ms: u64) -> (Tale, ClientNo, Tag) {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.leaves(bob, 0);
    tale.wait_ms(2_000);
    let publish = Publish { topic: "t".into(), qos: QOS1, id: 3, expiry_s: Some(5), ..Publish::default() };
    let message = tale.publishes_with(alice, publish);
    tale.acknowledged(alice, message);
    tale.wait_ms(away_ms);
    tale.join(bob);
    (tale, bob, message)
}

fn takes_with(tale: &mut Tale, bob: ClientNo, message: Tag, left_s: Option<u32>) {
    let publish = Publish { expiry_s: left_s, ..tale.copy(message, 1) };
    tale.takes_as(bob, publish);
}

#[test]
fn the_interval_shrinks() {
    let (mut tale, bob, message) = bob_was_away(3_000);
    takes_with(&mut tale, bob, message, Some(2));
    tale.ends();
    tale.is_fine();
}

#[test]
fn an_interval_that_does_not_shrink_is_found() {
    let (mut tale, bob, message) = bob_was_away(3_000);
    takes_with(&mut tale, bob, message, Some(5));
    assert_eq!(tale.violation(31).message, Some(message));
}

#[test]
fn an_interval_that_grows_or_is_lost_is_found() {
    for left_s in [Some(6), None] {
        let (mut tale, bob, message) = bob_was_away(0);
        takes_with(&mut tale, bob, message, left_s);
        assert_eq!(tale.violation(31).message, Some(message));
    }
}

#[test]
fn a_message_that_is_sent_after_its_expiry_is_found() {
    let (mut tale, bob, message) = bob_was_away(8_000);
    takes_with(&mut tale, bob, message, Some(0));
    assert_eq!(tale.violation(31).message, Some(message));
}

#[test]
fn what_may_have_been_sent_on_a_connection_without_an_answer_does_not_expire() {
    let (mut tale, bob, message) = bob_was_away(1_000);
    tale.leaves(bob, 0);
    let connect = tale.connect_of(bob);
    tale.call(bob, connect);
    tale.wait_ms(8_000);
    tale.closes(bob, Closer::Network);
    tale.join(bob);
    let publish = Publish { expiry_s: Some(1), dup: true, ..tale.copy(message, 1) };
    tale.takes_as(bob, publish);
    tale.holds(&[31]);
}

#[test]
fn what_the_access_list_denies_is_found_on_both_sides() {
    for action in [AccessAction::Subscribe, AccessAction::Publish] {
        let mut tale = Tale::new();
        let rule = AccessRule { client: None, allow: false, action, filter: "secret/#".to_owned() };
        tale.scenario.acl.push(AccessList { from: Instant::ZERO, rules: vec![rule], otherwise: true });
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        tale.subscribes(bob, "#", QOS1);
        let fine = tale.says(alice, "public", QOS1);
        let secret = tale.says(alice, "secret/x", QOS1);
        tale.takes(bob, fine, 1);
        tale.holds(&[36]);
        tale.takes(bob, secret, 2);
        assert_eq!(tale.violation(36).message, Some(secret));
    }
}

#[test]
fn what_the_access_list_denies_is_not_owed() {
    let mut tale = Tale::new();
    let rule = AccessRule {
        client: None,
        allow: false,
        action: AccessAction::Publish,
        filter: "secret/#".to_owned(),
    };
    tale.scenario.acl.push(AccessList { from: Instant::ZERO, rules: vec![rule], otherwise: true });
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "#", QOS1);
    tale.says(alice, "secret/x", QOS1);
    tale.ends();
    tale.holds(&[1, 24]);
}
