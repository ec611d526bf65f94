//! What stories are made of: a scenario in the making and a stream of randomness.

use crate::generator::{LIVENESS_MS, cluster};
use broker_core::ids::NodeId;
use broker_core::rng::Rng;
use broker_core::time::Instant;
use sim::history::{ClientNo, Disconnect, Qos, Subscription, Version};
use sim::scenario::{
    Action, ClientSpec, Fault, FaultKind, Phases, PublishSpec, Roams, Scenario, Span, StepId, Weights, When,
    WillSpec, Workload,
};

/// The node of every story.
pub(super) const NODE: NodeId = NodeId(1);

/// A scenario in the making.
pub(super) struct Plot {
    pub(super) scenario: Scenario,
    pub(super) rng: Rng,
    /// The nodes of the cluster; empty in a story of one node.
    pub(super) nodes: Vec<NodeId>,
}

impl Plot {
    /// An empty story with the seed's randomness; `name` keeps stories apart.
    pub(super) fn new(name: &str, seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed).fork(name);
        let mut scenario = Scenario::single_node(name, seed);
        // Small files: what happens when one is full, or a snapshot is taken, is to happen often.
        scenario.topology.nodes[0].segment_bytes = *rng.pick(&[4 << 10, 8 << 10, 32 << 10]);
        scenario.topology.nodes[0].snapshot_log_bytes = *rng.pick(&[2 << 10, 8 << 10, 32 << 10]);
        Plot { scenario, rng, nodes: Vec::new() }
    }

    /// The same on several nodes. The story begins when they have found each other; its clients connect to any of them, and
    /// know all.
    pub(super) fn in_cluster(name: &str, seed: u64) -> Self {
        let mut plot = Plot::new(name, seed);
        cluster::found(&mut plot.scenario, &mut plot.rng);
        plot.nodes = plot.scenario.topology.nodes.iter().map(|node| node.node).collect();
        plot
    }

    /// Any node.
    pub(super) fn any_node(&mut self) -> NodeId {
        if self.nodes.is_empty() { NODE } else { *self.rng.pick(&self.nodes) }
    }

    /// Lets a client connect to `node` first, and go on to another only when it is turned away.
    pub(super) fn at_home(&mut self, client: ClientNo, node: NodeId) {
        let spec = self.spec(client);
        let place = spec.nodes.iter().position(|known| *known == node);
        spec.nodes.rotate_left(place.expect("the client knows all nodes"));
        spec.roams = Roams::Stay;
    }

    fn client(&mut self, mut spec: ClientSpec) -> ClientNo {
        if !self.nodes.is_empty() {
            cluster::settle(&mut spec, &self.nodes, &mut self.rng);
        }
        self.scenario.client(spec)
    }

    /// A time between the two, in milliseconds.
    pub(super) fn ms(&mut self, low: u64, high: u64) -> u64 {
        self.rng.between(low, high)
    }

    /// A version of the protocol.
    pub(super) fn version(&mut self) -> Version {
        if self.rng.chance(1, 3) { Version::V311 } else { Version::V5 }
    }

    /// QoS 1 or 2.
    pub(super) fn reliable(&mut self) -> Qos {
        if self.rng.chance(1, 2) { Qos::AtLeastOnce } else { Qos::ExactlyOnce }
    }

    /// Any quality of service.
    pub(super) fn any_qos(&mut self) -> Qos {
        *self.rng.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
    }

    /// A client that keeps its session.
    pub(super) fn durable(&mut self, client_id: &str) -> ClientNo {
        let version = self.version();
        self.client(ClientSpec::durable(client_id, version))
    }

    /// A client of 5.0 that keeps its session.
    pub(super) fn durable_v5(&mut self, client_id: &str) -> ClientNo {
        self.client(ClientSpec::durable(client_id, Version::V5))
    }

    /// A client whose session ends with its connection.
    pub(super) fn clean(&mut self, client_id: &str) -> ClientNo {
        let version = self.version();
        self.client(ClientSpec::clean(client_id, version))
    }

    /// What the scenario says of a client, to be changed.
    pub(super) fn spec(&mut self, client: ClientNo) -> &mut ClientSpec {
        &mut self.scenario.clients[client.index()]
    }

    /// Lets a client leave this will.
    pub(super) fn will(&mut self, client: ClientNo, topic: &str, qos: Qos, delay_s: u32) {
        self.spec(client).will =
            Some(WillSpec { topic: topic.to_owned(), qos, retain: false, delay_s, expiry_s: None });
    }

    pub(super) fn at(&mut self, at_ms: u64, client: ClientNo, action: Action) -> StepId {
        self.scenario.step(When::At(Instant::from_millis(at_ms)), client, action)
    }

    pub(super) fn subscribe(&mut self, at_ms: u64, client: ClientNo, filter: &str, qos: Qos) -> StepId {
        self.at(at_ms, client, subscribe_to(filter, qos))
    }

    pub(super) fn publish(&mut self, at_ms: u64, client: ClientNo, topic: &str, qos: Qos) -> StepId {
        self.at(at_ms, client, Action::Publish(PublishSpec::new(topic, qos)))
    }

    pub(super) fn connect(&mut self, at_ms: u64, client: ClientNo) -> StepId {
        self.at(at_ms, client, Action::Connect { clean_start: None, node: None })
    }

    /// Connects to this node.
    pub(super) fn connect_to(&mut self, at_ms: u64, client: ClientNo, node: NodeId) -> StepId {
        self.at(at_ms, client, Action::Connect { clean_start: None, node: Some(node) })
    }

    /// Goes away: with or without a goodbye.
    pub(super) fn leave(&mut self, at_ms: u64, client: ClientNo) -> StepId {
        let action =
            if self.rng.chance(1, 2) { Action::Drop } else { Action::Disconnect(Disconnect::default()) };
        self.at(at_ms, client, action)
    }

    /// Goes away at `from_ms` and comes back at `until_ms`.
    pub(super) fn away(&mut self, client: ClientNo, from_ms: u64, until_ms: u64) {
        self.leave(from_ms, client);
        self.connect(until_ms, client);
    }

    pub(super) fn fault(&mut self, from_ms: u64, until_ms: u64, kind: FaultKind) {
        self.scenario.fault(from_ms, until_ms, kind);
    }

    /// A crash of the node at about `at_ms`: killed, or without power, at a moment or in the middle of a disk call.
    pub(super) fn crash(&mut self, at_ms: u64) {
        self.crash_of(NODE, at_ms);
    }

    /// The same of any node.
    pub(super) fn crash_of(&mut self, node: NodeId, at_ms: u64) {
        let until_ms = at_ms + self.ms(20, 800);
        let ops = u32::try_from(self.ms(1, 12)).expect("a small number");
        let kind = match self.rng.below(4) {
            0 => FaultKind::Kill { node },
            1 => FaultKind::PowerLoss { node },
            2 => FaultKind::CrashAtDiskOp { node, ops, power: true },
            _ => FaultKind::CrashAtDiskOp { node, ops, power: false },
        };
        self.fault(at_ms, until_ms, kind);
    }

    /// Lets syncs take long in half of the seeds, so that there is more between a write and the end of its sync.
    pub(super) fn perhaps_slow_disk(&mut self) {
        if self.rng.chance(1, 2) {
            for node in &mut self.scenario.topology.nodes {
                node.sync_us = Span { min: 5_000, max: 60_000 };
            }
        }
    }

    /// Publishes to `topics` from `from_ms` to `until_ms`, drawn by `weights`.
    pub(super) fn work(
        &mut self,
        client: ClientNo,
        span: (u64, u64),
        pause_ms: (u64, u64),
        weights: Weights,
        topics: &[&str],
    ) {
        let workload = Workload {
            from: Instant::from_millis(span.0),
            until: Instant::from_millis(span.1),
            pause_ms: Span { min: pause_ms.0, max: pause_ms.1 },
            weights,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            subscriptions: Vec::new(),
            initial: 0,
            subscription_ids: false,
            payload_bytes: Span { min: 0, max: 200 },
            expiry_percent: 0,
            expiry_s: Span::default(),
        };
        self.spec(client).workload = Some(workload);
    }

    /// The finished scenario, with a safety phase of this length.
    pub(super) fn ends(mut self, safety_ms: u64) -> Scenario {
        self.scenario.phases = Phases { safety_ms, liveness_ms: LIVENESS_MS, ..self.scenario.phases };
        let heal_at = self.scenario.phases.heal_at();
        for Fault { until, .. } in &mut self.scenario.faults {
            *until = (*until).min(heal_at);
        }
        if !self.nodes.is_empty() {
            cluster::shift(&mut self.scenario);
        }
        self.scenario
    }
}

/// SUBSCRIBE to one filter.
pub(super) fn subscribe_to(filter: &str, qos: Qos) -> Action {
    Action::Subscribe { filters: vec![Subscription::plain(filter, qos)], subscription_id: None }
}

/// Publishes of QoS 1 and 2, in equal parts.
pub(super) const RELIABLE: Weights = Weights { publish_qos1: 1, publish_qos2: 1, ..NOTHING };

/// Publishes of QoS 2.
pub(super) const EXACTLY_ONCE: Weights = Weights { publish_qos2: 1, ..NOTHING };

/// No operation at all.
pub(super) const NOTHING: Weights = Weights {
    publish_qos0: 0,
    publish_qos1: 0,
    publish_qos2: 0,
    retain: 0,
    clear: 0,
    subscribe: 0,
    unsubscribe: 0,
    disconnect: 0,
    disconnect_with_will: 0,
    drop: 0,
    takeover: 0,
    forget: 0,
    ping: 0,
    misdeed: 0,
};
