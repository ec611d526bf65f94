use crate::checkers::tale::{QOS1, Tale};
use broker_core::ids::ConnId;
use sim::history::{Ack, ClientNo, Closer, Disconnect, Packet};

const TAKEN_OVER: u8 = 0x8e;

/// Alice connects a second time, over herself.
fn alice_twice() -> (Tale, ClientNo, ConnId) {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    let old = tale.conn(alice);
    tale.join(alice);
    (tale, alice, old)
}

fn dismissed(tale: &mut Tale, client: ClientNo, conn: ConnId, reason: u8) {
    let disconnect = Disconnect { reason, session_expiry_s: None };
    tale.got_on(client, conn, Packet::Disconnect(disconnect));
    tale.closes_conn(client, conn, Closer::Broker);
}

#[test]
fn the_older_connection_is_closed_with_its_reason() {
    let (mut tale, alice, old) = alice_twice();
    dismissed(&mut tale, alice, old, TAKEN_OVER);
    tale.ends();
    tale.is_fine();
}

#[test]
fn an_older_connection_that_stays_is_found() {
    let (mut tale, _, _) = alice_twice();
    tale.ends();
    tale.violation(16);
}

#[test]
fn another_reason_or_none_is_found() {
    let (mut tale, alice, old) = alice_twice();
    dismissed(&mut tale, alice, old, 0);
    tale.violation(16);

    let (mut tale, alice, old) = alice_twice();
    tale.closes_conn(alice, old, Closer::Broker);
    tale.violation(16);
}

#[test]
fn an_acknowledgement_after_the_takeover_is_found() {
    let (mut tale, alice, old) = alice_twice();
    let publish = sim::history::Publish { qos: QOS1, id: 3, topic: "t".into(), ..Default::default() };
    tale.push(sim::history::What::Sent { client: alice, conn: old, packet: Packet::Publish(publish) });
    tale.holds(&[17]);
    tale.got_on(alice, old, Packet::PubAck(Ack::ok(3)));
    tale.violation(17);
}

#[test]
fn a_delivery_after_the_takeover_is_found() {
    let (mut tale, alice, old) = alice_twice();
    let bob = tale.durable("bob");
    tale.subscribes(alice, "t", QOS1);
    let message = tale.says(bob, "t", QOS1);
    let publish = tale.copy(message, 1);
    tale.got_on(alice, old, Packet::Publish(publish));
    assert_eq!(tale.violation(17).message, Some(message));
}

#[test]
fn a_client_that_misbehaves_may_be_closed_for_that_first() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    let old = tale.conn(alice);
    tale.sends(alice, Packet::Garbage { bytes: 3 });
    tale.join(alice);
    dismissed(&mut tale, alice, old, 0x81);
    tale.holds(&[16]);
}
