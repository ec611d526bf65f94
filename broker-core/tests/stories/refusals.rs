//! What is refused, and how each version of the protocol is told.

use crate::bench::{Bench, ack, clean, durable, publish, retain, subscribe};
use broker_core::auth::{Action, Permissions, Rule};
use broker_core::codec::PACKET_BYTES_MAX;
use broker_core::codec::packet::{
    Connect, Packet, PayloadFormat, QoS, Subscribe, SubscribeFilter, Version, Will, WillProperties,
};
use broker_core::ids::PacketId;
use broker_core::limits::Limits;
use broker_core::topic::{TopicFilter, TopicName};
use bytes::Bytes;
use insta::assert_snapshot;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

const QOS0: QoS = QoS::AtMostOnce;
const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

fn v3(mut connect: Connect) -> Connect {
    connect.version = Version::V3;
    connect.properties = Default::default();
    connect
}

fn without_explanations(mut connect: Connect) -> Connect {
    connect.properties.request_problem_information = Some(false);
    connect
}

fn no_larger_than(bytes: u32, mut connect: Connect) -> Connect {
    connect.properties.packet_bytes_max = NonZeroU32::new(bytes);
    connect
}

fn denying(action: Action, filter: &'static str) -> Arc<Permissions> {
    let filter = TopicFilter::parse(&filter.into()).expect("valid");
    Arc::new(Permissions { rules: vec![Rule { allow: false, action, filter }], otherwise: true })
}

fn subscribe_all(filters: &[&'static str]) -> Packet {
    let filters = filters.iter().map(|filter| {
        let mut asked = SubscribeFilter { filter: (*filter).into(), options: Default::default() };
        asked.options.qos = QOS1;
        asked
    });
    let id = PacketId::new(1).expect("not 0");
    Packet::Subscribe(Subscribe { id, properties: Default::default(), filters: filters.collect() })
}

#[test]
fn some_filters_of_a_subscribe_are_refused_and_the_others_hold() {
    let mut bench = Bench::with_limits(Limits { subscriptions_max: 2, ..Limits::default() });
    bench.tells_events = true;
    bench.permissions = denying(Action::Subscribe, "secret/#");
    for (name, connect) in [
        ("clean", clean("a")),
        ("durable", durable("b", 60)),
        ("silent", without_explanations(clean("c"))),
        ("old", v3(clean("d"))),
    ] {
        bench.connect(name, connect);
        bench.send(name, subscribe_all(&["ok", "bad/#/x", "secret/1", "secret/#", "#", "one/too/many"]));
    }
    bench.send("clean", publish("secret/2", "not seen by who asked for everything", QOS1, 7));
    bench.send("clean", publish("ok", "seen", QOS1, 8));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_publish_that_is_not_authorized_is_answered_as_the_version_can() {
    let mut bench = Bench::new();
    bench.tells_events = true;
    bench.permissions = denying(Action::Publish, "t");
    bench.connect("new", clean("n"));
    bench.connect("old", v3(clean("o")));
    for name in ["new", "old"] {
        bench.send(name, publish("t", "0", QOS0, 0));
        bench.send(name, publish("t", "1", QOS1, 1));
        bench.send(name, publish("t", "2", QOS2, 2));
        bench.send(name, Packet::PubRel(ack(2)));
    }
    bench.send("new", publish("$SYS/x", "the broker's own", QOS1, 3));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_qos_2_resend_after_the_right_was_withdrawn_is_answered_as_what_was_taken() {
    let mut bench = Bench::new();
    bench.connect("sub", durable("s", 600));
    bench.send("sub", subscribe("#", QOS2));
    bench.connect("pub", durable("p", 600));
    bench.send("pub", publish("t", "taken", QOS2, 1));
    bench.lose("pub");
    bench.permissions = denying(Action::Publish, "t");
    bench.connect("pub", durable("p", 600));
    bench.send("pub", publish("t", "taken", QOS2, 1));
    bench.send("pub", publish("t", "refused", QOS2, 2));
    bench.send("pub", Packet::PubRel(ack(1)));
    bench.send("pub", publish("u", "a new one with its identifier", QOS2, 1));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_retained_message_for_which_there_is_no_room_is_refused() {
    let mut bench = Bench::with_limits(Limits { retained_messages_max: 1, ..Limits::default() });
    bench.tells_events = true;
    bench.connect("pub", clean("p"));
    bench.connect("old", v3(clean("o")));
    bench.send("pub", retain("r/1", "kept", QOS1, 1));
    bench.send("pub", retain("r/2", "refused", QOS1, 2));
    bench.send("pub", retain("r/3", "dropped", QOS0, 0));
    bench.send("old", retain("r/4", "acknowledged, as 3.1.1 has no other answer", QOS1, 4));
    bench.send("pub", retain("r/1", "replaced", QOS1, 5));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_will_that_may_not_be_published_is_refused_with_connect() {
    let mut bench = Bench::new();
    bench.permissions = denying(Action::Publish, "secret");
    let will = |topic: &'static str, payload: &'static [u8]| {
        let mut connect = clean("c");
        let properties =
            WillProperties { payload_format: Some(PayloadFormat::Utf8), ..WillProperties::default() };
        let topic = TopicName::parse(topic.into()).expect("valid");
        let payload = Bytes::from_static(payload);
        connect.will = Some(Will { qos: QOS1, retain: false, topic, payload, properties });
        connect
    };
    bench.connect("right", will("secret", b"x"));
    bench.connect("system", will("$SYS/x", b"x"));
    bench.connect("format", will("t", b"\xFF"));
    bench.connect("good", will("t", b"x"));
    assert_snapshot!(bench.timeline());
}

#[test]
fn packets_fit_the_client_to_the_byte_or_are_not_sent() {
    let mut bench = Bench::new();
    bench.tells_events = true;
    bench.connect("pub", clean("p"));
    // PUBLISH with QoS 0: two bytes of fixed header, three of topic, one of properties, the payload.
    let mut connect = no_larger_than(40, clean("s"));
    connect.properties.topic_alias_max = Some(5);
    bench.connect("sub", connect);
    bench.send("sub", subscribe("#", QOS0));
    bench.timeline();
    bench.send("pub", publish("a", "34 bytes leave no room for alias..", QOS0, 0));
    bench.send("pub", publish("a", "35 bytes are one byte more than fit", QOS0, 0));
    bench.send("pub", publish("a", "31 bytes leave room for alias..", QOS0, 0));
    bench.send("pub", publish("a", "an alias saves one byte: 32 fit.", QOS0, 0));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_client_that_takes_no_packet_large_enough_is_let_go() {
    let mut bench = Bench::new();
    bench.connect("connack", no_larger_than(10, clean("a")));
    bench.connect("suback", no_larger_than(24, clean("b")));
    bench.send("suback", subscribe_all(&["a/#/b", "b", "c", "d", "e", "f", "g", "h"]));
    let many: Vec<&'static str> = vec!["x"; 25];
    bench.send("suback", subscribe_all(&many));
    assert_snapshot!(bench.timeline());
}

#[test]
fn an_alias_of_a_topic_that_is_too_deep_is_not_kept() {
    let mut bench = Bench::with_limits(Limits { topic_levels_max: 2, ..Limits::default() });
    bench.tells_events = true;
    let aliased = |topic: &'static str, id| {
        let Packet::Publish(mut packet) = publish(topic, "x", QOS1, id) else {
            unreachable!("it is a PUBLISH")
        };
        packet.properties.topic_alias = NonZeroU16::new(1);
        Packet::Publish(packet)
    };
    bench.connect("pub", clean("p"));
    bench.send("pub", aliased("a/b", 1));
    bench.send("pub", aliased("", 2));
    bench.send("pub", aliased("a/b/c", 3));
    bench.send("pub", aliased("", 4));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_message_that_its_topic_makes_too_large_for_any_packet_is_not_sent() {
    let limits = Limits {
        packet_bytes_max: PACKET_BYTES_MAX,
        outbox_bytes_max: 2 * PACKET_BYTES_MAX,
        ..Limits::default()
    };
    let mut bench = Bench::with_limits(limits);
    bench.connect("pub", clean("p"));
    bench.connect("sub", clean("s"));
    bench.send("sub", subscribe("#", QOS0));
    let Packet::Publish(mut named) = publish("a/long/topic", "x", QOS0, 0) else {
        unreachable!("it is a PUBLISH")
    };
    named.properties.topic_alias = NonZeroU16::new(1);
    bench.send("pub", Packet::Publish(named));
    // The largest packet there is: an empty topic, three bytes of alias behind their length, nothing but payload. Its
    // pages are never touched.
    let mut largest = vec![0; PACKET_BYTES_MAX as usize];
    largest[..11].copy_from_slice(b"\x30\xFF\xFF\xFF\x7F\0\0\x03\x23\0\x01");
    bench.send_bytes("pub", Bytes::from(largest));
    bench.send("pub", publish("b", "both clients go on", QOS0, 0));
    assert_snapshot!(bench.timeline());
}
