use crate::checkers::tale::{QOS1, Tale};
use sim::history::{ClientNo, Closer, Connect, NodeDown, Tag};

/// Bob watches; Alice connects with a will.
fn alice_has_a_will(delay_s: u32) -> (Tale, ClientNo, ClientNo, Tag) {
    let mut tale = Tale::new();
    tale.starts();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "w", QOS1);
    tale.leaves(alice, 0);
    let (tag, will) = tale.will(alice, "w", delay_s);
    let connect = Connect { will: Some(will), ..tale.connect_of(alice) };
    tale.join_as(alice, connect, true);
    (tale, alice, bob, tag)
}

#[test]
fn a_will_that_is_never_sent_is_found() {
    for close in [Closer::Network, Closer::Client, Closer::Broker] {
        let (mut tale, alice, _, will) = alice_has_a_will(0);
        tale.closes(alice, close);
        tale.ends();
        assert_eq!(tale.violation(29).message, Some(will));
    }
    let (mut tale, alice, _, will) = alice_has_a_will(0);
    tale.leaves(alice, 4);
    tale.ends();
    assert_eq!(tale.violation(29).message, Some(will));
}

#[test]
fn a_will_that_a_crash_of_the_node_calls_for_is_sent_once() {
    for copies in [0, 1, 2] {
        let (mut tale, alice, bob, will) = alice_has_a_will(0);
        tale.goes_down(NodeDown::PowerLost, &[alice, bob]);
        tale.starts();
        tale.join(bob);
        for copy in 0..copies {
            tale.takes(bob, will, copy + 1);
        }
        tale.ends();
        match copies {
            1 => tale.is_fine(),
            _ => assert_eq!(tale.violation(29).message, Some(will), "{copies} copies"),
        }
    }
}

#[test]
fn a_will_is_not_sent_after_an_orderly_goodbye() {
    let (mut tale, alice, bob, will) = alice_has_a_will(0);
    tale.leaves(alice, 0);
    tale.wait_ms(3_000);
    tale.holds(&[29, 30]);
    tale.takes(bob, will, 1);
    assert_eq!(tale.violation(30).message, Some(will));
}

#[test]
fn a_goodbye_that_may_not_have_arrived_excuses_both() {
    let (mut tale, alice, bob, will) = alice_has_a_will(0);
    tale.leaves(alice, 0);
    tale.goes_down(NodeDown::PowerLost, &[bob]);
    tale.starts();
    tale.join(bob);
    tale.takes(bob, will, 1);
    tale.ends();
    tale.holds(&[29, 30]);
}

#[test]
fn a_will_is_not_sent_if_its_client_is_back_within_the_delay() {
    let (mut tale, alice, bob, will) = alice_has_a_will(5);
    tale.closes(alice, Closer::Network);
    tale.wait_ms(1_000);
    tale.join(alice);
    tale.wait_ms(10_000);
    tale.holds(&[29, 30]);
    tale.takes(bob, will, 1);
    assert_eq!(tale.violation(30).message, Some(will));
}

#[test]
fn a_client_that_is_back_too_late_has_its_will_sent() {
    let (mut tale, alice, bob, will) = alice_has_a_will(2);
    tale.closes(alice, Closer::Network);
    tale.wait_ms(4_000);
    tale.takes(bob, will, 1);
    tale.join(alice);
    tale.ends();
    tale.is_fine();
}

#[test]
fn a_delayed_will_that_is_never_sent_is_found() {
    let (mut tale, alice, _, will) = alice_has_a_will(2);
    tale.closes(alice, Closer::Network);
    tale.ends();
    assert_eq!(tale.violation(29).message, Some(will));
}

#[test]
fn the_session_that_goes_on_takes_the_will_back_also_in_a_takeover() {
    let (mut tale, alice, bob, will) = alice_has_a_will(5);
    tale.join(alice);
    tale.takes(bob, will, 1);
    assert_eq!(tale.violation(30).message, Some(will));
}
