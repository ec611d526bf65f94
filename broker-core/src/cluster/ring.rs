//! The consistent-hash ring.
//!
//! Each node stands on a circle of 2^64 points at many places, its virtual nodes; what is hashed belongs to the nodes
//! that are met first, clockwise. A node that joins takes its part from everybody, and nothing moves between the others.

use super::hash::{Use, hash};
use crate::base::ids::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Virtual nodes a unit of weight. Part of the layout for ever: another number is another ring.
const POINTS_PER_WEIGHT: u32 = 128;

/// A node's share, relative to the others'; 0 is a member that is to hold nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weight(pub u8);

impl Default for Weight {
    fn default() -> Self {
        Weight(1)
    }
}

/// Where a node stands on the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Whose virtual nodes it has: its own, or those of the node that it has taken the place of.
    pub seat: NodeId,
    /// Its share.
    pub weight: Weight,
    /// What it shares its failures with, such as a room or a power line; empty if it stands for itself.
    pub domain: String,
}

impl Stand {
    /// At its own place, with the weight of most, for itself.
    pub fn plain(node: NodeId) -> Self {
        Stand { seat: node, weight: Weight::default(), domain: String::new() }
    }
}

/// The members of a cluster, each at the places of its virtual nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    points: Vec<(u64, NodeId)>,
    stands: BTreeMap<NodeId, Stand>,
}

impl Ring {
    /// A ring of these members. The order in which they are named does not matter; of a node named twice the last stand holds.
    pub fn new(members: impl IntoIterator<Item = (NodeId, Stand)>) -> Self {
        let stands: BTreeMap<NodeId, Stand> = members.into_iter().collect();
        let mut points: Vec<(u64, NodeId)> =
            stands.iter().flat_map(|(node, stand)| points_of(*node, stand)).collect();
        // Of two virtual nodes at one place the lower node comes first, on every machine.
        points.sort_unstable();
        Ring { points, stands }
    }

    /// The nodes that hold something, each once, in the order in which they are met from `place` on; those of a domain that was met before come
    /// behind all others.
    pub(super) fn walk(&self, place: u64) -> Vec<NodeId> {
        let start = self.points.partition_point(|(point, _)| *point < place);
        let (before, after) = self.points.split_at(start);
        let mut met = BTreeSet::new();
        let mut domains = BTreeSet::new();
        let (mut first, mut behind) = (Vec::new(), Vec::new());
        for (_, node) in after.iter().chain(before) {
            if !met.insert(*node) {
                continue;
            }
            let domain = self.stands[node].domain.as_str();
            let apart = domain.is_empty() || domains.insert(domain);
            if apart {
                first.push(*node);
            } else {
                behind.push(*node);
            }
            if met.len() == self.stands.len() {
                break;
            }
        }
        first.append(&mut behind);
        first
    }

    /// A member's weight, 0 for a node that is none.
    pub(super) fn weight(&self, node: NodeId) -> Weight {
        self.stands.get(&node).map_or(Weight(0), |stand| stand.weight)
    }
}

fn points_of(node: NodeId, stand: &Stand) -> impl Iterator<Item = (u64, NodeId)> + use<> {
    let seat = stand.seat;
    (0..u32::from(stand.weight.0) * POINTS_PER_WEIGHT).map(move |number| {
        let mut name = [0; 8];
        name[..4].copy_from_slice(&seat.0.to_le_bytes());
        name[4..].copy_from_slice(&number.to_le_bytes());
        (hash(Use::Node, &name), node)
    })
}

#[cfg(test)]
mod tests {
    use super::{NodeId, Ring, Stand, Weight};

    fn stand(node: u32, weight: u8, domain: &str) -> (NodeId, Stand) {
        let node = NodeId(node);
        (node, Stand { seat: node, weight: Weight(weight), domain: domain.to_owned() })
    }

    #[test]
    fn every_node_is_met_once_from_everywhere() {
        let ring = Ring::new([3, 1, 2].map(|node| (NodeId(node), Stand::plain(NodeId(node)))));
        for place in [0, 1, u64::MAX / 2, u64::MAX] {
            let mut met: Vec<NodeId> = ring.walk(place);
            met.sort_unstable();
            assert_eq!(met, [NodeId(1), NodeId(2), NodeId(3)]);
        }
    }

    #[test]
    fn a_node_is_met_first_as_often_as_it_weighs() {
        let ring = Ring::new([stand(1, 1, ""), stand(2, 3, ""), stand(3, 0, "")]);
        let places = (0..10_000_u64).map(|n| n * (u64::MAX / 10_000));
        let heavy = places.filter(|place| ring.walk(*place).first() == Some(&NodeId(2))).count();
        assert!((7_000..8_000).contains(&heavy), "{heavy} of 10000 for three quarters of the weight");
        assert!(!ring.walk(0).contains(&NodeId(3)), "a member of weight 0 holds nothing");
    }

    #[test]
    fn nodes_of_one_domain_are_met_behind_those_of_others() {
        let ring = Ring::new([stand(1, 1, "a"), stand(2, 1, "a"), stand(3, 1, "b"), stand(4, 1, "b")]);
        for place in (0..100).map(|n| n * (u64::MAX / 100)) {
            let met = ring.walk(place);
            let in_a = met[..2].iter().filter(|node| node.0 <= 2).count();
            assert_eq!((met.len(), in_a), (4, 1), "the first two are of two domains: {met:?}");
        }
    }
}
