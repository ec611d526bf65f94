//! The facade: takes inputs to those who decide, and brings their outputs back.

use crate::base::rng::Rng;
use crate::base::time::{Instant, WallTime};
use crate::cluster::Directory;
use crate::event::Event;
use crate::face::{Broker, ClusterSetup, Durability, Input, Output, Recovered, Setup, TimerKind};
use crate::ids::Lsn;
use crate::replication::local::{self, RecordError};
use crate::routing::centralized::{Centralized, Opened};
use crate::routing::ownership::{self, MemberSetup, Ownership};
use crate::session::outbound::drop_event;
use crate::session::{Gateway, Parts};
use crate::shard::{Effect, Machine, QueueLimits, SnapshotError};
use std::fmt;

/// One node.
pub struct Node {
    opened: Instant,
    wall_at_opening: WallTime,
    now: Instant,
    gateway: Gateway,
    routing: Routing,
}

/// The architecture that a node is part of.
enum Routing {
    Centralized(Box<Centralized>),
    Ownership(Box<Ownership>),
}

/// Why a node cannot open its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The snapshot cannot be read.
    Snapshot(SnapshotError),
    /// A record cannot be read.
    Record(RecordError),
    /// A record is missing.
    Gap {
        /// The one that was expected.
        expected: Lsn,
        /// The one that came.
        found: Lsn,
    },
    /// It is to be a member of a cluster and to acknowledge before the disk.
    AsyncMember,
    /// The data of a member of a cluster cannot be used.
    Member(ownership::OpenError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Snapshot(error) => error.fmt(f),
            OpenError::Record(error) => error.fmt(f),
            OpenError::AsyncMember => f.write_str(
                "a member of a cluster has to wait for its disk, or a power loss takes what a quorum was counted for; set \
                 durability = \"sync\"",
            ),
            OpenError::Member(error) => error.fmt(f),
            OpenError::Gap { expected, found } => {
                write!(
                    f,
                    "record {expected} of the log is missing, the next one is {found}; restore the data folder"
                )
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// Opens a node on what was recovered from its disk.
///
/// # Errors
/// If the recovered data cannot be read; nothing was changed then.
pub fn open(setup: Setup, recovered: Recovered, now: Instant) -> Result<Node, OpenError> {
    match setup.cluster.clone() {
        Some(cluster) => open_member(setup, cluster, &recovered, now),
        None => open_alone(setup, recovered, now),
    }
}

fn open_member(
    setup: Setup,
    cluster: ClusterSetup,
    recovered: &Recovered,
    now: Instant,
) -> Result<Node, OpenError> {
    if setup.durability == Durability::Async {
        return Err(OpenError::AsyncMember);
    }
    let parts = Parts::of(cluster.shards);
    let member = MemberSetup {
        node: setup.node,
        cluster,
        seed: setup.seed,
        limits: QueueLimits::from(&setup.limits),
        snapshot_log_bytes: setup.snapshot_log_bytes,
    };
    let mut routing = Ownership::open(member, recovered, now).map_err(OpenError::Member)?;
    let rng = Rng::from_seed(setup.seed).fork("gateway").fork(&format!("{}.{}", setup.node, routing.life()));
    let mut gateway = Gateway::new(setup.limits, parts, rng);
    gateway.set_time(now, setup.wall);
    routing.tell_driver(&mut gateway);
    setup.report_every.into_iter().for_each(|period| gateway.report_every(setup.node, period));
    let routing = Routing::Ownership(Box::new(routing));
    Ok(Node { opened: now, wall_at_opening: setup.wall, now, gateway, routing })
}

fn open_alone(setup: Setup, recovered: Recovered, now: Instant) -> Result<Node, OpenError> {
    let (mut last, mut log_bytes, mut snapshot_bytes) = (Lsn(0), 0, 0);
    let mut machine = match recovered.snapshot {
        Some(snapshot) => {
            last = snapshot.upto;
            snapshot_bytes = snapshot.chunks.iter().map(|chunk| chunk.len() as u64).sum();
            Machine::restore_sole(&snapshot.chunks).map_err(OpenError::Snapshot)?
        }
        None => Machine::sole(),
    };
    let mut effects = Vec::new();
    let mut dropped = Vec::new();
    let entries = recovered.records.len() as u64;
    for record in &recovered.records {
        if record.lsn != last.next() {
            return Err(OpenError::Gap { expected: last.next(), found: record.lsn });
        }
        let entry = local::decode(record).map_err(OpenError::Record)?;
        machine.apply(&entry, &mut effects);
        dropped.extend(effects.drain(..).filter_map(still_to_tell));
        last = record.lsn;
        log_bytes += record.body.len() as u64;
    }
    let (sessions, messages) = machine.counts();
    let wall_at_opening = setup.wall.max(machine.time());
    let queue_limits = QueueLimits::from(&setup.limits);
    // No two lives of a node draw the same numbers: an assigned client identifier must not be that of another session.
    let rng = Rng::from_seed(setup.seed).fork("gateway").fork(&last.to_string());
    let mut gateway = Gateway::new(setup.limits, Parts::of(1), rng);
    gateway.set_time(now, wall_at_opening);
    gateway.event(Event::Recovered { entries, last, sessions: sessions as u64, messages: messages as u64 });
    dropped.into_iter().for_each(|event| gateway.event(event));
    let opened = Opened { machine, last, log_bytes, snapshot_bytes };
    let mut routing = Centralized::new(opened, setup.durability, setup.snapshot_log_bytes, now);
    routing.boot(queue_limits, &gateway);
    setup.report_every.into_iter().for_each(|period| gateway.report_every(setup.node, period));
    let routing = Routing::Centralized(Box::new(routing));
    Ok(Node { opened: now, wall_at_opening, now, gateway, routing })
}

/// What connected clients would have seen of a replayed entry, nobody is here to see. But why a message was dropped must be on
/// record, and the process that wrote the entry may have died before it applied it; if it did not, it is told twice.
fn still_to_tell(effect: Effect) -> Option<Event> {
    match effect {
        Effect::Dropped { client_id, message, reason } => Some(drop_event(client_id, &message, reason)),
        _ => None,
    }
}

impl Node {
    /// The replicated state, to compare and to look at: one machine a shard that this node holds a replica of.
    pub fn machines(&self) -> Vec<&Machine> {
        match &self.routing {
            Routing::Centralized(routing) => vec![routing.machine()],
            Routing::Ownership(routing) => routing.machines().collect(),
        }
    }

    /// Which life of a cluster's member this is: one more at each start on the same data. 0 for a node that stands alone.
    pub fn life(&self) -> u64 {
        match &self.routing {
            Routing::Centralized(_) => 0,
            Routing::Ownership(routing) => routing.life(),
        }
    }

    /// Has the node tell of itself, if it is time to, and if what it told last is taken: it says nothing twice while nobody hears it.
    fn report(&mut self) {
        if !self.gateway.take_report_due() {
            return;
        }
        match &mut self.routing {
            Routing::Centralized(routing) => {
                if !routing.is_reporting() {
                    let messages = self.gateway.report(routing.led());
                    routing.report(messages, &self.gateway);
                }
            }
            Routing::Ownership(routing) => {
                if !routing.is_reporting() {
                    let messages = self.gateway.report(routing.led());
                    routing.report(messages, &self.gateway);
                }
            }
        }
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.gateway.len()
    }

    /// Decides what clients asked for, applies what is committed, sends what may be sent, until nothing is left to do.
    fn settle(&mut self) {
        loop {
            while let Some(intent) = self.gateway.next_intent() {
                match &mut self.routing {
                    Routing::Centralized(routing) => routing.on_intent(intent, &mut self.gateway),
                    Routing::Ownership(routing) => routing.on_intent(intent, &mut self.gateway),
                }
            }
            match &mut self.routing {
                Routing::Centralized(routing) => {
                    routing.advance(&mut self.gateway);
                    self.gateway.pump(routing.machine());
                }
                Routing::Ownership(routing) => {
                    routing.advance(&mut self.gateway);
                    self.gateway.pump_mirrors();
                }
            }
            if !self.gateway.has_intents() {
                return;
            }
        }
    }
}

impl Broker for Node {
    fn handle(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        self.gateway.set_time(self.now, self.wall_at_opening + self.now.saturating_since(self.opened));
        match input {
            Input::Wake => {
                if self.gateway.wake() {
                    match &mut self.routing {
                        Routing::Centralized(routing) => routing.on_timer(self.now, &mut self.gateway),
                        Routing::Ownership(routing) => routing.on_timer(self.now, &mut self.gateway),
                    }
                }
                self.report();
            }
            Input::ClientOpened { conn, peer } => self.gateway.open(conn, peer),
            Input::ClientBytes { conn, bytes } => self.gateway.bytes(conn, bytes),
            Input::ClientSent { conn, bytes } => self.gateway.sent(conn, bytes),
            Input::ClientClosed { conn } => self.gateway.lost(conn),
            Input::Authenticated { conn, decision } => self.gateway.authenticated(conn, decision),
            Input::Persisted { write } => match &mut self.routing {
                Routing::Centralized(routing) => routing.on_persisted(write, &mut self.gateway),
                Routing::Ownership(routing) => routing.on_persisted(write),
            },
            Input::SnapshotStored { .. } => match &mut self.routing {
                Routing::Centralized(routing) => routing.on_snapshot_stored(),
                Routing::Ownership(routing) => routing.on_snapshot_stored(),
            },
            Input::PeerUp { peer } => {
                if let Routing::Ownership(routing) = &mut self.routing {
                    routing.on_peer_up(peer);
                }
            }
            Input::PeerFrame { peer, frame } => {
                if let Routing::Ownership(routing) = &mut self.routing {
                    routing.on_peer_frame(peer, &frame, &mut self.gateway);
                }
            }
            Input::PeerDown { peer } => {
                if let Routing::Ownership(routing) = &mut self.routing {
                    routing.on_peer_down(peer);
                }
            }
            Input::ChangeMembers { request, change } => {
                if let Routing::Ownership(routing) = &mut self.routing {
                    routing.on_change(request, change, &mut self.gateway);
                }
            }
            Input::Shutdown => {
                self.gateway.stop();
                if let Routing::Ownership(routing) = &mut self.routing {
                    routing.stop(self.now);
                }
            }
        }
        // Not once a turn: what an input led to goes before what the next one brings, or publishes change their order.
        self.settle();
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        self.settle();
        match &mut self.routing {
            Routing::Centralized(routing) => routing.drain(self.now, &mut self.gateway),
            Routing::Ownership(routing) => routing.drain(self.now, &mut self.gateway),
        }
        self.gateway.drain(out);
    }

    fn deadline(&self) -> Option<(Instant, TimerKind)> {
        self.gateway.deadline()
    }

    fn may_stop(&self) -> bool {
        match &self.routing {
            Routing::Centralized(_) => true,
            Routing::Ownership(routing) => routing.may_stop(),
        }
    }

    fn directory(&self) -> Option<&Directory> {
        match &self.routing {
            Routing::Centralized(_) => None,
            Routing::Ownership(routing) => Some(routing.directory()),
        }
    }
}
