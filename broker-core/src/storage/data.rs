//! What goes into the log and what comes back.

use crate::base::ids::Lsn;
use bytes::Bytes;
use std::fmt;

/// One record of the write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number; records have consecutive numbers.
    pub lsn: Lsn,
    /// Its content, in the core's own format.
    pub body: Bytes,
}

/// The state up to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record whose effect it holds.
    pub upto: Lsn,
    /// The state, in the core's own format.
    pub chunks: Vec<Bytes>,
}

/// What the driver read from disk before it opened the core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest good snapshot.
    pub snapshot: Option<Snapshot>,
    /// The records after it, without a gap, in order.
    pub records: Vec<Record>,
}

/// Which data folder a file belongs to: minted once, when the folder is first used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataId(pub u64);

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What recovery met on its way, for the log of the node; none of it lost anything that was durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments in the folder.
    pub segments: usize,
    /// Records handed out.
    pub records: usize,
    /// Un-synced writes that a crash left behind at the end of the log, now discarded.
    pub torn: Option<TornTail>,
    /// Snapshots that could not be read, newest first; an older one and the records after it took their place.
    pub unreadable: Vec<UnreadableSnapshot>,
}

/// Un-synced writes at the end of the log of which the first is missing or torn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: String,
    /// Where the log ends now, in bytes from the start of the segment.
    pub offset: u64,
    /// Bytes from there to the end of the last frame whose header survived.
    pub bytes: u64,
    /// The number of the first record that was discarded.
    pub lsn: Lsn,
}

/// A snapshot that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableSnapshot {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records in {} segments", self.records, self.segments)?;
        if let Some(torn) = &self.torn {
            let TornTail { file, offset, bytes, lsn } = torn;
            write!(
                f,
                "; discarded {bytes} bytes of un-synced writes in {file} at {offset}, from record {lsn} on"
            )?;
        }
        for UnreadableSnapshot { file, reason } in &self.unreadable {
            write!(f, "; {file} is unreadable ({reason}), an older state and the records after it are used")?;
        }
        Ok(())
    }
}
