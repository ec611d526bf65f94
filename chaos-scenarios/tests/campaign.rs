//! The standard campaigns: what `cargo test` holds the broker to, alone and as a member of a cluster.
//!
//! The seeds of each are cut in shares, one test each, so that the test runner's threads use all cores. Situations are counted over
//! all of them, by the share that ends last.

use chaos_scenarios::campaign::{self, Summary, Task};
use chaos_scenarios::trial::Ending;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// In how many shares a campaign is cut.
const SHARES: u64 = 4;

/// A campaign, and what its shares have reached so far.
struct Campaign {
    tasks: fn() -> Vec<Task>,
    /// Situations that cannot be reached.
    beyond: &'static [&'static str],
    /// How many shares have ended, and the situations that they reached.
    reached: Mutex<(u64, BTreeMap<&'static str, u64>)>,
}

static ALONE: Campaign = Campaign {
    tasks: || campaign::tasks(0, 2_000, None),
    beyond: &[],
    reached: Mutex::new((0, BTreeMap::new())),
};

static CLUSTER: Campaign = Campaign {
    tasks: || campaign::tasks_of_cluster(0, 5_000),
    // No bits rot on the disks of members yet, and what a member recovers it learns from the leader.
    beyond: &["damaged disk refused", "recovered sessions and messages"],
    reached: Mutex::new((0, BTreeMap::new())),
};

#[test]
fn campaign_first_share() {
    ALONE.share(0);
}

#[test]
fn campaign_second_share() {
    ALONE.share(1);
}

#[test]
fn campaign_third_share() {
    ALONE.share(2);
}

#[test]
fn campaign_fourth_share() {
    ALONE.share(3);
}

#[test]
fn cluster_campaign_first_share() {
    CLUSTER.share(0);
}

#[test]
fn cluster_campaign_second_share() {
    CLUSTER.share(1);
}

#[test]
fn cluster_campaign_third_share() {
    CLUSTER.share(2);
}

#[test]
fn cluster_campaign_fourth_share() {
    CLUSTER.share(3);
}

impl Campaign {
    fn share(&self, number: u64) {
        let tasks = (self.tasks)().into_iter().skip(number as usize).step_by(SHARES as usize);
        let summary = campaign::run(&tasks.collect::<Vec<Task>>(), 1, |_| {});
        let last = self.note(&summary);
        assert_eq!(summary.ending(), Ending::Holds, "{}", failures(&summary));
        if let Some(never) = last {
            assert_eq!(
                never, self.beyond,
                "the situations that no seed reached, and those that none can reach"
            );
        }
    }

    /// Adds what a share reached. The last share gets the situations that none reached.
    fn note(&self, summary: &Summary) -> Option<Vec<&'static str>> {
        let mut reached = self.reached.lock().expect("no share panics while it counts");
        reached.0 += 1;
        for (name, count) in &summary.situations {
            *reached.1.entry(name).or_default() += count;
        }
        let never = reached.1.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name);
        (reached.0 == SHARES).then(|| never.collect())
    }
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
