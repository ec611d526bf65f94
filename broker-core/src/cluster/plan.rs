//! What is to be done next so that every group is where it should be.
//!
//! One replica moves at a time: until its group has settled, nothing else is begun, unless the move itself goes to a node that is not to hold anything any more.

use super::directory::{Directory, MetaOp, Standing};
use super::layout;
use crate::base::ids::{NodeId, ShardId};
use std::collections::BTreeMap;

/// The next entry, if anything is to be done.
pub(super) fn next_op(directory: &Directory) -> Option<MetaOp> {
    let plan = Plan::new(directory);
    let unsettled = directory.assignments().iter().find(|(_, held)| !held.settled).map(|(group, _)| *group);
    if let Some(group) = unsettled {
        return plan.evacuate(group);
    }
    let groups = || directory.assignments().keys().copied();
    groups()
        .find_map(|group| plan.evacuate(group))
        .or_else(|| groups().find_map(|group| plan.fill(group)))
        .or_else(|| plan.forget())
        .or_else(|| plan.balance())
}

/// How the replicas are spread.
struct Plan<'a> {
    directory: &'a Directory,
    /// Of each group the nodes that it would be on, best first.
    preference: BTreeMap<ShardId, Vec<NodeId>>,
    /// How many replicas each node is assigned.
    load: BTreeMap<NodeId, usize>,
    /// All replicas, and all weight: a node's fair share is its part of the weight of the replicas.
    replicas: usize,
    weight: usize,
}

impl<'a> Plan<'a> {
    fn new(directory: &'a Directory) -> Self {
        let ring = directory.ring();
        let groups = directory.assignments();
        let mut load: BTreeMap<NodeId, usize> = directory.serving().map(|(node, _)| (node, 0)).collect();
        for node in groups.values().flat_map(|held| &held.replicas) {
            *load.entry(*node).or_default() += 1;
        }
        Plan {
            directory,
            preference: groups.keys().map(|group| (*group, layout::preference(&ring, *group))).collect(),
            replicas: load.values().sum(),
            weight: directory.serving().map(|(_, member)| usize::from(member.weight.0)).sum(),
            load,
        }
    }

    /// Takes a replica from a node that is not to hold any.
    fn evacuate(&self, group: ShardId) -> Option<MetaOp> {
        let held = &self.directory.assignments()[&group];
        let from = held.replicas.iter().copied().find(|node| !self.is_serving(*node))?;
        let to = self.best(group, Some(from))?;
        Some(MetaOp::Move { group, epoch: held.epoch, to: Some(to), from: Some(from) })
    }

    /// Gives a group a replica more if it has fewer than it should.
    fn fill(&self, group: ShardId) -> Option<MetaOp> {
        let held = &self.directory.assignments()[&group];
        let (_, wanted) = self.directory.shape();
        if held.replicas.len() >= usize::from(wanted) {
            return None;
        }
        let to = self.best(group, None)?;
        Some(MetaOp::Move { group, epoch: held.epoch, to: Some(to), from: None })
    }

    /// Ends the membership of a node that leaves and holds nothing.
    fn forget(&self) -> Option<MetaOp> {
        let leaving = |node: &NodeId| self.directory.members()[node].standing == Standing::Leaving;
        let empty = |node: &NodeId| self.load.get(node).is_none_or(|load| *load == 0);
        let mut nodes = self.directory.members().keys().copied();
        nodes.find(|node| leaving(node) && empty(node)).map(MetaOp::Gone)
    }

    /// Moves a replica from a node that has more than its share to one that has less than its own.
    ///
    /// First one of a group that would rather have it there, then any, for what the ring does not spread. Each makes it more even, so they come to an end; and
    /// nobody is given more than its share.
    fn balance(&self) -> Option<MetaOp> {
        let mut poorest: Vec<NodeId> = self.directory.serving().map(|(node, _)| node).collect();
        poorest.sort_by_key(|node| self.load[node] * 255 / self.weight_of(*node).max(1));
        let poor = || poorest.iter().copied().filter(|node| self.load[node] < self.share(*node));
        let preferred = poor().find_map(|to| self.moves_to(to, true).next());
        preferred.or_else(|| poor().find_map(|to| self.moves_to(to, false).next()))
    }

    /// The moves of a replica to `to` from nodes that can spare it: only of groups that prefer it there, or of all.
    fn moves_to(&self, to: NodeId, preferred: bool) -> impl Iterator<Item = MetaOp> {
        let wanted = usize::from(self.directory.shape().1);
        self.preference.iter().filter_map(move |(group, preference)| {
            let held = &self.directory.assignments()[group];
            let top = &preference[..preference.len().min(wanted)];
            if held.replicas.contains(&to) || (preferred && !top.contains(&to)) {
                return None;
            }
            let able = held.replicas.iter().copied().filter(|from| {
                let displaced = !preferred || !top.contains(from);
                displaced && self.has_to_spare(*from) && !self.shares_domain(to, &held.replicas, Some(*from))
            });
            let from = able.max_by_key(|node| self.load[node])?;
            Some(MetaOp::Move { group: *group, epoch: held.epoch, to: Some(to), from: Some(from) })
        })
    }

    /// The node that a group would have next in place of `from`: of another domain than those that stay if there is one, and of these one that has room if
    /// there is one.
    fn best(&self, group: ShardId, from: Option<NodeId>) -> Option<NodeId> {
        let held = &self.directory.assignments()[&group].replicas;
        let free = self.preference[&group].iter().copied().filter(|node| !held.contains(node));
        free.min_by_key(|node| (self.shares_domain(*node, held, from), !self.has_room(*node)))
    }

    /// Whether `to` would share its failure domain with a replica among `held` that stays when `from` goes.
    fn shares_domain(&self, to: NodeId, held: &[NodeId], from: Option<NodeId>) -> bool {
        let domain = |node: &NodeId| self.directory.members().get(node).map_or("", |member| &member.domain);
        let mut stay = held.iter().filter(|node| Some(**node) != from);
        !domain(&to).is_empty() && stay.any(|other| domain(other) == domain(&to))
    }

    fn is_serving(&self, node: NodeId) -> bool {
        self.directory.members().get(&node).is_some_and(|member| member.standing == Standing::Serving)
    }

    fn weight_of(&self, node: NodeId) -> usize {
        self.directory.members().get(&node).map_or(0, |member| usize::from(member.weight.0))
    }

    /// Whether it has less than its share, rounded up.
    fn has_room(&self, node: NodeId) -> bool {
        self.load[&node] < (self.replicas * self.weight_of(node)).div_ceil(self.weight.max(1))
    }

    /// Whether it has more than its share, rounded down.
    fn has_to_spare(&self, node: NodeId) -> bool {
        self.load[&node] > self.share(node)
    }

    /// Its share, rounded down.
    fn share(&self, node: NodeId) -> usize {
        self.replicas * self.weight_of(node) / self.weight.max(1)
    }
}
