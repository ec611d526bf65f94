//! The `quorate` command.

use real_runtime::cli::{self, Request};
use real_runtime::config;
use real_runtime::dev;
use real_runtime::failure::Failure;
use real_runtime::members;
use real_runtime::passwd;
use real_runtime::serve;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If nobody reads it, the exit status still tells.
            let _ = writeln!(std::io::stderr(), "quorate: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

fn run(request: Request) -> Result<(), Failure> {
    match request {
        Request::Config { markdown } => {
            let text = if markdown { config::markdown() } else { config::template() };
            std::io::stdout()
                .write_all(text.as_bytes())
                .map_err(|error| Failure::run(format!("cannot write to standard output: {error}")))
        }
        Request::Passwd(args) => passwd::run(&args),
        Request::Members(args) => members::run(&args),
        Request::Dev(args) => dev::run(&args),
        Request::Serve(args) => serve::run(&args),
    }
}
