//! Running a scenario.

use crate::history::History;
use crate::scenario::Scenario;
use crate::trace::TraceHash;
use crate::world::World;
use broker_core::face::{Broker, Recovered, Setup};
use broker_core::time::Instant;

/// Opens the core of a node: the production one, or one with a planted mistake.
pub trait Opener {
    /// Opens a core.
    ///
    /// # Errors
    /// Why it cannot go on from what was recovered, in words.
    fn open(&self, setup: Setup, recovered: Recovered, now: Instant) -> Result<Box<dyn Broker>, String>;
}

impl<F> Opener for F
where
    F: Fn(Setup, Recovered, Instant) -> Result<Box<dyn Broker>, String>,
{
    fn open(&self, setup: Setup, recovered: Recovered, now: Instant) -> Result<Box<dyn Broker>, String> {
        self(setup, recovered, now)
    }
}

/// Opens the production core.
#[derive(Clone, Copy, Debug, Default)]
pub struct Production;

impl Opener for Production {
    fn open(&self, setup: Setup, recovered: Recovered, now: Instant) -> Result<Box<dyn Broker>, String> {
        let broker = broker_core::broker::open(setup, recovered, now).map_err(|error| error.to_string())?;
        Ok(Box::new(broker))
    }
}

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Whether to keep every event of the trace as a line.
    pub lines: bool,
    /// The run is broken off, as a crash, after this many events: time does not pass any more.
    pub events_max: u64,
    /// Stop at this time, as if the scenario ended there.
    pub until: Option<Instant>,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions { lines: false, events_max: 5_000_000, until: None }
    }
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What happened, as the clients saw it.
    pub history: History,
    /// The run as one number.
    pub trace: TraceHash,
    /// The events of the trace, if asked for.
    pub lines: Option<Vec<String>>,
    /// Figures of the run.
    pub stats: Stats,
    /// The broker panicked (its words), or the run did not come to an end.
    pub crash: Option<String>,
}

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events of the trace.
    pub events: u64,
    /// Simulated time that passed, in milliseconds.
    pub simulated_ms: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// PUBLISH packets that clients sent, resends included.
    pub published: u64,
    /// PUBLISH packets that clients received, resends included.
    pub delivered: u64,
}

/// Runs `scenario` on cores that `opener` opens. The same scenario gives the same outcome, to the bit.
///
/// # Panics
/// If the scenario has no node, or refers to a client or a node that it does not have.
pub fn run(scenario: &Scenario, opener: &dyn Opener, options: RunOptions) -> Outcome {
    World::new(scenario, opener, options).run()
}
