//! The standard campaigns: what `cargo test` holds the broker to, alone and as a member of a cluster.
//!
//! Each uses every core, and the two together no more than twice as many threads.

use chaos_scenarios::campaign::{self, Summary, Task};
use chaos_scenarios::trial::Ending;
use std::num::NonZeroUsize;

#[test]
fn two_thousand_seeds_of_one_node() {
    holds(&campaign::tasks(0, 2_000, None));
}

#[test]
fn five_thousand_seeds_of_clusters() {
    holds(&campaign::tasks_of_cluster(0, 5_000));
}

/// Runs them all: every promise holds, and all situations are reached.
fn holds(tasks: &[Task]) {
    let jobs = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let summary = campaign::run(tasks, jobs, |_| {});
    assert_eq!(summary.ending(), Ending::Holds, "{}", failures(&summary));
    assert!(summary.never().is_empty(), "no seed reached {:?}", summary.never());
}

/// The failures, each with the command that replays it.
fn failures(summary: &Summary) -> String {
    let lines = summary.failures.iter().map(|trial| {
        let crash = trial.crash.clone().map(|words| format!("the broker crashed: {words}"));
        let broken = trial.broken.first().map(|broken| format!("{}: {}", broken.name, broken.because));
        let what = crash.or(broken).unwrap_or_default();
        format!(
            "cargo run -p chaos-scenarios --bin chaos -- replay {} {}\n    {what}",
            trial.story, trial.seed
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
