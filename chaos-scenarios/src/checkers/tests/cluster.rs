//! What is judged differently of several nodes, and what is not.

use crate::checkers::tale::{QOS0, QOS1, QOS2, Tale};
use broker_core::event::Event;
use broker_core::ids::{NodeId, ShardId};
use sim::history::{Closer, ConnAck, Connect, Granted, NodeDown, Packet, Subscription, What};
use sim::scenario::FaultKind;

const ELSEWHERE: NodeId = NodeId(3);

/// Longer than nodes need to agree on who leads.
const PEACE_MS: u64 = 8_000;
/// Longer than nodes need to have forgotten a gateway.
const LONG_PEACE_MS: u64 = 13_000;

fn leads_elsewhere(tale: &mut Tale) {
    let event = Event::Leading { shard: ShardId(0), term: 2 };
    tale.push(What::Broker { node: ELSEWHERE, event });
}

#[test]
fn what_was_acknowledged_is_owed_to_a_connected_client_whatever_other_node_is_down() {
    let mut tale = Tale::of_cluster();
    let (alice, bob) = (tale.durable("alice"), tale.clean("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.push(What::NodeDown { node: ELSEWHERE, why: NodeDown::PowerLost });
    let lost = tale.says(alice, "t", QOS1);
    tale.push(What::NodeUp { node: ELSEWHERE });
    tale.ends();
    assert_eq!(tale.violation(1).message, Some(lost));
}

#[test]
fn a_clean_session_ends_with_its_own_node() {
    let mut tale = Tale::of_cluster();
    let (alice, bob) = (tale.durable("alice"), tale.clean("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.goes_down(NodeDown::Killed, &[alice, bob]);
    tale.starts();
    tale.join(alice);
    tale.says(alice, "t", QOS1);
    tale.join(bob);
    tale.ends();
    tale.holds(&[1, 24]);
}

#[test]
fn qos_0_is_owed_while_nodes_are_left_in_peace() {
    for (peace_ms, owed) in [(1_000, false), (PEACE_MS, true)] {
        let mut tale = Tale::of_cluster();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        tale.subscribes(bob, "t", QOS0);
        leads_elsewhere(&mut tale);
        tale.wait_ms(peace_ms);
        tale.says(alice, "t", QOS0);
        tale.ends();
        assert_eq!(tale.verdict(24).violation().is_some(), owed, "after {peace_ms} ms of peace");
    }
}

#[test]
fn a_takeover_may_be_news_to_a_shard_for_a_moment_and_no_longer() {
    for (wait_ms, found) in [(100, false), (PEACE_MS, true)] {
        let mut tale = Tale::of_cluster();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        tale.subscribes(bob, "t", QOS1);
        let old = tale.conn(bob);
        tale.join(bob);
        tale.wait_ms(wait_ms);
        let message = tale.says(alice, "t", QOS1);
        let copy = tale.copy(message, 4);
        tale.got_on(bob, old, Packet::Publish(copy));
        tale.ends();
        assert_eq!(tale.verdict(17).violation().is_some(), found, "{wait_ms} ms after the takeover");
    }
}

#[test]
fn a_first_copy_with_dup_is_excused_until_the_shard_knows_of_the_connection() {
    for (wait_ms, found) in [(100, false), (PEACE_MS, true)] {
        let mut tale = Tale::of_cluster();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        tale.subscribes(bob, "t", QOS1);
        tale.closes(bob, Closer::Network);
        tale.join(bob);
        tale.wait_ms(wait_ms);
        let message = tale.says(alice, "t", QOS1);
        let mut copy = tale.copy(message, 4);
        copy.dup = true;
        tale.takes_as(bob, copy);
        tale.ends();
        assert_eq!(tale.verdict(11).violation().is_some(), found, "{wait_ms} ms after CONNACK");
    }
}

#[test]
fn a_connect_that_was_put_off_may_still_be_carried_out() {
    for (reason, found) in [(0x88, false), (0x87, true)] {
        let mut tale = Tale::of_cluster();
        let alice = tale.durable("alice");
        tale.closes(alice, Closer::Network);
        let clean = Connect { clean_start: true, ..tale.connect_of(alice) };
        tale.call(alice, clean);
        tale.got(alice, Packet::ConnAck(ConnAck::bare(reason)));
        tale.closes(alice, Closer::Broker);
        let resume = tale.connect_of(alice);
        tale.join_as(alice, resume, false);
        tale.ends();
        assert_eq!(tale.verdict(19).violation().is_some(), found, "refused with {reason:#x}");
    }
}

#[test]
fn a_subscription_that_was_refused_for_want_of_time_may_have_been_in_force() {
    for (reason, found) in [(0x83, false), (0x87, true)] {
        let mut tale = Tale::of_cluster();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        tale.asks(bob, Subscription::plain("t", QOS1), None);
        tale.got(bob, Packet::SubAck(Granted { id: 900, reasons: vec![reason] }));
        let message = tale.says(alice, "t", QOS1);
        tale.takes(bob, message, 4);
        tale.ends();
        assert_eq!(tale.verdict(26).violation().is_some(), found, "refused with {reason:#x}");
    }
}

#[test]
fn a_session_has_ended_everywhere_when_nodes_were_left_in_peace_for_long() {
    for (peace_ms, found) in [(PEACE_MS, false), (LONG_PEACE_MS, true)] {
        let mut tale = Tale::of_cluster();
        let alice = tale.clean("alice");
        tale.fault(FaultKind::Isolate { node: ELSEWHERE }, 10);
        tale.closes(alice, Closer::Client);
        tale.wait_ms(peace_ms);
        let resume = Connect { clean_start: false, ..tale.connect_of(alice) };
        tale.join_as(alice, resume, true);
        tale.ends();
        assert_eq!(tale.verdict(20).violation().is_some(), found, "after {peace_ms} ms of peace");
    }
}

#[test]
fn every_node_that_went_down_has_to_come_back() {
    let mut tale = Tale::of_cluster();
    tale.durable("alice");
    tale.push(What::NodeDown { node: ELSEWHERE, why: NodeDown::Killed });
    tale.push(What::NodeDown { node: NodeId(2), why: NodeDown::Killed });
    tale.push(What::NodeUp { node: NodeId(2) });
    tale.ends();
    assert!(tale.violation(38).what.contains("node 3"));
}

#[test]
fn exactly_once_is_exactly_once_on_any_number_of_nodes() {
    let mut tale = Tale::of_cluster();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.publishes(alice, "t", QOS2, 7);
    tale.closes(alice, Closer::Network);
    tale.join(alice);
    tale.republishes(alice, message);
    tale.acknowledged(alice, message);
    tale.takes(bob, message, 4);
    tale.takes(bob, message, 5);
    tale.ends();
    assert_eq!(tale.violation(3).message, Some(message));
}
