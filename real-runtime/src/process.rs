//! The limits of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Lets this process open as many files as the system allows it to. Every connection takes one, and the usual limit is
/// far below what the system allows.
///
/// # Errors
/// If the system refuses.
pub fn raise_open_files() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
