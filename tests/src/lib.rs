//! What the workspace tests share: packets as bytes, processes that cannot outlive a test, the broker under test and
//! clusters of it, its real clients, and a small client of our own for what real clients do not let one see.

pub mod broker;
pub mod clients;
pub mod cluster;
pub mod installed;
pub mod link;
pub mod mutate;
pub mod numbered;
pub mod oracle;
pub mod packets;
pub mod process;
pub mod stage;
pub mod wire;
