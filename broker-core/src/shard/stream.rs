//! Who asks, and which of its requests this is.

use crate::base::ids::{NodeId, ShardId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The node that clients are connected to, in one of its lives.
///
/// The default is the only gateway of a node that holds everything itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GatewayId {
    /// The node.
    pub node: NodeId,
    /// Minted at every start of its process, rising.
    pub life: u64,
    /// Raised by the gateway when it must take itself for dropped by this shard, rising within a life.
    pub generation: u32,
}

impl GatewayId {
    /// Whether it is this gateway or an older one of the same node.
    pub(super) fn is_covered_by(self, other: GatewayId) -> bool {
        self.node == other.node && self <= other
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.node, self.life, self.generation)
    }
}

/// Whose numbered stream an entry comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Producer {
    /// A gateway.
    Gateway(GatewayId),
    /// The shard of a session.
    Shard(ShardId),
}

impl Producer {
    /// The gateway, if it is one.
    pub fn gateway(self) -> Option<GatewayId> {
        match self {
            Producer::Gateway(gateway) => Some(gateway),
            Producer::Shard(_) => None,
        }
    }
}

impl fmt::Display for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Producer::Gateway(gateway) => write!(f, "gateway {gateway}"),
            Producer::Shard(shard) => write!(f, "shard {shard}"),
        }
    }
}

/// The place of an entry in the stream of its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Whose stream.
    pub producer: Producer,
    /// Which of its requests, from 1 on without gaps.
    pub sequence: u64,
    /// The producer has the answers to all requests below this one: they need not be kept.
    pub answered: u64,
}
