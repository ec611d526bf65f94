//! The directory of a cluster: its members, and which of them each group of replicas is assigned to.
//!
//! It is the machine of the meta group: a deterministic function of that group's entries. Every member has a copy, which may be old.

use super::layout;
use super::plan;
use super::ring::{Ring, Stand, Weight};
use crate::base::ids::{NodeId, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The group that keeps the directory. It is placed like a shard, and is none.
pub const META: ShardId = ShardId(u16::MAX);

/// A member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where other members reach it, as the driver understands it.
    pub address: String,
    /// Its share of the replicas, relative to the others'.
    pub weight: Weight,
    /// What it shares its failures with; empty if it stands for itself. Replicas of a group are put into different domains while there are enough.
    pub domain: String,
    /// Whose place on the ring it has: its own, or that of a member which it has replaced.
    pub seat: NodeId,
    /// Whether it is to hold anything.
    pub standing: Standing,
}

impl Member {
    /// Of the weight of most, for itself.
    pub fn plain(node: NodeId, address: impl Into<String>) -> Self {
        Member {
            address: address.into(),
            weight: Weight::default(),
            domain: String::new(),
            seat: node,
            standing: Standing::Serving,
        }
    }

    fn stand(&self) -> Stand {
        Stand { seat: self.seat, weight: self.weight, domain: self.domain.clone() }
    }
}

/// Whether a member is to hold replicas and serve clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It is.
    Serving,
    /// It is not, for the time being.
    Draining,
    /// It is not, and is no member any more when it holds nothing.
    Leaving,
}

/// The nodes that a group's replicas are to be on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Each once, in ascending order.
    pub replicas: Vec<NodeId>,
    /// How often it was changed.
    pub epoch: u64,
    /// Whether the group's committed configuration is this.
    pub settled: bool,
}

/// What an operator wants of the members. Each can be asked for again without harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A node becomes a member.
    Join {
        /// A number that no member ever had.
        node: NodeId,
        /// What is to be known of it.
        member: Member,
    },
    /// A member is to hold nothing, and to send its clients to others, until it is to serve again.
    Drain(NodeId),
    /// A member is to serve again.
    Serve(NodeId),
    /// A member is to hold nothing, and then to be none. Its number is not used again.
    Leave(NodeId),
    /// A node takes the place of a member, which leaves: as it must if the member has lost its disk.
    Replace {
        /// The member that leaves.
        old: NodeId,
        /// A number that no member ever had.
        new: NodeId,
        /// Where other members reach the new one.
        address: String,
    },
}

/// An entry of the meta group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MetaOp {
    /// An operator's wish.
    Change(Change),
    /// A group is assigned to another node in place of one, if its assignment still has this epoch.
    Move { group: ShardId, epoch: u64, to: Option<NodeId>, from: Option<NodeId> },
    /// The group's committed configuration is the assignment of this epoch.
    Settled { group: ShardId, epoch: u64 },
    /// A member that leaves holds nothing any more.
    Gone(NodeId),
    /// A leader of the meta group begins: nothing changes.
    Lead,
}

/// Why a change was refused. Nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such member.
    Unknown(NodeId),
    /// There is another member of that number.
    Taken(NodeId),
    /// A member of that number has left: it may have promised what it would not remember.
    Former(NodeId),
    /// Fewer members than a group has replicas would be left to hold them.
    TooFew {
        /// How many would be left.
        left: usize,
        /// How many replicas a group has.
        replicas: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unknown(node) => write!(f, "node {node} is no member of the cluster"),
            Refusal::Taken(node) => {
                write!(
                    f,
                    "the cluster has another member with the number {node}; give the node a number of its own"
                )
            }
            Refusal::Former(node) => write!(
                f,
                "the number {node} was that of a member that has left; give the node a number that was never used"
            ),
            Refusal::TooFew { left, replicas } => write!(
                f,
                "{left} members would be left to hold {replicas} replicas of each shard; add a member first, or replace this one"
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// Who is in a cluster, and who is to hold what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    version: u64,
    shards: u16,
    replicas: u8,
    members: BTreeMap<NodeId, Member>,
    former: BTreeSet<NodeId>,
    assignments: BTreeMap<ShardId, Assignment>,
}

impl Directory {
    /// That of a cluster which begins with these members.
    pub fn found(shards: u16, replicas: u8, members: BTreeMap<NodeId, Member>) -> Self {
        let mut directory = Directory { version: 1, members, ..Directory::unknown(shards, replicas) };
        let ring = directory.ring();
        let assignments = (0..shards).map(ShardId).chain([META]).map(|group| {
            let mut nodes = layout::preference(&ring, group);
            nodes.truncate(usize::from(replicas));
            nodes.sort_unstable();
            (group, Assignment { replicas: nodes, epoch: 0, settled: true })
        });
        directory.assignments = assignments.collect();
        // A ring alone spreads as few things as there are groups badly.
        while let Some(op) = directory.next_op() {
            directory.apply(&op).expect("what is planned is not refused");
            directory.assignments.values_mut().for_each(|held| (held.epoch, held.settled) = (0, true));
        }
        directory.version = 1;
        directory
    }

    /// That of a node which does not know its cluster yet, but how many shards there are and how many replicas each has.
    pub fn unknown(shards: u16, replicas: u8) -> Self {
        Directory {
            version: 0,
            shards,
            replicas,
            members: BTreeMap::new(),
            former: BTreeSet::new(),
            assignments: BTreeMap::new(),
        }
    }

    /// How often it was changed; 0 is one of which nothing is known.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many shards there are, and how many replicas a group has if there are as many members.
    pub fn shape(&self) -> (u16, u8) {
        (self.shards, self.replicas)
    }

    /// The members.
    pub fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// Whether the number was a member's that has left.
    pub fn is_former(&self, node: NodeId) -> bool {
        self.former.contains(&node)
    }

    /// The groups, the meta group among them, and to whom they are assigned.
    pub fn assignments(&self) -> &BTreeMap<ShardId, Assignment> {
        &self.assignments
    }

    /// How many replicas are assigned to a node.
    pub fn held(&self, node: NodeId) -> usize {
        self.assignments.values().filter(|held| held.replicas.contains(&node)).count()
    }

    /// How many replicas are assigned at all.
    pub fn replicas(&self) -> usize {
        self.assignments.values().map(|held| held.replicas.len()).sum()
    }

    /// How many replicas have come to a node since `earlier`, a directory of the same cluster.
    pub fn moved_since(&self, earlier: &Directory) -> usize {
        let came = |(group, held): (&ShardId, &Assignment)| {
            let before = earlier.assignments.get(group).map_or(&[][..], |held| &held.replicas);
            held.replicas.iter().filter(|node| !before.contains(node)).count()
        };
        self.assignments.iter().map(came).sum()
    }

    /// Whether every replica is where it should be, and every member that leaves is gone.
    pub fn is_at_rest(&self) -> bool {
        self.assignments.values().all(|held| held.settled) && self.next_op().is_none()
    }

    /// How many replicas are still to move until nothing is left to do, the one that moves now among them.
    pub fn to_move(&self) -> usize {
        let mut ahead = self.clone();
        let mut moves = ahead.settle();
        while let Some(op) = ahead.next_op() {
            ahead.apply(&op).expect("what is planned is not refused");
            moves += ahead.settle();
        }
        moves
    }

    /// Takes every group for settled; how many were not.
    fn settle(&mut self) -> usize {
        let open = self.assignments.values_mut().filter(|held| !held.settled);
        open.map(|held| held.settled = true).count()
    }

    /// Of each group the node that should lead it.
    pub fn leaders(&self) -> BTreeMap<ShardId, NodeId> {
        let ring = self.ring();
        let in_order: Vec<(ShardId, Vec<NodeId>)> = self
            .assignments
            .iter()
            .map(|(group, assignment)| {
                let mut nodes = layout::preference(&ring, *group);
                nodes.retain(|node| assignment.replicas.contains(node));
                (*group, nodes)
            })
            .collect();
        layout::leaders(in_order.iter().map(|(group, nodes)| (*group, &nodes[..])), &ring)
    }

    /// What should be done next to bring the groups to where they should be; one replica moves at a time.
    pub(crate) fn next_op(&self) -> Option<MetaOp> {
        plan::next_op(self)
    }

    /// Applies an entry.
    ///
    /// # Errors
    /// If it is a change that cannot be; nothing was changed then.
    pub(crate) fn apply(&mut self, op: &MetaOp) -> Result<(), Refusal> {
        let changed = match op {
            MetaOp::Change(change) => self.change(change)?,
            MetaOp::Move { group, epoch, to, from } => self.move_replica(*group, *epoch, *to, *from),
            MetaOp::Settled { group, epoch } => {
                let assignment = self.assignments.get_mut(group);
                assignment.filter(|held| held.epoch == *epoch && !held.settled).is_some_and(|held| {
                    held.settled = true;
                    true
                })
            }
            MetaOp::Gone(node) => self.forget(*node),
            MetaOp::Lead => false,
        };
        self.version += u64::from(changed);
        Ok(())
    }

    /// The members that are to hold something, where they stand.
    pub(super) fn ring(&self) -> Ring {
        Ring::new(self.serving().map(|(node, member)| (node, member.stand())))
    }

    pub(super) fn serving(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members
            .iter()
            .filter(|(_, member)| member.standing == Standing::Serving)
            .map(|(node, member)| (*node, member))
    }

    fn change(&mut self, change: &Change) -> Result<bool, Refusal> {
        match change {
            Change::Join { node, member } => {
                if self.members.get(node).is_some_and(|held| held.address == member.address) {
                    return Ok(false);
                }
                self.admit(*node, member.clone())?;
                Ok(true)
            }
            Change::Drain(node) => self.stand(*node, Standing::Draining),
            Change::Serve(node) => self.stand(*node, Standing::Serving),
            Change::Leave(node) if self.former.contains(node) => Ok(false),
            Change::Leave(node) => self.stand(*node, Standing::Leaving),
            Change::Replace { old, new, address } => self.replace(*old, *new, address),
        }
    }

    fn admit(&mut self, node: NodeId, member: Member) -> Result<(), Refusal> {
        if self.members.contains_key(&node) {
            return Err(Refusal::Taken(node));
        }
        if self.former.contains(&node) {
            return Err(Refusal::Former(node));
        }
        self.members.insert(node, member);
        Ok(())
    }

    fn stand(&mut self, node: NodeId, standing: Standing) -> Result<bool, Refusal> {
        let held = self.members.get(&node).ok_or(Refusal::Unknown(node))?.standing;
        if held == standing || held == Standing::Leaving {
            return Ok(false);
        }
        if standing != Standing::Serving && held == Standing::Serving {
            let left = self.serving().count() - 1;
            let replicas = usize::from(self.replicas);
            if left < replicas {
                return Err(Refusal::TooFew { left, replicas });
            }
        }
        self.members.get_mut(&node).expect("just seen").standing = standing;
        Ok(true)
    }

    fn replace(&mut self, old: NodeId, new: NodeId, address: &str) -> Result<bool, Refusal> {
        let done = self.members.get(&new).is_some_and(|member| member.address == address);
        if done && (self.former.contains(&old) || self.is_leaving(old)) {
            return Ok(false);
        }
        let held = self.members.get(&old).ok_or(Refusal::Unknown(old))?;
        let member = Member { address: address.to_owned(), standing: Standing::Serving, ..held.clone() };
        self.admit(new, member)?;
        self.members.get_mut(&old).expect("just seen").standing = Standing::Leaving;
        Ok(true)
    }

    fn is_leaving(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|member| member.standing == Standing::Leaving)
    }

    fn move_replica(&mut self, group: ShardId, epoch: u64, to: Option<NodeId>, from: Option<NodeId>) -> bool {
        let able = to.is_none_or(|to| self.serving().any(|(node, _)| node == to));
        let Some(held) = self.assignments.get_mut(&group).filter(|held| able && held.epoch == epoch) else {
            return false;
        };
        held.replicas.retain(|node| Some(*node) != from);
        held.replicas.extend(to);
        held.replicas.sort_unstable();
        held.replicas.dedup();
        held.epoch += 1;
        held.settled = false;
        true
    }

    fn forget(&mut self, node: NodeId) -> bool {
        let holds = self.assignments.values().any(|held| held.replicas.contains(&node) || !held.settled);
        let gone = self.is_leaving(node) && !holds;
        if gone {
            self.members.remove(&node);
            self.former.insert(node);
        }
        gone
    }
}

#[cfg(test)]
mod tests;
