//! Windows, queues and back-pressure: what waits for whom, and that it goes on.

use crate::bench::{Bench, ack, clean, durable, publish, subscribe};
use broker_core::codec::packet::{Connect, Packet, QoS};
use broker_core::limits::Limits;
use broker_core::time::Duration;
use insta::assert_snapshot;
use std::num::NonZeroU16;

const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

fn taking(receive_max: u16, mut connect: Connect) -> Connect {
    connect.properties.receive_max = NonZeroU16::new(receive_max);
    connect
}

#[test]
fn a_client_that_leaves_one_message_unacknowledged_for_ever_holds_only_itself_up() {
    let mut bench = Bench::new();
    bench.connect("sub", taking(2, clean("s")));
    bench.send("sub", subscribe("t", QOS1));
    bench.connect("pub", clean("p"));
    for round in 0..33_000_u32 {
        bench.send("pub", publish("t", "x", QOS1, 1));
        let id = u16::try_from(round % 32_767 + 1).expect("an identifier of the lower part");
        if id > 1 {
            bench.send("sub", Packet::PubAck(ack(id)));
        }
    }
    bench.timeline();
    bench.send("pub", publish("t", "nothing more fits", QOS1, 1));
    bench.send("sub", Packet::PubAck(ack(1)));
    assert_snapshot!(bench.timeline());
}

#[test]
fn delivery_goes_on_when_progress_is_written_down_late() {
    let mut bench = Bench::with_limits(Limits { inflight_max: 1, ..Limits::default() });
    bench.connect("sub", durable("s", 600));
    bench.send("sub", subscribe("t", QOS1));
    bench.connect("pub", clean("p"));
    for _ in 0..20 {
        bench.send("pub", publish("t", "x", QOS1, 1));
    }
    bench.disk_is_fast = false;
    bench.timeline();
    for id in 32_768..32_768 + 18 {
        bench.send("sub", Packet::PubAck(ack(id)));
    }
    let held_back = bench.timeline();
    assert!(held_back.contains("id=32785"), "{held_back}");
    assert!(
        !held_back.contains("id=32786"),
        "it is past what may be sent before progress is on disk:\n{held_back}"
    );
    bench.sync();
    assert_snapshot!(bench.timeline());
}

#[test]
fn one_window_serves_both_queues_of_a_clean_session() {
    let mut bench = Bench::new();
    bench.connect("sub", taking(1, clean("s")));
    bench.send("sub", subscribe("$share/g/shared", QOS1));
    bench.send("sub", subscribe("own", QOS1));
    bench.connect("pub", clean("p"));
    bench.send("pub", publish("shared", "1", QOS1, 1));
    bench.send("pub", publish("own", "2", QOS1, 2));
    bench.send("pub", publish("shared", "3", QOS1, 3));
    bench.send("sub", Packet::PubAck(ack(32_768)));
    bench.send("sub", Packet::PubAck(ack(1)));
    bench.send("sub", Packet::PubAck(ack(32_769)));
    assert_snapshot!(bench.timeline());
}

#[test]
fn a_pubrec_for_the_earlier_connection_does_not_make_the_resend_a_new_message() {
    let mut bench = Bench::new();
    bench.connect("sub", durable("s", 600));
    bench.send("sub", subscribe("t", QOS2));
    bench.connect("pub", clean("p"));
    bench.send("pub", publish("t", "1", QOS2, 1));
    bench.send("pub", publish("t", "2", QOS2, 2));
    bench.lose("sub");
    bench.connect("sub", taking(1, durable("s", 600)));
    bench.send("sub", Packet::PubRec(ack(32_769)));
    bench.send("sub", Packet::PubRec(ack(32_768)));
    bench.send("sub", Packet::PubComp(ack(32_768)));
    bench.send("sub", Packet::PubRec(ack(32_769)));
    assert_snapshot!(bench.timeline());
}

#[test]
fn what_expired_in_the_queue_is_dropped_on_disk_before_anything_behind_it_is_sent() {
    let mut bench = Bench::with_limits(Limits { inflight_max: 1, ..Limits::default() });
    bench.connect("sub", durable("s", 600));
    bench.send("sub", subscribe("t", QOS1));
    bench.connect("pub", clean("p"));
    bench.send("pub", publish("t", "holds the window", QOS1, 1));
    for (payload, id) in [("short-lived", 2), ("as short-lived", 3)] {
        let Packet::Publish(mut expiring) = publish("t", payload, QOS1, id) else {
            unreachable!("it is a PUBLISH")
        };
        expiring.properties.message_expiry_s = Some(2);
        bench.send("pub", Packet::Publish(expiring));
    }
    bench.send("pub", publish("t", "lives on", QOS1, 4));
    bench.pass(Duration::from_secs(3));
    bench.disk_is_fast = false;
    bench.timeline();
    bench.send("sub", Packet::PubAck(ack(32_768)));
    let before = bench.timeline();
    assert!(!before.contains("lives on"), "{before}");
    bench.sync();
    let after = bench.timeline();
    assert!(after.contains("lives on") && !after.contains("short-lived"), "{after}");
}
