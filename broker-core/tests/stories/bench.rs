//! A test bench: one node, clients that speak packets, a disk whose writes finish when the test says so, and a timeline of what
//! the clients saw.

use broker_core::auth::{Decision, Permissions};
use broker_core::broker::{self, Node};
use broker_core::codec::packet::{
    AckProperties, Connect, Packet, Publish, QoS, Subscribe, SubscribeFilter, Version,
};
use broker_core::codec::{self, Framer};
use broker_core::event::Event;
use broker_core::face::{Broker, Durability, Input, Output, Record, Recovered, Setup, Snapshot};
use broker_core::ids::{ConnId, Lsn, NodeId, PacketId, WriteId};
use broker_core::limits::Limits;
use broker_core::time::{Duration, Instant, WallTime};
use bytes::{Bytes, BytesMut};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

struct Client {
    name: &'static str,
    version: Version,
    framer: Framer,
}

/// One node under test.
pub(crate) struct Bench {
    node: Node,
    /// Those of the next life of the node.
    pub(crate) limits: Limits,
    pub(crate) permissions: Arc<Permissions>,
    now: Instant,
    wall: WallTime,
    clients: BTreeMap<ConnId, Client>,
    names: BTreeMap<&'static str, ConnId>,
    next_conn: u64,
    /// On disk for certain.
    durable: Vec<Record>,
    snapshot: Option<Snapshot>,
    /// Handed out, not yet on disk.
    pending: Vec<(WriteId, Vec<Record>)>,
    /// Whether writes finish at once.
    pub(crate) disk_is_fast: bool,
    /// Whether what was dropped, and the limits that were reached, are told too.
    pub(crate) tells_events: bool,
    timeline: String,
}

fn setup(limits: &Limits, wall: WallTime) -> Setup {
    Setup {
        node: NodeId(1),
        seed: 7,
        limits: limits.clone(),
        durability: Durability::Sync,
        snapshot_log_bytes: 2_000,
        report_every: None,
        wall,
        cluster: None,
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Bench::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        let wall = WallTime::from_millis(1_000_000);
        let node = broker::open(setup(&limits, wall), Recovered::default(), Instant::ZERO)
            .expect("an empty disk opens");
        let mut bench = Bench {
            node,
            limits,
            permissions: Arc::new(Permissions::all()),
            now: Instant::ZERO,
            wall,
            clients: BTreeMap::new(),
            names: BTreeMap::new(),
            next_conn: 1,
            durable: Vec::new(),
            snapshot: None,
            pending: Vec::new(),
            disk_is_fast: true,
            tells_events: false,
            timeline: String::new(),
        };
        bench.turn();
        bench
    }

    /// Opens a connection named `name` and sends CONNECT.
    pub(crate) fn connect(&mut self, name: &'static str, connect: Connect) {
        self.open(name, connect.version);
        self.send(name, Packet::Connect(Box::new(connect)));
    }

    /// Opens a connection named `name` and sends nothing.
    pub(crate) fn open(&mut self, name: &'static str, version: Version) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let framer = Framer::new(codec::PACKET_BYTES_MAX);
        self.clients.insert(conn, Client { name, version, framer });
        self.names.insert(name, conn);
        self.input(Input::ClientOpened { conn, peer: "bench".to_owned() });
        self.turn();
    }

    /// Sends a packet on the connection named `name`.
    pub(crate) fn send(&mut self, name: &'static str, packet: impl Borrow<Packet>) {
        self.send_all(name, &[packet.borrow()]);
    }

    /// Sends packets on the connection named `name` in one run of bytes.
    pub(crate) fn send_all(&mut self, name: &'static str, packets: &[impl Borrow<Packet>]) {
        let conn = self.names[name];
        let mut bytes = BytesMut::new();
        for packet in packets {
            codec::encode(self.clients[&conn].version, packet.borrow(), &mut bytes);
            let _ = writeln!(self.timeline, "{name} > {}", render(packet.borrow()));
        }
        self.input(Input::ClientBytes { conn, bytes: bytes.freeze() });
        self.turn();
    }

    /// Sends bytes on the connection named `name`, and does not put them into the timeline.
    pub(crate) fn send_bytes(&mut self, name: &'static str, bytes: Bytes) {
        let conn = self.names[name];
        self.input(Input::ClientBytes { conn, bytes });
        self.turn();
    }

    /// The node is asked to stop.
    pub(crate) fn stop(&mut self) {
        let _ = writeln!(self.timeline, "=== stop");
        self.input(Input::Shutdown);
        self.turn();
    }

    /// The network loses a connection.
    pub(crate) fn lose(&mut self, name: &'static str) {
        let conn = self.names[name];
        self.clients.remove(&conn);
        let _ = writeln!(self.timeline, "{name} x lost");
        self.input(Input::ClientClosed { conn });
        self.turn();
    }

    /// Time passes; the node is woken whenever it wants to be.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        let _ = writeln!(self.timeline, "--- {} ms", duration.as_millis());
        while let Some((at, _)) = self.node.deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Wake);
            self.turn();
        }
        self.now = end;
    }

    /// All writes that were handed out are on disk now.
    pub(crate) fn sync(&mut self) {
        while !self.pending.is_empty() {
            for (write, records) in std::mem::take(&mut self.pending) {
                self.durable.extend(records);
                self.input(Input::Persisted { write });
            }
            self.turn_without_sync();
        }
    }

    /// The node dies with everything that is not on disk, and starts again `outage` later.
    pub(crate) fn power_loss(&mut self, outage: Duration) {
        let _ = writeln!(self.timeline, "=== power loss");
        self.pending.clear();
        self.clients.clear();
        self.wall = self.wall + self.now.saturating_since(Instant::ZERO) + outage;
        self.now = Instant::ZERO;
        let upto = self.snapshot.as_ref().map_or(Lsn(0), |snapshot| snapshot.upto);
        let records = self.durable.iter().filter(|record| record.lsn > upto).cloned().collect();
        let recovered = Recovered { snapshot: self.snapshot.clone(), records };
        self.node = broker::open(setup(&self.limits, self.wall), recovered, Instant::ZERO)
            .expect("what was written can be read");
        self.turn();
    }

    /// Whether the connection named `name` is open.
    pub(crate) fn is_open(&self, name: &'static str) -> bool {
        self.names.get(name).is_some_and(|conn| self.clients.contains_key(conn))
    }

    /// Checks that the node's state does not contradict itself.
    pub(crate) fn check(&self) {
        self.node.machines()[0].check();
        if self.pending.is_empty() {
            let attached =
                self.node.machines()[0].sessions().filter(|record| record.gateway.is_some()).count();
            assert!(attached <= self.node.connections(), "who is attached is connected");
        }
    }

    /// What the clients saw since the last call.
    pub(crate) fn timeline(&mut self) -> String {
        std::mem::take(&mut self.timeline)
    }

    fn input(&mut self, input: Input) {
        self.node.handle(self.now, input);
    }

    fn turn(&mut self) {
        self.turn_without_sync();
        if self.disk_is_fast {
            self.sync();
        }
    }

    fn turn_without_sync(&mut self) {
        let mut again = true;
        while std::mem::take(&mut again) {
            let mut out = Vec::new();
            self.node.drain(&mut out);
            for output in out {
                again |= self.carry_out(output);
            }
        }
    }

    /// True if the node has heard of it and is to be drained again.
    fn carry_out(&mut self, output: Output) -> bool {
        match output {
            Output::SendClient { conn, bytes } => {
                let length = bytes.len();
                self.receive(conn, bytes);
                self.input(Input::ClientSent { conn, bytes: length });
                true
            }
            Output::CloseClient { conn } => {
                if let Some(client) = self.clients.remove(&conn) {
                    let _ = writeln!(self.timeline, "{} x closed by the broker", client.name);
                }
                false
            }
            Output::SendPeer { .. } | Output::Members { .. } | Output::MembersChanged { .. } => {
                unreachable!("one node alone has no members")
            }
            Output::Authenticate { conn, .. } => {
                let decision = Decision::Allowed(self.permissions.clone());
                self.input(Input::Authenticated { conn, decision });
                true
            }
            Output::Persist { write, records, .. } => {
                self.pending.push((write, records));
                false
            }
            Output::Snapshot(snapshot) => {
                let upto = snapshot.upto;
                self.snapshot = Some(snapshot);
                self.input(Input::SnapshotStored { upto });
                true
            }
            Output::ReadClient { conn, on } => {
                let name = self.clients.get(&conn).map_or("?", |client| client.name);
                let _ =
                    writeln!(self.timeline, "{name} {}", if on { "is read again" } else { "is not read" });
                false
            }
            Output::Event(event) => {
                if self.tells_events {
                    self.tell(&event);
                }
                false
            }
        }
    }

    fn tell(&mut self, event: &Event) {
        let _ = match event {
            Event::Dropped { client_id, topic, payload, reason } => {
                let payload = String::from_utf8_lossy(payload);
                let client = client_id.as_deref().unwrap_or("anybody");
                writeln!(self.timeline, "! {topic}={payload} does not reach {client}: {reason:?}")
            }
            Event::LimitReached { limit, client_id } => {
                let client = client_id.as_deref().unwrap_or("somebody");
                writeln!(self.timeline, "! {client} reaches {limit}")
            }
            Event::SessionEnded { client_id, why } => {
                writeln!(self.timeline, "! the session of {client_id} ends: {why:?}")
            }
            _ => Ok(()),
        };
    }

    fn receive(&mut self, conn: ConnId, bytes: Bytes) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.framer.push(bytes);
        while let Some(frame) = client.framer.next_frame().expect("the broker writes whole packets") {
            let packet = codec::decode(client.version, frame).expect("the broker writes valid packets");
            let _ = writeln!(self.timeline, "{} < {}", client.name, render(&packet));
        }
    }
}

/// A packet in one line: what matters to a story.
fn render(packet: &Packet) -> String {
    match packet {
        Packet::Connect(connect) => format!("CONNECT {} clean={}", connect.client_id, connect.clean_start),
        Packet::ConnAck(ack) => format!("CONNACK {} present={}", ack.reason, ack.session_present),
        Packet::Publish(publish) => {
            let id = publish.id.map_or(String::new(), |id| format!(" id={id}"));
            let dup = if publish.dup { " DUP" } else { "" };
            let ids = &publish.properties.subscription_ids;
            let ids = if ids.is_empty() { String::new() } else { format!(" subscriptions={ids:?}") };
            let retain = if publish.retain { " RETAIN" } else { "" };
            let alias =
                publish.properties.topic_alias.map_or(String::new(), |alias| format!(" alias={alias}"));
            let payload = String::from_utf8_lossy(&publish.payload);
            format!("PUBLISH {}={payload} q{}{id}{dup}{retain}{alias}{ids}", publish.topic, publish.qos as u8)
        }
        Packet::PubAck(ack) => format!("PUBACK id={} {}{}", ack.id, ack.reason, why(&ack.properties)),
        Packet::PubRec(ack) => format!("PUBREC id={} {}{}", ack.id, ack.reason, why(&ack.properties)),
        Packet::PubRel(ack) => format!("PUBREL id={} {}", ack.id, ack.reason),
        Packet::PubComp(ack) => format!("PUBCOMP id={} {}", ack.id, ack.reason),
        Packet::Subscribe(subscribe) => {
            let filters: Vec<&str> = subscribe.filters.iter().map(|asked| &*asked.filter).collect();
            format!("SUBSCRIBE {}", filters.join(" "))
        }
        Packet::SubAck(ack) => format!("SUBACK {}{}", reasons(&ack.reasons), why(&ack.properties)),
        Packet::Unsubscribe(_) => "UNSUBSCRIBE".to_owned(),
        Packet::UnsubAck(ack) => format!("UNSUBACK {}", reasons(&ack.reasons)),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {}", disconnect.reason),
        other => format!("{:?}", other.packet_type()).to_uppercase(),
    }
}

fn why(properties: &AckProperties) -> String {
    properties.reason_string.as_ref().map_or(String::new(), |why| format!(" ({why})"))
}

fn reasons(codes: &[codec::ReasonCode]) -> String {
    let codes: Vec<String> = codes.iter().map(|code| format!("{:#04x}", code.code())).collect();
    codes.join(" ")
}

/// CONNECT that resumes, with a session that lasts for `expiry_s`.
pub(crate) fn durable(client_id: &'static str, expiry_s: u32) -> Connect {
    let mut connect = Connect::new(Version::V5, client_id);
    connect.clean_start = false;
    connect.properties.session_expiry_s = Some(expiry_s);
    connect
}

/// CONNECT of a session that ends with its connection.
pub(crate) fn clean(client_id: &'static str) -> Connect {
    Connect::new(Version::V5, client_id)
}

/// PUBLISH.
pub(crate) fn publish(topic: &'static str, payload: &'static str, qos: QoS, id: u16) -> Packet {
    let mut publish = Publish::new(topic, payload.as_bytes());
    publish.qos = qos;
    publish.id = PacketId::new(id);
    Packet::Publish(publish)
}

/// PUBLISH with RETAIN.
pub(crate) fn retain(topic: &'static str, payload: &'static str, qos: QoS, id: u16) -> Packet {
    let Packet::Publish(mut publish) = publish(topic, payload, qos, id) else {
        unreachable!("it is a PUBLISH")
    };
    publish.retain = true;
    Packet::Publish(publish)
}

/// SUBSCRIBE to one filter.
pub(crate) fn subscribe(filter: &'static str, qos: QoS) -> Packet {
    let mut asked = SubscribeFilter { filter: filter.into(), options: Default::default() };
    asked.options.qos = qos;
    let id = PacketId::new(1).expect("not 0");
    Packet::Subscribe(Subscribe { id, properties: Default::default(), filters: vec![asked] })
}

/// An acknowledgement's packet identifier and success.
pub(crate) fn ack(id: u16) -> codec::packet::Ack {
    codec::packet::Ack::new(PacketId::new(id).expect("not 0"), codec::ReasonCode::Success)
}
