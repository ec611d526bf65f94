//! Real sockets and a real disk under the core, and the commands of the `quorate` binary. It decides nothing.

pub mod auth;
pub mod cli;
pub mod config;
pub mod disk;
pub mod failure;
pub mod passwd;
