use crate::checkers::tale::{QOS1, QOS2, Tale};
use sim::history::{Ack, Closer, Packet, Publish};

#[test]
fn a_replay_that_is_delivered_again_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.publishes(alice, "t", QOS2, 3);
    tale.takes(bob, message, 1);
    tale.closes(alice, Closer::Network);
    tale.join(alice);
    tale.republishes(alice, message);
    tale.acknowledged(alice, message);
    tale.ends();
    tale.holds(&[3]);

    let mut twice = tale;
    twice.takes(bob, message, 2);
    assert_eq!(twice.violation(3).message, Some(message));
}

#[test]
fn a_message_by_a_group_and_by_an_own_subscription_is_no_duplicate() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    tale.subscribes(bob, "$share/g/t", QOS2);
    let message = tale.says(alice, "t", QOS2);
    tale.takes(bob, message, 1);
    tale.takes(bob, message, 2);
    tale.ends();
    tale.holds(&[3]);
}

#[test]
fn a_replay_on_a_new_session_of_the_publisher_is_a_new_message() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.clean("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.publishes(alice, "t", QOS2, 3);
    tale.takes(bob, message, 1);
    tale.closes(alice, Closer::Network);
    tale.join(alice);
    tale.republishes(alice, message);
    tale.takes(bob, message, 2);
    tale.ends();
    tale.holds(&[3]);
}

#[test]
fn a_publish_after_its_pubrel_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.says(alice, "t", QOS2);
    tale.hears(bob, message, 1);
    tale.sends(bob, Packet::PubRec(Ack::ok(1)));
    tale.got(bob, Packet::PubRel(Ack::ok(1)));
    tale.closes(bob, Closer::Network);
    tale.join(bob);
    tale.holds(&[6]);
    let again = Publish { dup: true, ..tale.copy(message, 1) };
    tale.got(bob, Packet::Publish(again));
    assert_eq!(tale.violation(6).message, Some(message));
}

#[test]
fn a_pubrel_that_never_comes_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.says(alice, "t", QOS2);
    tale.hears(bob, message, 1);
    tale.sends(bob, Packet::PubRec(Ack::ok(1)));
    tale.ends();
    assert_eq!(tale.violation(7).message, Some(message));
}

#[test]
fn a_pubrel_that_is_not_sent_again_is_found() {
    for again in [true, false] {
        let mut tale = Tale::new();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        tale.subscribes(bob, "t", QOS2);
        let message = tale.says(alice, "t", QOS2);
        tale.hears(bob, message, 1);
        tale.sends(bob, Packet::PubRec(Ack::ok(1)));
        tale.got(bob, Packet::PubRel(Ack::ok(1)));
        tale.closes(bob, Closer::Network);
        tale.join(bob);
        if again {
            tale.got(bob, Packet::PubRel(Ack::ok(1)));
            tale.sends(bob, Packet::PubComp(Ack::ok(1)));
        }
        tale.ends();
        match again {
            true => tale.is_fine(),
            false => assert_eq!(tale.violation(7).message, Some(message)),
        }
    }
}

#[test]
fn a_begun_handshake_is_finished_even_if_its_message_expires() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let short = Publish { topic: "t".into(), qos: QOS2, id: 3, expiry_s: Some(1), ..Publish::default() };
    let message = tale.publishes_with(alice, short);
    tale.acknowledged(alice, message);
    tale.hears(bob, message, 1);
    tale.sends(bob, Packet::PubRec(Ack::ok(1)));
    tale.wait_ms(2_000);
    tale.ends();
    assert_eq!(tale.violation(32).message, Some(message));

    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let short = Publish { topic: "t".into(), qos: QOS1, id: 3, expiry_s: Some(1), ..Publish::default() };
    let message = tale.publishes_with(alice, short);
    tale.acknowledged(alice, message);
    tale.hears(bob, message, 1);
    tale.closes(bob, Closer::Network);
    tale.wait_ms(2_000);
    tale.join(bob);
    tale.ends();
    assert_eq!(tale.violation(32).message, Some(message));
}
