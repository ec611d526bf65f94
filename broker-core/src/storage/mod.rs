//! What is kept on disk: one write-ahead log a node, and snapshots of the state up to one of its records.
//!
//! The engine ([`Wal`]) does no I/O of its own: it calls a [`disk::Disk`], which is a folder in production and a
//! simulated disk that forgets, tears and rots in tests. Record bodies and snapshot chunks are opaque here.
//!
//! From the ground up: `disk` (the calls), `data` (what goes in and comes back), `error`, `header` (the first bytes of
//! every file), `frame` (one record), `segment` (one file of records), `snapshot`, `space` (which files there are),
//! `recovery` (decides what a folder holds, changes nothing), `wal` (the log). The bytes are in `docs/wal-format.md`.

pub mod conformance;
mod data;
pub mod disk;
mod error;
mod frame;
mod header;
mod recovery;
mod segment;
mod snapshot;
mod space;
mod wal;

pub use data::{DataId, Record, Recovered, RecoveryReport, Snapshot, TornTail, UnreadableSnapshot};
pub use error::WalError;
pub use snapshot::SnapshotJob;
pub use wal::{Wal, WalOptions};
