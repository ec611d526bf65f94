//! The deterministic simulator: a world of virtual time, faulty disks and faulty links around the real core.
//!
//! A [`scenario::Scenario`] is data, a run of it gives a [`history::History`], and checkers read the history only.

pub mod disk;
pub mod history;
pub mod scenario;
