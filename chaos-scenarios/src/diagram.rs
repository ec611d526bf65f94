//! What passes between clients and nodes, as a sequence diagram: of a run that was watched at the face of each node's core.

use broker_core::event::Event;
use broker_core::face::{Broker, Input, Output, Recovered, Setup, TimerKind};
use broker_core::ids::{ConnId, NodeId};
use broker_core::routing::ownership::told;
use broker_core::time::Instant;
use sim::history::{Qos, Version};
use sim::scenario::{Action, ClientSpec, PeerRoads, Phases, PublishSpec, Scenario, Span, When};
use sim::{Opener, Production, RunOptions};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

/// When the message is published: long after the cluster has come to rest.
const PUBLISHED_MS: u64 = 8_000;

/// A row of the diagram.
#[derive(Clone, Debug)]
enum Row {
    Said { from: String, to: String, what: String },
    Note { over: NodeId, what: &'static str },
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    clients: BTreeMap<ConnId, String>,
    leader: Option<NodeId>,
    rows: Vec<Row>,
}

/// A node's core, and what is seen at its face.
struct Watched {
    node: NodeId,
    core: Box<dyn Broker>,
    seen: Rc<RefCell<Seen>>,
}

/// One message of QoS 2 from a client of node 1 to a client of node 3, in a cluster of three whose node 2 leads, as a Mermaid diagram. It is of the
/// first seed from `from` on in which that node leads.
///
/// # Panics
/// If in no seed of a hundred it does, which is as good as impossible.
pub fn exchange(from: u64) -> String {
    let found = (from..from + 100).find_map(|seed| {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let watching = seen.clone();
        let open = move |setup: Setup, recovered: Recovered, now: Instant| {
            let node = setup.node;
            let core = Production.open(setup, recovered, now)?;
            Ok(Box::new(Watched { node, core, seen: watching.clone() }) as Box<dyn Broker>)
        };
        sim::run(&scenario(seed), &open, RunOptions::default());
        let seen = seen.borrow();
        (seen.leader == Some(NodeId(2))).then(|| drawn(seed, &seen.rows))
    });
    found.expect("some node leads, and it is as likely this one as another")
}

fn scenario(seed: u64) -> Scenario {
    let mut scenario = Scenario::cluster("diagram", seed, 3, 1, 3);
    scenario.topology.latency_us = Span { min: 200, max: 300 };
    scenario.topology.peers = PeerRoads { latency_us: Span { min: 200, max: 300 }, ..PeerRoads::default() };
    for node in &mut scenario.topology.nodes {
        node.sync_us = Span { min: 900, max: 1_100 };
    }
    let client = |name: &str, node| ClientSpec {
        nodes: vec![NodeId(node)],
        connect_at: Some(Instant::from_millis(4_000)),
        ..ClientSpec::durable(name, Version::V5)
    };
    let publisher = scenario.client(client("publisher", 1));
    let subscriber = scenario.client(client("subscriber", 3));
    let filters = vec![sim::history::Subscription::plain("t", Qos::ExactlyOnce)];
    let subscribe = Action::Subscribe { filters, subscription_id: None };
    scenario.step(When::At(Instant::from_millis(5_000)), subscriber, subscribe);
    let publish = Action::Publish(PublishSpec::new("t", Qos::ExactlyOnce));
    scenario.step(When::At(Instant::from_millis(PUBLISHED_MS)), publisher, publish);
    scenario.phases = Phases { safety_ms: PUBLISHED_MS + 500, liveness_ms: 1_000, ..scenario.phases };
    scenario
}

impl Watched {
    fn said(&self, from: String, to: String, what: String) {
        self.seen.borrow_mut().rows.push(Row::Said { from, to, what });
    }

    fn client(&self, conn: ConnId) -> String {
        self.seen.borrow().clients.get(&conn).cloned().unwrap_or_default()
    }
}

impl Broker for Watched {
    fn handle(&mut self, now: Instant, input: Input) {
        match &input {
            Input::ClientBytes { conn, bytes } => {
                for packet in packets(bytes) {
                    self.said(self.client(*conn), name(self.node), packet.to_owned());
                }
            }
            Input::PeerFrame { peer, frame } => {
                if let Some(what) = told(frame) {
                    self.said(name(*peer), name(self.node), what);
                }
            }
            Input::Persisted { .. } => {
                self.seen.borrow_mut().rows.push(Row::Note { over: self.node, what: "on disk" });
            }
            _ => {}
        }
        self.core.handle(now, input);
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        let before = out.len();
        self.core.drain(out);
        for output in &out[before..] {
            match output {
                Output::SendClient { conn, bytes } => {
                    for packet in packets(bytes) {
                        self.said(name(self.node), self.client(*conn), packet.to_owned());
                    }
                }
                Output::Event(Event::Connected { conn, client_id, .. }) => {
                    self.seen.borrow_mut().clients.insert(*conn, client_id.to_string());
                }
                Output::Event(Event::Leading { shard, .. }) if shard.0 == 0 => {
                    self.seen.borrow_mut().leader = Some(self.node);
                }
                _ => {}
            }
        }
    }

    fn deadline(&self) -> Option<(Instant, TimerKind)> {
        self.core.deadline()
    }
}

fn name(node: NodeId) -> String {
    format!("node{}", node.0)
}

/// The names of the packets in these bytes, which begin with one.
fn packets(mut bytes: &[u8]) -> Vec<&'static str> {
    const NAMES: [&str; 16] = [
        "",
        "CONNECT",
        "CONNACK",
        "PUBLISH",
        "PUBACK",
        "PUBREC",
        "PUBREL",
        "PUBCOMP",
        "SUBSCRIBE",
        "SUBACK",
        "UNSUBSCRIBE",
        "UNSUBACK",
        "PINGREQ",
        "PINGRESP",
        "DISCONNECT",
        "AUTH",
    ];
    let mut names = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        names.push(NAMES[usize::from(first >> 4)]);
        let digits = rest.iter().position(|digit| digit & 0x80 == 0).map_or(rest.len(), |last| last + 1);
        let length =
            rest[..digits].iter().rev().fold(0, |length, digit| (length << 7) | usize::from(digit & 0x7f));
        bytes = rest.get(digits + length..).unwrap_or_default();
    }
    names
}

/// The rows from PUBLISH on, but for what has nothing to do with it.
fn drawn(seed: u64, rows: &[Row]) -> String {
    let begins =
        |row: &Row| matches!(row, Row::Said { from, what, .. } if from == "publisher" && what == "PUBLISH");
    let begin = rows.iter().position(begins).unwrap_or(rows.len());
    let ends = |row: &Row| matches!(row, Row::Said { what, .. } if what == "PUBCOMP");
    let last = rows.iter().rposition(ends).map_or(rows.len(), |last| last + 1);
    let mut text = String::from("```mermaid\nsequenceDiagram\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "    %% seed {seed}");
    text.push_str("    participant publisher\n    participant node1 as node 1, gateway\n    participant node2 as node 2, leader\n");
    text.push_str("    participant node3 as node 3, gateway\n    participant subscriber\n");
    for row in &rows[begin..last] {
        let _ = match row {
            Row::Said { from, to, what } => writeln!(text, "    {from}->>{to}: {what}"),
            Row::Note { over, what } => writeln!(text, "    Note over {}: {what}", name(*over)),
        };
    }
    text.push_str("```\n");
    text
}

#[cfg(test)]
mod tests {
    use super::{exchange, packets};

    #[test]
    fn packets_are_told_by_their_first_byte() {
        assert_eq!(packets(&[0x40, 2, 0, 1, 0x62, 2, 0, 1, 0xe0, 0]), ["PUBACK", "PUBREL", "DISCONNECT"]);
        let long: Vec<u8> = [0x30, 0x80, 0x01].into_iter().chain([7; 128]).chain([0xc0, 0]).collect();
        assert_eq!(packets(&long), ["PUBLISH", "PINGREQ"]);
    }

    #[test]
    fn nothing_is_acknowledged_before_two_disks_have_it() {
        let text = exchange(0);
        let rows: Vec<&str> = text.lines().map(str::trim).collect();
        let place = |row: &str| {
            rows.iter().position(|line| *line == row).unwrap_or_else(|| panic!("{row} in\n{text}"))
        };
        let publish = place("publisher->>node1: PUBLISH");
        let answer = place("node1->>publisher: PUBREC");
        let disks = rows[publish..answer].iter().filter(|line| line.ends_with(": on disk")).count();
        assert!(disks >= 2, "{text}");
        assert!(
            answer < place("node1->>publisher: PUBCOMP") && place("node3->>subscriber: PUBLISH") > publish
        );
    }
}
