//! What orders entries and says when one is committed. On a single node: the node's own log.

pub mod local;
pub mod receipt;
pub mod upstream;

pub use local::LocalGroup;
pub use receipt::{Committed, Owed, Receipt};
pub use upstream::Upstream;
