//! A node: its groups and their log, and a disk that forgets what was not synced.

use crate::machine::{Agreement, Machine};
use broker_core::cluster::Assignment;
use broker_core::face::{Record, Recovered, Snapshot};
use broker_core::ids::{Index, NodeId, ShardId, WriteId};
use broker_core::replication::node_log::Opened;
use broker_core::replication::raft::TailLimits;
use broker_core::replication::{Commit, GroupSetup, NodeLog, RaftGroup, Role};
use broker_core::time::Instant;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Records so large that a snapshot of the node is taken.
const SNAPSHOT_LOG_BYTES: u64 = 3_000;

/// So few entries are kept that a replica which was away needs the machine.
const TAIL: TailLimits = TailLimits { entries_max: 20, bytes_max: 4_000 };

/// What a node asks of its disk, in order.
#[derive(Clone, Debug)]
pub(crate) enum DiskJob {
    Write { id: WriteId, records: Vec<Record> },
    Snapshot(Snapshot),
}

/// What runs, and is gone after a crash.
struct Process {
    log: NodeLog,
    groups: BTreeMap<ShardId, RaftGroup>,
    machines: BTreeMap<ShardId, Machine>,
    /// What it proposed as a leader and did not see applied.
    proposed: BTreeSet<(ShardId, u64)>,
    snapshot_pending: bool,
}

/// A node.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// To whom each group is assigned, as far as this node knows.
    view: BTreeMap<ShardId, Assignment>,
    seed: u64,
    disk: Recovered,
    /// Handed to the disk and not synced.
    jobs: VecDeque<DiskJob>,
    process: Option<Process>,
    /// How often it went on with a machine that a leader sent.
    pub(crate) installs: usize,
    /// How often a crash took records.
    pub(crate) losses: usize,
    /// How often it began a replica of a group that was there already.
    pub(crate) joins: usize,
}

/// What comes of a turn.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) frames: Vec<(NodeId, ShardId, Bytes)>,
    /// Groups that it leads and that are where they were to be by the assignment of this epoch.
    pub(crate) settled: Vec<(ShardId, u64)>,
    /// How many jobs the disk was given.
    pub(crate) disk_jobs: usize,
}

impl Node {
    pub(crate) fn new(id: NodeId, view: BTreeMap<ShardId, Assignment>, seed: u64) -> Self {
        Node {
            id,
            view,
            seed,
            disk: Recovered::default(),
            jobs: VecDeque::new(),
            process: None,
            installs: 0,
            losses: 0,
            joins: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// A process begins with what is on disk.
    pub(crate) fn start(&mut self, agreement: &mut Agreement, now: Instant) -> Turn {
        let Opened { mut log, replicas, .. } =
            NodeLog::open(&self.disk, now).expect("what was written can be read");
        log.begin_life();
        let mut process = Process {
            log,
            groups: BTreeMap::new(),
            machines: BTreeMap::new(),
            proposed: BTreeSet::new(),
            snapshot_pending: false,
        };
        for (shard, replica) in replicas {
            process.groups.insert(shard, RaftGroup::open(self.setup(shard), replica, &process.log));
            process.machines.insert(shard, Machine::default());
        }
        self.process = Some(process);
        self.follow_view();
        let installs = self.installs;
        let turn = self.end_turn(agreement, now);
        self.installs = installs;
        turn
    }

    /// The process dies; of what was not synced the first `kept` records survive.
    pub(crate) fn crash(&mut self, mut kept: usize) {
        self.process = None;
        for job in std::mem::take(&mut self.jobs) {
            let DiskJob::Write { records, .. } = job else { continue };
            let survive = records.len().min(kept);
            kept -= survive;
            self.losses += usize::from(survive < records.len());
            self.disk.records.extend(records.into_iter().take(survive));
        }
    }

    /// The disk finishes its oldest job.
    pub(crate) fn synced(&mut self, agreement: &mut Agreement, now: Instant) -> Turn {
        match self.jobs.pop_front().expect("the disk has something to do") {
            DiskJob::Write { id, records } => {
                self.disk.records.extend(records);
                if let Some(process) = &mut self.process {
                    process.log.persisted(id);
                }
            }
            DiskJob::Snapshot(snapshot) => {
                self.disk.records.retain(|record| record.lsn > snapshot.upto);
                self.disk.snapshot = Some(snapshot);
                if let Some(process) = &mut self.process {
                    process.snapshot_pending = false;
                }
            }
        }
        self.end_turn(agreement, now)
    }

    pub(crate) fn tick(&mut self, agreement: &mut Agreement, now: Instant) -> Turn {
        let mut settled = Vec::new();
        for (shard, group) in self.process.iter_mut().flat_map(|process| &mut process.groups) {
            group.tick();
            let wanted = &self.view[shard];
            if group.steer(&wanted.replicas, wanted.epoch) {
                settled.push((*shard, wanted.epoch));
            }
        }
        Turn { settled, ..self.end_turn(agreement, now) }
    }

    /// It hears of the assignments as they are now.
    pub(crate) fn learn(&mut self, view: BTreeMap<ShardId, Assignment>) {
        self.view = view;
        self.follow_view();
    }

    /// Holds what is assigned to it, and nothing that is assigned to others for good.
    fn follow_view(&mut self) {
        for (shard, held) in self.view.clone() {
            let setup = self.setup(shard);
            let Some(process) = &mut self.process else { return };
            let (mine, has) = (held.replicas.contains(&self.id), process.groups.contains_key(&shard));
            if mine && !has {
                let begins = held.epoch == 0 && !process.log.has_given_up(shard);
                let group = if begins {
                    RaftGroup::found(setup, &held.replicas, Vec::new(), &mut process.log)
                } else {
                    self.joins += 1;
                    RaftGroup::join(setup, &mut process.log)
                };
                process.groups.insert(shard, group);
                process.machines.insert(shard, Machine::default());
            } else if !mine && has && held.settled {
                process.machines.remove(&shard);
                process.groups.remove(&shard).expect("just seen").give_up(&mut process.log);
            }
        }
    }

    fn setup(&self, shard: ShardId) -> GroupSetup {
        GroupSetup { group: shard, node: self.id, seed: self.seed, tail: TAIL }
    }

    pub(crate) fn receive(
        &mut self,
        from: NodeId,
        shard: ShardId,
        frame: &[u8],
        agreement: &mut Agreement,
        now: Instant,
    ) -> Turn {
        let group = self.process.as_mut().and_then(|process| process.groups.get_mut(&shard));
        if let Some(group) = group {
            group.step(from, frame).expect("what members say is taken");
        }
        self.end_turn(agreement, now)
    }

    pub(crate) fn unreachable(&mut self, peer: NodeId) {
        for group in self.groups() {
            group.unreachable(peer);
        }
    }

    /// Proposes a command, if this node leads.
    pub(crate) fn propose(
        &mut self,
        shard: ShardId,
        command: u64,
        agreement: &mut Agreement,
        now: Instant,
    ) -> Turn {
        if let Some(process) = &mut self.process {
            let group = process.groups.get_mut(&shard).expect("it leads it");
            if group.propose(Bytes::copy_from_slice(&command.to_le_bytes())).is_ok() {
                process.proposed.insert((shard, command));
            }
        }
        self.end_turn(agreement, now)
    }

    /// Hands the group of `shard` over to `to`, if this node leads it.
    pub(crate) fn transfer(
        &mut self,
        shard: ShardId,
        to: NodeId,
        agreement: &mut Agreement,
        now: Instant,
    ) -> Turn {
        if let Some(process) = &mut self.process {
            process.groups.get_mut(&shard).expect("it leads it").transfer_leader(to);
        }
        self.end_turn(agreement, now)
    }

    /// Whether its replica of `shard` leads.
    pub(crate) fn leads(&self, shard: ShardId) -> bool {
        let role = self.process.as_ref().and_then(|process| Some(process.groups.get(&shard)?.role()));
        matches!(role, Some(Role::Leader { .. }))
    }

    pub(crate) fn applied(&self, shard: ShardId) -> Option<(Index, &Machine)> {
        let process = self.process.as_ref()?;
        Some((process.groups.get(&shard)?.applied(), &process.machines[&shard]))
    }

    fn groups(&mut self) -> impl Iterator<Item = &mut RaftGroup> {
        self.process.iter_mut().flat_map(|process| process.groups.values_mut())
    }

    /// As a router does it: every group is advanced, what is committed applied, what was recorded handed to the disk.
    pub(crate) fn end_turn(&mut self, agreement: &mut Agreement, now: Instant) -> Turn {
        let mut turn = Turn::default();
        let Some(process) = &mut self.process else { return turn };
        for (shard, group) in &mut process.groups {
            let mut out = Vec::new();
            loop {
                group.advance(&mut process.log, &mut out);
                let machine = process.machines.get_mut(shard).expect("every group has one");
                while let Some(commit) = group.next_committed() {
                    match commit {
                        Commit::Machine { index, chunks } => {
                            *machine = Machine::of_chunks(&chunks);
                            agreement.on_machine(*shard, index, machine);
                            self.installs += 1;
                        }
                        Commit::Entry { index, term, data } => {
                            let command = u64::from_le_bytes(data[..].try_into().expect("eight bytes"));
                            agreement.on_applied(*shard, index, term, command);
                            machine.commands.push(command);
                            if process.proposed.remove(&(*shard, command)) {
                                agreement.on_acknowledged(*shard, command);
                            }
                        }
                    }
                }
                if let Role::Leader { term } = group.role() {
                    agreement.on_leader(*shard, term, self.id.0);
                }
                if group.wants_machine() {
                    group.offer_machine(machine.chunks());
                }
                if !group.is_unsaid() {
                    break;
                }
            }
            turn.frames.extend(out.into_iter().map(|(to, frame)| (to, *shard, frame)));
        }
        if let Some(write) = process.log.take_write(now) {
            self.jobs.push_back(DiskJob::Write { id: write.id, records: write.records });
            turn.disk_jobs += 1;
        }
        if !process.snapshot_pending && process.log.log_bytes() >= SNAPSHOT_LOG_BYTES {
            process.snapshot_pending = true;
            let replica = |(shard, group): (&ShardId, &RaftGroup)| {
                (*shard, group.replica(|| process.machines[shard].chunks()))
            };
            let replicas = process.groups.iter().map(replica).collect();
            self.jobs.push_back(DiskJob::Snapshot(process.log.snapshot(replicas)));
            turn.disk_jobs += 1;
        }
        turn
    }
}
