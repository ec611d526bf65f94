//! Who holds what in a cluster: a ring of nodes, and the shards placed on it.
//!
//! All of it is a function of the members and their weights, the same on every machine, in every version and for ever:
//! what is on disk was put there by it. It knows no connection and no replica's state.

mod hash;
pub mod placement;
pub mod ring;

pub use placement::{FilterShards, Placement};
pub use ring::{Ring, Weight};
