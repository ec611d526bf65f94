//! A node: a machine with a disk and clocks, and on it, while it is up, a process.

mod clock;
mod flush;
mod process;

pub(crate) use process::Failure;

use crate::dice::Dice;
use crate::disk::SimDisk;
use crate::history::{NodeDown, What};
use crate::run::Opener;
use crate::scenario::{NodeSpec, Scenario};
use crate::stage::{Happening, Life, NodeIx, Stage};
use broker_core::face::{ClusterSetup, Input, Output};
use broker_core::storage::WalError;
use broker_core::time::{Duration, Instant};
use clock::Clock;
use process::Process;

/// What the faults that are active make of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ground {
    /// The process stands still.
    pub(crate) paused: bool,
    /// What a sync takes longer.
    pub(crate) slow_sync: Duration,
    /// How much faster the monotonic clock runs.
    pub(crate) ppm: i32,
}

/// A crash that waits for its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ambush {
    /// At a disk call while the node serves.
    Serving {
        /// Whether the machine loses power.
        power: bool,
    },
    /// At a disk call of the next recoveries.
    Recovering {
        /// How many disk calls go well.
        ops: u64,
        /// How many recoveries.
        times: u32,
    },
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) spec: NodeSpec,
    cluster: Option<ClusterSetup>,
    ix: NodeIx,
    disk: SimDisk,
    clock: Clock,
    dice: Dice,
    ground: Ground,
    ambush: Option<Ambush>,
    process: Option<Box<Process>>,
    lives: u64,
    /// Its disk is damaged or lost, or it has left its cluster: it is not started again.
    refused: bool,
    /// Whether it was a member of its cluster by what it knew.
    member: bool,
    /// Its machine has no power: nobody answers, not even with a refusal.
    dark: bool,
    /// What happened while the process stood still.
    postponed: Vec<Happening>,
}

/// How an attempt to start ended.
#[derive(Debug)]
pub(crate) enum Start {
    /// The process serves.
    Up,
    /// It could not; see [`Node::failed`].
    Failed(Failure),
    /// It refused its disk, and stays down.
    Refused(String),
    /// There was nothing to do: it is up already, or never will be.
    Nothing,
}

impl Node {
    pub(crate) fn new(scenario: &Scenario, ix: NodeIx) -> Self {
        let spec = scenario.topology.nodes[ix.0].clone();
        let dice = Dice::new(scenario.seed, &format!("node {}", spec.node));
        Node {
            ix,
            cluster: scenario.cluster_setup(&spec),
            disk: SimDisk::new(dice.fork("disk")),
            clock: Clock::new(spec.wall_ms),
            dice,
            ground: Ground::default(),
            ambush: None,
            process: None,
            lives: 0,
            refused: false,
            member: false,
            dark: false,
            postponed: Vec::new(),
            spec,
        }
    }

    /// The life of its process, while it is up.
    pub(crate) fn life(&self) -> Option<Life> {
        self.process.as_ref().map(|process| process.life)
    }

    /// It is not started any more.
    pub(crate) fn retire(&mut self) {
        self.refused = true;
    }

    /// Whether it is not started any more.
    pub(crate) fn is_retired(&self) -> bool {
        self.refused
    }

    /// Takes note of whether it is a member. True if it is none any more.
    pub(crate) fn note_member(&mut self, member: bool) -> bool {
        std::mem::replace(&mut self.member, member) && !member
    }

    /// Whether its machine has no power.
    pub(crate) fn is_dark(&self) -> bool {
        self.dark
    }

    /// Whether its process stands still.
    pub(crate) fn is_paused(&self) -> bool {
        self.ground.paused
    }

    /// Its disk, to inject faults.
    pub(crate) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// How many draws its parts made; for the trace.
    pub(crate) fn draws(&self) -> u64 {
        self.dice.draws()
    }

    /// Starts the process, if it is down.
    pub(crate) fn start(&mut self, stage: &mut Stage, opener: &dyn Opener) -> Start {
        if self.process.is_some() || self.refused {
            return Start::Nothing;
        }
        if let Some(Ambush::Recovering { ops, .. }) = self.ambush {
            self.disk.crash_after_ops(ops);
        }
        self.lives += 1;
        self.dark = false;
        self.clock.restart(stage.now);
        let opened = Process::open(self, stage, opener);
        stage.note("start", &[self.ix.0 as u64, self.lives, self.dice.draws()], b"");
        match opened {
            Ok(process) => {
                self.disarm();
                self.process = Some(Box::new(process));
                stage.record(What::NodeUp { node: self.spec.node });
                self.plan_turn(stage);
                Start::Up
            }
            Err(Failure::Wal(damage)) if !matches!(damage, WalError::Disk(_)) => {
                self.refuse(damage.to_string())
            }
            Err(Failure::Open(words)) => self.refuse(words),
            Err(failure) => Start::Failed(failure),
        }
    }

    /// Hands `input` to the process, if it is up.
    pub(crate) fn input(&mut self, stage: &mut Stage, input: Input) {
        if let Some(process) = &mut self.process {
            process.inbox.push_back(input);
            self.plan_turn(stage);
        }
    }

    /// Lets something happen to the process; what it wants from the network is put in `out`.
    ///
    /// # Errors
    /// Why the process cannot go on.
    pub(crate) fn happen(
        &mut self,
        stage: &mut Stage,
        happening: Happening,
        scenario: &Scenario,
        out: &mut Vec<Output>,
    ) -> Result<(), Failure> {
        let Some(mut process) = self.process.take_if(|process| Some(process.life) == life_of(happening))
        else {
            return Ok(());
        };
        if self.ground.paused {
            self.postponed.push(happening);
            self.process = Some(process);
            return Ok(());
        }
        let done = process.happen(self, stage, happening, scenario, out);
        self.process = Some(process);
        done
    }

    /// Whether the process has done what it was told to do before it stops.
    pub(crate) fn is_idle(&self) -> bool {
        self.process.as_deref().is_none_or(Process::is_idle)
    }

    /// The process is gone.
    pub(crate) fn down(&mut self, stage: &mut Stage, why: NodeDown) {
        self.process = None;
        self.postponed.clear();
        self.dark = why == NodeDown::PowerLost;
        match why {
            NodeDown::PowerLost => {
                self.disk.power_loss(self.dice.stream());
            }
            _ => self.disk.process_crash(),
        }
        self.disk.set_syncs_fail(false);
        self.disk.set_writes_fail(false);
        stage.note("down", &[self.ix.0 as u64, self.lives, self.dice.draws()], b"");
        stage.record(What::NodeDown { node: self.spec.node, why });
    }

    /// What a failure makes of the node. The flag tells whether a supervisor starts the process again (otherwise the end
    /// of the fault does).
    pub(crate) fn failed(&mut self, failure: Failure) -> (NodeDown, bool) {
        let words = match failure {
            Failure::Wal(error) => error.to_string(),
            Failure::Open(words) => words,
            Failure::Panic(words) => return (NodeDown::Panicked(words), false),
        };
        if !self.disk.is_crashed() {
            return (NodeDown::DiskFailed(words), true);
        }
        match &mut self.ambush {
            Some(Ambush::Serving { power }) => {
                (if *power { NodeDown::PowerLost } else { NodeDown::Killed }, false)
            }
            Some(Ambush::Recovering { times, .. }) if *times > 1 => {
                *times -= 1;
                (NodeDown::PowerLost, true)
            }
            _ => {
                self.ambush = None;
                (NodeDown::PowerLost, true)
            }
        }
    }

    /// Sets a crash that waits for its moment: one while the node serves begins to count now.
    pub(crate) fn lie_in_wait(&mut self, ambush: Ambush, ops: u64) {
        self.ambush = Some(ambush);
        if matches!(ambush, Ambush::Serving { .. }) {
            self.disk.crash_after_ops(ops);
        }
    }

    /// No crash waits any more.
    pub(crate) fn disarm(&mut self) {
        self.ambush = None;
        self.disk.crash_after_ops(u64::MAX);
    }

    /// Bits of what is on disk flip.
    pub(crate) fn rot(&mut self, bits: u32) {
        for _ in 0..bits {
            self.disk.rot_random("", self.dice.stream());
        }
    }

    /// The wall clock jumps.
    pub(crate) fn jump(&mut self, by_ms: i64) {
        self.clock.jump(by_ms);
    }

    /// The ground under the node changes.
    pub(crate) fn set_ground(&mut self, stage: &mut Stage, ground: Ground) {
        let before = std::mem::replace(&mut self.ground, ground);
        if before.ppm != ground.ppm {
            self.clock.set_rate(stage.now, ground.ppm);
            if let Some(process) = &mut self.process {
                process.plan_wake(&self.clock, self.ix, stage);
            }
        }
        if before.paused && !ground.paused {
            for happening in std::mem::take(&mut self.postponed) {
                stage.schedule(stage.now, happening);
            }
        }
    }

    fn refuse(&mut self, words: String) -> Start {
        self.refused = true;
        Start::Refused(words)
    }

    fn plan_turn(&mut self, stage: &mut Stage) {
        let Some(process) = &mut self.process else {
            return;
        };
        if !process.turn_planned {
            process.turn_planned = true;
            let delay = Duration::from_micros(5 + self.dice.below(50));
            stage.after(delay, Happening::Turn(self.ix, process.life));
        }
    }

    fn sync_time(&mut self) -> Duration {
        self.dice.micros(self.spec.sync_us) + self.ground.slow_sync
    }

    fn local(&self, now: Instant) -> Instant {
        self.clock.local(now)
    }
}

const fn life_of(happening: Happening) -> Option<Life> {
    match happening {
        Happening::Turn(_, life)
        | Happening::Wake(_, life)
        | Happening::SyncDone(_, life)
        | Happening::SyncDue(_, life)
        | Happening::SnapshotDone(_, life)
        | Happening::Checked(_, life, _) => Some(life),
        _ => None,
    }
}
