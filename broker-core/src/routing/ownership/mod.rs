//! Ownership by consistent hash: shards on a ring, a consensus group a shard.
//!
//! A session lives in the shard of its client identifier, a message in that of its topic; a publish is heard by the queues of its
//! topic's shard; it may be acknowledged when a quorum of that shard's replicas has it on disk; what a quorum has on disk
//! survives the crash of any minority, and of all nodes at once. The protocol and the argument for it: `docs/architecture.md`.

mod answers;
mod arrivals;
mod arriving;
mod client;
mod clock;
mod dispatch;
mod edge;
mod frame;
mod gather;
mod handover;
mod lead;
mod meeting;
mod members;
mod meta;
mod replica;
mod report;
mod sound;
mod stream;
mod turn;
mod yielding;

use crate::base::ids::{Lsn, NodeId, ShardId, WriteId};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::cluster::{Change, Directory, Introduction, META, Placement};
use crate::event::Event;
use crate::face::{ClusterSetup, Output, Recovered, TimerKind};
use crate::replication::node_log::{NodeLog, NodeLogError, Opened};
use crate::replication::raft::TICK;
use crate::session::{Gateway, Intent};
use crate::shard::{Machine, QueueLimits};
use bytes::Bytes;
use edge::Edge;
pub use frame::told;
use frame::{Addressed, Frame};
use handover::HandOvers;
use lead::Surroundings;
use meeting::Meeting;
use meta::MetaReplica;
use replica::Replica;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// How often a gateway tells the shards that it lives.
const RENEWAL: Duration = Duration::from_millis(1_500);

/// A change that nobody has answered for so long is not asked for again: who wanted it may want something else by now.
const CHANGE_PATIENCE: Duration = Duration::from_secs(5);

/// Clients that a node which is drained sends to others in a tick.
const SENT_AWAY_A_TICK: usize = 64;

/// A member of a cluster.
pub struct Ownership {
    node: NodeId,
    placement: Placement,
    seed: u64,
    limits: QueueLimits,
    log: NodeLog,
    edge: Edge,
    /// What is known of the members and of what each holds.
    directory: Directory,
    replicas: BTreeMap<ShardId, Replica>,
    /// The replica of the group that keeps the directory.
    meta: Option<MetaReplica>,
    /// Who leads that group, as far as is known, and the latest term in which anybody did.
    meta_leader: (Option<NodeId>, u64),
    /// What operators want, and nobody has answered, and since when.
    changes: BTreeMap<u64, (Instant, Change)>,
    /// Who leads each shard, as far as is known, and the latest term in which anybody did.
    leaders: Vec<(Option<NodeId>, u64)>,
    /// How this node introduces itself.
    introduction: Introduction,
    /// The links over which not both sides have introduced themselves.
    meetings: BTreeMap<NodeId, Meeting>,
    /// The members to which there is a link, and that have introduced themselves.
    up: BTreeSet<NodeId>,
    /// This node and those.
    linked: Vec<NodeId>,
    hand_overs: HandOvers,
    /// Frames from this node to itself.
    own: VecDeque<Frame>,
    /// The record that this life begins with: nothing is asked of a shard before it is on disk.
    life_record: Lsn,
    next_tick: Instant,
    next_renewal: Instant,
    snapshot_log_bytes: u64,
    last_snapshot_bytes: u64,
    snapshot_pending: bool,
    /// How many records it found on its disk behind the snapshot, and the last of all, until it has said so.
    found: Option<(u64, Lsn)>,
}

/// Why a member cannot open its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The log cannot be read.
    Log(NodeLogError),
    /// The cluster has another number of shards, or of replicas of each.
    OtherShape {
        /// Those by what is on disk.
        recorded: (u16, u8),
        /// Those that are configured.
        configured: (u16, u8),
    },
    /// It has no data, and is not one of those with which the cluster begins.
    NotFounder(NodeId),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Log(error) => error.fmt(f),
            OpenError::OtherShape { recorded, configured } => write!(
                f,
                "by what is on disk the cluster has {} shards of {} replicas, and by the configuration {} of {}: start the node with \
                 those with which the cluster was founded",
                recorded.0, recorded.1, configured.0, configured.1
            ),
            OpenError::NotFounder(node) => {
                write!(f, "node {node} is not among the members with which the cluster is founded")
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// What a member is told when it opens, beside what the gateway is told.
pub struct MemberSetup {
    /// The node.
    pub node: NodeId,
    /// The cluster.
    pub cluster: ClusterSetup,
    /// The seed of election timeouts.
    pub seed: u64,
    /// The limits that decide what comes of an entry, while this node leads.
    pub limits: QueueLimits,
    /// Take a snapshot when so many bytes of records were written since the last one.
    pub snapshot_log_bytes: u64,
}

impl Ownership {
    /// Opens a member on what was recovered from its disk.
    ///
    /// # Errors
    /// If that cannot be read, or does not fit the configuration; nothing was changed then.
    pub fn open(setup: MemberSetup, recovered: &Recovered, now: Instant) -> Result<Self, OpenError> {
        let MemberSetup { node, cluster, seed, limits, snapshot_log_bytes } = setup;
        let placement = Placement::new(cluster.shards);
        let last = recovered.records.last().map(|record| record.lsn);
        let last = last.or(recovered.snapshot.as_ref().map(|snapshot| snapshot.upto)).unwrap_or_default();
        let Opened { mut log, replicas: found, directory: recorded } =
            NodeLog::open(recovered, now).map_err(OpenError::Log)?;
        let begins = recorded.is_none();
        let directory = members::first_directory(node, &cluster, recorded)?;
        if begins {
            log.directory(&directory);
        }
        // Its replicas may begin with this life, and are on record before it.
        let edge = Edge::new(node, log.life() + 1, placement);
        let mut ownership = Ownership {
            node,
            placement,
            seed,
            limits,
            log,
            edge,
            directory,
            replicas: BTreeMap::new(),
            meta: None,
            meta_leader: (None, 0),
            changes: BTreeMap::new(),
            leaders: vec![(None, 0); usize::from(cluster.shards)],
            introduction: Introduction { folder: 0, life: 0, start: 0 },
            meetings: BTreeMap::new(),
            up: BTreeSet::new(),
            linked: vec![node],
            hand_overs: HandOvers::default(),
            own: VecDeque::new(),
            life_record: Lsn(0),
            next_tick: now + TICK,
            next_renewal: now + RENEWAL,
            snapshot_log_bytes,
            last_snapshot_bytes: 0,
            snapshot_pending: false,
            found: Some((recovered.records.len() as u64, last)),
        };
        ownership.open_replicas(found);
        ownership.follow_directory(None);
        let mut numbers = Rng::from_seed(seed).fork("introduction");
        let folder = ownership.log.folder(numbers.next_u64());
        ownership.life_record = ownership.log.begin_life();
        let (life, start) = (ownership.log.life(), numbers.next_u64());
        ownership.introduction = Introduction { folder, life, start };
        Ok(ownership)
    }

    /// Which life of the node this is.
    pub fn life(&self) -> u64 {
        self.log.life()
    }

    /// The cluster's directory, as far as this node knows it.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The applied state of every shard that this node has a replica of.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.replicas.values().map(|replica| &replica.machine)
    }

    /// Decides what a client's wish needs.
    pub fn on_intent(&mut self, intent: Intent, gateway: &mut Gateway) {
        let mut out = Vec::new();
        self.edge.on_intent(intent, gateway, &mut out);
        self.send(out, gateway);
    }

    /// There is a link to this member, or to who says that it is.
    pub fn on_peer_up(&mut self, peer: NodeId) {
        self.meetings.insert(peer, Meeting::default());
    }

    /// There is a link to this member.
    fn on_met(&mut self, peer: NodeId, gateway: &mut Gateway) {
        self.up.insert(peer);
        self.note_links();
        self.hand_overs.on_peer_up(peer);
        let mut frames = Vec::new();
        if self.directory.version() > 0 {
            frames.push(Frame::Directory(Box::new(self.directory.clone())));
        }
        let meta = self.meta.as_ref().and_then(|meta| Some((META, meta.serving_since()?)));
        let leading =
            self.replicas.iter().filter_map(|(shard, replica)| Some((*shard, replica.serving_since()?)));
        frames.extend(leading.chain(meta).map(|(shard, term)| Frame::Leads { shard, term: term.0 }));
        let frames = frames.into_iter().map(|frame| Addressed { to: peer, frame }).collect();
        self.send(frames, gateway);
    }

    fn note_links(&mut self) {
        self.linked = self.up.iter().copied().chain([self.node]).collect();
    }

    /// The link to a member is gone.
    pub fn on_peer_down(&mut self, peer: NodeId) {
        self.meetings.remove(&peer);
        self.up.remove(&peer);
        self.note_links();
        self.hand_overs.on_peer_down(peer);
        self.edge.on_peer_down(peer);
        for (leader, _) in self.leaders.iter_mut().filter(|(leader, _)| *leader == Some(peer)) {
            *leader = None;
        }
        if self.meta_leader.0 == Some(peer) {
            self.meta_leader.0 = None;
        }
        if let Some(meta) = &mut self.meta {
            meta.group.unreachable(peer);
        }
        for replica in self.replicas.values_mut() {
            replica.on_peer_down(peer);
        }
    }

    /// A frame came from a member. One that cannot be read, or names what cannot be, is an event, and changes nothing. What comes from a stranger is
    /// nothing.
    pub fn on_peer_frame(&mut self, peer: NodeId, bytes: &Bytes, gateway: &mut Gateway) {
        match Frame::decode(bytes) {
            Ok(Frame::Introduction(as_whom)) => self.on_introduction(peer, as_whom, gateway),
            Ok(Frame::Stranger(why)) => gateway.event(Event::TakenForStranger { peer, why }),
            Ok(_) if !self.up.contains(&peer) => {}
            Ok(frame) if frame.is_sound(peer, self.placement) => self.on_frame(peer, frame, gateway),
            _ => gateway.event(Event::PeerFrameRefused { peer }),
        }
    }

    /// A write, and all before it, is on disk.
    pub fn on_persisted(&mut self, write: WriteId) {
        for shard in self.log.persisted(write) {
            if let Some(replica) = self.replicas.get_mut(&shard) {
                replica.on_persisted();
            }
        }
    }

    /// A snapshot is on disk.
    pub fn on_snapshot_stored(&mut self) {
        self.snapshot_pending = false;
    }

    /// Elections, heartbeats, leases, and what is due.
    pub fn on_timer(&mut self, now: Instant, gateway: &mut Gateway) {
        let mut out = Vec::new();
        if self.next_tick <= now {
            // However late it is: a node that stood still must not take its own pause for the leader's silence.
            self.next_tick = now + TICK;
            for replica in self.replicas.values_mut() {
                replica.on_tick(gateway);
            }
            if let Some(meta) = &mut self.meta {
                meta.group.tick();
            }
            self.changes.retain(|_, (since, _)| now.saturating_since(*since) < CHANGE_PATIENCE);
            if !self.is_stopping() {
                self.steer_groups(&mut out);
            }
            self.balance();
            gateway.send_away(SENT_AWAY_A_TICK);
            self.edge.look_after_leases(gateway);
        }
        if self.next_renewal <= now {
            self.next_renewal = now + RENEWAL;
            self.edge.renew(gateway, &mut out);
        }
        self.send(out, gateway);
    }

    /// Applies what is committed, answers, pushes and asks, until nothing is left to do.
    pub fn advance(&mut self, gateway: &mut Gateway) {
        loop {
            let mut out = Vec::new();
            let around = Surroundings { leaders: &self.leaders, linked: &self.linked };
            let mut unsaid = false;
            for replica in self.replicas.values_mut() {
                replica.advance(&mut self.log, gateway, &around, &mut out);
                unsaid |= replica.is_unsaid();
            }
            self.tell_found(gateway);
            unsaid |= self.advance_meta(gateway, &mut out);
            self.edge.alive = self.log.durable() >= self.life_record;
            self.introduce(gateway);
            self.edge.send_all_requests(gateway.wall(), &mut out);
            self.edge.tell_yielded(gateway, &mut out);
            let idle = out.is_empty() && self.own.is_empty() && !unsaid;
            self.send(out, gateway);
            while let Some(frame) = self.own.pop_front() {
                self.on_frame(self.node, frame, gateway);
            }
            if idle {
                return;
            }
        }
    }

    /// Says once what was recovered from the disk: of sessions and messages what was in the snapshot, for what came later is only known to be committed when
    /// a leader says so.
    fn tell_found(&mut self, gateway: &mut Gateway) {
        let Some((entries, last)) = self.found.take() else { return };
        let counts = self.machines().map(Machine::counts);
        let (sessions, messages) = counts.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
        gateway.event(Event::Recovered {
            entries,
            last,
            sessions: sessions as u64,
            messages: messages as u64,
        });
    }

    /// Applies what the meta group has committed, as [`Ownership::advance`] does for shards. True if its members have changed.
    fn advance_meta(&mut self, gateway: &mut Gateway, out: &mut Vec<Addressed>) -> bool {
        let Some(meta) = &mut self.meta else { return false };
        let mut said = Vec::new();
        meta.group.advance(&mut self.log, &mut said);
        out.extend(said.into_iter().map(|(to, message)| {
            let frame = Frame::Raft { shard: META, message };
            Addressed { to, frame }
        }));
        let directory = meta.advance(&self.linked, gateway, out);
        let unsaid = meta.group.is_unsaid();
        if let Some(directory) = directory {
            self.on_directory(directory, gateway, out);
        }
        unsaid
    }

    /// Ends the turn: hands out what is to be written, takes a snapshot if the log has grown, sets the next deadline.
    pub fn drain(&mut self, now: Instant, gateway: &mut Gateway) {
        self.give_away(now);
        self.advance(gateway);
        if let Some(write) = self.log.take_write(now) {
            gateway.output(Output::Persist { write: write.id, records: write.records, urgent: write.urgent });
        }
        let threshold = self.snapshot_log_bytes.max(2 * self.last_snapshot_bytes);
        if !self.snapshot_pending && self.log.log_bytes() >= threshold {
            self.take_snapshot(gateway);
        }
        let next = self.next_tick.min(self.next_renewal);
        gateway.timers().set(TimerKind::Expiry, next);
    }

    fn take_snapshot(&mut self, gateway: &mut Gateway) {
        let replicas = self.replicas.iter().map(|(shard, replica)| (*shard, replica.whole()));
        let meta = self.meta.iter().map(|meta| (META, meta.group.replica(|| meta.machine())));
        let snapshot = self.log.snapshot(replicas.chain(meta).collect());
        self.last_snapshot_bytes = snapshot.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        self.snapshot_pending = true;
        gateway.event(Event::Snapshot { upto: snapshot.upto });
        gateway.output(Output::Snapshot(snapshot));
    }

    fn send(&mut self, frames: Vec<Addressed>, gateway: &mut Gateway) {
        for Addressed { to, frame } in frames {
            if to == self.node {
                self.own.push_back(frame);
            } else if self.up.contains(&to) {
                gateway.output(Output::SendPeer { peer: to, frame: frame.encode() });
            }
        }
    }
}
