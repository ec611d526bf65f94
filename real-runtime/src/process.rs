//! The limits of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Lets this process open as many files as the system allows it to, and says how many that are; `None` if there is no
/// limit. Every connection takes one, and the usual limit is far below what the system allows.
///
/// # Errors
/// If the system refuses.
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum)
}
