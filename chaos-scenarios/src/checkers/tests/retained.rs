use crate::checkers::Verdict;
use crate::checkers::tale::{QOS0, QOS1, QOS2, Tale};
use sim::history::{ClientNo, Closer, Granted, Packet, Publish, Subscribe, Subscription, Tag};

fn given(tale: &mut Tale, client: ClientNo, tag: Tag, id: u16) {
    let publish = Publish { retain: true, ..tale.copy(tag, id) };
    tale.takes_as(client, publish);
}

fn clears(tale: &mut Tale, client: ClientNo, topic: &str) {
    let publish = Publish { topic: topic.into(), qos: QOS1, id: 9, retain: true, ..Publish::default() };
    tale.sends(client, Packet::Publish(publish));
    tale.got(client, Packet::PubAck(sim::history::Ack::ok(9)));
}

fn with_handling(handling: u8) -> Subscription {
    Subscription { retain_handling: handling, ..Subscription::plain("t", QOS1) }
}

#[test]
fn the_last_retained_message_is_given_and_an_older_one_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let old = tale.retains(alice, "t");
    let new = tale.retains(alice, "t");
    tale.subscribes(bob, "t", QOS1);
    given(&mut tale, bob, new, 1);
    tale.holds(&[27, 28]);
    given(&mut tale, bob, old, 2);
    assert_eq!(tale.violation(27).message, Some(old));
}

#[test]
fn what_another_connection_of_a_session_sends_again_replaces_nothing() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let retained = |id, qos| Publish { topic: "t".into(), qos, id, retain: true, ..Publish::default() };
    let old = tale.publishes_with(alice, retained(11, QOS2));
    tale.closes(alice, Closer::Network);
    let new = tale.publishes_with(bob, retained(8, QOS1));
    tale.acknowledged(bob, new);
    let other_alice = tale.durable("alice");
    tale.republishes(other_alice, old);
    tale.acknowledged(other_alice, old);
    tale.subscribes(bob, "t", QOS1);
    given(&mut tale, bob, new, 1);
    tale.holds(&[27]);
}

#[test]
fn a_retained_message_behind_a_later_one_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let old = tale.retains(alice, "t");
    tale.subscribes(bob, "t", QOS1);
    let passing = tale.publishes(alice, "t", QOS1, 9);
    tale.acknowledged(alice, passing);
    tale.takes(bob, passing, 1);
    given(&mut tale, bob, old, 2);
    tale.holds(&[15]);
    let new = tale.retains(alice, "t");
    tale.takes(bob, new, 3);
    tale.holds(&[15]);
    tale.subscribes(bob, "t", QOS1);
    given(&mut tale, bob, new, 4);
    tale.holds(&[15]);
    let other = tale.retains(alice, "t");
    let newest = tale.retains(alice, "t");
    tale.takes(bob, newest, 5);
    given(&mut tale, bob, other, 6);
    assert_eq!(tale.violation(15).message, Some(other));
}

#[test]
fn a_retained_message_that_is_not_given_is_found() {
    for qos in [QOS1, QOS0] {
        let mut tale = Tale::new();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        let message = tale.retains(alice, "t");
        tale.subscribes(bob, "t", qos);
        tale.ends();
        assert_eq!(tale.violation(27).message, Some(message));
    }
}

#[test]
fn a_deleted_message_that_comes_back_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let message = tale.retains(alice, "t");
    clears(&mut tale, alice, "t");
    tale.subscribes(bob, "t", QOS1);
    tale.ends();
    tale.holds(&[27]);
    given(&mut tale, bob, message, 1);
    assert_eq!(tale.violation(27).message, Some(message));
}

#[test]
fn a_delete_that_may_have_come_later_excuses_both() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let carol = tale.durable("carol");
    tale.retains(alice, "t");
    let clear = Publish { topic: "t".into(), qos: QOS1, id: 9, retain: true, ..Publish::default() };
    tale.sends(carol, Packet::Publish(clear));
    tale.subscribes(bob, "t", QOS1);
    tale.ends();
    tale.holds(&[27]);
}

#[test]
fn retain_handling_is_respected() {
    for (handling, again) in [(2, false), (1, true)] {
        let mut tale = Tale::new();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        let message = tale.retains(alice, "t");
        tale.subscribes_with(bob, with_handling(handling), None);
        if again {
            given(&mut tale, bob, message, 1);
            tale.subscribes_with(bob, with_handling(handling), None);
        }
        tale.ends();
        tale.holds(&[27, 28]);
        given(&mut tale, bob, message, 2);
        assert_eq!(tale.violation(28).message, Some(message), "retain handling {handling}");
    }
}

#[test]
fn with_handling_0_a_new_subscribe_asks_again() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let message = tale.retains(alice, "t");
    for id in [1, 2] {
        tale.subscribes_with(bob, with_handling(0), None);
        given(&mut tale, bob, message, id);
    }
    tale.ends();
    tale.holds(&[27, 28]);
}

#[test]
fn a_group_is_given_no_retained_messages() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let message = tale.retains(alice, "t");
    tale.subscribes(bob, "$share/g/t", QOS1);
    given(&mut tale, bob, message, 1);
    assert_eq!(tale.violation(28).message, Some(message));
}

#[test]
fn retain_set_on_what_was_published_without_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let message = tale.says(alice, "t", QOS1);
    given(&mut tale, bob, message, 1);
    assert_eq!(tale.violation(28).message, Some(message));
}

#[test]
fn retain_stays_only_as_it_was_asked_for() {
    for as_published in [true, false] {
        let mut tale = Tale::new();
        let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
        let options = Subscription { retain_as_published: as_published, ..with_handling(2) };
        tale.subscribes_with(bob, options, None);
        let message = tale.retains(alice, "t");
        given(&mut tale, bob, message, 1);
        match as_published {
            true => tale.holds(&[28]),
            false => assert_eq!(tale.violation(28).message, Some(message)),
        }
    }
}

/// Bob subscribes while Alice's retained message is on its way.
fn around_a_subscribe() -> (Tale, ClientNo, Tag) {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let publish = Publish { topic: "t".into(), qos: QOS1, id: 8, retain: true, ..Publish::default() };
    let message = tale.publishes_with(alice, publish);
    tale.asks(bob, Subscription::plain("t", QOS1), None);
    tale.acknowledged(alice, message);
    tale.got(bob, Packet::SubAck(Granted { id: 900, reasons: vec![1] }));
    (tale, bob, message)
}

#[test]
fn what_no_local_keeps_back_by_the_time_it_takes_effect_need_not_come() {
    for (no_local, filter) in [(true, "t"), (false, "t"), (true, "+")] {
        let mut tale = Tale::new();
        let alice = tale.durable("alice");
        let later = Subscription { no_local, ..Subscription::plain(filter, QOS1) };
        for (id, options) in [(1, Subscription::plain("t", QOS1)), (2, later)] {
            let subscribe = Subscribe { id, filters: vec![options], subscription_id: None };
            tale.sends(alice, Packet::Subscribe(subscribe));
        }
        let publish = Publish { topic: "t".into(), qos: QOS1, id: 8, retain: true, ..Publish::default() };
        let message = tale.publishes_with(alice, publish);
        for id in [1, 2] {
            tale.got(alice, Packet::SubAck(Granted { id, reasons: vec![1] }));
        }
        tale.acknowledged(alice, message);
        tale.ends();
        let may_be_kept_back = no_local && filter == "t";
        assert_eq!(tale.verdict(28) == Verdict::Holds, may_be_kept_back, "{:?}", tale.verdict(28));
    }
}

#[test]
fn around_suback_a_message_comes_once() {
    for retained in [true, false] {
        let (mut tale, bob, message) = around_a_subscribe();
        let publish = Publish { retain: retained, ..tale.copy(message, 1) };
        tale.takes_as(bob, publish);
        tale.ends();
        tale.holds(&[27, 28]);
    }
    let (mut tale, _, message) = around_a_subscribe();
    tale.ends();
    assert_eq!(tale.violation(28).message, Some(message));

    let (mut tale, bob, message) = around_a_subscribe();
    tale.takes(bob, message, 1);
    given(&mut tale, bob, message, 2);
    assert_eq!(tale.violation(28).message, Some(message));
}

#[test]
fn no_local_keeps_a_sessions_own_retained_message_from_it() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    tale.asks(alice, Subscription { no_local: true, ..Subscription::plain("t", QOS1) }, None);
    tale.retains(alice, "t");
    tale.got(alice, Packet::SubAck(Granted { id: 900, reasons: vec![1] }));
    tale.ends();
    tale.holds(&[27, 28]);
}

#[test]
fn qos_0_that_may_be_the_retained_message_may_be_lost_with_the_connection() {
    for later in [QOS1, QOS0] {
        let mut tale = Tale::new();
        let (alice, carol) = (tale.durable("alice"), tale.durable("carol"));
        let bob = tale.durable("bob");
        tale.retains(alice, "t");
        let id = if later == QOS0 { 0 } else { 7 };
        let publish = Publish { topic: "t".into(), qos: later, id, retain: true, ..Publish::default() };
        let tag = tale.publishes_with(carol, publish);
        if later == QOS1 {
            tale.acknowledged(carol, tag);
        }
        tale.subscribes(bob, "t", QOS1);
        tale.leaves(bob, 0);
        tale.join(bob);
        tale.ends();
        if later == QOS1 {
            tale.violation(27);
        } else {
            tale.holds(&[27]);
        }
    }
}
