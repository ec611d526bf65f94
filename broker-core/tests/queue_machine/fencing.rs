//! What comes late, from a connection or a gateway that others have taken the place of.

use broker_core::cluster::Placement;
use broker_core::codec::packet::{PublishProperties, QoS};
use broker_core::ids::{Epoch, Incarnation, NodeId, PacketId, ShardId};
use broker_core::message::Message;
use broker_core::shard::entry::{Expected, OldConnection};
use broker_core::shard::{
    Attach, Attachment, Effect, Entry, GatewayId, Machine, Op, PeerOp, Producer, Publish, Stamp, Verdict,
};
use broker_core::time::WallTime;
use broker_core::topic::{TopicFilter, TopicName};
use bytes::Bytes;
use bytestring::ByteString;
use std::rc::Rc;

/// A shard of four that holds topics of sessions of another one.
fn topic_shard() -> Machine {
    Machine::new(ShardId(1), Placement::new(4))
}

fn session(epoch: u64) -> Attachment {
    Attachment { incarnation: Incarnation::first_of(ShardId(0)), epoch: Epoch(epoch) }
}

fn gateway(node: u32, life: u64, generation: u32) -> GatewayId {
    GatewayId { node: NodeId(node), life, generation }
}

fn apply(machine: &mut Machine, producer: Option<Producer>, op: Op) -> (Verdict, Vec<Effect>) {
    let stamp = producer.map(|producer| {
        let sequence = machine.last_of(producer) + 1;
        Stamp { producer, sequence, answered: sequence }
    });
    let mut effects = Vec::new();
    let verdict = machine.apply(&Entry { at: WallTime::from_millis(1), stamp, op }, &mut effects);
    machine.check();
    (verdict, effects)
}

fn ask(machine: &mut Machine, gateway: GatewayId, op: Op) -> Verdict {
    apply(machine, Some(Producer::Gateway(gateway)), op).0
}

fn tell(machine: &mut Machine, op: PeerOp) {
    assert_eq!(apply(machine, Some(Producer::Shard(ShardId(0))), Op::Peer(op)).0, Verdict::Applied);
}

fn publish(epoch: u64, inbound: Option<u16>, payload: &'static str) -> Op {
    let message = Message {
        topic: TopicName::parse(ByteString::from("t")).expect("valid"),
        payload: Bytes::from(payload),
        qos: if inbound.is_some() { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
        retain: true,
        properties: PublishProperties::default(),
        publisher: ByteString::from("a"),
        expires_at: None,
    };
    let inbound = inbound.and_then(PacketId::new);
    Op::Publish(Publish { session: session(epoch), inbound, message: Rc::new(message) })
}

fn retained(machine: &Machine) -> Option<Bytes> {
    let mut kept = None;
    let all = TopicFilter::parse(&ByteString::from("t")).expect("valid");
    machine.retained(&all, WallTime::from_millis(1), |message| kept = Some(message.payload.clone()));
    kept
}

#[test]
fn an_older_copy_of_a_retained_message_does_not_come_after_what_replaced_it() {
    let (mut machine, old, new) = (topic_shard(), gateway(1, 1, 0), gateway(2, 1, 0));
    // The copy by the old gateway is still on its way when the client sends it again, and then something newer.
    for payload in ["first", "second"] {
        assert_eq!(ask(&mut machine, new, publish(2, None, payload)), Verdict::Accepted { matched: false });
    }
    assert_eq!(ask(&mut machine, old, publish(1, None, "first")), Verdict::Fenced);
    assert_eq!(retained(&machine), Some(Bytes::from("second")));
}

#[test]
fn a_publish_that_comes_after_its_session_ended_brings_nothing_back() {
    let (mut machine, late) = (topic_shard(), gateway(1, 1, 0));
    tell(&mut machine, PeerOp::Retire { incarnation: session(1).incarnation });
    assert_eq!(ask(&mut machine, late, publish(1, Some(7), "late")), Verdict::Fenced);
    assert!(machine.participant(session(1).incarnation).is_none());
    assert_eq!(retained(&machine), None);
}

#[test]
fn a_newer_gateway_of_a_node_ends_the_older_ones_but_does_not_unbind_what_it_does_not_know() {
    let mut machine = topic_shard();
    let filter = TopicFilter::parse(&ByteString::from("t")).expect("valid");
    let hear = Op::Hear { filter, retained: false, tag: 1 };
    assert!(matches!(ask(&mut machine, gateway(1, 1, 0), hear.clone()), Verdict::Hearing { .. }));
    // Attached by way of another shard, where the gateway has a generation of its own.
    let bind = PeerOp::Bind {
        attachment: session(1),
        client_id: ByteString::from("a"),
        window: 4,
        gateway: Some(gateway(1, 1, 3)),
    };
    tell(&mut machine, bind);
    assert!(matches!(ask(&mut machine, gateway(1, 1, 1), hear.clone()), Verdict::Hearing { .. }));
    assert!(machine.hub(gateway(1, 1, 0)).is_none());
    assert_eq!(ask(&mut machine, gateway(1, 1, 0), hear.clone()), Verdict::UnknownProducer);
    assert!(machine.participant(session(1).incarnation).is_some_and(|held| held.is_bound(session(1))));
    assert_eq!(apply(&mut machine, None, Op::GatewayLost(gateway(1, 2, 0))).0, Verdict::Applied);
    assert_eq!(ask(&mut machine, gateway(1, 2, 0), hear.clone()), Verdict::UnknownProducer);
    assert!(matches!(ask(&mut machine, gateway(1, 3, 0), hear), Verdict::Hearing { .. }));
}

#[test]
fn nobody_asks_for_what_is_not_his() {
    let mut machine = topic_shard();
    let attach = Attach {
        client_id: ByteString::from("a"),
        clean_start: false,
        expiry_s: 1,
        window: 1,
        will: None,
        old: OldConnection::Unknown,
        expected: Expected::Anything,
    };
    let (a_gateway, a_shard) = (Producer::Gateway(gateway(1, 1, 0)), Producer::Shard(ShardId(0)));
    let foreign = [
        (Some(a_shard), Op::Attach(Box::new(attach))),
        (Some(a_gateway), Op::GatewayLost(gateway(2, 1, 0))),
        (Some(a_gateway), Op::Peer(PeerOp::Retire { incarnation: session(1).incarnation })),
        (None, Op::Heard { upto: broker_core::ids::Position(1) }),
    ];
    for (producer, op) in foreign {
        assert_eq!(apply(&mut machine, producer, op).0, Verdict::UnknownProducer);
    }
    assert_eq!(machine.counts(), (0, 0));
    assert_eq!(machine.last_of(a_gateway), 2, "a refusal uses its number up");
}
