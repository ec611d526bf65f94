//! Real sockets and a real disk under the core, and the commands of the `quorate` binary. It decides nothing.

pub mod accept;
pub mod auth;
pub mod belongs;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod disk;
pub mod failure;
pub mod lock;
pub mod log;
pub mod members;
pub mod net;
pub mod node;
pub mod passwd;
pub mod peers;
pub mod process;
pub mod reload;
pub mod serve;
pub mod signals;
pub mod storage;
