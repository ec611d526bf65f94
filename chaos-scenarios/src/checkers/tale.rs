//! Histories by hand, for tests: a tale of clients, told a line a packet, a millisecond a line.

use crate::checkers::{ALL, Because, Verdict};
use crate::model::Model;
use broker_core::event::{DropReason, Event};
use broker_core::ids::{ConnId, NodeId};
use broker_core::time::{Duration, Instant};
use bytestring::ByteString;
use sim::history::{
    Ack, ClientNo, Closer, ConnAck, Connect, Disconnect, Granted, History, NodeDown, Packet, Publish, Qos,
    Subscribe, Subscription, Tag, Unsubscribe, Version, What, Will,
};
use sim::scenario::{ClientSpec, FaultKind, Scenario};
use std::collections::BTreeMap;

pub(crate) const QOS0: Qos = Qos::AtMostOnce;
pub(crate) const QOS1: Qos = Qos::AtLeastOnce;
pub(crate) const QOS2: Qos = Qos::ExactlyOnce;
const NODE: NodeId = NodeId(1);

/// A tale in the telling.
pub(crate) struct Tale {
    pub(crate) scenario: Scenario,
    pub(crate) history: History,
    now: Instant,
    conns: u64,
    current: BTreeMap<ClientNo, ConnId>,
    was_here: BTreeMap<ClientNo, bool>,
    numbers: BTreeMap<ClientNo, u32>,
    sent: BTreeMap<Tag, Publish>,
}

impl Tale {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Tale {
            scenario: Scenario::single_node("tale", 0),
            history: History::default(),
            now: Instant::ZERO,
            conns: 0,
            current: BTreeMap::new(),
            was_here: BTreeMap::new(),
            numbers: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// The same of a cluster of three nodes, of which the first is the one that clients connect to.
    pub(crate) fn of_cluster() -> Self {
        Tale { scenario: Scenario::cluster("tale", 0, 3, 4, 3), ..Tale::new() }
    }

    /// Verdict of the checker with this number on the tale so far.
    pub(crate) fn verdict(&self, number: u8) -> Verdict {
        let checker = ALL.iter().find(|checker| checker.number == number).expect("a known number");
        (checker.check)(&Model::new(&self.scenario, &self.history))
    }

    /// The finding of the checker with this number, which must violate.
    pub(crate) fn violation(&self, number: u8) -> Because {
        match self.verdict(number) {
            Verdict::Violated(because) => because,
            other => panic!("checker {number} says {other:?}"),
        }
    }

    /// That the checkers with these numbers hold.
    pub(crate) fn holds(&self, numbers: &[u8]) {
        for number in numbers {
            assert_eq!(self.verdict(*number), Verdict::Holds, "checker {number}");
        }
    }

    /// That no checker at all objects.
    pub(crate) fn is_fine(&self) {
        for checker in ALL {
            let verdict = self.verdict(checker.number);
            assert!(verdict.violation().is_none(), "{}: {verdict:?}", checker.name);
        }
    }

    pub(crate) fn push(&mut self, what: What) -> usize {
        self.now = self.now + Duration::from_millis(1);
        self.history.push(self.now, what);
        self.history.records.len() - 1
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }

    /// A client that keeps its session for an hour; connected.
    pub(crate) fn durable(&mut self, client_id: &str) -> ClientNo {
        let client = self.scenario.client(ClientSpec::durable(client_id, Version::V5));
        self.join(client);
        client
    }

    /// A client whose session ends with its connection; connected.
    pub(crate) fn clean(&mut self, client_id: &str) -> ClientNo {
        let client = self.scenario.client(ClientSpec::clean(client_id, Version::V5));
        self.join(client);
        client
    }

    /// The client's CONNECT as it is specified.
    pub(crate) fn connect_of(&self, client: ClientNo) -> Connect {
        let spec = &self.scenario.clients[client.index()];
        Connect {
            version: spec.version,
            client_id: ByteString::from(spec.client_id.as_str()),
            clean_start: spec.session_expiry_s == 0,
            session_expiry_s: spec.session_expiry_s,
            keep_alive_s: spec.keep_alive_s,
            receive_max: u16::MAX,
            ..Connect::default()
        }
    }

    /// Connects as specified; the session is present if it is durable and was there before.
    pub(crate) fn join(&mut self, client: ClientNo) -> ConnId {
        let connect = self.connect_of(client);
        let present = !connect.clean_start && self.was_here.get(&client).copied().unwrap_or(false);
        self.join_as(client, connect, present)
    }

    /// Connects with this CONNECT and is answered with this Session Present.
    pub(crate) fn join_as(&mut self, client: ClientNo, connect: Connect, session_present: bool) -> ConnId {
        let conn = self.call(client, connect);
        self.was_here.insert(client, true);
        self.got(client, Packet::ConnAck(ConnAck { session_present, ..ConnAck::bare(0) }));
        conn
    }

    /// Opens a connection and sends CONNECT.
    pub(crate) fn call(&mut self, client: ClientNo, connect: Connect) -> ConnId {
        let conn = ConnId(self.conns);
        self.conns += 1;
        self.push(What::Opened { client, conn, node: NODE });
        self.current.insert(client, conn);
        self.sends(client, Packet::Connect(connect));
        conn
    }

    /// A will for a CONNECT, with its name.
    pub(crate) fn will(&mut self, client: ClientNo, topic: &str, delay_s: u32) -> (Tag, Will) {
        let tag = self.name(client);
        let will = Will {
            topic: topic.into(),
            payload: tag.payload(0),
            qos: QOS1,
            retain: false,
            delay_s,
            expiry_s: None,
        };
        self.sent.insert(
            tag,
            Publish { topic: topic.into(), payload: tag.payload(0), qos: QOS1, ..Publish::default() },
        );
        (tag, will)
    }

    pub(crate) fn conn(&self, client: ClientNo) -> ConnId {
        self.current[&client]
    }

    pub(crate) fn closes(&mut self, client: ClientNo, by: Closer) {
        let conn = self.conn(client);
        self.push(What::Closed { client, conn, by });
    }

    pub(crate) fn closes_conn(&mut self, client: ClientNo, conn: ConnId, by: Closer) {
        self.push(What::Closed { client, conn, by });
    }

    pub(crate) fn leaves(&mut self, client: ClientNo, reason: u8) {
        self.sends(client, Packet::Disconnect(Disconnect { reason, session_expiry_s: None }));
        self.closes(client, Closer::Client);
    }

    pub(crate) fn sends(&mut self, client: ClientNo, packet: Packet) -> usize {
        let conn = self.conn(client);
        self.push(What::Sent { client, conn, packet })
    }

    pub(crate) fn got(&mut self, client: ClientNo, packet: Packet) -> usize {
        let conn = self.conn(client);
        self.got_on(client, conn, packet)
    }

    pub(crate) fn got_on(&mut self, client: ClientNo, conn: ConnId, packet: Packet) -> usize {
        self.push(What::Received { client, conn, packet })
    }

    /// SUBSCRIBE and a SUBACK that grants it.
    pub(crate) fn subscribes(&mut self, client: ClientNo, filter: &str, qos: Qos) {
        self.subscribes_with(client, Subscription::plain(filter, qos), None);
    }

    pub(crate) fn subscribes_with(&mut self, client: ClientNo, options: Subscription, id: Option<u32>) {
        let granted = options.qos as u8;
        self.asks(client, options, id);
        self.got(client, Packet::SubAck(Granted { id: 900, reasons: vec![granted] }));
    }

    /// SUBSCRIBE alone.
    pub(crate) fn asks(&mut self, client: ClientNo, options: Subscription, subscription_id: Option<u32>) {
        self.sends(client, Packet::Subscribe(Subscribe { id: 900, filters: vec![options], subscription_id }));
    }

    pub(crate) fn unsubscribes(&mut self, client: ClientNo, filter: &str) {
        self.sends(client, Packet::Unsubscribe(Unsubscribe { id: 901, filters: vec![filter.into()] }));
        self.got(client, Packet::UnsubAck(Granted { id: 901, reasons: vec![0] }));
    }

    pub(crate) fn name(&mut self, client: ClientNo) -> Tag {
        let number = self.numbers.entry(client).or_insert(0);
        let tag = Tag { publisher: client, number: *number };
        *number += 1;
        tag
    }

    /// PUBLISH with an identifier (0 with QoS 0).
    pub(crate) fn publishes(&mut self, client: ClientNo, topic: &str, qos: Qos, id: u16) -> Tag {
        self.publishes_with(client, Publish { topic: topic.into(), qos, id, ..Publish::default() })
    }

    pub(crate) fn publishes_with(&mut self, client: ClientNo, publish: Publish) -> Tag {
        let tag = self.name(client);
        let publish = Publish { payload: tag.payload(0), topic_on_wire: true, ..publish };
        self.sent.insert(tag, publish.clone());
        self.sends(client, Packet::Publish(publish));
        tag
    }

    /// The same PUBLISH again, with DUP.
    pub(crate) fn republishes(&mut self, client: ClientNo, tag: Tag) {
        let publish = Publish { dup: true, ..self.sent[&tag].clone() };
        self.sends(client, Packet::Publish(publish));
    }

    /// PUBACK, or the whole QoS 2 handshake, for what the client published with `id`.
    pub(crate) fn acknowledged(&mut self, client: ClientNo, tag: Tag) {
        let publish = self.sent[&tag].clone();
        match publish.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                self.got(client, Packet::PubAck(Ack::ok(publish.id)));
            }
            Qos::ExactlyOnce => {
                self.got(client, Packet::PubRec(Ack::ok(publish.id)));
                self.sends(client, Packet::PubRel(Ack::ok(publish.id)));
                self.got(client, Packet::PubComp(Ack::ok(publish.id)));
            }
        }
    }

    /// PUBLISH and its acknowledgement, with identifier 7.
    pub(crate) fn says(&mut self, client: ClientNo, topic: &str, qos: Qos) -> Tag {
        let tag = self.publishes(client, topic, qos, if qos == QOS0 { 0 } else { 7 });
        self.acknowledged(client, tag);
        tag
    }

    /// PUBLISH and its acknowledgement, retained.
    pub(crate) fn retains(&mut self, client: ClientNo, topic: &str) -> Tag {
        let tag = self.publishes_with(
            client,
            Publish { topic: topic.into(), qos: QOS1, id: 8, retain: true, ..Publish::default() },
        );
        self.acknowledged(client, tag);
        tag
    }

    /// A message of the tale as it is delivered, with this identifier.
    pub(crate) fn copy(&self, tag: Tag, id: u16) -> Publish {
        Publish { id, retain: false, dup: false, ..self.sent[&tag].clone() }
    }

    /// A message arrives and is not answered.
    pub(crate) fn hears(&mut self, client: ClientNo, tag: Tag, id: u16) -> usize {
        let publish = self.copy(tag, id);
        self.got(client, Packet::Publish(publish))
    }

    /// A message arrives, and the client answers to the end.
    pub(crate) fn takes(&mut self, client: ClientNo, tag: Tag, id: u16) {
        let publish = self.copy(tag, id);
        self.takes_as(client, publish);
    }

    pub(crate) fn takes_as(&mut self, client: ClientNo, publish: Publish) {
        let (qos, id) = (publish.qos, publish.id);
        self.got(client, Packet::Publish(publish));
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                self.sends(client, Packet::PubAck(Ack::ok(id)));
            }
            Qos::ExactlyOnce => {
                self.sends(client, Packet::PubRec(Ack::ok(id)));
                self.got(client, Packet::PubRel(Ack::ok(id)));
                self.sends(client, Packet::PubComp(Ack::ok(id)));
            }
        }
    }

    /// The broker records why it dropped a message.
    pub(crate) fn drops(&mut self, client: ClientNo, tag: Tag, reason: DropReason) {
        let client_id = ByteString::from(self.scenario.clients[client.index()].client_id.as_str());
        let (topic, payload) = (self.sent[&tag].topic.clone(), tag.payload(0));
        let event = Event::Dropped { client_id: Some(client_id), topic, payload, reason };
        self.push(What::Broker { node: NODE, event });
    }

    pub(crate) fn fault(&mut self, kind: FaultKind, ms: u64) {
        let fault = self.scenario.fault(self.now.as_millis(), self.now.as_millis() + ms, kind);
        self.push(What::FaultStarted { fault });
        self.wait_ms(ms);
        self.push(What::FaultEnded { fault });
    }

    pub(crate) fn starts(&mut self) {
        self.push(What::NodeUp { node: NODE });
    }

    /// The node goes down, and the connections of these clients with it.
    pub(crate) fn goes_down(&mut self, why: NodeDown, clients: &[ClientNo]) {
        self.push(What::NodeDown { node: NODE, why });
        for client in clients {
            self.closes(*client, Closer::Network);
        }
    }

    /// Everything heals and the run ends at rest.
    pub(crate) fn ends(&mut self) {
        self.ends_with(&[]);
    }

    pub(crate) fn ends_with(&mut self, restless: &[ClientNo]) {
        self.push(What::Healed);
        self.wait_ms(10_000);
        self.push(What::End { restless: restless.to_vec() });
    }
}
