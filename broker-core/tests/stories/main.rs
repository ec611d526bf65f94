//! Short stories of one node, told as the timeline that the clients saw.
//!
//! Packet identifiers from 32768 on are those of the shard's queue, lower ones those of a clean session's own.

mod anything;
mod basics;
mod bench;
mod flow;
mod limits;
mod refusals;
mod sessions;
