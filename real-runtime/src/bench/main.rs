//! `bench`: what a message and an idle connection cost a broker, beside other brokers on the same machine.
//!
//! Every figure is of the broker's process, read from `/proc`; the load comes from this process. Brokers take turns,
//! round by round, so that what else the machine does hits all of them.

mod client;
mod load;
mod probe;
mod report;
mod rounds;
mod subject;

use clap::{Arg, Command, value_parser};
use real_runtime::failure::Failure;
use std::path::PathBuf;
use std::process::ExitCode;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Rounds of all brokers and workloads.
    pub(crate) rounds: usize,
    /// Deliveries of one workload in one round.
    pub(crate) deliveries: u64,
    /// Idle connections.
    pub(crate) idle: usize,
    /// Only brokers whose name has this in it.
    pub(crate) only: Option<String>,
    /// The page whose section is replaced.
    pub(crate) write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = rounds::run(&options()).and_then(|results| {
        let text = report::markdown(&results);
        println!("{text}");
        match &results.options.write {
            Some(path) => report::write(path, &text),
            None => Ok(()),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

fn options() -> Options {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .default_value(default)
            .value_parser(value_parser!(u32).range(1..))
            .help(help)
    };
    let matches = Command::new("bench")
        .about("Measures what a message and an idle connection cost Quorate, mosquitto and rumqttd")
        .arg(number("rounds", "5", "Rounds of all brokers and workloads"))
        .arg(number("deliveries", "100000", "Deliveries of one workload in one round"))
        .arg(number("idle", "1000", "Idle connections"))
        .arg(Arg::new("only").long("only").value_name("NAME").help("Only brokers with NAME in their name"))
        .arg(
            Arg::new("write")
                .long("write")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Replace the section of this page, e.g. docs/performance.md"),
        )
        .get_matches();
    let number = |name| *matches.get_one::<u32>(name).expect("it has a default");
    Options {
        rounds: number("rounds") as usize,
        deliveries: u64::from(number("deliveries")),
        idle: number("idle") as usize,
        only: matches.get_one::<String>("only").cloned(),
        write: matches.get_one::<PathBuf>("write").cloned(),
    }
}

/// A failure of the benchmark itself.
pub(crate) fn failed(doing: &str, error: impl std::fmt::Display) -> Failure {
    Failure::run(format!("cannot {doing}: {error}"))
}
