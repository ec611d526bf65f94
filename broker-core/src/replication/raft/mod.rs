//! Consensus: a Raft group a shard, by the crate `raft`, behind a face of our own.
//!
//! From the ground up: `ids` (nodes as the crate numbers them), `setup` (settings, and what comes out), `wire` (what replicas say to each other, in our own format),
//! `tail` (the entries in memory), `check` (whether what another replica says can be true), `transfer` (machines sent in
//! pieces), `group` (the order of things), `members` (who is in the group, who is to lead it).
//!
//! What must be kept, because the crate does not enforce it:
//! - the only randomness in it is the election timeout; it is set from the seed before every tick;
//! - messages are never batched by it: with links that reorder, an append then carried entries that do not follow its previous one;
//! - what a replica says is sent when it is on disk; only a leader's appends may go before;
//! - no entry is applied here before it is on disk here;
//! - it panics on messages that contradict what it knows, so they are checked before it sees them.

mod check;
mod group;
mod ids;
mod members;
mod setup;
mod tail;
#[cfg(test)]
mod tests;
mod transfer;
mod wire;

pub use check::StepError;
pub use group::RaftGroup;
pub use setup::{Commit, GroupSetup, ProposeError, Role, TICK};
pub use tail::TailLimits;
pub(crate) use wire::told;
