//! The consistent-hash ring.
//!
//! Each node stands on a circle of 2^64 points at many places, its virtual nodes; what is hashed belongs to the nodes
//! that are met first, clockwise. A node that joins takes its part from everybody, and nothing moves between the others.

use super::hash::{Use, hash};
use crate::base::ids::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// Virtual nodes a unit of weight. Part of the placement for ever: another number is another ring.
const POINTS_PER_WEIGHT: u32 = 128;

/// A node's share, relative to the others'; 0 is a member that is to hold nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(pub u8);

impl Default for Weight {
    fn default() -> Self {
        Weight(1)
    }
}

/// The members of a cluster, each at the places of its virtual nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    points: Vec<(u64, NodeId)>,
    weights: BTreeMap<NodeId, Weight>,
}

impl Ring {
    /// A ring of these members. The order in which they are named does not matter; of a node named twice the last weight holds.
    pub fn new(members: impl IntoIterator<Item = (NodeId, Weight)>) -> Self {
        let weights: BTreeMap<NodeId, Weight> = members.into_iter().collect();
        let mut points: Vec<(u64, NodeId)> =
            weights.iter().flat_map(|(node, weight)| points_of(*node, *weight)).collect();
        // Of two virtual nodes at one place the lower node comes first, on every machine.
        points.sort_unstable();
        Ring { points, weights }
    }

    /// A ring of members of equal weight.
    pub fn of_equals(members: &[NodeId]) -> Self {
        Ring::new(members.iter().map(|node| (*node, Weight::default())))
    }

    /// The nodes that hold something, each once, in the order in which they are met from `place` on.
    pub(super) fn walk(&self, place: u64) -> impl Iterator<Item = NodeId> {
        let start = self.points.partition_point(|(point, _)| *point < place);
        let (before, after) = self.points.split_at(start);
        let mut met = BTreeSet::new();
        after.iter().chain(before).map(|(_, node)| *node).filter(move |node| met.insert(*node))
    }

    /// A member's weight, 0 for a node that is none.
    pub(super) fn weight(&self, node: NodeId) -> Weight {
        self.weights.get(&node).copied().unwrap_or(Weight(0))
    }
}

fn points_of(node: NodeId, weight: Weight) -> impl Iterator<Item = (u64, NodeId)> {
    (0..u32::from(weight.0) * POINTS_PER_WEIGHT).map(move |number| {
        let mut name = [0; 8];
        name[..4].copy_from_slice(&node.0.to_le_bytes());
        name[4..].copy_from_slice(&number.to_le_bytes());
        (hash(Use::Node, &name), node)
    })
}

#[cfg(test)]
mod tests {
    use super::{NodeId, Ring, Weight};

    #[test]
    fn every_node_is_met_once_from_everywhere() {
        let ring = Ring::of_equals(&[NodeId(3), NodeId(1), NodeId(2)]);
        for place in [0, 1, u64::MAX / 2, u64::MAX] {
            let mut met: Vec<NodeId> = ring.walk(place).collect();
            met.sort_unstable();
            assert_eq!(met, [NodeId(1), NodeId(2), NodeId(3)]);
        }
    }

    #[test]
    fn a_node_is_met_first_as_often_as_it_weighs() {
        let ring = Ring::new([(NodeId(1), Weight(1)), (NodeId(2), Weight(3)), (NodeId(3), Weight(0))]);
        let places = (0..10_000_u64).map(|n| n * (u64::MAX / 10_000));
        let heavy = places.filter(|place| ring.walk(*place).next() == Some(NodeId(2))).count();
        assert!((7_000..8_000).contains(&heavy), "{heavy} of 10000 for three quarters of the weight");
        assert!(ring.walk(0).all(|node| node != NodeId(3)), "a member of weight 0 holds nothing");
    }
}
