//! Stories, the swarm generator, the checkers and the `chaos` command: which promises are checked, on which runs.
//!
//! A [`sim::scenario::Scenario`] comes from a [`stories::Story`] or from the [`generator`] and a seed. It is run by the
//! simulator into a history; [`model::Model`] reads the history, the [`checkers`] judge it, and [`situations`] tells what
//! it was worth. A [`campaign`] does so for many seeds.

pub mod account;
pub mod campaign;
pub mod checkers;
pub mod diagram;
pub mod failover;
pub mod generator;
pub mod model;
pub mod regressions;
pub mod situations;
pub mod stories;
pub mod trial;

/// A scenario is a few million small allocations that live in one thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
