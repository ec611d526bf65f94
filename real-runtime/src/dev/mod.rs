//! `quorate dev`: a whole cluster on this machine, each node a process of its own, to try it, to kill parts of it, and to add to it.

mod child;
mod join;
mod layout;
mod leftover;
mod supervise;

use crate::cli::DevArgs;
use crate::failure::Failure;
use crate::signals::StopSignals;
use layout::Prepared;
use std::io::{self, Write as _};
use std::path::PathBuf;
use supervise::Supervisor;
use tokio::runtime::Builder;

/// Runs the nodes until SIGINT or SIGTERM, then ends them in order. If this process is killed, they see the end of their standard
/// input, and end too.
///
/// # Errors
/// Says in one sentence what is wrong and what to do: a port in use, data of another cluster, a node that cannot start.
pub fn run(args: &DevArgs) -> Result<(), Failure> {
    let program = program()?;
    let Prepared { nodes, lock: _lock } = layout::prepare(args)?;
    let cannot = |error| Failure::run(format!("cannot start: {error}; see to the limits of this process"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    runtime.block_on(async {
        let signals = StopSignals::catch().map_err(cannot)?;
        Supervisor::start(program, nodes, args.restart, signals)?.await
    })
}

/// Tells whoever started this process.
fn say(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::run(format!("cannot write to standard output: {error}")))
}

/// This very program.
fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| {
        Failure::run(format!("cannot tell where this program is: {error}; start it by its path"))
    })
}
