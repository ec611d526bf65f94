//! Three real nodes: what is published at one is delivered at another, and a session goes on at a third when its node is killed.

use broker_core::codec::packet::{
    Ack, ConnAck, Connect, Publish, Subscribe, SubscribeFilter, SubscriptionOptions,
};
use broker_core::codec::{Packet, QoS, ReasonCode, Version};
use broker_core::ids::PacketId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};
use tests::cluster::Cluster;
use tests::link::Link;

/// How long a client goes on trying to connect.
const LIMIT: Duration = Duration::from_secs(30);

/// Between two attempts of a client that was refused.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

#[test]
fn a_session_goes_on_at_another_node_when_its_own_is_killed() {
    let mut cluster = Cluster::start(3);
    let mut publisher = open(cluster.address(1), &Connect::new(Version::V3, "publisher")).0;
    let (mut subscriber, answer) = open(cluster.address(2), &durable("subscriber"));
    assert!(!answer.session_present);
    subscribe(&mut subscriber, 1, "room/#");

    for (number, qos) in [(1, QoS::AtLeastOnce), (2, QoS::ExactlyOnce)] {
        publish(&mut publisher, number, qos);
        let received = next_publish(&mut subscriber);
        assert_eq!((received.payload.as_ref(), received.qos), (number.to_string().as_bytes(), qos));
        acknowledge(&mut subscriber, &received);
    }

    // One of each is under way when the node is killed, and one of each comes while the client is away.
    publish(&mut publisher, 3, QoS::AtLeastOnce);
    let unacknowledged = next_publish(&mut subscriber);
    publish(&mut publisher, 4, QoS::ExactlyOnce);
    let unreleased = next_publish(&mut subscriber);
    send(&mut subscriber, Packet::PubRec(ack(&unreleased)));
    assert!(matches!(receive(&mut subscriber), Packet::PubRel(release) if Some(release.id) == unreleased.id));
    cluster.kill_9(2);
    publish(&mut publisher, 5, QoS::AtLeastOnce);
    publish(&mut publisher, 6, QoS::ExactlyOnce);

    let (mut subscriber, answer) = open(cluster.address(3), &durable("subscriber"));
    assert!(answer.session_present);
    // QoS 1 whose acknowledgement is not on record yet may come again, with DUP=1; QoS 2 may not. What comes first after a crash may have
    // DUP=1 too: that it was not sent is not on record.
    let mut again = BTreeMap::new();
    let mut is_released = false;
    while !(["3", "5", "6"].iter().all(|number| again.contains_key(*number)) && is_released) {
        match receive(&mut subscriber) {
            Packet::Publish(publish) => {
                acknowledge_first(&mut subscriber, &publish);
                again.insert(payload(&publish), (publish.dup, publish.id));
            }
            Packet::PubRel(release) => {
                complete(&mut subscriber, &release);
                is_released |= Some(release.id) == unreleased.id;
            }
            other => panic!("{other:?} was not expected"),
        }
    }
    assert_eq!(again["3"], (true, unacknowledged.id), "DUP=1 and the same identifier");
    assert!(!again.contains_key("2") && !again.contains_key("4"), "QoS 2 that was received: {again:?}");
    assert!(again.get("1").is_none_or(|(dup, _)| *dup), "{again:?}");
    publish(&mut publisher, 7, QoS::AtLeastOnce);
    loop {
        match receive(&mut subscriber) {
            Packet::Publish(publish) => {
                assert_eq!(payload(&publish), "7", "nothing comes twice on one connection");
                break;
            }
            Packet::PubRel(release) => complete(&mut subscriber, &release),
            other => panic!("{other:?} was not expected"),
        }
    }
}

#[test]
fn a_client_that_moves_closes_its_old_connection() {
    let cluster = Cluster::start(3);
    let (mut old, _) = open(cluster.address(1), &durable("mover"));
    let (mut new, answer) = open(cluster.address(2), &durable("mover"));
    assert!(answer.session_present);
    match receive(&mut old) {
        Packet::Disconnect(goodbye) => assert_eq!(goodbye.reason, ReasonCode::SessionTakenOver),
        other => panic!("{other:?} was not expected"),
    }
    subscribe(&mut new, 1, "room/#");
}

/// Connects, again and again while the cluster does not answer for the session.
#[test]
fn every_node_is_heard_of_at_any_node() {
    let cluster = Cluster::start(3);
    let (mut subscriber, _) = open(cluster.address(2), &Connect::new(Version::V5, "subscriber"));
    ask_for(&mut subscriber, 1, "$SYS/brokers/+/version");
    let mut heard_of = BTreeSet::new();
    while heard_of.len() < 3 {
        // What is retained may come before SUBACK.
        let Packet::Publish(told) = receive(&mut subscriber) else { continue };
        assert_eq!(payload(&told), concat!("quorate ", env!("CARGO_PKG_VERSION")));
        assert_eq!(told.qos, QoS::AtMostOnce);
        heard_of.insert(told.topic);
    }
    let expected: Vec<String> = (1..=3).map(|node| format!("$SYS/brokers/{node}/version")).collect();
    assert!(heard_of.iter().eq(expected.iter()), "{heard_of:?}");
}

fn open(address: SocketAddr, connect: &Connect) -> (Link, ConnAck) {
    let end = Instant::now() + LIMIT;
    loop {
        match Link::open(address, connect.clone()) {
            Ok(opened) => return opened,
            Err(error) if Link::was_sent_away(&error) && Instant::now() < end => thread::sleep(AGAIN_AFTER),
            Err(error) => panic!("{address}: {error}"),
        }
    }
}

fn durable(client_id: &'static str) -> Connect {
    let mut connect = Connect { clean_start: false, ..Connect::new(Version::V5, client_id) };
    connect.properties.session_expiry_s = Some(u32::MAX);
    connect
}

fn subscribe(link: &mut Link, id: u16, filter: &str) {
    ask_for(link, id, filter);
    match receive(link) {
        Packet::SubAck(answer) => assert_eq!(answer.reasons, [ReasonCode::GrantedQoS2]),
        other => panic!("SUBSCRIBE was answered with {other:?}"),
    }
}

fn ask_for(link: &mut Link, id: u16, filter: &str) {
    let options = SubscriptionOptions { qos: QoS::ExactlyOnce, ..SubscriptionOptions::default() };
    let filters = vec![SubscribeFilter { filter: filter.into(), options }];
    let id = PacketId::new(id).expect("it is not 0");
    send(link, Packet::Subscribe(Subscribe { id, properties: Default::default(), filters }));
}

/// Publishes `number` to a topic of its quality of service, and waits until it is acknowledged.
fn publish(link: &mut Link, number: u16, qos: QoS) {
    let id = PacketId::new(number).expect("it is not 0");
    let topic = format!("room/{}", u8::from(qos == QoS::ExactlyOnce));
    send(link, Packet::Publish(Publish { qos, id: Some(id), ..Publish::new(topic, number.to_string()) }));
    loop {
        match receive(link) {
            Packet::PubRec(ack) if ack.id == id => {
                send(link, Packet::PubRel(Ack::new(id, ReasonCode::Success)));
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) if ack.id == id => return,
            other => panic!("{other:?} was not expected"),
        }
    }
}

fn next_publish(link: &mut Link) -> Publish {
    match receive(link) {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?} was not expected"),
    }
}

fn payload(publish: &Publish) -> String {
    String::from_utf8_lossy(&publish.payload).into_owned()
}

fn ack(publish: &Publish) -> Ack {
    Ack::new(publish.id.expect("QoS 1 and 2 have one"), ReasonCode::Success)
}

/// Answers with the first of what is to be answered.
fn acknowledge_first(link: &mut Link, publish: &Publish) {
    match publish.qos {
        QoS::ExactlyOnce => send(link, Packet::PubRec(ack(publish))),
        _ => send(link, Packet::PubAck(ack(publish))),
    }
}

/// Answers with all that is to be answered.
fn acknowledge(link: &mut Link, publish: &Publish) {
    acknowledge_first(link, publish);
    if publish.qos == QoS::ExactlyOnce {
        assert!(matches!(receive(link), Packet::PubRel(release) if Some(release.id) == publish.id));
        send(link, Packet::PubComp(ack(publish)));
    }
}

fn complete(link: &mut Link, release: &Ack) {
    send(link, Packet::PubComp(Ack::new(release.id, ReasonCode::Success)));
}

fn send(link: &mut Link, packet: Packet) {
    link.send(&[packet]).expect("the connection stands");
}

fn receive(link: &mut Link) -> Packet {
    let packet: io::Result<Packet> = link.receive();
    packet.expect("the connection stands")
}
