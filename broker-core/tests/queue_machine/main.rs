//! The queue machine under random entries: alone, and as the shards of a little cluster.

mod cluster;
mod fencing;
mod single;
