//! A folder for one process at a time.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The file that is locked, and holds the number of the process that locked it.
pub const NAME: &str = "lock";

/// Keeps other processes from using a folder for as long as this value lives.
#[derive(Debug)]
pub struct FolderLock {
    /// Held, not read: the system releases the lock when the process ends, however it ends.
    _file: File,
}

/// Why a data folder cannot be used.
#[derive(Debug)]
pub enum FolderError {
    /// Another process uses it.
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The process, if it left its number.
        process: Option<u32>,
    },
    /// The system refuses it.
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What failed.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
}

impl FolderLock {
    /// Locks `folder`, which is there, for this process.
    ///
    /// # Errors
    /// If another process holds the lock, or the system refuses it.
    pub fn take(folder: &Path) -> Result<FolderLock, FolderError> {
        let unusable =
            |error| FolderError::Unusable { folder: folder.to_owned(), what: "cannot be locked", error };
        let path = folder.join(NAME);
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = options.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let process = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
                return Err(FolderError::InUse { folder: folder.to_owned(), process });
            }
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(unusable)?;
        Ok(FolderLock { _file: file })
    }
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FolderError::InUse { folder, process } => {
                write!(f, "data folder {} is in use by ", folder.display())?;
                match process {
                    Some(process) => write!(f, "process {process}")?,
                    None => write!(f, "another process")?,
                }
                write!(f, "; stop it first, or choose another folder with --data")
            }
            FolderError::Unusable { folder, what, error } => {
                write!(f, "data folder {} {what}: {error}; ", folder.display())?;
                write!(f, "correct its permissions, or choose another folder with --data")
            }
        }
    }
}

impl std::error::Error for FolderError {}
