use crate::checkers::tale::{QOS0, QOS1, QOS2, Tale};
use sim::history::{Ack, ClientNo, Closer, NodeDown, Packet, Publish, Tag};

/// Bob has two messages that he did not answer, and is back after losing his connection.
fn bob_is_back() -> (Tale, ClientNo, [Tag; 2]) {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let messages = [tale.says(alice, "t", QOS1), tale.says(alice, "t", QOS1)];
    tale.hears(bob, messages[0], 1);
    tale.hears(bob, messages[1], 2);
    tale.closes(bob, Closer::Network);
    tale.join(bob);
    (tale, bob, messages)
}

fn again(tale: &mut Tale, bob: ClientNo, tag: Tag, id: u16) {
    let publish = Publish { dup: true, ..tale.copy(tag, id) };
    tale.takes_as(bob, publish);
}

#[test]
fn what_was_not_answered_comes_again_in_order() {
    let (mut tale, bob, [first, second]) = bob_is_back();
    again(&mut tale, bob, first, 1);
    again(&mut tale, bob, second, 2);
    tale.ends();
    tale.is_fine();
}

#[test]
fn a_resend_that_never_comes_is_found() {
    let (mut tale, bob, [first, second]) = bob_is_back();
    again(&mut tale, bob, first, 1);
    tale.ends();
    assert_eq!(tale.violation(8).message, Some(second));
}

#[test]
fn a_resend_without_dup_is_found() {
    let (mut tale, bob, [first, _]) = bob_is_back();
    tale.takes(bob, first, 1);
    assert_eq!(tale.violation(8).message, Some(first));
}

#[test]
fn a_resend_with_another_identifier_is_found() {
    let (mut tale, bob, [first, _]) = bob_is_back();
    again(&mut tale, bob, first, 9);
    // As far as a client can tell it is a further copy, and the first one is still open.
    tale.ends();
    assert_eq!(tale.violation(8).message, Some(first));
}

#[test]
fn resends_out_of_order_are_found() {
    let (mut tale, bob, [first, second]) = bob_is_back();
    again(&mut tale, bob, second, 2);
    again(&mut tale, bob, first, 1);
    assert_eq!(tale.violation(8).message, Some(first));
}

#[test]
fn a_resend_on_the_same_connection_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.says(alice, "t", QOS1);
    tale.hears(bob, message, 1);
    tale.holds(&[9]);
    let publish = Publish { dup: true, ..tale.copy(message, 1) };
    tale.got(bob, Packet::Publish(publish));
    assert_eq!(tale.violation(9).message, Some(message));
}

#[test]
fn a_second_pubrel_on_the_same_connection_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.says(alice, "t", QOS2);
    tale.takes(bob, message, 1);
    tale.holds(&[9]);
    tale.got(bob, Packet::PubRel(Ack::ok(1)));
    assert_eq!(tale.violation(9).message, Some(message));
}

#[test]
fn a_dup_flag_that_passes_through_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let message = tale.publishes(alice, "t", QOS1, 3);
    tale.closes(alice, Closer::Network);
    tale.join(alice);
    tale.republishes(alice, message);
    let publish = Publish { dup: true, ..tale.copy(message, 1) };
    tale.takes_as(bob, publish);
    assert_eq!(tale.violation(10).message, Some(message));
    assert_eq!(tale.violation(11).message, Some(message));
}

#[test]
fn a_first_send_with_dup_is_found_unless_an_earlier_connection_may_have_carried_it() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let message = tale.says(alice, "t", QOS1);
    tale.goes_down(NodeDown::Killed, &[alice, bob]);
    tale.starts();
    tale.join(alice);
    tale.join(bob);
    again(&mut tale, bob, message, 1);
    tale.holds(&[10, 11]);
    let message = tale.says(alice, "t", QOS1);
    again(&mut tale, bob, message, 2);
    assert_eq!(tale.violation(11).message, Some(message));
    tale.holds(&[10]);
}

#[test]
fn dup_on_qos_0_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let message = tale.says(alice, "t", QOS0);
    let publish = Publish { dup: true, ..tale.copy(message, 0) };
    tale.takes_as(bob, publish);
    assert_eq!(tale.violation(11).message, Some(message));
}

#[test]
fn order_is_kept_and_a_repeated_run_is_legal() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let [one, two, three] = [(); 3].map(|()| tale.says(alice, "t", QOS1));
    tale.hears(bob, one, 1);
    tale.hears(bob, two, 2);
    tale.hears(bob, three, 3);
    tale.closes(bob, Closer::Network);
    tale.join(bob);
    for (id, message) in [(1, one), (2, two), (3, three)] {
        again(&mut tale, bob, message, id);
    }
    tale.holds(&[15]);
}

#[test]
fn a_message_that_overtakes_another_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let [one, two, three] = [(); 3].map(|()| tale.says(alice, "t", QOS1));
    tale.takes(bob, one, 1);
    tale.takes(bob, three, 3);
    tale.holds(&[15]);
    tale.takes(bob, two, 2);
    assert_eq!(tale.violation(15).message, Some(two));
}

#[test]
fn order_is_not_asked_of_what_was_sent_again_after_the_other() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let one = tale.publishes(alice, "t", QOS1, 1);
    tale.closes(alice, Closer::Network);
    tale.join(alice);
    let two = tale.publishes(alice, "t", QOS1, 2);
    tale.republishes(alice, one);
    tale.takes(bob, two, 1);
    tale.takes(bob, one, 2);
    tale.holds(&[15]);
}
