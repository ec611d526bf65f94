use crate::checkers::tale::{QOS1, QOS2, Tale};
use broker_core::event::DropReason;
use sim::history::{Ack, ClientNo, Closer, Connect, NodeDown, Packet};

fn clean(tale: &Tale, client: ClientNo) -> Connect {
    Connect { clean_start: true, ..tale.connect_of(client) }
}

fn short(tale: &Tale, client: ClientNo) -> Connect {
    Connect { session_expiry_s: 2, ..tale.connect_of(client) }
}

#[test]
fn a_message_of_a_discarded_session_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.closes(bob, Closer::Network);
    let connect = clean(&tale, bob);
    tale.join_as(bob, connect, false);
    tale.holds(&[18, 20]);
    let message = tale.says(alice, "t", QOS1);
    tale.takes(bob, message, 1);
    assert_eq!(tale.violation(18).message, Some(message));
    tale.holds(&[23, 26]);
}

#[test]
fn a_pubrel_of_a_discarded_session_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.says(alice, "t", QOS2);
    tale.hears(bob, message, 1);
    tale.sends(bob, Packet::PubRec(Ack::ok(1)));
    tale.closes(bob, Closer::Network);
    let connect = clean(&tale, bob);
    tale.join_as(bob, connect, false);
    tale.holds(&[18]);
    tale.got(bob, Packet::PubRel(Ack::ok(1)));
    tale.violation(18);
}

#[test]
fn a_pubrel_is_owed_for_each_message_that_is_withheld_and_for_no_other() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    tale.closes(bob, Closer::Network);
    let message = tale.says(alice, "t", QOS2);
    let connect = tale.connect_of(bob);
    tale.join_as(bob, connect, true);
    tale.drops(bob, message, DropReason::NotAuthorized);
    tale.got(bob, Packet::PubRel(Ack::ok(1)));
    tale.holds(&[18]);
    tale.got(bob, Packet::PubRel(Ack::ok(2)));
    tale.violation(18);
}

#[test]
fn a_session_that_is_not_resumed_is_found() {
    let mut tale = Tale::new();
    let bob = tale.durable("bob");
    tale.goes_down(NodeDown::PowerLost, &[bob]);
    tale.starts();
    let connect = tale.connect_of(bob);
    tale.join_as(bob, connect, false);
    assert_eq!(tale.violation(19).client, Some(bob));
    assert_eq!(tale.violation(22).client, Some(bob));
}

#[test]
fn a_session_that_a_takeover_forgets_is_found() {
    let mut tale = Tale::new();
    let bob = tale.durable("bob");
    let connect = tale.connect_of(bob);
    tale.join_as(bob, connect, false);
    assert_eq!(tale.violation(19).client, Some(bob));
    tale.holds(&[22]);
}

#[test]
fn a_session_may_be_gone_after_an_unanswered_clean_start() {
    let mut tale = Tale::new();
    let bob = tale.durable("bob");
    tale.closes(bob, Closer::Network);
    let connect = clean(&tale, bob);
    tale.call(bob, connect);
    tale.closes(bob, Closer::Network);
    let connect = tale.connect_of(bob);
    tale.join_as(bob, connect, false);
    tale.holds(&[19, 20, 22, 23]);
}

#[test]
fn session_present_for_nobody_is_found() {
    let mut tale = Tale::new();
    let bob = tale.durable("bob");
    tale.closes(bob, Closer::Network);
    let connect = clean(&tale, bob);
    tale.join_as(bob, connect, true);
    assert_eq!(tale.violation(20).client, Some(bob));

    let mut tale = Tale::new();
    let bob = tale.scenario.client(sim::scenario::ClientSpec::durable("bob", sim::history::Version::V5));
    let connect = tale.connect_of(bob);
    tale.join_as(bob, connect, true);
    assert_eq!(tale.violation(20).client, Some(bob));
}

#[test]
fn a_session_that_was_to_end_with_its_connection_is_not_present() {
    let mut tale = Tale::new();
    let bob = tale.clean("bob");
    tale.closes(bob, Closer::Network);
    tale.wait_ms(2_000);
    let connect = Connect { clean_start: false, ..tale.connect_of(bob) };
    tale.join_as(bob, connect, true);
    assert_eq!(tale.violation(20).client, Some(bob));
}

#[test]
fn an_expired_session_is_not_present_and_one_that_has_time_left_is() {
    for (away_ms, present, broken) in [
        (20_000, true, Some(23)),
        (20_000, false, None),
        (500, false, Some(22)),
        (500, true, None),
        (5_000, true, None),
    ] {
        let mut tale = Tale::new();
        let bob = tale.scenario.client(sim::scenario::ClientSpec::durable("bob", sim::history::Version::V5));
        let connect = short(&tale, bob);
        tale.join_as(bob, connect.clone(), false);
        tale.closes(bob, Closer::Network);
        tale.wait_ms(away_ms);
        tale.join_as(bob, connect, present);
        match broken {
            Some(number) => assert_eq!(tale.violation(number).client, Some(bob)),
            None => tale.holds(&[19, 20, 22, 23]),
        }
    }
}

#[test]
fn a_message_of_an_expired_session_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.closes(bob, Closer::Network);
    let connect = short(&tale, bob);
    tale.join_as(bob, connect.clone(), true);
    tale.subscribes(bob, "t", QOS1);
    tale.closes(bob, Closer::Network);
    tale.wait_ms(20_000);
    tale.join_as(bob, connect, false);
    let message = tale.says(alice, "t", QOS1);
    tale.takes(bob, message, 1);
    assert_eq!(tale.violation(23).message, Some(message));
    tale.holds(&[18, 26]);
}
