//! A scenario: everything a run depends on, as data.
//!
//! The same scenario gives the same run to the bit. Clients, steps and faults are independent items that refer to each
//! other by name (`ClientNo` is a place in the list of clients and so stays; steps and faults have ids), so that a
//! shrinker can take items away one at a time. A step that waits for a step that is gone never happens.

mod client;
mod fault;
mod step;

pub use client::{Backoff, CleanStart, ClientSpec, Conduct, Roams, Span, Weights, WillSpec, Workload};
pub use fault::{Direction, Fault, FaultKind};
pub use step::{Action, Milestone, Misdeed, PublishSpec, Step, StepId, When};

use crate::history::ClientNo;
use broker_core::auth;
use broker_core::cluster::{Directory, Member};
use broker_core::face::{ClusterSetup, Durability};
use broker_core::ids::{NodeId, ShardId};
use broker_core::limits::Limits;
use broker_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All a run depends on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scenario {
    /// The story it belongs to.
    pub name: String,
    /// The seed of every draw in the run.
    pub seed: u64,
    /// How the brokers are put together.
    pub architecture: Architecture,
    /// The nodes and the ground they stand on.
    pub topology: Topology,
    /// The access lists, in the order of their beginning; at each authentication the last that has begun is asked. None
    /// allows everything.
    pub acl: Vec<AccessList>,
    /// The clients; a client's place is its [`ClientNo`].
    pub clients: Vec<ClientSpec>,
    /// What clients do, step by step (clients may also have a [`Workload`] of their own).
    pub steps: Vec<Step>,
    /// The faults.
    pub faults: Vec<Fault>,
    /// How long it all takes.
    pub phases: Phases,
}

/// How the brokers are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// One node.
    #[default]
    Centralized,
    /// All nodes together: every shard is replicated, and its owner is found by consistent hash.
    Ownership {
        /// How many shards there are.
        shards: u16,
        /// How many replicas a shard has; all nodes if they are fewer.
        replicas: u8,
    },
}

/// The nodes and the ground they stand on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Topology {
    /// The nodes; [`Architecture::Centralized`] uses the first only.
    pub nodes: Vec<NodeSpec>,
    /// Latency of the links between clients and nodes, each way, drawn for each chunk.
    pub latency_us: Span,
    /// The roads between nodes.
    pub peers: PeerRoads,
}

/// The roads between nodes, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRoads {
    /// Latency, drawn for each frame; frames keep their order.
    pub latency_us: Span,
    /// How many bytes a road takes in a millisecond, at least 1.
    pub bytes_per_ms: u64,
}

impl Default for PeerRoads {
    fn default() -> Self {
        PeerRoads { latency_us: Span { min: 50, max: 500 }, bytes_per_ms: 100_000 }
    }
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Its name.
    pub node: NodeId,
    /// Its bounds.
    pub limits: Limits,
    /// What its acknowledgements wait for.
    pub durability: Durability,
    /// How long a sync of its disk takes, in microseconds.
    pub sync_us: Span,
    /// How long a non-urgent write may wait for company before it is synced, in milliseconds.
    pub lazy_sync_ms: u64,
    /// How long its check of credentials takes, in microseconds.
    pub auth_us: Span,
    /// How long its supervisor waits before it starts a process that ended by itself, in milliseconds.
    pub restart_ms: u64,
    /// The length of a segment of its log in bytes.
    pub segment_bytes: u64,
    /// Bytes of log after which it takes a snapshot.
    pub snapshot_log_bytes: u64,
    /// How often it tells of itself, in milliseconds; `None` is never.
    #[serde(default)]
    pub report_every_ms: Option<u64>,
    /// The reading of its wall clock when the run begins, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Whether it is none of the members with which the cluster is founded.
    #[serde(default)]
    pub joins: bool,
}

impl Default for NodeSpec {
    fn default() -> Self {
        NodeSpec {
            node: NodeId(1),
            limits: Limits::default(),
            durability: Durability::Sync,
            sync_us: Span { min: 500, max: 3_000 },
            lazy_sync_ms: 50,
            auth_us: Span { min: 0, max: 200 },
            restart_ms: 100,
            segment_bytes: 32 << 10,
            snapshot_log_bytes: 32 << 10,
            report_every_ms: None,
            wall_ms: 1_800_000_000_000,
            joins: false,
        }
    }
}

/// How long a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// The safety phase: faults and work, in milliseconds. At its end everything heals.
    pub safety_ms: u64,
    /// The longest time after the heal until nothing may be stuck, in milliseconds. The run ends earlier if all clients
    /// have come to rest.
    pub liveness_ms: u64,
    /// Whether it does not end early before every shard is led by the member that should lead it, by [`Scenario::leaders`].
    #[serde(default)]
    pub until_led: bool,
}

impl Default for Phases {
    fn default() -> Self {
        Phases { safety_ms: 5_000, liveness_ms: 10_000, until_led: false }
    }
}

impl Phases {
    /// When everything heals.
    pub fn heal_at(&self) -> Instant {
        Instant::ZERO + Duration::from_millis(self.safety_ms)
    }

    /// When the run ends at the latest.
    pub fn end_at(&self) -> Instant {
        self.heal_at() + Duration::from_millis(self.liveness_ms)
    }
}

/// An access list and when it begins to count (at authentications from then on).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessList {
    /// From when on.
    pub from: Instant,
    /// The rules, first match wins.
    pub rules: Vec<AccessRule>,
    /// The answer where no rule matches.
    pub otherwise: bool,
}

/// One line of an access list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRule {
    /// Whom it is about; `None` is everybody.
    pub client: Option<ClientNo>,
    /// What it answers.
    pub allow: bool,
    /// What it is about.
    pub action: AccessAction,
    /// Which topics it is about: a topic filter (a rule that is no valid filter is left out of the list).
    pub filter: String,
}

/// What an access rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessAction {
    /// Publishing, wills included.
    Publish,
    /// Subscribing and receiving.
    Subscribe,
}

impl Scenario {
    /// A scenario of one healthy node, without clients.
    pub fn single_node(name: &str, seed: u64) -> Self {
        let topology = Topology {
            nodes: vec![NodeSpec::default()],
            latency_us: Span { min: 100, max: 1_000 },
            peers: PeerRoads::default(),
        };
        Scenario {
            name: name.to_owned(),
            seed,
            architecture: Architecture::Centralized,
            topology,
            acl: Vec::new(),
            clients: Vec::new(),
            steps: Vec::new(),
            faults: Vec::new(),
            phases: Phases::default(),
        }
    }

    /// A scenario of `nodes` healthy nodes, named from 1, that form a cluster; without clients.
    pub fn cluster(name: &str, seed: u64, nodes: u32, shards: u16, replicas: u8) -> Self {
        let mut scenario = Scenario::single_node(name, seed);
        scenario.architecture = Architecture::Ownership { shards, replicas };
        let nodes = (1..=nodes).map(|node| NodeSpec { node: NodeId(node), ..NodeSpec::default() });
        scenario.topology.nodes = nodes.collect();
        scenario
    }

    /// What a node is told of its cluster; `None` if each is alone.
    pub fn cluster_setup(&self, node: &NodeSpec) -> Option<ClusterSetup> {
        match self.architecture {
            Architecture::Centralized => None,
            Architecture::Ownership { shards, replicas } => {
                let founders = self.topology.nodes.iter().filter(|spec| !spec.joins && !node.joins);
                let founders = founders.map(|spec| (spec.node, Member::plain(spec.node, ""))).collect();
                Some(ClusterSetup { founders, shards, replicas })
            }
        }
    }

    /// Who should lead each group of a cluster, the one that keeps the directory among them, as long as its members are those with which it was founded. None
    /// on a node alone.
    pub fn leaders(&self) -> BTreeMap<ShardId, NodeId> {
        let founder = self.topology.nodes.iter().find(|spec| !spec.joins);
        let setup = founder.and_then(|spec| self.cluster_setup(spec));
        setup.map_or_else(BTreeMap::new, |ClusterSetup { founders, shards, replicas }| {
            Directory::found(shards, replicas, founders).leaders()
        })
    }

    /// How many shards hold the sessions and messages: 1 on a node alone.
    pub fn shards(&self) -> usize {
        match self.architecture {
            Architecture::Centralized => 1,
            Architecture::Ownership { shards, .. } => shards.into(),
        }
    }

    /// Adds a client.
    pub fn client(&mut self, spec: ClientSpec) -> ClientNo {
        let number = u32::try_from(self.clients.len()).expect("fewer than four billion clients");
        self.clients.push(spec);
        ClientNo(number)
    }

    /// Adds a step.
    pub fn step(&mut self, when: When, client: ClientNo, action: Action) -> StepId {
        let id = StepId(self.steps.iter().map(|step| step.id.0 + 1).max().unwrap_or(0));
        self.steps.push(Step { id, when, client, action });
        id
    }

    /// Adds a fault that lasts from `from_ms` to `until_ms`.
    pub fn fault(&mut self, from_ms: u64, until_ms: u64, kind: FaultKind) -> crate::history::FaultId {
        let id = crate::history::FaultId(self.faults.iter().map(|fault| fault.id.0 + 1).max().unwrap_or(0));
        let (from, until) = (Instant::from_millis(from_ms), Instant::from_millis(until_ms));
        self.faults.push(Fault { id, from, until, kind });
        id
    }

    /// What `client` may do if it authenticates at `at`.
    pub fn permissions(&self, client: ClientNo, at: Instant) -> auth::Permissions {
        let Some(list) = self.acl.iter().rev().find(|list| list.from <= at) else {
            return auth::Permissions::all();
        };
        let relevant = list.rules.iter().filter(|rule| rule.client.is_none_or(|whom| whom == client));
        let rules = relevant.filter_map(AccessRule::to_rule).collect();
        auth::Permissions { rules, otherwise: list.otherwise }
    }
}

impl AccessRule {
    fn to_rule(&self) -> Option<auth::Rule> {
        let filter = broker_core::topic::TopicFilter::parse(&self.filter.as_str().into()).ok()?;
        let action = match self.action {
            AccessAction::Publish => auth::Action::Publish,
            AccessAction::Subscribe => auth::Action::Subscribe,
        };
        Some(auth::Rule { allow: self.allow, action, filter })
    }
}
