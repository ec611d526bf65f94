//! The deterministic simulator: a world of virtual time, faulty disks and faulty links around the real core.
//!
//! A [`scenario::Scenario`] is data, [`run`] gives a [`history::History`], and checkers read the history only. Nothing in
//! a run depends on anything but the scenario: the same one gives the same [`TraceHash`].

mod client;
mod dice;
pub mod disk;
pub mod history;
mod link;
mod node;
mod peers;
mod run;
pub mod scenario;
mod script;
mod stage;
mod trace;
mod world;

pub use run::{Opener, Outcome, Production, RunOptions, Stats, run};
pub use trace::TraceHash;
