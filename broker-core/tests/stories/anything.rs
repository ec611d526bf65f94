//! Clients that send anything that is well formed, whenever they like: nothing of it may end the node or leave its state in
//! contradiction with itself.

use crate::bench::{Bench, ack, subscribe};
use broker_core::codec::ReasonCode;
use broker_core::codec::packet::{
    Connect, Disconnect, Packet, Publish, QoS, Unsubscribe, Version, Will, WillProperties,
};
use broker_core::ids::PacketId;
use broker_core::limits::Limits;
use broker_core::time::Duration;
use broker_core::topic::TopicName;
use bytes::Bytes;
use proptest::prelude::*;
use std::num::{NonZeroU16, NonZeroU32};

const NAMES: [&str; 4] = ["1", "2", "3", "4"];
const CLIENT_IDS: [&str; 3] = ["a", "b", ""];
const TOPICS: [&str; 3] = ["t", "t/1", "$s"];
const FILTERS: [&str; 5] = ["t", "#", "t/+", "$share/g/t", "$share/g/#"];

#[derive(Clone, Debug)]
enum Act {
    Connect { name: usize, connect: Box<Connect> },
    Send { name: usize, packets: Vec<Packet> },
    Lose { name: usize },
    Pass { ms: u64 },
    Disk { fast: bool },
    Sync,
    PowerLoss,
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

/// Identifiers that clients use, and those that the node gives first.
fn id() -> impl Strategy<Value = u16> {
    prop_oneof![1..6_u16, 32_768..32_774_u16]
}

fn publish() -> impl Strategy<Value = Packet> {
    let shape = (0..TOPICS.len(), qos(), any::<bool>(), 0..40_usize, id());
    let extras = (proptest::option::of(1..4_u16), proptest::option::of(0..3_u32), any::<bool>());
    (shape, extras).prop_map(|((topic, qos, retain, bytes, id), (alias, expiry_s, by_alias))| {
        let mut publish = Publish::new(TOPICS[topic], vec![b'x'; bytes]);
        (publish.qos, publish.retain) = (qos, retain);
        publish.id = PacketId::new(id).filter(|_| qos > QoS::AtMostOnce);
        publish.properties.topic_alias = alias.and_then(NonZeroU16::new);
        publish.properties.message_expiry_s = expiry_s;
        if by_alias && alias.is_some() {
            publish.topic = "".into();
        }
        Packet::Publish(publish)
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let reason = prop_oneof![4 => Just(ReasonCode::Success), 1 => Just(ReasonCode::UnspecifiedError)];
    let answer = (id(), reason).prop_map(|(id, reason)| {
        let mut answer = ack(id);
        answer.reason = reason;
        answer
    });
    let filter = 0..FILTERS.len();
    prop_oneof![
        6 => publish(),
        4 => id().prop_map(|id| Packet::PubAck(ack(id))),
        4 => answer.prop_map(Packet::PubRec),
        4 => id().prop_map(|id| Packet::PubRel(ack(id))),
        4 => id().prop_map(|id| Packet::PubComp(ack(id))),
        3 => (filter.clone(), qos()).prop_map(|(filter, qos)| subscribe(FILTERS[filter], qos)),
        1 => filter.prop_map(|filter| {
            let filters = vec![FILTERS[filter].into()];
            Packet::Unsubscribe(Unsubscribe { id: PacketId::new(1).expect("not 0"), user: vec![], filters })
        }),
        1 => Just(Packet::PingReq),
        1 => proptest::option::of(0..5_u32).prop_map(|expiry_s| {
            let mut disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
            disconnect.properties.session_expiry_s = expiry_s;
            Packet::Disconnect(disconnect)
        }),
    ]
}

fn connect() -> impl Strategy<Value = Connect> {
    let session = (0..CLIENT_IDS.len(), any::<bool>(), prop_oneof![Just(0), 1..20_u32, Just(u32::MAX)]);
    let takes = (proptest::option::of(1..4_u16), proptest::option::of(20..60_u32), 0..4_u16);
    let will = proptest::option::of((0..5_u32, any::<bool>()));
    (session, takes, will, 0..3_u16).prop_map(|(session, takes, will, keep_alive_s)| {
        let mut connect = Connect::new(Version::V5, CLIENT_IDS[session.0]);
        connect.clean_start = session.1 && session.2 == 0;
        connect.keep_alive_s = keep_alive_s * 10;
        connect.properties.session_expiry_s = Some(session.2);
        connect.properties.receive_max = takes.0.and_then(NonZeroU16::new);
        connect.properties.packet_bytes_max = takes.1.and_then(NonZeroU32::new);
        connect.properties.topic_alias_max = Some(takes.2);
        connect.will = will.map(|(delay_s, retain)| Will {
            qos: QoS::AtLeastOnce,
            retain,
            topic: TopicName::parse("t".into()).expect("valid"),
            payload: Bytes::from_static(b"gone"),
            properties: WillProperties { delay_s: Some(delay_s), ..WillProperties::default() },
        });
        connect
    })
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..NAMES.len();
    let packets = proptest::collection::vec(packet(), 1..6);
    prop_oneof![
        5 => (name.clone(), connect()).prop_map(|(name, connect)| Act::Connect { name, connect: Box::new(connect) }),
        20 => (name.clone(), packets).prop_map(|(name, packets)| Act::Send { name, packets }),
        2 => name.prop_map(|name| Act::Lose { name }),
        2 => (1..9_000_u64).prop_map(|ms| Act::Pass { ms }),
        2 => any::<bool>().prop_map(|fast| Act::Disk { fast }),
        2 => Just(Act::Sync),
        1 => Just(Act::PowerLoss),
    ]
}

fn do_one(bench: &mut Bench, act: &Act) {
    match act {
        Act::Connect { name, connect } => {
            if bench.is_open(NAMES[*name]) {
                bench.lose(NAMES[*name]);
            }
            bench.connect(NAMES[*name], (**connect).clone());
        }
        Act::Send { name, packets } if bench.is_open(NAMES[*name]) => bench.send_all(NAMES[*name], packets),
        Act::Lose { name } if bench.is_open(NAMES[*name]) => bench.lose(NAMES[*name]),
        Act::Send { .. } | Act::Lose { .. } => {}
        Act::Pass { ms } => bench.pass(Duration::from_millis(*ms)),
        Act::Disk { fast } => bench.disk_is_fast = *fast,
        Act::Sync => bench.sync(),
        Act::PowerLoss => bench.power_loss(Duration::from_secs(1)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_well_formed_traffic_ends_the_node_or_contradicts_its_state(
        acts in proptest::collection::vec(act(), 1..60)
    ) {
        let limits = Limits {
            receive_max: 5,
            inflight_max: 3,
            queue_messages_max: 4,
            queue_bytes_max: 200,
            outbox_bytes_max: 200,
            subscriptions_max: 3,
            sessions_max: 3,
            retained_messages_max: 1,
            topic_alias_max: 2,
            ..Limits::default()
        };
        let mut bench = Bench::with_limits(limits);
        for act in &acts {
            do_one(&mut bench, act);
            bench.check();
        }
        bench.disk_is_fast = true;
        bench.sync();
        bench.pass(Duration::from_secs(60));
        bench.check();
    }
}
