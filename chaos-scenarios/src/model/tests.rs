use super::{Began, Copy, Expectation, Gone, Missing, Model, TAKEN_OVER};
use crate::checkers::tale::{QOS0, QOS1, QOS2, Tale};
use broker_core::event::DropReason;
use sim::history::{Ack, Closer, ConnAck, Connect, Disconnect, NodeDown, Packet, Publish};
use sim::scenario::FaultKind;

fn model(tale: &Tale) -> Model<'_> {
    Model::new(&tale.scenario, &tale.history)
}

#[test]
fn a_session_lives_on_over_connections_until_one_begins_anew() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    tale.closes(alice, Closer::Network);
    tale.join(alice);
    tale.closes(alice, Closer::Network);
    let clean = Connect { clean_start: true, ..tale.connect_of(alice) };
    tale.join_as(alice, clean, false);
    tale.ends();
    let model = model(&tale);
    let lives: Vec<_> = model.lives.iter().map(|life| (life.conns.len(), life.began, life.at_rest)).collect();
    assert_eq!(lives, [(2, Began::Anew, false), (1, Began::Anew, true)]);
    assert!(model.lives[0].may_end.is_some());
    assert_eq!(model.lives[1].may_end, None);
}

#[test]
fn after_an_unanswered_clean_start_nobody_knows_whose_session_is_resumed() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    tale.subscribes(alice, "t", QOS1);
    tale.closes(alice, Closer::Network);
    let clean = Connect { clean_start: true, ..tale.connect_of(alice) };
    tale.call(alice, clean);
    tale.closes(alice, Closer::Network);
    tale.join(alice);
    let model = model(&tale);
    assert_eq!(model.lives[1].began, Began::Perhaps);
    // The subscription may be there, and nothing is demanded of it.
    assert!(model.subs[1].iter().all(|sub| sub.carried));
    let last = &model.conns[&tale.conn(alice)];
    assert_eq!(model.expectation(last), Expectation::Either);
}

#[test]
fn what_session_present_must_be_follows_from_what_came_before() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    let first = tale.conn(alice);
    tale.closes(alice, Closer::Network);
    let second = tale.join(alice);
    let third = {
        let clean = Connect { clean_start: true, ..tale.connect_of(alice) };
        tale.join_as(alice, clean, false)
    };
    let model = model(&tale);
    let expected = |conn| model.expectation(&model.conns[&conn]);
    assert_eq!(expected(first), Expectation::Gone(Gone::NeverWas));
    assert_eq!(expected(second), Expectation::Held { by: first });
    assert_eq!(expected(third), Expectation::Gone(Gone::CleanStart));
}

#[test]
fn a_session_that_was_taken_over_is_there_and_one_whose_connection_was_only_silent_may_not_be() {
    let expected = |told: bool| {
        let mut tale = Tale::new();
        let alice = tale.durable("alice");
        tale.closes(alice, Closer::Network);
        let short = Connect { session_expiry_s: 2, ..tale.connect_of(alice) };
        let first = tale.join_as(alice, short.clone(), true);
        tale.wait_ms(10);
        let second = tale.call(alice, short);
        if told {
            let taken_over = Disconnect { reason: TAKEN_OVER, session_expiry_s: None };
            tale.got_on(alice, first, Packet::Disconnect(taken_over));
            tale.closes_conn(alice, first, Closer::Broker);
        }
        tale.wait_ms(3_000);
        tale.got(alice, Packet::ConnAck(ConnAck::bare(0)));
        let model = model(&tale);
        (model.expectation(&model.conns[&second]), first)
    };
    let (told, first) = expected(true);
    assert_eq!(told, Expectation::Held { by: first });
    assert_eq!(expected(false).0, Expectation::Either);
}

#[test]
fn a_dead_link_keeps_the_end_of_a_connection_from_the_broker() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    let heard = tale.conn(alice);
    tale.closes(alice, Closer::Client);
    tale.wait_ms(1_000);
    let unheard = tale.join(alice);
    tale.fault(FaultKind::HalfOpen { client: alice }, 50);
    tale.closes(alice, Closer::Client);
    let before = model(&tale);
    assert!(before.conns[&heard].settled_at(&before.ground).is_some());
    assert_eq!(before.conns[&unheard].settled_at(&before.ground), None);
    // A node that goes down has no connections any more.
    tale.goes_down(NodeDown::Killed, &[]);
    let after = model(&tale);
    assert!(after.conns[&unheard].settled_at(&after.ground).is_some());
}

#[test]
fn a_message_has_its_sendings_and_its_answers() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    let message = tale.publishes(alice, "t", QOS2, 3);
    tale.closes(alice, Closer::Network);
    tale.join(alice);
    tale.republishes(alice, message);
    tale.acknowledged(alice, message);
    let again = tale.publishes(alice, "t", QOS2, 3);
    tale.got(alice, Packet::PubRec(Ack { id: 3, reason: 0x97 }));
    let model = model(&tale);
    let first = &model.published[&message];
    assert_eq!((first.sent.len(), first.was_resent(), first.reuses_id_of), (2, true, None));
    assert!(first.acknowledged < first.completed && first.acknowledged.is_some());
    assert!(model.sent_in_one_life(first));
    let second = &model.published[&again];
    assert_eq!((second.reuses_id_of, second.acknowledged), (Some(message), None));
    assert_eq!(second.refused.map(|(_, reason)| reason), Some(0x97));
}

#[test]
fn copies_are_told_from_resends() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let message = tale.says(alice, "t", QOS1);
    let first = tale.hears(bob, message, 1);
    tale.closes(bob, Closer::Network);
    tale.join(bob);
    let again = Publish { dup: true, ..tale.copy(message, 1) };
    tale.takes_as(bob, again);
    tale.takes(bob, message, 2);
    let model = model(&tale);
    let copies: Vec<Copy> = model.deliveries.iter().flatten().map(|delivery| delivery.copy).collect();
    assert_eq!(copies, [Copy::First, Copy::Resend { of: first }, Copy::Further { of: first }]);
}

#[test]
fn a_subscription_binds_from_its_answer_until_it_may_be_given_up() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let early = tale.says(alice, "t", QOS1);
    tale.subscribes(bob, "t", QOS1);
    let bound = tale.says(alice, "t", QOS1);
    let unreliable = tale.says(alice, "t", QOS0);
    tale.ends();
    let before = model(&tale);
    let owed: Vec<_> = before.owed.iter().map(|owed| (owed.tag, owed.missing)).collect();
    assert_eq!(owed, [(bound, Missing::Silently)]);
    assert!(before.published.contains_key(&early) && before.published.contains_key(&unreliable));

    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    tale.says(alice, "t", QOS1);
    tale.unsubscribes(bob, "t");
    tale.ends();
    assert!(model(&tale).owed.is_empty());
}

#[test]
fn a_recorded_reason_excuses_the_session_it_names() {
    let mut tale = Tale::new();
    let (alice, bob, carol) = (tale.durable("alice"), tale.durable("bob"), tale.durable("carol"));
    tale.subscribes(bob, "t", QOS1);
    tale.subscribes(carol, "t", QOS1);
    let message = tale.says(alice, "t", QOS1);
    tale.drops(bob, message, DropReason::QueueFull);
    tale.ends();
    let model = model(&tale);
    let excused = model.owed.iter().filter(|owed| matches!(owed.missing, Missing::Excused(..)));
    assert_eq!(excused.count(), 1);
    assert_eq!(model.owed.iter().filter(|owed| owed.missing == Missing::Silently).count(), 1);
}

#[test]
fn writes_on_one_connection_are_in_order_and_others_only_if_one_was_answered_first() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    let retained = |id| Publish { topic: "t".into(), qos: QOS1, id, retain: true, ..Publish::default() };
    let one = tale.publishes_with(alice, retained(1));
    let two = tale.publishes_with(alice, retained(2));
    let three = tale.publishes_with(bob, retained(1));
    tale.acknowledged(alice, two);
    let four = tale.publishes_with(bob, retained(2));
    let model = model(&tale);
    let write = |tag| model.writes["t"].iter().find(|write| write.tag == Some(tag)).expect("a write");
    assert!(write(one).surely_before(write(two)) && !write(two).surely_before(write(one)));
    assert!(!write(two).surely_before(write(three)) && !write(three).surely_before(write(two)));
    assert!(write(two).surely_before(write(four)) && !write(one).surely_before(write(four)));
}
