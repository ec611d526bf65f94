//! A few nodes whose frames arrive at once, unless they are held up, and whose disks take no time.

use broker_core::auth::{Decision, Permissions};
use broker_core::broker::{self, Node};
use broker_core::cluster::{Member, Placement};
use broker_core::event::Event;
use broker_core::face::{Broker, ClusterSetup, Durability, Input, Output, Recovered, Setup};
use broker_core::ids::{ConnId, NodeId, ShardId};
use broker_core::limits::Limits;
use broker_core::time::{Duration, Instant, WallTime};
use broker_core::topic::TopicName;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The first byte of PUBACK.
const PUBACK: u8 = 0x40;
const CONN: ConnId = ConnId(1);
const TICK: Duration = Duration::from_millis(100);
pub(crate) const SHARDS: u16 = 8;

/// Something that a node said about leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) at: Instant,
    pub(crate) node: NodeId,
    pub(crate) shard: ShardId,
    /// Whom it asks to lead; `None`: it leads.
    pub(crate) asks: Option<NodeId>,
}

pub(crate) struct Nodes {
    pub(crate) now: Instant,
    nodes: BTreeMap<NodeId, Node>,
    frames: VecDeque<(NodeId, NodeId, Bytes)>,
    /// Links that lose everything: from, to.
    pub(crate) deaf: BTreeSet<(NodeId, NodeId)>,
    pub(crate) said: Vec<Said>,
    /// PUBACKs that the client got.
    pub(crate) acknowledged: usize,
}

impl Nodes {
    /// Nodes numbered from 1, all linked.
    pub(crate) fn new(count: u32, seed: u64) -> Self {
        let all: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let founders: BTreeMap<NodeId, Member> =
            all.iter().map(|node| (*node, Member::plain(*node, ""))).collect();
        let cluster = ClusterSetup { founders, shards: SHARDS, replicas: 3 };
        let open = |node: &NodeId| {
            let setup = Setup {
                node: *node,
                seed: seed + u64::from(node.0),
                limits: Limits::default(),
                durability: Durability::Sync,
                snapshot_log_bytes: 1 << 20,
                report_every: None,
                wall: WallTime::default(),
                cluster: Some(cluster.clone()),
            };
            (*node, broker::open(setup, Recovered::default(), Instant::ZERO).expect("nothing to read"))
        };
        let nodes = all.iter().map(open).collect();
        let (frames, deaf, said, acknowledged) = Default::default();
        let mut nodes = Nodes { now: Instant::ZERO, nodes, frames, deaf, said, acknowledged };
        for (place, one) in all.iter().enumerate() {
            all[..place].iter().for_each(|other| nodes.link(*one, *other));
        }
        nodes.settle();
        nodes
    }

    pub(crate) fn link(&mut self, one: NodeId, other: NodeId) {
        self.input(one, Input::PeerUp { peer: other });
        self.input(other, Input::PeerUp { peer: one });
    }

    pub(crate) fn unlink(&mut self, one: NodeId, other: NodeId) {
        let between = |from: NodeId, to: NodeId| (from, to) == (one, other) || (from, to) == (other, one);
        self.frames.retain(|(from, to, _)| !between(*from, *to));
        for (node, peer) in [(one, other), (other, one)] {
            if self.nodes.contains_key(&node) {
                self.input(node, Input::PeerDown { peer });
            }
        }
    }

    /// Hands one input in, and takes what comes of it. Frames wait.
    pub(crate) fn input(&mut self, to: NodeId, input: Input) {
        let (now, node) = (self.now, self.nodes.get_mut(&to).expect("it is there"));
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            node.handle(now, input);
            let mut outputs = Vec::new();
            node.drain(&mut outputs);
            for output in outputs {
                match output {
                    Output::Persist { write, .. } => inputs.push_back(Input::Persisted { write }),
                    Output::Snapshot(snapshot) => {
                        inputs.push_back(Input::SnapshotStored { upto: snapshot.upto });
                    }
                    Output::SendPeer { peer, frame } => self.frames.push_back((to, peer, frame)),
                    Output::Event(Event::Leading { shard, .. }) => {
                        self.said.push(Said { at: now, node: to, shard, asks: None });
                    }
                    Output::Event(Event::HandingOver { shard, to: asked }) => {
                        self.said.push(Said { at: now, node: to, shard, asks: Some(asked) });
                    }
                    Output::Authenticate { conn, .. } => {
                        let decision = Decision::Allowed(Arc::new(Permissions::all()));
                        inputs.push_back(Input::Authenticated { conn, decision });
                    }
                    Output::SendClient { bytes, .. } => self.acknowledged += usize::from(bytes[0] == PUBACK),
                    _ => {}
                }
            }
        }
    }

    /// A client of 3.1.1, the only one, connects to a node.
    pub(crate) fn connect(&mut self, node: NodeId) {
        self.input(node, Input::ClientOpened { conn: CONN, peer: String::new() });
        let connect = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c";
        self.input(node, Input::ClientBytes { conn: CONN, bytes: Bytes::from_static(connect) });
        self.settle();
    }

    /// It publishes with QoS 1 to a topic of the shard.
    pub(crate) fn publish(&mut self, node: NodeId, shard: ShardId) {
        let placement = Placement::new(SHARDS);
        let names = ('a'..='z').flat_map(|one| ('a'..='z').map(move |other| format!("{one}{other}")));
        let is_of = |name: &String| {
            let topic = TopicName::parse(name.as_str().into()).expect("two letters");
            placement.topic_shard(&topic) == shard
        };
        let name = names.into_iter().find(is_of).expect("a topic of each shard");
        let bytes = [&[0x32, 6, 0, 2], name.as_bytes(), &[0, 1]].concat().into();
        self.input(node, Input::ClientBytes { conn: CONN, bytes });
    }

    /// Lets frames arrive until nobody says anything any more.
    pub(crate) fn settle(&mut self) {
        while let Some((from, to, frame)) = self.frames.pop_front() {
            if self.nodes.contains_key(&to) && !self.deaf.contains(&(from, to)) {
                self.input(to, Input::PeerFrame { peer: from, frame });
            }
        }
    }

    /// Lets time pass, tick by tick.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + TICK;
            let all: Vec<NodeId> = self.nodes.keys().copied().collect();
            all.into_iter().for_each(|node| self.input(node, Input::Wake));
            self.settle();
        }
    }

    pub(crate) fn may_stop(&self, node: u32) -> bool {
        self.nodes[&NodeId(node)].may_stop()
    }

    /// The process of a node ends.
    pub(crate) fn end(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        let others: Vec<NodeId> = self.nodes.keys().copied().collect();
        others.into_iter().for_each(|other| self.unlink(node, other));
    }

    /// Who should lead what.
    pub(crate) fn preferred(&self) -> BTreeMap<ShardId, NodeId> {
        let (_, node) = self.nodes.first_key_value().expect("there are nodes");
        node.directory().expect("it is a member").leaders()
    }

    /// Who has said last that it leads.
    pub(crate) fn leaders(&self) -> BTreeMap<ShardId, NodeId> {
        let led = self.said.iter().filter(|said| said.asks.is_none());
        led.map(|said| (said.shard, said.node)).collect()
    }

    /// What was asked of others since `from`.
    pub(crate) fn asked_since(&self, from: Instant) -> Vec<Said> {
        self.said.iter().copied().filter(|said| said.asks.is_some() && said.at >= from).collect()
    }
}
