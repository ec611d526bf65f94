//! Which nodes should hold a group's replicas, and which of them should lead it.

use super::hash::{Use, hash};
use super::ring::Ring;
use crate::base::ids::{NodeId, ShardId};
use std::collections::BTreeMap;

/// The nodes in the order in which a group would have its replicas on them.
///
/// Those that follow the group on the ring, so that of a change of members a group notices only that one of its nodes is another. A node whose
/// failure domain is met already comes behind those of other domains.
pub(super) fn preference(ring: &Ring, group: ShardId) -> Vec<NodeId> {
    ring.walk(hash(Use::Shard, &group.0.to_le_bytes()))
}

/// Of each group the node that should lead it: spread in proportion to weight, of equals the one that the group comes to first.
///
/// A ring alone spreads as few things as there are groups badly, and to move leadership costs no data.
pub(super) fn leaders<'a>(
    groups: impl Iterator<Item = (ShardId, &'a [NodeId])>,
    ring: &Ring,
) -> BTreeMap<ShardId, NodeId> {
    let mut leads: BTreeMap<NodeId, u32> = BTreeMap::new();
    let mut leaders = BTreeMap::new();
    for (group, replicas) in groups {
        // How many it would lead, and its weight: two such fractions are compared without dividing.
        let load = |node: NodeId| -> (u32, u32) {
            (leads.get(&node).copied().unwrap_or(0) + 1, u32::from(ring.weight(node).0))
        };
        let lighter = |left: NodeId, right: NodeId| -> bool {
            let ((left, left_weight), (right, right_weight)) = (load(left), load(right));
            left * right_weight < right * left_weight
        };
        let mut able = replicas.iter().copied().filter(|node| ring.weight(*node).0 > 0);
        let Some(first) = able.next() else { continue };
        let best = able.fold(first, |best, next| if lighter(next, best) { next } else { best });
        *leads.entry(best).or_default() += 1;
        leaders.insert(group, best);
    }
    leaders
}
