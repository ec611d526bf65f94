//! Ownership by consistent hash: shards on a ring, a consensus group a shard.
//!
//! A session lives in the shard of its client identifier, a message in that of its topic; a publish is heard by the queues of its
//! topic's shard; it may be acknowledged when a quorum of that shard's replicas has it on disk; what a quorum has on disk
//! survives the crash of any minority, and of all nodes at once. The protocol and the argument for it: `docs/architecture.md`.

mod answers;
mod arrivals;
mod arriving;
mod client;
mod edge;
mod frame;
mod gather;
mod lead;
mod replica;
mod stream;
mod turn;

use crate::base::ids::{Lsn, NodeId, ShardId, WriteId};
use crate::base::time::{Duration, Instant, WallTime};
use crate::cluster::{Placement, Ring};
use crate::event::Event;
use crate::face::{ClusterSetup, Output, Recovered, TimerKind};
use crate::replication::node_log::{NodeLog, NodeLogError};
use crate::replication::raft::{self, GroupSetup, RaftGroup, TICK};
use crate::session::{Gateway, Intent};
use crate::shard::{Machine, QueueLimits};
use bytes::Bytes;
use edge::Edge;
use frame::{Addressed, Frame};
use lead::{Surroundings, moved};
use replica::Replica;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;

/// How often a gateway tells the shards that it lives.
const RENEWAL: Duration = Duration::from_millis(1_500);

/// A member of a cluster.
pub struct Ownership {
    node: NodeId,
    members: Vec<NodeId>,
    log: NodeLog,
    edge: Edge,
    replicas: BTreeMap<ShardId, Replica>,
    /// Who leads each shard, as far as is known, and the latest term in which anybody did.
    leaders: Vec<(Option<NodeId>, u64)>,
    up: BTreeSet<NodeId>,
    /// Frames from this node to itself.
    own: VecDeque<Frame>,
    /// The record that this life begins with: nothing is asked of a shard before it is on disk.
    life_record: Lsn,
    next_tick: Instant,
    next_renewal: Instant,
    snapshot_log_bytes: u64,
    last_snapshot_bytes: u64,
    snapshot_pending: bool,
}

/// Why a member cannot open its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The log cannot be read.
    Log(NodeLogError),
    /// A replica is not configured as it was.
    Group(raft::OpenError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Log(error) => error.fmt(f),
            OpenError::Group(error) => error.fmt(f),
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
        let ring = Ring::of_equals(&cluster.members);
        let placement = Rc::new(Placement::new(cluster.shards, cluster.replicas, &ring));
        let (mut log, mut found) = NodeLog::open(recovered, now).map_err(OpenError::Log)?;
        let mut replicas = BTreeMap::new();
        for shard in placement.all().filter(|shard| placement.replicas(*shard).contains(&node)) {
            let voters = placement.replicas(shard).to_vec();
            let setup = GroupSetup { group: shard, node, voters, seed, tail: raft::TailLimits::default() };
            let group = RaftGroup::open(setup, found.remove(&shard), &mut log).map_err(OpenError::Group)?;
            replicas.insert(shard, Replica::new(shard, placement.clone(), group, limits));
        }
        let life_record = log.begin_life();
        let edge = Edge::new(node, log.life(), placement);
        Ok(Ownership {
            node,
            members: cluster.members,
            log,
            edge,
            replicas,
            leaders: vec![(None, 0); usize::from(cluster.shards)],
            up: BTreeSet::new(),
            own: VecDeque::new(),
            life_record,
            next_tick: now + TICK,
            next_renewal: now + RENEWAL,
            snapshot_log_bytes,
            last_snapshot_bytes: 0,
            snapshot_pending: false,
        })
    }

    /// Which life of the node this is.
    pub fn life(&self) -> u64 {
        self.log.life()
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

    /// There is a link to this member.
    pub fn on_peer_up(&mut self, peer: NodeId, gateway: &mut Gateway) {
        self.up.insert(peer);
        let leading =
            self.replicas.iter().filter_map(|(shard, replica)| Some((*shard, replica.serving_since()?)));
        let frames =
            leading.map(|(shard, term)| Addressed { to: peer, frame: Frame::Leads { shard, term: term.0 } });
        let frames = frames.collect();
        self.send(frames, gateway);
    }

    /// The link to a member is gone.
    pub fn on_peer_down(&mut self, peer: NodeId) {
        self.up.remove(&peer);
        self.edge.on_peer_down(peer);
        for (leader, _) in self.leaders.iter_mut().filter(|(leader, _)| *leader == Some(peer)) {
            *leader = None;
        }
        for replica in self.replicas.values_mut() {
            replica.on_peer_down(peer);
        }
    }

    /// A frame came from a member. One that cannot be read is an event, and changes nothing.
    pub fn on_peer_frame(&mut self, peer: NodeId, bytes: &Bytes, gateway: &mut Gateway) {
        match Frame::decode(bytes) {
            Ok(frame) => self.on_frame(peer, frame, gateway),
            Err(_) => gateway.event(Event::PeerFrameRefused { peer }),
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
            let around = Surroundings { leaders: &self.leaders, members: &self.members };
            for replica in self.replicas.values_mut() {
                replica.advance(&mut self.log, gateway, &around, &mut out);
            }
            self.edge.alive = self.log.durable() >= self.life_record;
            self.edge.send_all_requests(gateway.wall(), &mut out);
            let idle = out.is_empty() && self.own.is_empty();
            self.send(out, gateway);
            while let Some(frame) = self.own.pop_front() {
                self.on_frame(self.node, frame, gateway);
            }
            if idle {
                return;
            }
        }
    }

    /// Ends the turn: hands out what is to be written, takes a snapshot if the log has grown, sets the next deadline.
    pub fn drain(&mut self, now: Instant, gateway: &mut Gateway) {
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
        let snapshot = self.log.snapshot(replicas.collect());
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

    fn on_frame(&mut self, from: NodeId, frame: Frame, gateway: &mut Gateway) {
        let mut out = Vec::new();
        let (now, wall) = (gateway.now(), gateway.wall());
        match frame {
            Frame::Raft { shard, message } => {
                if let Some(replica) = self.replicas.get_mut(&shard)
                    && replica.step(from, &message).is_err()
                {
                    gateway.event(Event::PeerFrameRefused { peer: from });
                }
            }
            Frame::Leads { shard, term } => self.on_leads(from, shard, term, gateway, &mut out),
            Frame::Answer { shard, gateway: whose, sequence, verdict } => {
                self.edge.on_answer(shard, whose, sequence, verdict, gateway, &mut out);
            }
            Frame::FeedStart { shard, session, base, sent } => gateway.open_feed(session, shard, base, sent),
            Frame::Push { shard, session, wall: theirs, first, end, items } => {
                let items = items.into_iter().map(|item| answers::moved_item(item, theirs, wall)).collect();
                gateway.push_feed(session, shard, first, end, items);
            }
            Frame::HubPush { shard, gateway: whose, wall: theirs, first, mut items } => {
                for item in &mut items {
                    item.message = item.message.take().map(|message| moved(message, theirs, wall));
                }
                self.edge.on_hub_push(shard, whose, first, items, gateway);
            }
            Frame::VolatilePush { shard, wall: theirs, message, live, targets } => {
                // What an earlier leader had on its way could come behind what this one has sent.
                if self.leaders.get(usize::from(shard.0)).is_some_and(|(leader, _)| *leader == Some(from)) {
                    let message = moved(message, theirs, wall);
                    self.edge.on_volatile(shard, &message, live, &targets, gateway);
                }
            }
            Frame::SessionIs { client_id, last, .. } => self.edge.on_session_is(&client_id, last, gateway),
            Frame::Evicted { session } => self.edge.evict(session, gateway),
            Frame::Renewed { shard, gateway: whose, at, last } => {
                self.edge.on_renewed(shard, whose, at, last);
            }
            frame => self.on_leader_frame(from, frame, (now, wall), &mut out),
        }
        self.send(out, gateway);
    }

    fn on_leads(
        &mut self,
        from: NodeId,
        shard: ShardId,
        term: u64,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        let Some(known) = self.leaders.get_mut(usize::from(shard.0)).filter(|(_, latest)| *latest <= term)
        else {
            return;
        };
        *known = (Some(from), term);
        self.edge.on_leads(from, shard, term, gateway, out);
        for replica in self.replicas.values_mut() {
            if let Some((lead, ..)) = replica.leading() {
                lead.on_leads(shard);
            }
        }
    }

    /// What only the leader of a shard can do something with.
    fn on_leader_frame(
        &mut self,
        from: NodeId,
        frame: Frame,
        (now, wall): (Instant, WallTime),
        out: &mut Vec<Addressed>,
    ) {
        let Some(replica) = frame.shard().and_then(|shard| self.replicas.get_mut(&shard)) else { return };
        let time = replica.time(now, wall);
        let Some((lead, machine, group)) = replica.leading() else { return };
        match frame {
            Frame::Request { gateway, sequence, answered, wall: theirs, op, .. } => {
                lead.on_request(group, gateway, (sequence, answered), theirs, op, time, now);
            }
            Frame::Feed { session, next, .. } => lead.on_feed(from, session, next),
            Frame::HubFeed { gateway, next, .. } => lead.on_hub_feed(from, gateway, next),
            Frame::Volatile { session, wall: theirs, message, .. } => {
                lead.on_volatile(session, message, theirs, time, machine, out);
            }
            Frame::Holds { sessions, .. } => lead.on_holds(from, sessions, machine, out),
            Frame::Renew { gateway, at, .. } => lead.on_renew(gateway, at, machine, now, out),
            Frame::Forward { from: shard, sequence, op, .. } => {
                lead.on_forward(group, machine, from, shard, sequence, op, (time, now), out);
            }
            Frame::AskSession { shard, client_id } => {
                let last = machine.last_attachment(&client_id);
                out.push(Addressed { to: from, frame: Frame::SessionIs { shard, client_id, last } });
            }
            Frame::Confirmed { to, upto, .. } => lead.on_confirmed(to, upto, machine, now, out),
            _ => {}
        }
    }
}
