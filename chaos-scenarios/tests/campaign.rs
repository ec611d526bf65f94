//! The standard campaign: what `cargo test` holds the broker to.
//!
//! The seeds are cut in shares, one test each, so that the test runner's threads use all cores. Situations are counted over
//! all of them, by the share that ends last.

use chaos_scenarios::campaign::{self, Summary, Task};
use chaos_scenarios::trial::Ending;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// How many seeds the campaign has.
const SEEDS: u64 = 2_000;
/// In how many shares.
const SHARES: u64 = 4;

/// The situations that the shares reached so far, and how many shares have ended.
static REACHED: Mutex<(u64, BTreeMap<&'static str, u64>)> = Mutex::new((0, BTreeMap::new()));

#[test]
fn campaign_first_share() {
    share(0);
}

#[test]
fn campaign_second_share() {
    share(1);
}

#[test]
fn campaign_third_share() {
    share(2);
}

#[test]
fn campaign_fourth_share() {
    share(3);
}

fn share(number: u64) {
    let all = campaign::tasks(0, SEEDS, None);
    let tasks: Vec<Task> = all.into_iter().skip(number as usize).step_by(SHARES as usize).collect();
    let summary = campaign::run(&tasks, 1, |_| {});
    let never = note(&summary);
    assert_eq!(summary.ending(), Ending::Holds, "{}", failures(&summary));
    assert!(never.is_empty(), "situations that no seed reached: {never:?}");
}

/// Adds what a share reached. The last share gets the situations that none reached.
fn note(summary: &Summary) -> Vec<&'static str> {
    let mut reached = REACHED.lock().expect("no share panics while it counts");
    reached.0 += 1;
    for (name, count) in &summary.situations {
        *reached.1.entry(name).or_default() += count;
    }
    let last = reached.0 == SHARES;
    let never = reached.1.iter().filter(|(_, count)| last && **count == 0);
    never.map(|(name, _)| *name).collect()
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
