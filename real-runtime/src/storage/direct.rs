//! A log that is written where it is asked to, in the loop itself: for simulated disks, whose calls take no time, and
//! for engines without threads.

use super::{Reports, Storage, StorageError};
use broker_core::face::{Record, Snapshot};
use broker_core::ids::WriteId;
use broker_core::storage::disk::Disk;
use broker_core::storage::{Wal, WalError};
use std::task::{Context, Waker};

/// A log that is written and synced in the call that asks for it.
#[derive(Debug)]
pub struct DirectStorage<D> {
    wal: Wal<D>,
    reports: Reports,
    failed: Option<WalError>,
    waker: Waker,
}

impl<D: Disk> DirectStorage<D> {
    /// Writes to `wal`.
    pub fn new(wal: Wal<D>) -> Self {
        DirectStorage { wal, reports: Reports::default(), failed: None, waker: Waker::noop().clone() }
    }

    fn done(&mut self, result: Result<(), WalError>, report: impl FnOnce(&mut Reports)) {
        match result {
            Ok(()) => report(&mut self.reports),
            Err(error) => self.failed = self.failed.take().or(Some(error)),
        }
        self.waker.wake_by_ref();
    }
}

impl<D: Disk> Storage for DirectStorage<D> {
    fn persist(&mut self, write: WriteId, records: Vec<Record>, _urgent: bool) {
        let result = self.wal.append(&records).and_then(|()| self.wal.sync());
        self.done(result, |reports| reports.persisted = Some(write));
    }

    fn snapshot(&mut self, snapshot: Snapshot) {
        let result = self.wal.store_snapshot(&snapshot);
        self.done(result, |reports| reports.snapshots.push(snapshot.upto));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Result<Reports, StorageError> {
        self.waker.clone_from(context.waker());
        match &self.failed {
            Some(error) => Err(error.clone().into()),
            None => Ok(std::mem::take(&mut self.reports)),
        }
    }

    fn is_full(&self) -> bool {
        false
    }
}
