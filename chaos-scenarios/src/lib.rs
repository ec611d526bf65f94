//! Stories, the swarm generator, the checkers and the `chaos` command: which promises are checked, on which runs.
//!
//! A [`sim::scenario::Scenario`] is run by the simulator into a history; [`model::Model`] reads the history, and the
//! [`checkers`] judge it.

pub mod checkers;
pub mod model;
