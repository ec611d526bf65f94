//! Many seeds: run on several threads, one world each, and merged in the order of the seeds, so that the result does not
//! depend on how many threads there were.

use crate::stories::{self, Story};
use crate::trial::{self, Ending, Trial};
use crate::{regressions, situations};
use serde::Serialize;
use std::collections::BTreeMap;
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
pub fn run(tasks: &[Task], jobs: usize, mut done: impl FnMut(&Trial)) -> Summary {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut trials: BTreeMap<usize, Trial> = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(place) else { return };
                    let trial = trial::run(task.story, task.seed);
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
}
