//! The queue machine: what a shard's replicas hold, and how the entries of its log change it.
//!
//! [`Machine::apply`] is a deterministic function of the state and the entry. It knows no connection, no clock and no
//! disk; what a connected client should see of an entry comes out as a [`Verdict`] and [`Effect`]s.

pub mod entry;
mod groups;
mod log;
pub mod machine;
pub mod queue;
pub mod session;
mod snapshot;

pub use entry::{Attach, Attachment, Detach, Effect, Entry, Op, Publish, QueueLimits, Step, Verdict};
pub use machine::Machine;
pub use snapshot::SnapshotError;
