//! Nodes of the run before, which end a moment after it: when `quorate dev` is killed they see the end of their standard input.

use crate::failure::Failure;
use crate::lock::{FolderError, FolderLock};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How often a folder is tried; the system tells nobody when a lock is released.
const TRIED_EVERY: Duration = Duration::from_millis(20);

/// Waits until no process uses one of the data folders any more; those that are not there are not used.
pub(super) fn await_end(
    mut folders: impl Iterator<Item = PathBuf>,
    timeout: Duration,
) -> Result<(), Failure> {
    let end = Instant::now() + timeout;
    folders.try_for_each(|folder| if folder.is_dir() { await_unused(&folder, end) } else { Ok(()) })
}

fn await_unused(folder: &Path, end: Instant) -> Result<(), Failure> {
    let mut is_told = false;
    loop {
        match FolderLock::take(folder) {
            Ok(_) => return Ok(()),
            Err(FolderError::InUse { process, .. }) if Instant::now() < end => {
                if !is_told {
                    let who = process.map_or("a process".to_owned(), |process| format!("process {process}"));
                    // Whoever does not read it waits all the same.
                    let _ =
                        writeln!(io::stderr(), "waiting for {who} to end, which uses {}", folder.display());
                    is_told = true;
                }
                thread::sleep(TRIED_EVERY);
            }
            Err(error) => return Err(Failure::run(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, FolderLock, await_end};

    #[test]
    fn a_folder_that_is_never_released_is_told_with_its_process() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let held = FolderLock::take(folder.path()).expect("nobody else knows it");
        let folders = || [folder.path().join("not there"), folder.path().to_owned()].into_iter();
        let refused = await_end(folders(), Duration::ZERO).expect_err("it is held").to_string();
        assert!(refused.contains(&format!("in use by process {}", std::process::id())), "{refused}");
        drop(held);
        assert_eq!(await_end(folders(), Duration::ZERO), Ok(()));
    }
}
