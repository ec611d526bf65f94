//! Who is in a cluster and who holds what: a ring of nodes, the groups laid out on it, and the directory in which both are kept.
//!
//! What belongs to which shard is a function of the number of shards, the same on every machine, in every version and for ever:
//! what is on disk was put there by it. It knows no connection and no replica's state.

pub mod directory;
mod hash;
mod introduction;
mod layout;
pub mod placement;
mod plan;
pub mod ring;

pub use directory::{Assignment, Change, Directory, META, Member, Refusal, Standing};
pub use introduction::{Introduction, Stranger};
pub use placement::{FilterShards, Placement};
pub use ring::{Ring, Stand, Weight};
