//! What every client relies on: publish, deliver, retain, share, resume, expire.

use crate::bench::{Bench, ack, clean, durable, publish, retain, subscribe};
use broker_core::codec::ReasonCode;
use broker_core::codec::packet::{Disconnect, Packet, QoS, Version, Will, WillProperties};
use broker_core::limits::Limits;
use broker_core::time::Duration;
use broker_core::topic::TopicName;
use bytes::Bytes;
use insta::assert_snapshot;

const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

fn with_will(
    mut connect: broker_core::codec::packet::Connect,
    delay_s: u32,
) -> broker_core::codec::packet::Connect {
    connect.will = Some(Will {
        qos: QOS1,
        retain: false,
        topic: TopicName::parse("will".into()).expect("valid"),
        payload: Bytes::from_static(b"gone"),
        properties: WillProperties { delay_s: Some(delay_s), ..WillProperties::default() },
    });
    connect
}

#[test]
fn nothing_is_acknowledged_before_it_is_on_disk() {
    let mut bench = Bench::new();
    bench.connect("sub", durable("s", 600));
    bench.send("sub", subscribe("t", QOS1));
    bench.connect("pub", clean("p"));
    bench.disk_is_fast = false;
    bench.send("pub", publish("t", "1", QOS1, 10));
    bench.send("pub", publish("other", "waits its turn", QOS1, 11));
    let before = bench.timeline();
    assert!(!before.contains("PUBACK"), "{before}");
    bench.sync();
    assert_snapshot!(bench.timeline());
}

#[test]
fn qos_2_goes_through_a_power_loss_exactly_once() {
    let mut bench = Bench::new();
    bench.connect("sub", durable("s", 600));
    bench.send("sub", subscribe("t", QOS2));
    bench.connect("pub", durable("p", 600));
    bench.send("pub", publish("t", "once", QOS2, 1));
    bench.power_loss(Duration::from_secs(3));
    bench.connect("pub", durable("p", 600));
    bench.send("pub", publish("t", "once", QOS2, 1));
    bench.send("pub", Packet::PubRel(ack(1)));
    bench.connect("sub", durable("s", 600));
    bench.send("sub", Packet::PubRec(ack(32_768)));
    bench.power_loss(Duration::from_secs(3));
    bench.connect("sub", durable("s", 600));
    bench.send("sub", Packet::PubComp(ack(32_768)));
    bench.connect("pub", durable("p", 600));
    bench.send("pub", publish("t", "another with the same identifier", QOS2, 1));
    assert_snapshot!(bench.timeline());
}

#[test]
fn offline_messages_are_kept_in_order_and_resent_with_dup() {
    let mut bench = Bench::new();
    bench.connect("sub", durable("s", 600));
    bench.send("sub", subscribe("t/#", QOS1));
    bench.connect("pub", clean("p"));
    bench.send("pub", publish("t/1", "a", QOS1, 1));
    bench.lose("sub");
    bench.send("pub", publish("t/2", "b", QOS1, 2));
    bench.connect("sub", durable("s", 600));
    bench.send("sub", Packet::PubAck(ack(32_769)));
    bench.lose("sub");
    bench.connect("sub", durable("s", 600));
    assert_snapshot!(bench.timeline());
}

#[test]
fn takeover_evicts_the_old_connection_and_resumes() {
    let mut bench = Bench::new();
    bench.connect("old", durable("c", 600));
    bench.send("old", subscribe("t", QOS1));
    bench.connect("pub", clean("p"));
    bench.send("pub", publish("t", "a", QOS1, 1));
    bench.connect("new", durable("c", 600));
    bench.send("new", Packet::PubAck(ack(32_768)));
    bench.send("pub", publish("t", "b", QOS1, 2));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_will_is_sent_after_a_loss_and_not_after_disconnect() {
    let mut bench = Bench::new();
    bench.connect("watcher", clean("w"));
    bench.send("watcher", subscribe("will", QOS1));
    bench.connect("a", with_will(clean("a"), 0));
    bench.lose("a");
    bench.connect("b", with_will(clean("b"), 0));
    bench.send("b", Packet::Disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)));
    bench.connect("c", with_will(durable("c", 600), 5));
    bench.lose("c");
    bench.pass(Duration::from_secs(4));
    bench.connect("c", with_will(durable("c", 600), 5));
    bench.lose("c");
    bench.pass(Duration::from_secs(6));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_will_is_sent_once_although_the_node_died_with_the_client() {
    let mut bench = Bench::new();
    bench.connect("watcher", durable("w", 600));
    bench.send("watcher", subscribe("will", QOS1));
    bench.connect("a", with_will(clean("a"), 0));
    bench.power_loss(Duration::from_secs(1));
    bench.power_loss(Duration::from_secs(1));
    bench.connect("watcher", durable("w", 600));
    assert_snapshot!(bench.timeline());
}

#[test]
fn retained_messages_survive_and_are_replaced_and_deleted() {
    let mut bench = Bench::new();
    bench.connect("pub", clean("p"));
    bench.send("pub", retain("r/1", "old", QOS1, 1));
    bench.send("pub", retain("r/1", "new", QOS1, 2));
    bench.send("pub", retain("r/2", "gone", QOS1, 3));
    bench.send("pub", retain("r/2", "", QOS1, 4));
    bench.power_loss(Duration::from_secs(1));
    bench.connect("sub", clean("s"));
    bench.send("sub", subscribe("r/+", QOS1));
    bench.connect("durable", durable("d", 60));
    bench.send("durable", subscribe("r/#", QOS2));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_shared_subscription_gives_each_message_to_one_member() {
    let mut bench = Bench::new();
    bench.connect("a", clean("a"));
    bench.send("a", subscribe("$share/g/t", QOS1));
    bench.connect("b", durable("b", 600));
    bench.send("b", subscribe("$share/g/t", QOS1));
    bench.connect("pub", clean("p"));
    bench.send("pub", publish("t", "1", QOS1, 1));
    bench.send("pub", publish("t", "2", QOS1, 2));
    bench.lose("a");
    bench.send("pub", publish("t", "3", QOS1, 3));
    bench.send("pub", publish("t", "for b alone", QoS::AtMostOnce, 0));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_session_expires_after_its_interval_and_a_crash_does_not_reset_it() {
    let mut bench = Bench::new();
    bench.connect("s", durable("s", 20));
    bench.send("s", subscribe("t", QOS1));
    bench.lose("s");
    bench.pass(Duration::from_secs(12));
    bench.power_loss(Duration::from_secs(4));
    bench.pass(Duration::from_secs(3));
    bench.connect("s", durable("s", 20));
    bench.lose("s");
    bench.pass(Duration::from_secs(16));
    bench.power_loss(Duration::from_secs(5));
    bench.connect("s", durable("s", 20));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_full_window_waits_and_a_full_queue_drops() {
    let mut bench =
        Bench::with_limits(Limits { inflight_max: 1, queue_messages_max: 2, ..Limits::default() });
    bench.connect("sub", durable("s", 600));
    bench.send("sub", subscribe("t", QOS1));
    bench.connect("pub", clean("p"));
    for (id, payload) in [(1, "1"), (2, "2"), (3, "one too many")] {
        bench.send("pub", publish("t", payload, QOS1, id));
    }
    bench.send("sub", Packet::PubAck(ack(32_768)));
    bench.send("sub", Packet::PubAck(ack(32_769)));
    bench.send("pub", publish("t", "room again", QOS1, 4));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_silent_client_is_closed_at_one_and_a_half_times_its_keep_alive() {
    let mut bench = Bench::new();
    let mut connect = clean("c");
    connect.keep_alive_s = 10;
    bench.connect("c", connect);
    bench.pass(Duration::from_secs(9));
    bench.send("c", Packet::PingReq);
    bench.pass(Duration::from_secs(14));
    bench.send("c", Packet::PingReq);
    bench.pass(Duration::from_secs(16));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_3_1_1_client_gets_what_its_version_can_say() {
    let mut bench = Bench::new();
    let mut connect = clean("c");
    connect.version = Version::V3;
    bench.connect("c", connect);
    bench.send("c", subscribe("a/#/b", QOS2));
    bench.send("c", subscribe("a/+", QOS2));
    bench.send("c", publish("a/b", "x", QOS2, 5));
    bench.send("c", Packet::PubRel(ack(5)));
    bench.send("c", Packet::PubRec(ack(1)));
    bench.send("c", Packet::PubComp(ack(1)));
    assert_snapshot!(bench.timeline());
}
