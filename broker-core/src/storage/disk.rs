//! The disk as the core's storage code sees it: a folder of flat files.
//!
//! The real disk and the simulated one implement [`Disk`]; everything above it (segments, recycling, recovery) is the
//! same code on both. Nothing written is durable before [`Disk::sync`] of that file, and no name (creation, rename,
//! removal) before [`Disk::sync_dir`].

use std::fmt;

/// A flat folder of named files.
pub trait Disk {
    /// The names of all files, sorted.
    fn list(&mut self) -> Result<Vec<String>, DiskError>;
    /// Creates `name` with `len` zero bytes, written out (not sparse), so that later syncs need not move the file's
    /// size. An existing file is an error.
    fn create(&mut self, name: &str, len: u64) -> Result<(), DiskError>;
    /// The length of `name` in bytes.
    fn len(&mut self, name: &str) -> Result<u64, DiskError>;
    /// Reads up to `len` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError>;
    /// Writes all of `data` at `offset`, growing the file if needed. Readable at once, durable after [`Disk::sync`].
    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError>;
    /// Makes the contents of `name` durable (fdatasync).
    fn sync(&mut self, name: &str) -> Result<(), DiskError>;
    /// Renames `from` to `to`, replacing it.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Removes `name`.
    fn remove(&mut self, name: &str) -> Result<(), DiskError>;
    /// Makes creations, renames and removals durable (fsync of the folder).
    fn sync_dir(&mut self) -> Result<(), DiskError>;
}

/// A borrowed disk is one, too.
impl<D: Disk + ?Sized> Disk for &mut D {
    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        (**self).list()
    }
    fn create(&mut self, name: &str, len: u64) -> Result<(), DiskError> {
        (**self).create(name, len)
    }
    fn len(&mut self, name: &str) -> Result<u64, DiskError> {
        (**self).len(name)
    }
    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        (**self).read_at(name, offset, len)
    }
    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        (**self).write_at(name, offset, data)
    }
    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        (**self).sync(name)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        (**self).rename(from, to)
    }
    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        (**self).remove(name)
    }
    fn sync_dir(&mut self) -> Result<(), DiskError> {
        (**self).sync_dir()
    }
}

/// A call to the disk that failed. Fatal to the node: after a failed write or fsync nothing is known of what is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// The call that failed, e.g. `write_at`.
    pub call: &'static str,
    /// The file it was for.
    pub file: String,
    /// What kind of failure.
    pub kind: DiskErrorKind,
    /// The operating system's words.
    pub reason: String,
}

/// The failures that lead to different advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// No space is left.
    Full,
    /// No such file.
    NotFound,
    /// The process or machine went down during the call (simulated disks only).
    Crashed,
    /// The file is there already.
    Exists,
    /// Anything else.
    Other,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} failed: {}", self.call, self.file, self.reason)?;
        match self.kind {
            DiskErrorKind::Full => write!(f, "; free some space and start the node again"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for DiskError {}
