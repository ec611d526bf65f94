//! `chaos run`.

use chaos_scenarios::campaign::{self, Summary, pieces};
use chaos_scenarios::trial::{Ending, Trial};
use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

pub(crate) fn run(options: &ArgMatches) -> Result<u8, String> {
    let story = super::story(options)?;
    let number = |name: &str| options.get_one::<u64>(name).copied();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = number("jobs").map_or(cores, |jobs| usize::try_from(jobs).unwrap_or(cores));
    if jobs == 0 {
        return Err("--jobs is at least 1".to_owned());
    }
    let seeds = number("seeds").unwrap_or(0);
    let from = number("from").unwrap_or(0);
    let tasks = match options.get_flag("cluster") {
        false => campaign::tasks(from, seeds, story),
        true => campaign::tasks_of_cluster(from, seeds),
    };
    let until_failure = options.get_flag("until-failure");
    let tasks = if until_failure { campaign::unknown(tasks) } else { tasks };
    let bar = bar(tasks.len() as u64);
    // The panics of the broker are caught and counted; their words are in the summary.
    std::panic::set_hook(Box::new(|_| {}));
    let mut failed = 0_u64;
    let done = |trial: &Trial| {
        failed += u64::from(trial.ending() != Ending::Holds);
        bar.set_message(format!("{failed} failed"));
        bar.inc(1);
    };
    let summary = match (until_failure, options.get_one::<String>("pieces")) {
        (true, _) => Ok(campaign::run_until_failure(&tasks, jobs, done)),
        (false, None) => Ok(campaign::run(&tasks, jobs, done)),
        (false, Some(folder)) => {
            let found = |runs| bar.inc(runs as u64);
            pieces::run(Path::new(folder), &tasks, jobs, done, found)
                .map_err(|error| format!("the pieces in {folder}: {error}"))
        }
    };
    // The bar's own hook would outlive it.
    drop(std::panic::take_hook());
    bar.finish_and_clear();
    let summary = summary?;
    if let Some(file) = options.get_one::<String>("markdown") {
        std::fs::write(file, page(&summary)).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    if let Some(file) = options.get_one::<String>("json") {
        let text = serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?;
        std::fs::write(file, text).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    let last = if until_failure { summary.line_until_failure() } else { summary.line() };
    let text = format!("{}{last}\n", table(&summary));
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(super::status(summary.ending()))
}

fn bar(length: u64) -> ProgressBar {
    let target =
        if super::is_interactive() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {msg}, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(length), target);
    bar.with_style(style.expect("the template is well formed"))
}

/// What a campaign came to, as a page of Markdown.
fn page(summary: &Summary) -> String {
    let mut text = String::from("# What a long campaign came to\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}; {} s of simulated time, {} messages. Before them {} seeds that had failed once.\n",
        summary.line(),
        summary.simulated_ms / 1_000,
        summary.messages,
        summary.regressions
    );
    let _ = writeln!(text, "| scenario | runs | failed |\n|---|---:|---:|");
    for (name, (runs, failed)) in &summary.stories {
        let _ = writeln!(text, "| `{name}` | {runs} | {failed} |");
    }
    let _ = writeln!(text, "\n| situation | runs that reached it |\n|---|---:|");
    for (name, runs) in &summary.situations {
        let _ = writeln!(text, "| {name} | {runs} |");
    }
    if !summary.failures.is_empty() {
        let _ = writeln!(text, "\nThe runs that failed:\n");
    }
    for trial in &summary.failures {
        let _ = writeln!(text, "- `chaos replay {} {}`", trial.story, trial.seed);
    }
    text
}

/// How many failures are told in the table.
const TOLD_MAX: usize = 20;

/// All but the last line.
fn table(summary: &Summary) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:<26}{:>8}{:>8}", "scenario", "seeds", "failed");
    for (name, (seeds, failed)) in &summary.stories {
        let _ = writeln!(text, "{name:<26}{seeds:>8}{failed:>8}");
    }
    let _ = writeln!(text, "\n{:<60}{:>8}", "situation", "seeds");
    for (name, count) in &summary.situations {
        let _ = writeln!(text, "{name:<60}{count:>8}{}", if *count == 0 { "  never reached" } else { "" });
    }
    if !summary.broken.is_empty() {
        let _ = writeln!(text, "\n{:<26}{:>8}", "broken promise", "seeds");
        for (name, count) in &summary.broken {
            let _ = writeln!(text, "{name:<26}{count:>8}");
        }
        let _ = writeln!(text);
    }
    for trial in summary.failures.iter().take(TOLD_MAX) {
        let crash = trial.crash.as_ref().map(|words| format!("the broker crashed: {words}"));
        let first = trial.broken.first().map(|broken| format!("{}: {}", broken.name, broken.because));
        let _ = writeln!(
            text,
            "chaos replay {} {}: {}",
            trial.story,
            trial.seed,
            crash.or(first).unwrap_or_default()
        );
    }
    if summary.failures.len() > TOLD_MAX {
        let _ = writeln!(text, "and {} more", summary.failures.len() - TOLD_MAX);
    }
    let _ = writeln!(text, "\n{} s simulated, {} messages", summary.simulated_ms / 1_000, summary.messages);
    text
}
