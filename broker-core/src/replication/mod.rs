//! What orders entries and says when one is committed. On a single node: the node's own log. In a cluster: a consensus group
//! a shard, all of whose records on a node are in one log.

pub mod configuration;
pub mod local;
pub mod node_log;
pub mod raft;
pub mod receipt;
pub mod replica;
pub mod upstream;

pub use local::LocalGroup;
pub use node_log::{NodeLog, NodeLogError};
pub use raft::{Commit, GroupSetup, ProposeError, RaftGroup, Role, StepError};
pub use receipt::{Committed, Owed, Receipt};
pub use replica::{Base, HardState, LogEntry, Replica};
pub use upstream::Upstream;
