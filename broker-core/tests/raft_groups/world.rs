//! A little world of discrete events: nodes, lossy links, disks, crashes.

use crate::machine::Agreement;
use crate::node::{Node, Turn};
use broker_core::cluster::Assignment;
use broker_core::ids::{NodeId, ShardId};
use broker_core::rng::{Rng, mix};
use broker_core::time::{Duration, Instant};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const GROUPS: u16 = 2;
const TICK_MS: u64 = 100;

/// What is wrong with the world of one seed, and how much.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// In a thousand frames.
    lost: u64,
    /// Milliseconds that a frame takes at most.
    delay_ms_max: u64,
    /// Milliseconds that a sync takes at most.
    sync_ms_max: u64,
    /// In a thousand syncs, one that takes a second.
    stalls: u64,
    crashes: bool,
    partitions: bool,
    /// Whether one node is away for most of the time.
    away: bool,
    /// Whether replicas move from node to node.
    moves: bool,
    /// Milliseconds between two proposals to a group, at most.
    pace_ms_max: u64,
}

#[derive(Debug)]
enum Event {
    Tick(usize),
    Frame { to: usize, from: NodeId, shard: ShardId, frame: Bytes },
    Synced { node: usize, life: u32 },
    Propose(ShardId),
    Crash(usize),
    Start(usize),
    Partition,
    Transfer(ShardId),
    Move(ShardId),
    Learn(usize),
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// A hash of everything that happened, in order.
    pub(crate) trace: u64,
    pub(crate) acknowledged: usize,
    pub(crate) elections: usize,
    pub(crate) installs: usize,
    pub(crate) losses: usize,
    pub(crate) joins: usize,
    pub(crate) moves: usize,
}

pub(crate) struct World {
    rng: Rng,
    weather: Weather,
    nodes: Vec<Node>,
    /// To whom each group is assigned.
    assignments: BTreeMap<ShardId, Assignment>,
    moves: usize,
    /// Raised at every crash, so that a sync of the process before it is none of this one's.
    lives: Vec<u32>,
    agreement: Agreement,
    now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    /// Pairs of nodes of which the second does not hear the first.
    cut: BTreeSet<(usize, usize)>,
    healed: bool,
    next_command: u64,
    trace: u64,
}

impl World {
    pub(crate) fn new(seed: u64, size: u32) -> Self {
        let root = Rng::from_seed(seed);
        let mut rng = root.fork("weather");
        let often = |rng: &mut Rng, most: u64| if rng.chance(1, 2) { rng.below(most + 1) } else { 0 };
        let weather = Weather {
            lost: often(&mut rng, 250),
            delay_ms_max: rng.between(2, 120),
            sync_ms_max: rng.between(1, 40),
            stalls: often(&mut rng, 20),
            crashes: rng.chance(2, 3),
            partitions: rng.chance(2, 3),
            away: rng.chance(1, 2),
            moves: size > 3 && rng.chance(2, 3),
            pace_ms_max: rng.between(20, 200),
        };
        let members: Vec<NodeId> = (0..size).map(NodeId).collect();
        // Without moves all have everything.
        let held = if weather.moves { 3 } else { members.len() };
        let first: Vec<NodeId> = members.iter().copied().take(held).collect();
        let assignment = Assignment { replicas: first, epoch: 0, settled: true };
        let assignments: BTreeMap<ShardId, Assignment> =
            (0..GROUPS).map(|shard| (ShardId(shard), assignment.clone())).collect();
        let node = |id: &NodeId| Node::new(*id, assignments.clone(), seed);
        let mut world = World {
            rng: root.fork("events"),
            weather,
            nodes: members.iter().map(node).collect(),
            assignments: assignments.clone(),
            moves: 0,
            lives: vec![0; members.len()],
            agreement: Agreement::default(),
            now: Instant::ZERO,
            events: BTreeMap::new(),
            next_event: 0,
            cut: BTreeSet::new(),
            healed: false,
            next_command: 1,
            trace: seed,
        };
        for node in 0..world.nodes.len() {
            let at = world.rng.below(TICK_MS);
            world.schedule(at, Event::Start(node));
            world.schedule(at, Event::Tick(node));
        }
        for shard in (0..GROUPS).map(ShardId) {
            world.schedule(1_000, Event::Propose(shard));
            world.schedule(4_000, Event::Transfer(shard));
            if weather.moves {
                let at = world.rng.between(1_500, 4_000);
                world.schedule(at, Event::Move(shard));
            }
        }
        world.plan_faults();
        world
    }

    /// Faults for `faults_ms`, then none until all replicas agree on everything.
    ///
    /// # Panics
    /// If a promise is broken, or if they do not come to agree within a minute.
    pub(crate) fn run(mut self, faults_ms: u64) -> Summary {
        self.run_until(Instant::from_millis(faults_ms));
        self.heal();
        let limit = self.now + Duration::from_secs(60);
        let first = self.next_command;
        while !self.is_settled(first) {
            for shard in (0..GROUPS).map(ShardId) {
                self.propose_to_leaders(shard);
            }
            assert!(self.now < limit, "they do not come to agree: {}", self.state());
            let next = self.now + Duration::from_millis(500);
            self.run_until(next);
        }
        for shard in (0..GROUPS).map(ShardId) {
            for node in &self.assignments[&shard].replicas {
                let (_, machine) = self.nodes[index(*node)].applied(shard).expect("it has a replica");
                self.agreement.check_complete(shard, machine);
            }
        }
        Summary {
            trace: self.trace,
            acknowledged: self.agreement.acknowledged(),
            elections: self.agreement.elections(),
            installs: self.nodes.iter().map(|node| node.installs).sum(),
            losses: self.nodes.iter().map(|node| node.losses).sum(),
            joins: self.nodes.iter().map(|node| node.joins).sum(),
            moves: self.moves,
        }
    }

    fn plan_faults(&mut self) {
        if self.weather.crashes {
            let at = self.rng.between(1_500, 4_000);
            let node = self.any_node();
            self.schedule(at, Event::Crash(node));
        }
        if self.weather.partitions {
            let at = self.rng.between(1_500, 4_000);
            self.schedule(at, Event::Partition);
        }
        if self.weather.away {
            let node = self.any_node();
            let others: Vec<usize> = (0..self.nodes.len()).filter(|other| *other != node).collect();
            self.cut.extend(others.iter().flat_map(|other| [(*other, node), (node, *other)]));
        }
    }

    fn heal(&mut self) {
        self.healed = true;
        self.cut.clear();
        self.weather.lost = 0;
        self.weather.stalls = 0;
        for node in 0..self.nodes.len() {
            if !self.nodes[node].is_up() {
                self.schedule(1, Event::Start(node));
            }
        }
    }

    fn run_until(&mut self, end: Instant) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.note(&event);
            self.handle(event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Tick(node) => {
                self.schedule(TICK_MS, Event::Tick(node));
                self.turn(node, |node, agreement| node.tick(agreement, now));
            }
            Event::Frame { to, from, shard, frame } => {
                self.turn(to, |node, agreement| node.receive(from, shard, &frame, agreement, now));
            }
            Event::Synced { node, life } if life == self.lives[node] => {
                self.turn(node, |node, agreement| node.synced(agreement, now));
            }
            Event::Synced { .. } => {}
            Event::Propose(shard) => self.propose(shard),
            Event::Crash(node) => self.crash(node),
            Event::Start(node) if self.nodes[node].is_up() => {}
            Event::Start(node) => {
                self.turn(node, |node, agreement| node.start(agreement, now));
            }
            Event::Partition => self.partition(),
            Event::Move(shard) => self.move_replica(shard),
            Event::Learn(node) => {
                let view = self.assignments.clone();
                self.turn(node, |node, agreement| {
                    node.learn(view);
                    node.end_turn(agreement, now)
                });
            }
            Event::Transfer(shard) => {
                let after = self.rng.between(2_000, 8_000);
                self.schedule(after, Event::Transfer(shard));
                let to = self.any_node();
                let to = self.nodes[to].id;
                for node in self.leaders(shard) {
                    self.turn(node, |node, agreement| node.transfer(shard, to, agreement, now));
                }
            }
        }
    }

    fn propose(&mut self, shard: ShardId) {
        if self.healed {
            return;
        }
        let after = self.rng.between(1, self.weather.pace_ms_max);
        self.schedule(after, Event::Propose(shard));
        self.propose_to_leaders(shard);
    }

    /// To all who think that they lead: only one of them can be right.
    fn propose_to_leaders(&mut self, shard: ShardId) {
        let now = self.now;
        for node in self.leaders(shard) {
            let command = self.next_command;
            self.next_command += 1;
            self.turn(node, |node, agreement| node.propose(shard, command, agreement, now));
        }
    }

    fn crash(&mut self, node: usize) {
        if self.healed {
            return;
        }
        let kept = usize::try_from(self.rng.below(4)).expect("a few");
        self.lives[node] += 1;
        self.nodes[node].crash(kept);
        let down = self.rng.between(10, 4_000);
        self.schedule(down, Event::Start(node));
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let id = self.nodes[node].id;
            self.nodes[other].unreachable(id);
        }
        let (after, next) = (self.rng.between(200, 5_000), self.any_node());
        self.schedule(after, Event::Crash(next));
    }

    /// A replica is to be on another node, sometimes before the last move is at its end: every node hears of it some time.
    fn move_replica(&mut self, shard: ShardId) {
        if self.healed {
            return;
        }
        let after = self.rng.between(200, 5_000);
        self.schedule(after, Event::Move(shard));
        let held = self.assignments[&shard].clone();
        let to = NodeId(u32::try_from(self.any_node()).expect("a small number"));
        let waits = !held.settled && self.rng.chance(3, 4);
        if held.replicas.contains(&to) || waits {
            return;
        }
        let from = usize::try_from(self.rng.below(held.replicas.len() as u64)).expect("a small number");
        let mut replicas = held.replicas;
        replicas[from] = to;
        replicas.sort_unstable();
        self.assignments.insert(shard, Assignment { replicas, epoch: held.epoch + 1, settled: false });
        self.tell();
    }

    fn tell(&mut self) {
        for node in 0..self.nodes.len() {
            let after = self.rng.between(1, 1_000);
            self.schedule(after, Event::Learn(node));
        }
    }

    fn note_settled(&mut self, settled: Vec<(ShardId, u64)>) {
        for (shard, epoch) in settled {
            let held = self.assignments.get_mut(&shard).expect("a group");
            if held.epoch == epoch && !held.settled {
                held.settled = true;
                self.moves += 1;
                self.tell();
            }
        }
    }

    /// Some links are cut, in one direction or both, until the next change.
    fn partition(&mut self) {
        if self.healed {
            return;
        }
        self.cut.clear();
        if self.rng.chance(1, 2) {
            let size = self.nodes.len();
            let sides: Vec<bool> = (0..size).map(|_| self.rng.chance(1, 2)).collect();
            let one_way = self.rng.chance(1, 4);
            for (from, to) in (0..size).flat_map(|from| (0..size).map(move |to| (from, to))) {
                if sides[from] != sides[to] && (sides[from] || !one_way) {
                    self.cut.insert((from, to));
                }
            }
        }
        let after = self.rng.between(300, 6_000);
        self.schedule(after, Event::Partition);
    }

    /// Lets a node have its turn, and sends what comes of it.
    fn turn(&mut self, node: usize, act: impl FnOnce(&mut Node, &mut Agreement) -> Turn) {
        let turn = act(&mut self.nodes[node], &mut self.agreement);
        self.sync(node, turn.disk_jobs);
        self.note_settled(turn.settled);
        let from = self.nodes[node].id;
        for (to, shard, frame) in turn.frames {
            let to = usize::try_from(to.0).expect("a small number");
            let lost = self.rng.chance(self.weather.lost, 1_000) || self.cut.contains(&(node, to));
            if !lost {
                let delay = self.rng.between(1, self.weather.delay_ms_max);
                self.schedule(delay, Event::Frame { to, from, shard, frame });
            }
        }
    }

    fn sync(&mut self, node: usize, jobs: usize) {
        for _ in 0..jobs {
            let stall = if self.rng.chance(self.weather.stalls, 1_000) { 1_000 } else { 0 };
            let takes = stall + self.rng.between(1, self.weather.sync_ms_max);
            let life = self.lives[node];
            self.schedule(takes, Event::Synced { node, life });
        }
    }

    /// Whether all replicas have applied the same, a command from `first` on among it: then a leader has applied all that was ever
    /// acknowledged.
    fn is_settled(&self, first: u64) -> bool {
        (0..GROUPS).map(ShardId).all(|shard| {
            let held = &self.assignments[&shard];
            let states: Vec<_> =
                held.replicas.iter().map(|node| self.nodes[index(*node)].applied(shard)).collect();
            let others = self.nodes.iter().filter(|node| !held.replicas.contains(&node.id));
            if !held.settled || others.into_iter().any(|node| node.applied(shard).is_some()) {
                return false;
            }
            let same = states.windows(2).all(|pair| pair[0].is_some() && pair[0] == pair[1]);
            same && self.agreement.has_acknowledged_from(shard, first)
        })
    }

    fn state(&self) -> String {
        let replica = |node: &Node, shard: ShardId| {
            let applied = node.applied(shard).map(|(index, _)| index);
            format!("node {} shard {shard}: leads {}, applied {applied:?}", node.id, node.leads(shard))
        };
        let all =
            self.nodes.iter().flat_map(|node| (0..GROUPS).map(move |shard| replica(node, ShardId(shard))));
        all.collect::<Vec<_>>().join("; ")
    }

    fn leaders(&self, shard: ShardId) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].leads(shard)).collect()
    }

    fn any_node(&mut self) -> usize {
        usize::try_from(self.rng.below(self.nodes.len() as u64)).expect("a small number")
    }

    fn schedule(&mut self, after_ms: u64, event: Event) {
        let at = self.now + Duration::from_millis(after_ms);
        self.events.insert((at, self.next_event), event);
        self.next_event += 1;
    }

    /// Mixes what happens into the trace.
    fn note(&mut self, event: &Event) {
        let content = match event {
            Event::Frame { to, from, frame, .. } => {
                let bytes = frame.iter().fold(0, |hash, byte| mix(hash ^ u64::from(*byte)));
                bytes ^ ((*to as u64) << 8) ^ u64::from(from.0)
            }
            other => format!("{other:?}").bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte))),
        };
        self.trace = mix(self.trace ^ mix(self.now.as_nanos()) ^ content);
    }
}

fn index(node: NodeId) -> usize {
    usize::try_from(node.0).expect("a small number")
}
