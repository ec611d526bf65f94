//! The queue machine: what a shard's replicas hold, and how the entries of its log change it.
//!
//! [`Machine::apply`] is a deterministic function of the state and the entry. It knows no connection, no clock and no
//! disk; what a connected client should see of an entry comes out as a [`Verdict`] and [`Effect`]s.

mod authors;
pub mod entry;
mod groups;
pub mod hub;
mod log;
pub mod machine;
mod outbox;
pub mod participant;
pub mod peer;
pub mod queue;
pub mod session;
mod shard_set;
mod snapshot;
mod stream;
mod streams;
mod verdict;

pub(crate) use authors::Authors;
pub use entry::{
    Attach, Attachment, Detach, Entry, Expected, OldConnection, Op, Publish, QueueLimits, SentUpto, Step,
};
pub use hub::{Hub, HubEntry};
pub use machine::Machine;
pub use participant::Participant;
pub use peer::PeerOp;
pub use session::SessionRecord;
pub use shard_set::ShardSet;
pub use snapshot::SnapshotError;
pub use stream::{GatewayId, Producer, Stamp};
pub use verdict::{Answered, Effect, Verdict};
