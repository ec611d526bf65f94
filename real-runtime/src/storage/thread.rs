//! The real disk's own thread. It collects whatever waits, appends it in one go, and syncs once for all of it: while one
//! sync runs the next batch gathers, so the disk's pace and not the number of messages says how often it is synced.
//!
//! ```text
//!             urgent, much, or old               no more                     for a while
//!   waiting ──────────────────────► append+sync ────────► (snapshot, a part) ───────────► attest, prepare
//!      ▲                                 │ report                 │                              │
//!      └─────────────────────────────────┴────────────────────────┴──────────────────────────────┘
//! ```

use super::{Reports, Storage, StorageError};
use broker_core::face::{Record, Snapshot};
use broker_core::ids::WriteId;
use broker_core::storage::disk::Disk;
use broker_core::storage::{SnapshotJob, Wal};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A log without work for this long prepares for the next burst.
const IDLE_AFTER: Duration = Duration::from_millis(500);
/// What a record takes in memory beside its body.
const RECORD_OVERHEAD_BYTES: u64 = 64;
/// Writes nobody waits for are written early when they fill this part of the queue.
const LAZY_SHARE: u64 = 4;

/// The bounds of the queue to the disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskBounds {
    /// Bytes that may wait before [`Storage::is_full`].
    pub queue_bytes_max: u64,
    /// How long a write that is not urgent may stay unsynced.
    pub sync_delay_max: Duration,
}

/// The loop's end of the queue to the disk.
#[derive(Debug)]
pub struct DiskQueue {
    shared: Arc<Shared>,
}

/// The thread, to be closed at the end.
#[derive(Debug)]
pub struct DiskThread {
    shared: Arc<Shared>,
    handle: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    bounds: DiskBounds,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug)]
struct State {
    writes: Vec<Record>,
    last_write: Option<WriteId>,
    snapshots: VecDeque<Snapshot>,
    /// Something in `writes` is waited for.
    urgent: bool,
    /// When the oldest of `writes` must be synced.
    due: Option<Instant>,
    /// Bytes in `writes`, and in the batch that is being written.
    bytes: u64,
    full: bool,
    closing: bool,
    /// The thread waits, and must be told of what it would not see by itself.
    asleep: bool,
    reports: Reports,
    failed: Option<StorageError>,
    waker: Waker,
}

/// What the thread does next.
enum Work {
    Write { records: Vec<Record>, last: Option<WriteId>, bytes: u64 },
    Snapshot(Snapshot),
    ContinueSnapshot,
    Rest,
    End,
}

impl DiskThread {
    /// Starts the thread that owns `wal`.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start<D: Disk + Send + 'static>(
        wal: Wal<D>,
        bounds: DiskBounds,
    ) -> io::Result<(DiskQueue, DiskThread)> {
        let state = State {
            writes: Vec::new(),
            last_write: None,
            snapshots: VecDeque::new(),
            urgent: false,
            due: None,
            bytes: 0,
            full: false,
            closing: false,
            asleep: false,
            reports: Reports::default(),
            failed: None,
            waker: Waker::noop().clone(),
        };
        let shared = Arc::new(Shared { bounds, state: Mutex::new(state), work: Condvar::new() });
        let ending = Ending(shared.clone());
        let handle = thread::Builder::new().name("disk".to_owned()).spawn(move || {
            let result = Writer { wal, shared: &ending.0, job: None, rested: false }.run();
            if let Err(error) = result {
                ending.0.lock().failed = Some(error);
            }
        })?;
        Ok((DiskQueue { shared: shared.clone() }, DiskThread { shared, handle }))
    }

    /// Writes and syncs everything that waits, and ends the thread.
    ///
    /// # Errors
    /// If the disk failed, now or before.
    pub fn close(self) -> Result<(), StorageError> {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        // The reason why a thread panicked was printed by it; `Ending` turned it into a failure.
        let _ = self.handle.join();
        match self.shared.lock().failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Storage for DiskQueue {
    fn persist(&mut self, write: WriteId, records: Vec<Record>, urgent: bool) {
        let bounds = self.shared.bounds;
        let mut state = self.shared.lock();
        state.bytes +=
            records.iter().map(|record| record.body.len() as u64 + RECORD_OVERHEAD_BYTES).sum::<u64>();
        state.writes.extend(records);
        state.last_write = Some(write);
        state.full |= state.bytes > bounds.queue_bytes_max;
        state.urgent |= urgent || state.bytes > bounds.queue_bytes_max / LAZY_SHARE;
        let first = state.due.is_none();
        if first && !state.urgent {
            state.due = Some(Instant::now() + bounds.sync_delay_max);
        }
        // Not for what the thread will see anyway: a wake-up is a system call.
        if state.asleep && (state.urgent || first) {
            state.asleep = false;
            self.shared.work.notify_one();
        }
    }

    fn snapshot(&mut self, snapshot: Snapshot) {
        let mut state = self.shared.lock();
        state.snapshots.push_back(snapshot);
        state.asleep = false;
        self.shared.work.notify_one();
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Result<Reports, StorageError> {
        let mut state = self.shared.lock();
        if !state.waker.will_wake(context.waker()) {
            state.waker.clone_from(context.waker());
        }
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => Ok(std::mem::take(&mut state.reports)),
        }
    }

    fn is_full(&self) -> bool {
        self.shared.lock().full
    }
}

impl Shared {
    /// A panic of the thread leaves the state whole: it is never held across a call to the disk.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do. `rested`: the log is ready for a burst; `writing`: a snapshot is half written.
    fn next(&self, rested: bool, writing: bool) -> Work {
        let idle_from = Instant::now();
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if state.urgent
                || state.due.is_some_and(|due| due <= now)
                || (state.closing && state.last_write.is_some())
            {
                state.urgent = false;
                state.due = None;
                let records = std::mem::take(&mut state.writes);
                return Work::Write { records, last: state.last_write.take(), bytes: state.bytes };
            }
            if writing {
                return Work::ContinueSnapshot;
            }
            if state.closing {
                return Work::End;
            }
            // Its records were handed out before it, but may still wait to be written lazily.
            if !state.snapshots.is_empty() {
                if state.last_write.is_some() {
                    state.urgent = true;
                    continue;
                }
                return Work::Snapshot(state.snapshots.pop_front().expect("it is not empty"));
            }
            let rest_at = (!rested && state.due.is_none()).then_some(idle_from + IDLE_AFTER);
            if rest_at.is_some_and(|at| at <= now) {
                return Work::Rest;
            }
            state.asleep = true;
            state = match state.due.or(rest_at) {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let timeout = until.saturating_duration_since(now);
                    self.work.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.asleep = false;
        }
    }

    fn written(&self, last: Option<WriteId>, bytes: u64) {
        let mut state = self.lock();
        state.bytes -= bytes;
        if state.bytes <= self.bounds.queue_bytes_max / 2 {
            state.full = false;
        }
        if last.is_some() {
            state.reports.persisted = last;
        }
        wake(state);
    }
}

/// Wakes the loop, which takes the lock first thing.
fn wake(state: MutexGuard<'_, State>) {
    let waker = state.waker.clone();
    drop(state);
    waker.wake();
}

/// Tells the loop when the thread ends, however it ends.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if thread::panicking() {
            state.failed = Some(StorageError::ThreadGone);
        }
        wake(state);
    }
}

struct Writer<'a, D> {
    wal: Wal<D>,
    shared: &'a Shared,
    job: Option<(SnapshotJob, broker_core::ids::Lsn)>,
    /// Nothing was written since the log was last made ready for a burst.
    rested: bool,
}

impl<D: Disk> Writer<'_, D> {
    fn run(mut self) -> Result<(), StorageError> {
        loop {
            match self.shared.next(self.rested, self.job.is_some()) {
                Work::Write { records, last, bytes } => {
                    self.rested = false;
                    self.wal.append(&records)?;
                    drop(records);
                    self.wal.sync()?;
                    self.shared.written(last, bytes);
                }
                Work::Snapshot(snapshot) => {
                    self.rested = false;
                    let upto = snapshot.upto;
                    self.job = Some((self.wal.begin_snapshot(snapshot)?, upto));
                }
                Work::ContinueSnapshot => self.continue_snapshot()?,
                Work::Rest => {
                    self.wal.attest()?;
                    self.wal.prepare()?;
                    self.rested = true;
                }
                Work::End => {
                    self.wal.attest()?;
                    return Ok(());
                }
            }
        }
    }

    fn continue_snapshot(&mut self) -> Result<(), StorageError> {
        let Some((job, upto)) = &mut self.job else { return Ok(()) };
        if self.wal.step_snapshot(job)? {
            let mut state = self.shared.lock();
            state.reports.snapshots.push(*upto);
            wake(state);
            self.job = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
