use crate::checkers::tale::{QOS1, QOS2, Tale};
use broker_core::event::DropReason;
use sim::history::{ClientNo, Closer, Connect, NodeDown, Qos};

const GROUP: &str = "$share/g/t";

fn a_group(qos: Qos) -> (Tale, [ClientNo; 3]) {
    let mut tale = Tale::new();
    let (alice, bob, carol) = (tale.durable("alice"), tale.durable("bob"), tale.durable("carol"));
    tale.subscribes(bob, GROUP, qos);
    tale.subscribes(carol, GROUP, qos);
    (tale, [alice, bob, carol])
}

#[test]
fn one_member_is_enough_and_none_is_too_few() {
    let (mut tale, [alice, _, carol]) = a_group(QOS1);
    let one = tale.says(alice, "t", QOS1);
    tale.takes(carol, one, 1);
    let none = tale.says(alice, "t", QOS1);
    tale.ends();
    tale.holds(&[34]);
    assert_eq!(tale.violation(1).message, Some(none));
}

#[test]
fn two_members_with_one_message_are_found() {
    let (mut tale, [alice, bob, carol]) = a_group(QOS2);
    let message = tale.says(alice, "t", QOS1);
    tale.takes(bob, message, 1);
    tale.holds(&[34]);
    tale.takes(carol, message, 1);
    assert_eq!(tale.violation(34).message, Some(message));
}

#[test]
fn what_a_member_that_ended_did_not_acknowledge_may_go_to_another() {
    for (qos, legal) in [(QOS1, true), (QOS2, false)] {
        let (mut tale, [alice, bob, carol]) = a_group(QOS2);
        let message = tale.says(alice, "t", qos);
        tale.hears(bob, message, 1);
        tale.closes(bob, Closer::Network);
        let clean = Connect { clean_start: true, ..tale.connect_of(bob) };
        tale.join_as(bob, clean, false);
        tale.takes(carol, message, 1);
        match legal {
            true => tale.holds(&[34]),
            false => assert_eq!(tale.violation(34).message, Some(message)),
        }
    }
}

#[test]
fn what_a_member_that_stays_has_not_acknowledged_yet_stays_with_it() {
    let (mut tale, [alice, bob, carol]) = a_group(QOS1);
    let message = tale.says(alice, "t", QOS1);
    tale.hears(bob, message, 1);
    tale.closes(bob, Closer::Network);
    tale.join(bob);
    tale.takes(carol, message, 1);
    assert_eq!(tale.violation(34).message, Some(message));
}

#[test]
fn what_a_member_acknowledged_is_not_given_away_when_it_leaves() {
    let (mut tale, [alice, bob, carol]) = a_group(QOS1);
    let message = tale.says(alice, "t", QOS1);
    tale.takes(bob, message, 1);
    tale.unsubscribes(bob, GROUP);
    tale.takes(carol, message, 1);
    assert_eq!(tale.violation(34).message, Some(message));

    // In a crash the broker may forget that it was acknowledged.
    tale.goes_down(NodeDown::Killed, &[bob, carol]);
    tale.holds(&[34]);
}

#[test]
fn a_member_that_stood_still_may_read_late_what_was_given_to_another() {
    let mut tale = Tale::new();
    let (alice, bob, carol) = (tale.durable("alice"), tale.clean("bob"), tale.durable("carol"));
    tale.subscribes(bob, GROUP, QOS1);
    tale.subscribes(carol, GROUP, QOS1);
    let message = tale.says(alice, "t", QOS1);
    tale.takes(carol, message, 1);
    tale.hears(bob, message, 1);
    tale.closes(bob, Closer::Broker);
    tale.holds(&[34]);
}

#[test]
fn a_member_that_ended_excuses_the_loss_of_qos_2_only() {
    for (qos, excused) in [(QOS1, false), (QOS2, true)] {
        let (mut tale, [alice, bob, _]) = a_group(qos);
        let message = tale.says(alice, "t", qos);
        tale.hears(bob, message, 1);
        tale.closes(bob, Closer::Network);
        let clean = Connect { clean_start: true, ..tale.connect_of(bob) };
        tale.join_as(bob, clean, false);
        tale.drops(bob, message, DropReason::SessionEnded);
        tale.ends();
        match excused {
            true => tale.holds(&[1, 2]),
            // Bob had it, but had not acknowledged it; Carol is owed what reached nobody.
            false => tale.holds(&[1]),
        }
    }
    let (mut tale, [alice, bob, _]) = a_group(QOS1);
    let message = tale.says(alice, "t", QOS1);
    tale.closes(bob, Closer::Network);
    let clean = Connect { clean_start: true, ..tale.connect_of(bob) };
    tale.join_as(bob, clean, false);
    tale.drops(bob, message, DropReason::SessionEnded);
    tale.ends();
    assert_eq!(tale.violation(1).message, Some(message));
}
