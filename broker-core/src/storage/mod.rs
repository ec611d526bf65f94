//! What is kept on disk, as data and as a sequence of calls; the disk itself is the driver's.

pub mod disk;
