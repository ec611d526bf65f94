//! Limits of a node: connections, sessions, time to connect, what is sent too early, and the end.

use crate::bench::{Bench, ack, clean, durable, publish, subscribe};
use broker_core::codec::packet::{Connect, Packet, QoS, Version};
use broker_core::limits::Limits;
use broker_core::time::Duration;
use insta::assert_snapshot;

const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

#[test]
fn one_connection_and_one_session_too_many_are_told_so() {
    let limits = Limits { connections_max: 2, sessions_max: 2, ..Limits::default() };
    let mut bench = Bench::with_limits(limits);
    bench.tells_events = true;
    bench.connect("a", durable("a", 600));
    bench.connect("b", clean("b"));
    bench.connect("c", clean("c"));
    let mut old = clean("d");
    old.version = Version::V3;
    bench.connect("d", old);
    bench.lose("a");
    bench.connect("e", clean("e"));
    bench.connect("a", durable("a", 600));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_limit_that_is_lowered_takes_nothing_away_that_was_acknowledged() {
    let mut bench = Bench::new();
    bench.connect("sub", durable("s", 600));
    bench.send("sub", subscribe("t", QOS1));
    bench.lose("sub");
    bench.connect("pub", clean("p"));
    for payload in ["1", "2", "3"] {
        bench.send("pub", publish("t", payload, QOS1, 1));
    }
    bench.limits.queue_messages_max = 1;
    bench.power_loss(Duration::from_secs(1));
    bench.connect("sub", durable("s", 600));
    assert_snapshot!(bench.timeline());
}

#[test]
fn who_says_nothing_and_who_cannot_be_answered_are_told_apart() {
    let mut bench = Bench::new();
    bench.open("mute", Version::V5);
    bench.disk_is_fast = false;
    bench.connect("waits", clean("w"));
    bench.pass(Duration::from_secs(11));
    bench.sync();
    assert_snapshot!(bench.timeline());
}

#[test]
fn packets_behind_connect_wait_for_it() {
    let mut bench = Bench::new();
    bench.disk_is_fast = false;
    bench.open("c", Version::V5);
    let connect = Packet::Connect(Box::new(clean("c")));
    bench.send_all("c", &[connect, subscribe("t", QOS1), publish("t", "x", QOS1, 1), Packet::PingReq]);
    let before = bench.timeline();
    bench.sync();
    assert!(!before.contains('<'), "{before}");
    assert_snapshot!(bench.timeline());
}

#[test]
fn who_does_not_wait_for_connack_is_not_read_from() {
    let mut bench = Bench::new();
    bench.disk_is_fast = false;
    bench.connect("c", clean("c"));
    let large: &'static str = Box::leak("x".repeat(100_000).into_boxed_str());
    bench.send("c", publish("t", large, QOS1, 1));
    bench.timeline();
    bench.send("c", Packet::PingReq);
    bench.sync();
    assert_snapshot!(bench.timeline());
}

#[test]
fn who_is_far_ahead_of_the_disk_is_not_read_from_and_not_taken_for_silent() {
    let mut bench = Bench::new();
    bench.connect("sub", durable("s", u32::MAX));
    bench.send("sub", subscribe("t", QOS1));
    let mut connect = Connect::new(Version::V3, "p");
    connect.keep_alive_s = 10;
    bench.connect("pub", connect);
    bench.timeline();
    bench.disk_is_fast = false;
    for round in 0..4_096_u16 {
        bench.send("pub", publish("t", "x", QOS1, round + 1));
    }
    let told = bench.timeline();
    assert!(told.ends_with("pub is not read\n"), "it ends with {}", &told[told.len() - 60..]);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.timeline(), "--- 60000 ms\n");
    bench.sync();
    let told = bench.timeline();
    assert!(told.contains("pub is read again"));
    bench.pass(Duration::from_secs(14));
    bench.pass(Duration::from_secs(2));
    assert_snapshot!(bench.timeline());
}

#[test]
fn releases_without_end_stop_the_reading_too() {
    let mut bench = Bench::new();
    bench.connect("pub", durable("p", u32::MAX));
    bench.disk_is_fast = false;
    for _ in 0..4_096 {
        bench.send("pub", Packet::PubRel(ack(1)));
    }
    assert!(bench.timeline().ends_with("pub is not read\n"));
}

#[test]
fn a_node_that_stops_tells_its_clients_and_takes_no_more() {
    let mut bench = Bench::new();
    bench.connect("a", durable("a", 600));
    bench.send("a", publish("t", "x", QOS2, 1));
    bench.stop();
    bench.open("late", Version::V5);
    assert_snapshot!(bench.timeline());
}
