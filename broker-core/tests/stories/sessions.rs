//! Sessions: taken over, resumed, changed and ended, with their wills.

use crate::bench::{Bench, ack, clean, durable, publish, subscribe};
use broker_core::codec::ReasonCode;
use broker_core::codec::packet::{
    Connect, Disconnect, Packet, QoS, Subscribe, SubscribeFilter, Version, Will, WillProperties,
};
use broker_core::ids::PacketId;
use broker_core::limits::Limits;
use broker_core::time::Duration;
use broker_core::topic::TopicName;
use bytes::Bytes;
use insta::assert_snapshot;
use std::num::NonZeroU16;

const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

fn with_will(delay_s: u32, mut connect: Connect) -> Connect {
    connect.will = Some(Will {
        qos: QOS1,
        retain: false,
        topic: TopicName::parse("will".into()).expect("valid"),
        payload: Bytes::copy_from_slice(connect.client_id.as_bytes()),
        properties: WillProperties { delay_s: Some(delay_s), ..WillProperties::default() },
    });
    connect
}

fn starting_clean(mut connect: Connect) -> Connect {
    connect.clean_start = true;
    connect
}

fn disconnect(reason: ReasonCode, expiry_s: Option<u32>) -> Packet {
    let mut disconnect = Disconnect::new(reason);
    disconnect.properties.session_expiry_s = expiry_s;
    Packet::Disconnect(disconnect)
}

#[test]
fn a_will_goes_out_at_a_takeover_unless_the_session_goes_on_and_it_has_a_delay() {
    let mut bench = Bench::new();
    bench.connect("watcher", clean("w"));
    bench.send("watcher", subscribe("will", QOS1));
    bench.connect("1", with_will(0, durable("no delay", 60)));
    bench.connect("1 again", durable("no delay", 60));
    bench.connect("2", with_will(5, durable("delay", 60)));
    bench.connect("2 again", durable("delay", 60));
    bench.connect("3", with_will(5, durable("delay, clean start", 60)));
    bench.connect("3 again", starting_clean(durable("delay, clean start", 60)));
    bench.connect("4", with_will(5, clean("delay, ends with its connection")));
    bench.connect("4 again", durable("delay, ends with its connection", 60));
    bench.connect("5", with_will(30, durable("delay, session ends first", 10)));
    bench.lose("5");
    bench.pass(Duration::from_secs(11));
    assert_snapshot!(bench.timeline());
}

#[test]
fn two_takeovers_in_flight_leave_the_last_one() {
    let mut bench = Bench::new();
    bench.connect("pub", clean("p"));
    bench.connect("first", durable("c", 600));
    bench.send("first", subscribe("t", QOS1));
    bench.send("pub", publish("t", "before", QOS1, 1));
    bench.disk_is_fast = false;
    bench.connect("second", durable("c", 600));
    bench.send("first", publish("t", "from a frozen connection", QOS1, 9));
    bench.connect("third", durable("c", 600));
    bench.send("third", Packet::PingReq);
    bench.sync();
    bench.disk_is_fast = true;
    bench.send("pub", publish("t", "after", QOS1, 2));
    bench.lose("third");
    bench.connect("fourth", durable("c", 600));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_connection_lost_before_its_attach_is_on_disk_leaves_a_detached_session() {
    let mut bench = Bench::new();
    bench.tells_events = true;
    bench.connect("watcher", clean("w"));
    bench.send("watcher", subscribe("will", QOS1));
    bench.disk_is_fast = false;
    bench.connect("a", with_will(0, durable("a", 10)));
    bench.lose("a");
    bench.sync();
    bench.disk_is_fast = true;
    bench.pass(Duration::from_secs(11));
    bench.connect("a", durable("a", 10));
    assert_snapshot!(bench.timeline());
}

#[test]
fn disconnect_may_shorten_a_session_and_may_not_give_one() {
    let mut bench = Bench::new();
    bench.tells_events = true;
    bench.connect("a", durable("a", 600));
    bench.send("a", disconnect(ReasonCode::NORMAL_DISCONNECTION, Some(0)));
    bench.connect("a", durable("a", 600));
    bench.send("a", disconnect(ReasonCode::NORMAL_DISCONNECTION, Some(5)));
    bench.pass(Duration::from_secs(6));
    bench.connect("b", clean("b"));
    bench.send("b", disconnect(ReasonCode::NORMAL_DISCONNECTION, Some(5)));
    bench.connect("c", with_will(0, clean("c")));
    bench.connect("watcher", clean("w"));
    bench.send("watcher", subscribe("will", QOS1));
    bench.send("c", disconnect(ReasonCode::DisconnectWithWill, None));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_session_resumed_with_expiry_0_ends_with_that_connection() {
    let mut bench = Bench::new();
    bench.tells_events = true;
    bench.connect("a", durable("a", 600));
    bench.send("a", subscribe("t", QOS1));
    bench.lose("a");
    bench.connect("pub", clean("p"));
    bench.send("pub", publish("t", "1", QOS1, 1));
    bench.connect("a", durable("a", 0));
    bench.send("pub", publish("t", "2", QOS1, 2));
    bench.lose("a");
    bench.connect("a", durable("a", 600));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_lower_receive_maximum_holds_for_what_was_in_flight_already() {
    let mut bench = Bench::new();
    bench.connect("pub", clean("p"));
    bench.connect("s", durable("s", 600));
    bench.send("s", subscribe("t", QOS2));
    for payload in ["1", "2", "3"] {
        bench.send("pub", publish("t", payload, QOS2, 1));
        bench.send("pub", Packet::PubRel(ack(1)));
    }
    bench.send("s", Packet::PubRec(ack(32_768)));
    bench.lose("s");
    bench.timeline();
    let mut connect = durable("s", 600);
    connect.properties.receive_max = NonZeroU16::new(1);
    bench.connect("s", connect);
    bench.send("s", Packet::PubComp(ack(32_768)));
    bench.send("s", Packet::PubRec(ack(32_769)));
    bench.send("s", Packet::PubComp(ack(32_769)));
    assert_snapshot!(bench.timeline());
}

#[test]
fn qos_2_towards_a_clean_session_and_from_it_ends_with_every_step() {
    let mut bench = Bench::new();
    bench.connect("s", clean("s"));
    bench.send("s", subscribe("t", QOS2));
    bench.send("s", publish("t", "x", QOS2, 7));
    bench.send("s", publish("t", "x", QOS2, 7));
    bench.send("s", Packet::PubRel(ack(7)));
    bench.send("s", Packet::PubRel(ack(7)));
    bench.send("s", publish("t", "a new one", QOS2, 7));
    bench.send("s", Packet::PubRec(ack(1)));
    bench.send("s", Packet::PubRec(ack(1)));
    bench.send("s", Packet::PubComp(ack(1)));
    bench.send("s", Packet::PubRec(ack(1)));
    assert_snapshot!(bench.timeline());
}

#[test]
fn overlapping_subscriptions_give_one_message_with_the_best_of_them() {
    let mut bench = Bench::new();
    let asked = |filter: &'static str, qos, id, no_local| {
        let mut asked = SubscribeFilter { filter: filter.into(), options: Default::default() };
        (asked.options.qos, asked.options.no_local) = (qos, no_local);
        let packet_id = PacketId::new(1).expect("not 0");
        let mut subscribe = Subscribe { id: packet_id, properties: Default::default(), filters: vec![asked] };
        subscribe.properties.subscription_id = Some(id);
        Packet::Subscribe(subscribe)
    };
    bench.connect("pub", clean("p"));
    for (name, connect) in [("clean", clean("c")), ("durable", durable("d", 60))] {
        bench.connect(name, connect);
        bench.send(name, asked("t/+", QOS1, 1, false));
        bench.send(name, asked("t/#", QOS2, 2, true));
        bench.send(name, asked("$share/g/t/1", QOS1, 3, false));
        bench.send("pub", publish("t/1", "best of two, and the group's", QOS2, 5));
        bench.send("pub", Packet::PubRel(ack(5)));
        bench.send(name, publish("t/2", "its own, by the filter without No Local", QOS1, 6));
        bench.lose(name);
    }
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_keep_alive_is_lowered_only_for_who_can_be_told() {
    let mut bench = Bench::with_limits(Limits { keep_alive_max_s: 10, ..Limits::default() });
    bench.connect("new", clean("n"));
    bench.connect("old", Connect::new(Version::V3, "o"));
    bench.pass(Duration::from_secs(16));
    bench.send("old", Packet::PingReq);
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_disk_that_stands_still_ends_the_connections_whose_expiry_it_cannot_vouch_for() {
    let mut bench = Bench::new();
    bench.connect("short", durable("short", 20));
    bench.connect("long", durable("long", 100));
    bench.connect("for ever", durable("for ever", u32::MAX));
    bench.disk_is_fast = false;
    bench.pass(Duration::from_secs(60));
    bench.power_loss(Duration::from_secs(1));
    bench.disk_is_fast = true;
    bench.sync();
    bench.connect("short", durable("short", 20));
    bench.connect("long", durable("long", 100));
    bench.connect("for ever", durable("for ever", u32::MAX));
    assert_snapshot!(bench.timeline());
}

#[test]
fn no_two_lives_of_a_node_assign_the_same_client_identifier() {
    let mut bench = Bench::new();
    let mut nameless = durable("", 600);
    nameless.clean_start = false;
    bench.connect("first", nameless.clone());
    bench.send("first", subscribe("private", QOS1));
    bench.power_loss(Duration::from_secs(1));
    bench.connect("second", nameless);
    assert_snapshot!(bench.timeline());
}
