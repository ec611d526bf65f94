//! The sans-IO core of Quorate: an MQTT 3.1.1 and 5.0 broker as a deterministic function of its inputs.
//!
//! A driver (the simulator, or real sockets) feeds [`Input`]s with the time, and ends each turn by draining
//! [`Output`]s. The core sees no socket, clock, thread, file or ambient randomness, so the list of inputs *is* the run.

pub mod auth;
pub mod base;
pub mod broker;
pub mod cluster;
pub mod codec;
pub mod event;
pub mod face;
pub mod message;
pub mod replication;
pub mod routing;
pub mod session;
pub mod shard;
pub mod storage;
pub mod topic;

pub use base::{ids, limits, rng, time};
pub use face::{Input, Output};
