//! The `chaos` command: runs stories under the checkers, and replays a run to the bit.

mod failover;
mod replay;
mod run;

use chaos_scenarios::stories;
use chaos_scenarios::trial::Ending;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Exit status: an invariant is violated.
const VIOLATED: u8 = 1;
/// Exit status: wrong use.
const WRONG_USE: u8 = 2;
/// Exit status: something stays stuck after everything healed.
const LIVENESS: u8 = 3;
/// Exit status: the program under test panicked.
const CRASHED: u8 = 4;
/// Exit status: the same scenario gave two different runs.
const NOT_DETERMINISTIC: u8 = 5;

fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let wrong = error.use_stderr();
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            return ExitCode::from(if wrong { WRONG_USE } else { 0 });
        }
    };
    match dispatch(&matches) {
        Ok(status) => ExitCode::from(status),
        Err(words) => {
            eprintln!("chaos: {words}");
            ExitCode::from(WRONG_USE)
        }
    }
}

fn dispatch(matches: &ArgMatches) -> Result<u8, String> {
    match matches.subcommand() {
        Some(("list", _)) => list(),
        Some(("run", options)) => run::run(options),
        Some(("replay", options)) => replay::replay(options),
        Some(("failover", options)) => failover::failover(options),
        _ => unreachable!("a subcommand is required"),
    }
}

fn command() -> Command {
    let story =
        |name: &'static str| Arg::new(name).value_name("SCENARIO").help("A name that `chaos list` prints");
    let number = |name: &'static str, value: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(u64))
    };
    let jobs = number("jobs", "J").help("Threads [default: one for each core]");
    let run = Command::new("run")
        .about("Runs scenarios with many seeds and judges each run")
        .arg(story("scenario").long("scenario").help("Only this one [default: all in turn]"))
        .arg(
            Arg::new("cluster")
                .long("cluster")
                .action(ArgAction::SetTrue)
                .conflicts_with("scenario")
                .help("All scenarios of several nodes in turn, instead of those of one"),
        )
        .arg(number("seeds", "N").default_value("2000").help("How many seeds"))
        .arg(number("from", "SEED").default_value("0").help("The first seed"))
        .arg(jobs)
        .arg(Arg::new("until-failure").long("until-failure").action(ArgAction::SetTrue).help(
            "Stop at the first seed that fails, and name it last; seeds that are known to have failed once are left out",
        ))
        .arg(
            Arg::new("json")
                .long("json")
                .value_name("FILE")
                .help("Also write the summary, with all findings, to FILE"),
        )
        .arg(
            Arg::new("markdown")
                .long("markdown")
                .value_name("FILE")
                .help("Also write the summary as a page of Markdown to FILE"),
        )
        .arg(Arg::new("pieces").long("pieces").value_name("DIR").conflicts_with("until-failure").help(
            "Keep what is done in DIR, by the thousand, and go on from there: a long campaign may be interrupted",
        ));
    let replay = Command::new("replay")
        .about("Runs one seed twice, compares the runs, and tells what happened")
        .arg(story("scenario").required(true))
        .arg(
            Arg::new("seed")
                .value_name("SEED")
                .required(true)
                .value_parser(value_parser!(u64))
                .help("The seed"),
        )
        .arg(
            Arg::new("history")
                .long("history")
                .action(ArgAction::SetTrue)
                .help("Print every record of the history"),
        );
    let failover = Command::new("failover")
        .about("Kills leaders of shards in clusters that are well, and tells how long clients wait, in simulated time")
        .arg(number("seeds", "N").default_value("200").help("How many seeds, each with one crash"))
        .arg(number("from", "SEED").default_value("0").help("The first seed"));
    Command::new("chaos")
        .about("Breaks the broker on purpose, with seeds, and checks what it promises")
        .after_help(
            "Exit status: 0 all promises hold, 1 one is violated, 2 wrong use, 3 something stays stuck after everything \
             healed, 4 the broker panicked, 5 a run was not deterministic.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("list").about("Lists the scenarios"))
        .subcommand(run)
        .subcommand(replay)
        .subcommand(failover)
}

fn list() -> Result<u8, String> {
    let mut out = std::io::stdout().lock();
    for story in stories::ALL.iter().chain(stories::cluster::all()) {
        writeln!(out, "{:24} {} ({})", story.name, story.about, story.source)
            .map_err(|error| error.to_string())?;
    }
    Ok(0)
}

/// The story that an argument names.
fn story(options: &ArgMatches) -> Result<Option<&'static stories::Story>, String> {
    let Some(name) = options.get_one::<String>("scenario") else { return Ok(None) };
    let found = stories::find(name);
    found.map(Some).ok_or_else(|| format!("there is no scenario '{name}'; `chaos list` names them all"))
}

fn status(ending: Ending) -> u8 {
    match ending {
        Ending::Holds => 0,
        Ending::Violation => VIOLATED,
        Ending::Liveness => LIVENESS,
        Ending::Crash => CRASHED,
    }
}

fn is_interactive() -> bool {
    std::io::stderr().is_terminal()
}
