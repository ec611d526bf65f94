//! A fixed amount of traffic through the core alone, to count what a message costs: `ci/count` runs it under callgrind.
//!
//! `load SHAPE QOS ROUNDS`: SHAPE is `point`, `fan-in` or `fan-out`. Fifty clean sessions on the side that has many; in each
//! round every publisher sends 16 messages of 64 bytes in one run of bytes. Prints how many messages were delivered.

use broker_core::auth::{Decision, Permissions};
use broker_core::broker::{self, Node};
use broker_core::codec::packet::{
    Connect, Packet, Publish, QoS, Subscribe, SubscribeFilter, SubscriptionOptions, Version,
};
use broker_core::codec::{PublishHead, encode};
use broker_core::face::{Broker, Durability, Input, Output, Recovered, Setup};
use broker_core::ids::{ConnId, NodeId, PacketId};
use broker_core::limits::Limits;
use broker_core::time::{Instant, WallTime};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

const MANY: u64 = 50;
const BATCH: u16 = 16;
const PAYLOAD: &[u8] = &[b'x'; 64];

/// One node, and what its clients have received and not acknowledged.
struct Load {
    node: Node,
    now: Instant,
    out: Vec<Output>,
    received: BTreeMap<ConnId, usize>,
    qos: QoS,
    packet_bytes: usize,
    delivered: u64,
    acknowledged: BTreeMap<ConnId, u64>,
}

impl Load {
    fn new(qos: QoS) -> Self {
        let setup = Setup {
            node: NodeId(1),
            seed: 1,
            limits: Limits::default(),
            durability: Durability::Async,
            snapshot_log_bytes: u64::MAX,
            report_every: None,
            wall: WallTime::from_millis(1),
            cluster: None,
        };
        let node = broker::open(setup, Recovered::default(), Instant::ZERO).expect("an empty disk opens");
        let sample = publish(0, qos, 1);
        let packet_bytes = PublishHead::of(&sample).packet_bytes(Version::V5);
        Load {
            node,
            now: Instant::ZERO,
            out: Vec::new(),
            received: BTreeMap::new(),
            qos,
            packet_bytes,
            delivered: 0,
            acknowledged: BTreeMap::new(),
        }
    }

    fn open(&mut self, conn: ConnId, filter: Option<String>) {
        self.node.handle(self.now, Input::ClientOpened { conn, peer: String::new() });
        let connect = Connect::new(Version::V5, format!("client-{conn}"));
        let mut bytes = BytesMut::new();
        encode(Version::V5, &Packet::Connect(Box::new(connect)), &mut bytes);
        self.node.handle(self.now, Input::ClientBytes { conn, bytes: bytes.split().freeze() });
        self.turn();
        if let Some(filter) = filter {
            let options = SubscriptionOptions { qos: self.qos, ..SubscriptionOptions::default() };
            let filters = vec![SubscribeFilter { filter: filter.into(), options }];
            let id = PacketId::new(1).expect("not 0");
            let subscribe = Subscribe { id, properties: Default::default(), filters };
            encode(Version::V5, &Packet::Subscribe(subscribe), &mut bytes);
            self.node.handle(self.now, Input::ClientBytes { conn, bytes: bytes.split().freeze() });
            self.turn();
            self.received.insert(conn, 0);
            self.acknowledged.insert(conn, 0);
        }
    }

    /// Drains until the node wants nothing more.
    fn turn(&mut self) {
        loop {
            let mut out = std::mem::take(&mut self.out);
            self.node.drain(&mut out);
            if out.is_empty() {
                self.out = out;
                return;
            }
            for output in out.drain(..) {
                self.carry_out(output);
            }
            self.out = out;
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::SendClient { conn, bytes } => {
                if let Some(received) = self.received.get_mut(&conn) {
                    *received += bytes.len();
                }
                self.node.handle(self.now, Input::ClientSent { conn, bytes: bytes.len() });
            }
            Output::Authenticate { conn, .. } => {
                let decision = Decision::Allowed(Arc::new(Permissions::all()));
                self.node.handle(self.now, Input::Authenticated { conn, decision });
            }
            Output::Persist { write, .. } => self.node.handle(self.now, Input::Persisted { write }),
            _ => {}
        }
    }

    /// Subscribers acknowledge all that has come to them, until nothing comes.
    fn acknowledge(&mut self) {
        loop {
            let mut any = false;
            let counts: Vec<(ConnId, usize)> =
                self.received.iter_mut().map(|(conn, bytes)| (*conn, std::mem::take(bytes))).collect();
            for (conn, bytes) in counts {
                assert_eq!(bytes % self.packet_bytes, 0, "only messages come");
                let messages = bytes / self.packet_bytes;
                self.delivered += messages as u64;
                if messages > 0 && self.qos == QoS::AtLeastOnce {
                    any = true;
                    let bytes = self.acks(conn, messages);
                    self.node.handle(self.now, Input::ClientBytes { conn, bytes });
                }
            }
            if !any {
                return;
            }
            self.turn();
        }
    }

    fn acks(&mut self, conn: ConnId, messages: usize) -> Bytes {
        let acknowledged = self.acknowledged.get_mut(&conn).expect("a subscriber");
        let mut bytes = BytesMut::with_capacity(4 * messages);
        for _ in 0..messages {
            bytes.put_slice(&[0x40, 2]);
            bytes.put_u16(u16::try_from(*acknowledged % 32_767 + 1).expect("below a u16"));
            *acknowledged += 1;
        }
        bytes.freeze()
    }
}

fn publish(publisher: u64, qos: QoS, id: u16) -> Publish {
    let mut publish = Publish::new(format!("load/topic-{publisher:02}"), PAYLOAD);
    publish.qos = qos;
    publish.id = PacketId::new(id).filter(|_| qos > QoS::AtMostOnce);
    publish
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [shape, qos, rounds] = arguments.as_slice() else {
        eprintln!("usage: load point|fan-in|fan-out 0|1 ROUNDS");
        return ExitCode::from(2);
    };
    let (publishers, subscribers) = match shape.as_str() {
        "point" => (MANY, MANY),
        "fan-in" => (MANY, 1),
        "fan-out" => (1, MANY),
        other => {
            eprintln!("{other} is no shape: point, fan-in or fan-out");
            return ExitCode::from(2);
        }
    };
    let qos = if qos == "0" { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    let Ok(rounds) = rounds.parse::<u32>() else {
        eprintln!("{rounds} is no number of rounds");
        return ExitCode::from(2);
    };
    let mut load = Load::new(qos);
    load.turn();
    for subscriber in 0..subscribers {
        let filter =
            if shape == "point" { format!("load/topic-{subscriber:02}") } else { "load/#".to_owned() };
        load.open(ConnId(1_000 + subscriber), Some(filter));
    }
    load.received.values_mut().for_each(|bytes| *bytes = 0);
    let mut runs = Vec::new();
    for publisher in 0..publishers {
        load.open(ConnId(1 + publisher), None);
        let mut bytes = BytesMut::new();
        for id in 1..=BATCH {
            encode(Version::V5, &Packet::Publish(publish(publisher, qos, id)), &mut bytes);
        }
        runs.push((ConnId(1 + publisher), bytes.freeze()));
    }
    for _ in 0..rounds {
        for (conn, bytes) in &runs {
            load.node.handle(load.now, Input::ClientBytes { conn: *conn, bytes: bytes.clone() });
        }
        load.turn();
        load.acknowledge();
    }
    println!("{}", load.delivered);
    ExitCode::SUCCESS
}
