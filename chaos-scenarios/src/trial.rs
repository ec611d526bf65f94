//! One run and its judgement.

use crate::checkers::{self, Because, CONVERGES, Verdict};
use crate::model::Model;
use crate::situations;
use crate::stories::Story;
use serde::Serialize;
use sim::scenario::Scenario;
use sim::{Outcome, Production, RunOptions, TraceHash};
use std::collections::BTreeMap;

/// What a run came to. Two runs of the same story and seed give the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// The story.
    pub story: &'static str,
    /// The seed.
    pub seed: u64,
    /// The run as one number.
    pub trace: TraceHash,
    /// Simulated time in milliseconds.
    pub simulated_ms: u64,
    /// PUBLISH packets that clients sent and received.
    pub messages: u64,
    /// The promises that were broken, in the order of their numbers.
    pub broken: Vec<Broken>,
    /// The program under test panicked or did not come to an end; its words.
    pub crash: Option<String>,
    /// The situations that were reached, and how often.
    pub situations: BTreeMap<&'static str, u32>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its number.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// Why.
    pub because: Because,
}

/// How a run ended, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The program under test panicked.
    Crash,
    /// A promise was broken.
    Violation,
    /// Nothing false was seen, but something stayed stuck.
    Liveness,
    /// All promises hold.
    Holds,
}

impl Trial {
    /// How the run ended.
    pub fn ending(&self) -> Ending {
        if self.crash.is_some() {
            Ending::Crash
        } else if self.broken.iter().any(|broken| broken.number != CONVERGES) {
            Ending::Violation
        } else if !self.broken.is_empty() {
            Ending::Liveness
        } else {
            Ending::Holds
        }
    }
}

/// Runs `story` with `seed` and judges the run.
pub fn run(story: &Story, seed: u64) -> Trial {
    judge(story, seed, &perform(&story.scenario(seed)))
}

/// Runs a scenario on the production core.
pub fn perform(scenario: &Scenario) -> Outcome {
    sim::run(scenario, &Production, RunOptions::default())
}

/// Judges a run of `story` with `seed`.
pub fn judge(story: &Story, seed: u64, outcome: &Outcome) -> Trial {
    let scenario = story.scenario(seed);
    let model = Model::new(&scenario, &outcome.history);
    let broken = checkers::judge(&model).into_iter().filter_map(|(checker, verdict)| {
        let because = match verdict {
            Verdict::Holds => return None,
            Verdict::Violated(because) => because,
            Verdict::Unknown(_) if outcome.crash.is_some() || story.leaves_open(checker.number) => {
                return None;
            }
            Verdict::Unknown(why) => unjudged(&model, &why),
        };
        Some(Broken { number: checker.number, name: checker.name, because })
    });
    Trial {
        story: story.name,
        seed,
        trace: outcome.trace,
        simulated_ms: outcome.stats.simulated_ms,
        messages: outcome.stats.published + outcome.stats.delivered,
        broken: broken.collect(),
        crash: outcome.crash.clone(),
        situations: situations::reached(&model),
    }
}

/// A promise that ought to be told from the history and cannot be: no better than a broken one.
fn unjudged(model: &Model<'_>, why: &str) -> Because {
    Because {
        what: format!("the history cannot tell, and the story says that it can: {why}"),
        client: None,
        conn: None,
        at: model.ground.last_at,
        message: None,
        causes: Vec::new(),
    }
}
