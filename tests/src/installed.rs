//! Programs that tests need and that cargo does not build.
//!
//! Where one is not installed the tests that need it are skipped with a message, except in CI, where that is a failure.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// Whether `program` can be started, and succeeds.
pub fn runs(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    // mosquitto's clients print their help and then say 1; what matters is that the program is there.
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success() || arguments == ["--help"])
}

/// Says on standard error that a test is skipped, and why. Returns false: what is needed is not there.
///
/// # Panics
/// In CI.
pub fn skip(why: &str) -> bool {
    assert!(env::var_os("CI").is_none(), "{why}, and nothing is skipped in CI: run ci/install");
    // Past the test harness, which would swallow it.
    writeln!(io::stderr(), "SKIPPED: {why}; ci/install installs what is missing")
        .expect("standard error is open");
    false
}
