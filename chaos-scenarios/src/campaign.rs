//! Many seeds: run on several threads, one world each, and merged in the order of the seeds, so that the result does not
//! depend on how many threads there were.

pub mod pieces;

use crate::stories::{self, Story};
use crate::trial::{self, Ending, Trial};
use crate::{regressions, situations};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// One run to be made.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// The story.
    pub story: &'static Story,
    /// The seed.
    pub seed: u64,
    /// Whether it is run because it failed once, beside the seeds that were asked for.
    pub regression: bool,
}

/// What a campaign came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Runs, without the regressions that were run first.
    pub seeds: u64,
    /// Regressions that were run first.
    pub regressions: u64,
    /// Runs in which a promise was broken.
    pub violations: u64,
    /// Runs in which nothing false was seen, but something stayed stuck.
    pub liveness_failures: u64,
    /// Runs in which the program under test panicked.
    pub crashes: u64,
    /// Simulated time in milliseconds.
    pub simulated_ms: u64,
    /// PUBLISH packets that clients sent and received.
    pub messages: u64,
    /// By story: runs, and runs that did not hold.
    pub stories: BTreeMap<&'static str, (u64, u64)>,
    /// By promise: runs in which it was broken.
    pub broken: BTreeMap<&'static str, u64>,
    /// By situation: runs in which it was reached.
    pub situations: BTreeMap<&'static str, u64>,
    /// The runs that did not hold, in the order of the tasks.
    pub failures: Vec<Trial>,
}

/// The tasks of `seeds` seeds from `from` on: the regressions first, then a rotation of all stories, or of
/// `only` one.
pub fn tasks(from: u64, seeds: u64, only: Option<&'static Story>) -> Vec<Task> {
    let known = known(|story| match only {
        Some(only) => only.name == story.name,
        None => !story.is_of_cluster(),
    });
    let fresh = (from..from.saturating_add(seeds)).map(|seed| Task {
        story: only.unwrap_or_else(|| stories::turn(seed)),
        seed,
        regression: false,
    });
    known.into_iter().chain(fresh).collect()
}

/// The same with the stories of several nodes.
pub fn tasks_of_cluster(from: u64, seeds: u64) -> Vec<Task> {
    let seeds = from..from.saturating_add(seeds);
    let fresh = seeds.map(|seed| Task { story: stories::cluster::turn(seed), seed, regression: false });
    known(Story::is_of_cluster).into_iter().chain(fresh).collect()
}

/// The regressions of these stories.
fn known(concerned: impl Fn(&Story) -> bool) -> Vec<Task> {
    let known = regressions::all().into_iter().filter_map(|regression| {
        let story = stories::find(&regression.story).filter(|story| concerned(story))?;
        Some(Task { story, seed: regression.seed, regression: true })
    });
    known.collect()
}

/// Makes all runs on `jobs` threads, and tells `done` each as it ends (in no particular order).
pub fn run(tasks: &[Task], jobs: usize, done: impl FnMut(&Trial)) -> Summary {
    summary(tasks, trials(tasks, jobs, |_| false, done))
}

/// The same up to the first run, in the order of the tasks, that does not hold: the summary's only failure. What threads ran beyond
/// it is not in the summary.
pub fn run_until_failure(tasks: &[Task], jobs: usize, done: impl FnMut(&Trial)) -> Summary {
    summary(tasks, trials(tasks, jobs, |trial| trial.ending() != Ending::Holds, done))
}

/// The tasks without those that are known to have failed once: what finds a mistake among the others does not know it by heart.
pub fn unknown(tasks: Vec<Task>) -> Vec<Task> {
    let known: BTreeSet<(&'static str, u64)> =
        known(|_| true).iter().map(|task| (task.story.name, task.seed)).collect();
    tasks.into_iter().filter(|task| !known.contains(&(task.story.name, task.seed))).collect()
}

/// The runs by their places among the tasks, up to the first that is the `last`.
fn trials(
    tasks: &[Task],
    jobs: usize,
    last: impl Fn(&Trial) -> bool + Sync,
    mut done: impl FnMut(&Trial),
) -> BTreeMap<usize, Trial> {
    let next = AtomicUsize::new(0);
    // The place after the last one to be run. Places are taken in order: all before it are run when it falls.
    let end = AtomicUsize::new(tasks.len());
    let (sender, receiver) = mpsc::channel();
    let mut trials: BTreeMap<usize, Trial> = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (sender, next, end, last) = (sender.clone(), &next, &end, &last);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let task = &tasks[place];
                    let trial = trial::run(task.story, task.seed);
                    if last(&trial) {
                        end.fetch_min(place + 1, Ordering::Relaxed);
                    }
                    // Nobody listens any more: the campaign was given up.
                    if sender.send((place, trial)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (place, trial) in receiver {
            done(&trial);
            trials.insert(place, trial);
        }
    });
    trials.split_off(&end.into_inner());
    trials
}

fn summary(tasks: &[Task], trials: BTreeMap<usize, Trial>) -> Summary {
    let mut summary = Summary::default();
    let together = tasks.iter().any(|task| task.story.is_of_cluster());
    let of_cluster = situations::names_of_cluster().filter(|_| together);
    for name in situations::names().chain(of_cluster) {
        summary.situations.insert(name, 0);
    }
    for (place, trial) in trials {
        match tasks[place].regression {
            true => summary.regressions += 1,
            false => summary.seeds += 1,
        }
        summary.add(trial);
    }
    summary
}

impl Summary {
    fn add(&mut self, trial: Trial) {
        self.simulated_ms += trial.simulated_ms;
        self.messages += trial.messages;
        for name in trial.situations.keys() {
            *self.situations.entry(name).or_default() += 1;
        }
        let story = self.stories.entry(trial.story).or_default();
        story.0 += 1;
        match trial.ending() {
            Ending::Holds => return,
            Ending::Violation => self.violations += 1,
            Ending::Liveness => self.liveness_failures += 1,
            Ending::Crash => self.crashes += 1,
        }
        story.1 += 1;
        for broken in &trial.broken {
            *self.broken.entry(broken.name).or_default() += 1;
        }
        self.failures.push(trial);
    }

    /// The gravest ending of all runs.
    pub fn ending(&self) -> Ending {
        self.failures.iter().map(Trial::ending).min().unwrap_or(Ending::Holds)
    }

    /// The situations that no run reached.
    pub fn never(&self) -> Vec<&'static str> {
        self.situations.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect()
    }

    /// The line that ends a campaign.
    pub fn line(&self) -> String {
        format!(
            "{} seeds, {} violations, {} liveness failures, {} crashes",
            self.seeds, self.violations, self.liveness_failures, self.crashes
        )
    }

    /// The same of a campaign that ends with the first failure: which run that was, and the promises that were broken in it.
    pub fn line_until_failure(&self) -> String {
        let Some(first) = self.failures.first() else { return self.line() };
        let mut broken: Vec<&str> = first.broken.iter().map(|broken| broken.name).collect();
        if first.crash.is_some() {
            broken.insert(0, "crash");
        }
        format!("{}; first: {} {}: {}", self.line(), first.story, first.seed, broken.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::Because;
    use crate::trial::Broken;

    /// The places and seeds that are run when a seed ending in 3 or 8 is the last.
    fn places_run(jobs: usize) -> Vec<(usize, u64)> {
        let tasks = tasks(0, 40, None);
        let tasks: Vec<Task> = unknown(tasks).into_iter().take(12).collect();
        let trials = trials(&tasks, jobs, |trial| trial.seed % 5 == 3, |_| {});
        trials.into_iter().map(|(place, trial)| (place, trial.seed)).collect()
    }

    #[test]
    fn a_campaign_ends_at_the_first_failure_in_order_on_however_many_threads() {
        let ran = places_run(1);
        assert_eq!(ran, [(0, 0), (1, 1), (2, 2), (3, 3)]);
        assert_eq!(places_run(4), ran);
    }

    #[test]
    fn what_failed_once_is_no_discovery() {
        let tasks = tasks_of_cluster(0, 100);
        let regressions = tasks.iter().filter(|task| task.regression).count();
        assert!(regressions > 0);
        let unknown = unknown(tasks);
        assert!(unknown.iter().all(|task| !task.regression));
        let of_swarm = |task: &&Task| task.story.name == "cluster-swarm";
        assert!(unknown.iter().filter(of_swarm).all(|task| task.seed != 9 && task.seed != 16));
    }

    #[test]
    fn the_last_line_names_the_first_failure() {
        let mut summary = Summary { seeds: 7, ..Summary::default() };
        assert_eq!(summary.line_until_failure(), "7 seeds, 0 violations, 0 liveness failures, 0 crashes");
        let because = Because {
            what: "it did not come".to_owned(),
            client: None,
            conn: None,
            at: Default::default(),
            message: None,
            causes: Vec::new(),
        };
        let broken = |number, name| Broken { number, name, because: because.clone() };
        summary.add(Trial {
            story: "cluster-swarm",
            seed: 6,
            trace: Default::default(),
            simulated_ms: 0,
            messages: 0,
            broken: vec![broken(1, "AckOwned"), broken(15, "Order")],
            crash: None,
            situations: BTreeMap::new(),
        });
        assert_eq!(
            summary.line_until_failure(),
            "7 seeds, 1 violations, 0 liveness failures, 0 crashes; first: cluster-swarm 6: AckOwned, Order"
        );
        summary.failures[0].crash = Some("it fell".to_owned());
        summary.failures[0].broken.truncate(1);
        assert!(summary.line_until_failure().ends_with("first: cluster-swarm 6: crash, AckOwned"));
    }
}
