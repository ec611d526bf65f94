//! Who is in a group, and how that changes.

use crate::base::ids::NodeId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// A majority of these decides; in ascending order.
    pub voters: Vec<NodeId>,
    /// While the group is between two configurations: the voters of the first, of which a majority is needed too. Otherwise none.
    pub outgoing: Vec<NodeId>,
    /// Those that are sent everything and decide nothing.
    pub learners: Vec<NodeId>,
    /// The assignment of the shard that this one follows: see [`Assignment`](crate::cluster::Assignment).
    pub epoch: u64,
}

impl Configuration {
    /// Of these voters, each once.
    pub fn of(voters: &[NodeId]) -> Self {
        let mut voters = voters.to_vec();
        voters.sort_unstable();
        voters.dedup();
        Configuration { voters, ..Configuration::default() }
    }

    /// Whether the group is between two configurations.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `node` is in it, as whatever.
    pub fn contains(&self, node: NodeId) -> bool {
        [&self.voters, &self.outgoing, &self.learners].into_iter().any(|nodes| nodes.contains(&node))
    }
}

/// A change of a group's members, one entry of its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconfigure {
    /// The assignment that it follows.
    pub epoch: u64,
    /// What changes. One step is taken at once; with several the group is between two configurations from then on; none leaves the first of them.
    pub steps: Vec<Step>,
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// It is sent everything, and decides nothing.
    Learner(NodeId),
    /// It decides.
    Voter(NodeId),
    /// It is none any more.
    Remove(NodeId),
}

impl Reconfigure {
    pub(super) fn encode(&self) -> Bytes {
        postcard::to_extend(self, Vec::new()).expect("encoding into memory does not fail").into()
    }

    /// What `bytes` say, if they end where it ends.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes(bytes) {
            Ok((change, [])) => Some(change),
            _ => None,
        }
    }
}
