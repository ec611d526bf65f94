use crate::checkers::tale::{QOS0, QOS1, Tale};
use sim::history::{ClientNo, NodeDown, Packet, Publish};

fn told(tale: &mut Tale, client: ClientNo, topic: &str, value: &str) {
    let payload = value.to_owned().into();
    tale.got(
        client,
        Packet::Publish(Publish { topic: topic.into(), qos: QOS0, payload, ..Publish::default() }),
    );
}

fn uptimes(tale: &mut Tale, client: ClientNo, values: &[&str]) {
    for value in values {
        told(tale, client, "$SYS/brokers/1/uptime", value);
    }
}

#[test]
fn an_old_report_behind_a_newer_one_is_found() {
    let mut tale = Tale::new();
    tale.starts();
    let watcher = tale.durable("watcher");
    uptimes(&mut tale, watcher, &["0", "1", "1", "3"]);
    tale.is_fine();
    uptimes(&mut tale, watcher, &["2"]);
    assert_eq!(tale.violation(41).client, Some(watcher));
}

#[test]
fn a_node_that_begins_anew_tells_so_once() {
    let mut tale = Tale::new();
    tale.starts();
    let watcher = tale.durable("watcher");
    uptimes(&mut tale, watcher, &["7"]);
    tale.goes_down(NodeDown::Killed, &[watcher]);
    tale.starts();
    tale.join(watcher);
    uptimes(&mut tale, watcher, &["0", "1"]);
    tale.holds(&[41]);
    uptimes(&mut tale, watcher, &["0"]);
    tale.violation(41);
}

#[test]
fn what_no_node_can_have_told_is_found() {
    for (topic, value) in [
        ("$SYS/brokers/9/uptime", "1"),
        ("$SYS/brokers/one/uptime", "1"),
        ("$SYS/broker/uptime", "1"),
        ("$SYS/brokers/1/uptime", "long"),
    ] {
        let mut tale = Tale::new();
        tale.starts();
        let watcher = tale.clean("watcher");
        told(&mut tale, watcher, topic, value);
        tale.violation(41);
    }
    let mut tale = Tale::new();
    tale.starts();
    let watcher = tale.clean("watcher");
    let publish = Publish { topic: "$SYS/brokers/1/uptime".into(), qos: QOS1, id: 1, ..Publish::default() };
    tale.takes_as(watcher, publish);
    tale.violation(41);
}
