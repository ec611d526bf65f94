//! The disk's thread over an in-memory disk.

use super::{DiskBounds, DiskQueue, DiskThread, Reports, Storage, StorageError};
use broker_core::face::{Record, Snapshot};
use broker_core::ids::{Lsn, NodeId, WriteId};
use broker_core::storage::disk::{Disk, DiskError, DiskErrorKind};
use broker_core::storage::{DataId, Wal, WalOptions};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(10);
const LAZY: Duration = Duration::from_millis(100);

/// A disk in memory that counts syncs, and can be told to wait or to fail in the next one.
#[derive(Clone, Default)]
struct Memory {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    syncs: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
    hold: Arc<Hold>,
}

/// Makes syncs wait.
#[derive(Default)]
struct Hold {
    /// Whether they are to wait, and whether one does.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Hold {
    fn pass(&self) {
        let mut state = self.state.lock().expect("whole");
        while state.0 {
            state.1 = true;
            self.changed.notify_all();
            state = self.changed.wait(state).expect("whole");
        }
        state.1 = false;
    }

    fn set(&self, hold: bool) {
        self.state.lock().expect("whole").0 = hold;
        self.changed.notify_all();
    }

    fn until_one_waits(&self) {
        let state = self.state.lock().expect("whole");
        let (state, _) =
            self.changed.wait_timeout_while(state, LONG, |(_, waiting)| !*waiting).expect("whole");
        assert!(state.1, "no sync was asked for");
    }
}

impl Memory {
    fn error(name: &str) -> DiskError {
        let reason = "told to".to_owned();
        DiskError { call: "sync", file: name.to_owned(), kind: DiskErrorKind::Other, reason }
    }
}

impl Disk for Memory {
    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        Ok(self.files.lock().expect("whole").keys().cloned().collect())
    }

    fn create(&mut self, name: &str, len: u64) -> Result<(), DiskError> {
        let zeros = vec![0; usize::try_from(len).expect("small")];
        self.files.lock().expect("whole").insert(name.to_owned(), zeros);
        Ok(())
    }

    fn len(&mut self, name: &str) -> Result<u64, DiskError> {
        Ok(self.files.lock().expect("whole")[name].len() as u64)
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let files = self.files.lock().expect("whole");
        let from = usize::try_from(offset).expect("small").min(files[name].len());
        let upto = (from + len).min(files[name].len());
        Ok(files[name][from..upto].to_vec())
    }

    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let mut files = self.files.lock().expect("whole");
        let file = files.get_mut(name).expect("it was created");
        let from = usize::try_from(offset).expect("small");
        file.resize(file.len().max(from + data.len()), 0);
        file[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        self.hold.pass();
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) { Err(Memory::error(name)) } else { Ok(()) }
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut files = self.files.lock().expect("whole");
        let file = files.remove(from).expect("it was created");
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.files.lock().expect("whole").remove(name);
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// Passes wake-ups on to the test's thread.
struct Ring(Sender<()>);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        // The test may have ended.
        let _ = self.0.send(());
    }
}

struct Bench {
    queue: DiskQueue,
    thread: DiskThread,
    waker: Waker,
    bell: Receiver<()>,
    next: u64,
}

impl Bench {
    fn new(disk: Memory, queue_bytes_max: u64) -> Self {
        Bench::with_delay(disk, queue_bytes_max, LAZY)
    }

    fn with_delay(disk: Memory, queue_bytes_max: u64, sync_delay_max: Duration) -> Self {
        let wal = Wal::open(disk, options()).expect("a good disk").0;
        let bounds = DiskBounds { queue_bytes_max, sync_delay_max };
        let (queue, thread) = DiskThread::start(wal, bounds).expect("a thread");
        let (sender, bell) = channel();
        Bench { queue, thread, waker: Waker::from(Arc::new(Ring(sender))), bell, next: 0 }
    }

    fn write(&mut self, len: usize, urgent: bool) -> WriteId {
        self.next += 1;
        let record = Record { lsn: Lsn(self.next), body: Bytes::from(vec![7; len]) };
        self.queue.persist(WriteId(self.next), vec![record], urgent);
        WriteId(self.next)
    }

    /// What is reported, waiting for the bell until there is something.
    fn report(&mut self) -> Result<Reports, StorageError> {
        let begun = Instant::now();
        loop {
            let reports = self.queue.poll(&mut Context::from_waker(&self.waker))?;
            if !reports.is_empty() {
                return Ok(reports);
            }
            let left = LONG.saturating_sub(begun.elapsed());
            self.bell.recv_timeout(left).expect("woken in time");
        }
    }
}

fn options() -> WalOptions {
    WalOptions { node: NodeId(1), data_id: DataId(1), segment_bytes: 4096 }
}

#[test]
fn everything_that_waits_is_synced_at_once() {
    let disk = Memory::default();
    let mut bench = Bench::new(disk.clone(), 1 << 20);
    disk.hold.set(true);
    let first = bench.write(10, true);
    disk.hold.until_one_waits();
    let before = disk.syncs.load(Ordering::SeqCst);
    let last = (0..9).map(|_| bench.write(10, true)).last();
    disk.hold.set(false);
    let mut persisted = None;
    while persisted != last {
        persisted = bench.report().expect("a good disk").persisted;
        assert!(persisted >= Some(first));
    }
    assert_eq!(disk.syncs.load(Ordering::SeqCst) - before, 2, "the first, and one for the nine behind it");
    bench.thread.close().expect("a good disk");
}

#[test]
fn a_write_that_nobody_waits_for_is_synced_in_time_or_with_the_next_urgent_one() {
    let mut bench = Bench::new(Memory::default(), 1 << 20);
    let begun = Instant::now();
    let lazy = bench.write(10, false);
    assert_eq!(bench.report().expect("a good disk").persisted, Some(lazy));
    assert!(begun.elapsed() >= LAZY, "not at once");
    bench.thread.close().expect("a good disk");
    // By itself it would be synced later than anybody waits here.
    let mut bench = Bench::with_delay(Memory::default(), 1 << 20, 2 * LONG);
    bench.write(10, false);
    let urgent = bench.write(10, true);
    assert_eq!(bench.report().expect("a good disk").persisted, Some(urgent), "with the urgent one");
    bench.thread.close().expect("a good disk");
}

#[test]
fn a_disk_that_is_behind_is_full_until_it_has_caught_up() {
    let disk = Memory::default();
    let mut bench = Bench::new(disk.clone(), 1_000);
    disk.hold.set(true);
    bench.write(10, true);
    disk.hold.until_one_waits();
    assert!(!bench.queue.is_full());
    let last = bench.write(2_000, true);
    assert!(bench.queue.is_full());
    disk.hold.set(false);
    while bench.report().expect("a good disk").persisted != Some(last) {}
    assert!(!bench.queue.is_full());
    bench.thread.close().expect("a good disk");
}

#[test]
fn a_failed_sync_is_reported_and_nothing_after_it() {
    let disk = Memory::default();
    let mut bench = Bench::new(disk.clone(), 1 << 20);
    disk.broken.store(true, Ordering::SeqCst);
    bench.write(10, true);
    assert!(matches!(bench.report(), Err(StorageError::Wal(_))));
    bench.write(10, true);
    assert!(matches!(bench.report(), Err(StorageError::Wal(_))), "it stays so");
    assert!(matches!(bench.thread.close(), Err(StorageError::Wal(_))));
}

#[test]
fn what_waits_at_the_close_is_found_again_with_its_snapshot() {
    let disk = Memory::default();
    let mut bench = Bench::new(disk.clone(), 1 << 20);
    for _ in 0..5 {
        bench.write(10, false);
    }
    bench.queue.snapshot(Snapshot { upto: Lsn(5), chunks: vec![Bytes::from_static(b"state")] });
    // What is not fetched in between comes in one report.
    let (mut persisted, mut snapshots) = (None, Vec::new());
    while snapshots.is_empty() {
        let reports = bench.report().expect("a good disk");
        persisted = reports.persisted.or(persisted);
        snapshots = reports.snapshots;
    }
    assert_eq!((persisted, snapshots), (Some(WriteId(5)), vec![Lsn(5)]));
    bench.write(10, false);
    bench.thread.close().expect("a good disk");
    let recovered = Wal::open(disk, options()).expect("a good disk").1;
    assert_eq!(recovered.snapshot.map(|snapshot| snapshot.upto), Some(Lsn(5)));
    assert_eq!(recovered.records.last().map(|record| record.lsn), Some(Lsn(6)));
}
