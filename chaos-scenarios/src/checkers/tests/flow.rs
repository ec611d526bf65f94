use crate::checkers::tale::{QOS1, QOS2, Tale};
use sim::history::{Ack, Closer, Packet, Subscription};

#[test]
fn an_identifier_used_for_two_messages_at_once_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let [one, two, three] = [(); 3].map(|()| tale.says(alice, "t", QOS2));
    tale.takes(bob, one, 1);
    tale.hears(bob, two, 1);
    tale.holds(&[13]);
    tale.sends(bob, Packet::PubRec(Ack::ok(1)));
    tale.hears(bob, three, 1);
    assert_eq!(tale.violation(13).message, Some(three));
}

#[test]
fn an_identifier_in_flight_is_not_given_away_over_a_reconnect() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let [one, two] = [(); 2].map(|()| tale.says(alice, "t", QOS1));
    tale.hears(bob, one, 1);
    tale.closes(bob, Closer::Network);
    tale.join(bob);
    tale.hears(bob, two, 1);
    assert_eq!(tale.violation(13).message, Some(two));
}

#[test]
fn more_in_flight_than_the_client_takes_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.closes(bob, Closer::Network);
    let narrow = sim::history::Connect { receive_max: 1, ..tale.connect_of(bob) };
    tale.join_as(bob, narrow, true);
    tale.subscribes(bob, "t", QOS2);
    let [one, two, three] = [(); 3].map(|()| tale.says(alice, "t", QOS1));
    tale.takes(bob, one, 1);
    tale.hears(bob, two, 2);
    tale.holds(&[33]);
    tale.hears(bob, three, 3);
    assert_eq!(tale.violation(33).message, Some(three));
}

#[test]
fn every_limit_that_a_client_can_see_is_held() {
    let mut tale = Tale::new();
    tale.scenario.topology.nodes[0].limits.inflight_max = 1;
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let [one, two] = [(); 2].map(|()| tale.says(alice, "t", QOS1));
    tale.hears(bob, one, 1);
    tale.holds(&[39]);
    tale.hears(bob, two, 2);
    assert_eq!(tale.violation(39).client, Some(bob));

    let mut tale = Tale::new();
    tale.scenario.topology.nodes[0].limits.subscriptions_max = 1;
    let bob = tale.durable("bob");
    tale.subscribes(bob, "t", QOS2);
    tale.holds(&[39]);
    tale.subscribes_with(bob, Subscription::plain("u", QOS1), None);
    assert_eq!(tale.violation(39).client, Some(bob));

    let mut tale = Tale::new();
    tale.scenario.topology.nodes[0].limits.queue_messages_max = 1;
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    tale.leaves(bob, 0);
    tale.wait_ms(2_000);
    let [one, two] = [(); 2].map(|()| tale.says(alice, "t", QOS1));
    tale.join(bob);
    tale.takes(bob, one, 1);
    tale.holds(&[39]);
    tale.takes(bob, two, 2);
    assert_eq!(tale.violation(39).client, Some(bob));

    let mut tale = Tale::new();
    tale.scenario.topology.nodes[0].limits.connections_max = 1;
    let alice = tale.durable("alice");
    tale.holds(&[39]);
    tale.durable("bob");
    tale.says(alice, "t", QOS1);
    tale.violation(39);

    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.closes(bob, Closer::Network);
    let small = sim::history::Connect { packet_bytes_max: Some(4), ..tale.connect_of(bob) };
    tale.join_as(bob, small, true);
    tale.subscribes(bob, "topic", QOS2);
    let large = tale.says(alice, "topic", QOS1);
    tale.hears(bob, large, 1);
    assert_eq!(tale.violation(39).message, Some(large));
}
