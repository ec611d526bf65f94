//! Why a log cannot be opened or written: one sentence each, with the file and with what to do.

use super::data::DataId;
use super::disk::DiskError;
use crate::base::ids::{Lsn, NodeId};
use std::fmt;

/// Why the log cannot be opened or written. Opening changes nothing on disk before it is sure that it can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalError {
    /// A call to the disk failed. The log refuses everything after it: open it again.
    Disk(DiskError),
    /// A record that was durable is unreadable.
    Damaged {
        /// The segment.
        file: String,
        /// Where the record was expected, in bytes.
        offset: u64,
        /// Its number.
        lsn: Lsn,
        /// All records up to this one are proven to have been durable.
        proven: Lsn,
    },
    /// A file does not say what it is, or whose.
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file has one of our names, but is not ours.
    NotOurs {
        /// The file.
        file: String,
    },
    /// A file was written by a newer program.
    NewerFormat {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
    /// The data is another node's.
    OtherNode {
        /// The file.
        file: String,
        /// Whose it is.
        found: NodeId,
        /// Who asks.
        expected: NodeId,
    },
    /// Files of two data folders are mixed.
    OtherData {
        /// The file that differs.
        file: String,
        /// Its data id.
        found: DataId,
        /// That of the other files.
        expected: DataId,
    },
    /// Records are not there, because a segment is not.
    Missing {
        /// The first record that is missing.
        from: Lsn,
        /// The last one.
        upto: Lsn,
        /// The segment after the gap.
        before: String,
        /// The newest snapshot that could not be read, with which they would not be needed.
        unreadable: Option<String>,
    },
    /// There are snapshots, but no segment at all.
    NoSegments {
        /// The last record whose effect the newest snapshot holds.
        newest: Lsn,
    },
}

impl From<DiskError> for WalError {
    fn from(error: DiskError) -> Self {
        WalError::Disk(error)
    }
}

const RESTORE: &str = "nothing was changed; restore the data folder from a backup, or move it away and start with an \
                       empty one (a member of a cluster then joins as a new member)";

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalError::Disk(error) => write!(f, "{error}"),
            WalError::Damaged { file, offset, lsn, proven } => write!(
                f,
                "{file} is damaged: record {lsn} at byte {offset} is unreadable, although all records up to {proven} \
                 were on disk; {RESTORE}"
            ),
            WalError::Unreadable { file, reason } => write!(f, "{file} is damaged: {reason}; {RESTORE}"),
            WalError::NotOurs { file } => write!(
                f,
                "{file} is not a file of Quorate, or its first bytes are damaged; nothing was changed; choose another \
                 data folder, or move the file away if it does not belong here"
            ),
            WalError::NewerFormat { file, found, known } => write!(
                f,
                "{file} has format {found}, but this program knows formats up to {known}; nothing was changed; start \
                 the newer program that wrote it"
            ),
            WalError::OtherNode { file, found, expected } => write!(
                f,
                "{file} holds the data of node {found}, but this is node {expected}; nothing was changed; correct the \
                 node's number or its data folder"
            ),
            WalError::OtherData { file, found, expected } => write!(
                f,
                "{file} belongs to data folder {found}, but the other files to {expected}; nothing was changed; move \
                 away the files that do not belong here"
            ),
            WalError::Missing { from, upto, before, unreadable } => {
                write!(f, "records {from} to {upto} are missing: the segment before {before} is gone")?;
                if let Some(file) = unreadable {
                    write!(f, ", and {file}, which holds their effect, is unreadable")?;
                }
                write!(f, "; {RESTORE}")
            }
            WalError::NoSegments { newest } => write!(
                f,
                "the log is missing: there is a snapshot up to record {newest}, but no file wal-*; {RESTORE}"
            ),
        }
    }
}

impl std::error::Error for WalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WalError::Disk(error) => Some(error),
            _ => None,
        }
    }
}
