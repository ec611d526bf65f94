//! The process of a node: the core, its log, and what a driver does around them.

use super::Node;
use super::clock::Clock;
use super::flush::{Flush, Next};
use crate::disk::SimDisk;
use crate::history::{ClientNo, What};
use crate::run::Opener;
use crate::scenario::Scenario;
use crate::stage::{Happening, Life, NodeIx, Stage};
use broker_core::auth::{Credentials, Decision};
use broker_core::event::Event;
use broker_core::face::{Broker, Input, Output, Setup, Snapshot};
use broker_core::ids::ConnId;
use broker_core::storage::{DataId, Wal, WalError, WalOptions};
use broker_core::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Why a process cannot go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The log: a disk that fails, or damage.
    Wal(WalError),
    /// The core refused what it was to open.
    Open(String),
    /// The core panicked.
    Panic(String),
}

/// A running process.
pub(super) struct Process {
    pub(super) life: Life,
    pub(super) inbox: VecDeque<Input>,
    pub(super) turn_planned: bool,
    broker: Box<dyn Broker>,
    wal: Wal<SimDisk>,
    flush: Flush,
    /// The snapshot that is being written.
    snapshot: Option<Snapshot>,
    /// The credentials that are being checked.
    checks: BTreeMap<ConnId, Credentials>,
    wake_at: Option<Instant>,
    outputs: Vec<Output>,
}

impl Process {
    /// Reads the disk and opens the core.
    pub(super) fn open(node: &mut Node, stage: &mut Stage, opener: &dyn Opener) -> Result<Self, Failure> {
        let data_id = DataId(node.dice.next_u64());
        let options = WalOptions { node: node.spec.node, data_id, segment_bytes: node.spec.segment_bytes };
        let (wal, recovered) = Wal::open(node.disk.clone(), options).map_err(Failure::Wal)?;
        let report = wal.report();
        stage.record(What::LogRead {
            node: node.spec.node,
            records: recovered.records.len() as u64,
            torn_tail: report.torn.is_some(),
            unreadable_snapshots: u32::try_from(report.unreadable.len()).unwrap_or(u32::MAX),
        });
        let setup = Setup {
            node: node.spec.node,
            seed: node.dice.next_u64(),
            limits: node.spec.limits.clone(),
            durability: node.spec.durability,
            snapshot_log_bytes: node.spec.snapshot_log_bytes,
            report_every: node.spec.report_every_ms.map(Duration::from_millis),
            wall: node.clock.wall(stage.now),
            cluster: node.cluster.clone(),
        };
        let now = node.local(stage.now);
        let broker = guarded(|| opener.open(setup, recovered, now))?.map_err(Failure::Open)?;
        Ok(Process {
            life: Life(node.lives),
            inbox: VecDeque::new(),
            turn_planned: false,
            broker,
            wal,
            flush: Flush::default(),
            snapshot: None,
            checks: BTreeMap::new(),
            wake_at: None,
            outputs: Vec::new(),
        })
    }

    pub(super) fn happen(
        &mut self,
        node: &mut Node,
        stage: &mut Stage,
        happening: Happening,
        scenario: &Scenario,
        out: &mut Vec<Output>,
    ) -> Result<(), Failure> {
        match happening {
            Happening::Turn(..) => self.turn_planned = false,
            Happening::Wake(..) => {
                if self.wake_at.is_none_or(|at| at > stage.now) {
                    return Ok(());
                }
                self.wake_at = None;
                self.inbox.push_back(Input::Wake);
            }
            Happening::SyncDone(..) => self.sync_done(node)?,
            Happening::SyncDue(..) => {
                self.plan_sync(node, stage);
                return Ok(());
            }
            Happening::SnapshotDone(..) => self.snapshot_done()?,
            Happening::Checked(_, _, conn) => self.checked(stage, conn, scenario),
            _ => return Ok(()),
        }
        self.turn(node, stage, out)
    }

    /// Whether all that was written is on disk, nothing is to be done, and others go on with what it led.
    pub(super) fn is_idle(&self) -> bool {
        self.broker.may_stop() && self.flush.is_idle() && self.snapshot.is_none() && self.inbox.is_empty()
    }

    /// Schedules the next wake-up by the core's deadline.
    pub(super) fn plan_wake(&mut self, clock: &Clock, ix: NodeIx, stage: &mut Stage) {
        let Some((deadline, _)) = self.broker.deadline() else {
            self.wake_at = None;
            return;
        };
        // A deadline that is still due after its turn would stop time.
        let at = clock.world(deadline).max(stage.now + Duration::from_micros(1));
        if self.wake_at != Some(at) {
            self.wake_at = Some(at);
            stage.schedule(at, Happening::Wake(ix, self.life));
        }
    }

    /// Hands in what has arrived, and carries out what the core asks for.
    fn turn(&mut self, node: &mut Node, stage: &mut Stage, out: &mut Vec<Output>) -> Result<(), Failure> {
        let now = node.local(stage.now);
        let ix = node.ix.0 as u64;
        for input in &self.inbox {
            note_input(stage, ix, input);
        }
        let (broker, inbox, outputs) = (&mut self.broker, &mut self.inbox, &mut self.outputs);
        guarded(|| {
            for input in inbox.drain(..) {
                broker.handle(now, input);
            }
            broker.drain(outputs);
        })?;
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            if let Some(output) = self.carry_out(node, stage, output)? {
                out.push(output);
            }
        }
        self.outputs = outputs;
        self.plan_sync(node, stage);
        guarded(|| self.plan_wake(&node.clock, node.ix, stage))
    }

    /// Carries out one output, unless it is for the network.
    fn carry_out(
        &mut self,
        node: &mut Node,
        stage: &mut Stage,
        output: Output,
    ) -> Result<Option<Output>, Failure> {
        let ix = node.ix.0 as u64;
        match output {
            Output::Persist { write, records, urgent } => {
                for record in &records {
                    stage.note("persist", &[ix, write.0, record.lsn.0, urgent.into()], &record.body);
                }
                let wal = &mut self.wal;
                guarded(|| wal.append(&records))?.map_err(Failure::Wal)?;
                let patience = Duration::from_millis(node.spec.lazy_sync_ms);
                self.flush.appended(stage.now, write, urgent, patience);
            }
            Output::Snapshot(snapshot) => {
                stage.note("snapshot", &[ix, snapshot.upto.0], b"");
                if self.snapshot.replace(snapshot).is_none() {
                    stage.after(2 * node.sync_time(), Happening::SnapshotDone(node.ix, self.life));
                }
            }
            Output::Authenticate { conn, credentials } => {
                self.checks.insert(conn, credentials);
                let delay = node.dice.micros(node.spec.auth_us);
                stage.after(delay, Happening::Checked(node.ix, self.life, conn));
            }
            Output::Event(event) => {
                note_event(stage, ix, &event);
                if let Event::Leading { shard, .. } = &event {
                    stage.leaders.insert(*shard, node.spec.node);
                }
                stage.record(What::Broker { node: node.spec.node, event });
            }
            Output::SendClient { .. }
            | Output::CloseClient { .. }
            | Output::ReadClient { .. }
            | Output::SendPeer { .. }
            | Output::Members { .. }
            | Output::MembersChanged { .. } => return Ok(Some(output)),
        }
        Ok(None)
    }

    fn plan_sync(&mut self, node: &mut Node, stage: &mut Stage) {
        match self.flush.next(stage.now) {
            Some(Next::Sync) => {
                let time = node.sync_time();
                stage.after(time, Happening::SyncDone(node.ix, self.life));
            }
            Some(Next::Later(at)) => stage.schedule(at, Happening::SyncDue(node.ix, self.life)),
            None => {}
        }
    }

    /// The disk is synced at the end of the time that a sync takes: a crash during that time finds nothing synced.
    fn sync_done(&mut self, node: &mut Node) -> Result<(), Failure> {
        self.wal.sync().map_err(Failure::Wal)?;
        let write = self.flush.done();
        self.inbox.push_back(Input::Persisted { write });
        // What a disk thread does when it has nothing else to do, now and then.
        if self.flush.is_idle() && node.dice.percent(25) {
            self.wal.attest().map_err(Failure::Wal)?;
            self.wal.prepare().map_err(Failure::Wal)?;
        }
        Ok(())
    }

    fn snapshot_done(&mut self) -> Result<(), Failure> {
        let Some(snapshot) = self.snapshot.take() else {
            return Ok(());
        };
        let wal = &mut self.wal;
        guarded(|| wal.store_snapshot(&snapshot))?.map_err(Failure::Wal)?;
        self.inbox.push_back(Input::SnapshotStored { upto: snapshot.upto });
        Ok(())
    }

    /// Simulated clients say who they are by their user name: `c` and their number.
    fn checked(&mut self, stage: &Stage, conn: ConnId, scenario: &Scenario) {
        let Some(credentials) = self.checks.remove(&conn) else {
            return;
        };
        let number = credentials.user_name.as_ref().and_then(|name| name.strip_prefix('c')?.parse().ok());
        let decision = match number.map(ClientNo) {
            Some(client) if client.index() < scenario.clients.len() => {
                Decision::Allowed(Arc::new(scenario.permissions(client, stage.now)))
            }
            _ => Decision::BadUserNameOrPassword,
        };
        self.inbox.push_back(Input::Authenticated { conn, decision });
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("life", &self.life)
            .field("flush", &self.flush)
            .finish_non_exhaustive()
    }
}

/// Runs code of the core; a panic is a finding, not the end of the simulator.
fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let words = payload.downcast_ref::<String>().cloned();
        let words = words.or_else(|| payload.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        Failure::Panic(words.unwrap_or_else(|| "a panic without words".to_owned()))
    })
}

fn note_event(stage: &mut Stage, ix: u64, event: &Event) {
    match event {
        // The most frequent ones, and one that is long in words.
        Event::Durable { write } => stage.note("durable", &[ix, write.0], b""),
        Event::Dropped { reason, payload, .. } => stage.note("dropped", &[ix, *reason as u64], payload),
        event => stage.note("event", &[ix], format!("{event:?}").as_bytes()),
    }
}

fn note_input(stage: &mut Stage, ix: u64, input: &Input) {
    match input {
        Input::Wake => stage.note("wake", &[ix], b""),
        Input::ClientOpened { conn, .. } => stage.note("opened", &[ix, conn.0], b""),
        Input::ClientBytes { conn, bytes } => stage.note("bytes", &[ix, conn.0], bytes),
        Input::ClientSent { conn, bytes } => stage.note("sent", &[ix, conn.0, *bytes as u64], b""),
        Input::ClientClosed { conn } => stage.note("closed", &[ix, conn.0], b""),
        Input::Authenticated { conn, .. } => stage.note("authenticated", &[ix, conn.0], b""),
        Input::PeerUp { peer } => stage.note("peer up", &[ix, peer.0.into()], b""),
        Input::PeerFrame { peer, frame } => stage.note("frame", &[ix, peer.0.into()], frame),
        Input::PeerDown { peer } => stage.note("peer down", &[ix, peer.0.into()], b""),
        Input::Persisted { write } => stage.note("persisted", &[ix, write.0], b""),
        Input::SnapshotStored { upto } => stage.note("snapshot stored", &[ix, upto.0], b""),
        Input::ChangeMembers { request, .. } => stage.note("change members", &[ix, *request], b""),
        Input::Shutdown => stage.note("shutdown", &[ix], b""),
    }
}
