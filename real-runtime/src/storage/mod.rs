//! Where the core's records go: a seam between the loop and the disk.

mod direct;
mod thread;

pub use direct::DirectStorage;
pub use thread::{DiskBounds, DiskQueue, DiskThread};

use broker_core::face::{Record, Snapshot};
use broker_core::ids::{Lsn, WriteId};
use broker_core::storage::WalError;
use std::fmt;
use std::task::Context;

/// Takes what the core wants persisted and reports what is on disk. Nothing here waits.
pub trait Storage {
    /// Appends `records`; synced soon, at once if `urgent`.
    fn persist(&mut self, write: WriteId, records: Vec<Record>, urgent: bool);

    /// Stores `snapshot`.
    fn snapshot(&mut self, snapshot: Snapshot);

    /// What got on disk since the last call. Wakes `context` when there is more to report, or when
    /// [`Storage::is_full`] has become false.
    ///
    /// # Errors
    /// If the disk failed: nothing that was not reported may ever be acknowledged.
    fn poll(&mut self, context: &mut Context<'_>) -> Result<Reports, StorageError>;

    /// Whether so much waits for the disk that no more should be taken from clients.
    fn is_full(&self) -> bool;
}

/// What got on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// The highest write that is on disk, with all before it.
    pub persisted: Option<WriteId>,
    /// Snapshots, by the last record whose effect they hold.
    pub snapshots: Vec<Lsn>,
}

impl Reports {
    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.persisted.is_none() && self.snapshots.is_empty()
    }
}

/// Why nothing can be stored any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// The log could not be written.
    Wal(WalError),
    /// The thread that writes is gone, which is a bug.
    ThreadGone,
}

impl From<WalError> for StorageError {
    fn from(error: WalError) -> Self {
        StorageError::Wal(error)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::Wal(error) => write!(f, "{error}"),
            StorageError::ThreadGone => f.write_str("the thread that writes to the disk broke off"),
        }
    }
}

impl std::error::Error for StorageError {}
