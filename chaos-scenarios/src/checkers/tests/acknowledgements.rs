use crate::checkers::tale::{QOS1, QOS2, Tale};
use broker_core::ids::ConnId;
use sim::history::{Ack, ClientNo, Granted, Packet, Publish, Subscription, What};

#[test]
fn a_pubrel_after_a_refusal_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.says(alice, "t", QOS2);
    tale.hears(bob, message, 1);
    tale.sends(bob, Packet::PubRec(Ack { id: 1, reason: 0x83 }));
    tale.holds(&[12]);
    tale.got(bob, Packet::PubRel(Ack::ok(1)));
    assert_eq!(tale.violation(12).client, Some(bob));
}

#[test]
fn an_identifier_that_was_refused_may_be_used_again() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS2);
    let message = tale.says(alice, "t", QOS2);
    tale.hears(bob, message, 1);
    tale.sends(bob, Packet::PubRec(Ack { id: 1, reason: 0x83 }));
    let message = tale.says(alice, "t", QOS2);
    tale.takes(bob, message, 1);
    tale.holds(&[12, 13]);
}

#[test]
fn answers_to_nothing_are_found() {
    let answers = [
        Packet::PubAck(Ack::ok(3)),
        Packet::PubRec(Ack::ok(3)),
        Packet::PubComp(Ack::ok(3)),
        Packet::SubAck(Granted { id: 3, reasons: vec![0] }),
        Packet::UnsubAck(Granted { id: 3, reasons: vec![0] }),
    ];
    for answer in answers {
        let mut tale = Tale::new();
        let alice = tale.durable("alice");
        tale.got(alice, answer);
        assert_eq!(tale.violation(14).client, Some(alice));
    }
}

#[test]
fn an_answer_of_the_wrong_kind_or_a_second_one_is_found() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    tale.publishes(alice, "t", QOS2, 3);
    tale.got(alice, Packet::PubAck(Ack::ok(3)));
    assert_eq!(tale.violation(14).client, Some(alice));

    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    let message = tale.says(alice, "t", QOS1);
    tale.holds(&[14]);
    tale.acknowledged(alice, message);
    assert_eq!(tale.violation(14).client, Some(alice));
}

#[test]
fn a_suback_with_too_many_reasons_is_found() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    tale.asks(alice, Subscription::plain("t", QOS1), None);
    tale.got(alice, Packet::SubAck(Granted { id: 900, reasons: vec![1, 1] }));
    assert_eq!(tale.violation(14).client, Some(alice));
}

#[test]
fn bytes_that_are_no_packet_are_found() {
    let mut tale = Tale::new();
    tale.durable("alice");
    tale.holds(&[40]);
    tale.push(What::Undecodable { client: ClientNo(0), conn: ConnId(0), why: "flags".to_owned() });
    tale.violation(40);
}

#[test]
fn an_alias_that_was_never_set_is_found() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    tale.got(alice, Packet::Publish(Publish { alias: Some(2), ..Publish::default() }));
    tale.violation(40);
}
