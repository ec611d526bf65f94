//! The members of the cluster as this node knows them, and what that makes of it: which replicas it holds, whether it serves clients.

use super::frame::{Addressed, Frame};
use super::meta::MetaReplica;
use super::replica::Replica;
use super::{OpenError, Ownership};
use crate::base::ids::{NodeId, ShardId};
use crate::cluster::{Change, Directory, META, Refusal, Standing};
use crate::event::Event;
use crate::face::{ClusterSetup, Output};
use crate::replication::raft::{GroupSetup, RaftGroup, TailLimits};
use crate::replication::replica::Replica as OnDisk;
use crate::session::Gateway;
use std::collections::BTreeMap;

impl Ownership {
    /// Opens the replicas that were found on disk.
    pub(super) fn open_replicas(&mut self, found: BTreeMap<ShardId, OnDisk>) {
        for (group, replica) in found {
            let opened = RaftGroup::open(self.group_setup(group), replica, &self.log);
            self.hold(group, opened);
        }
    }

    /// Holds what the directory assigns to this node, and nothing that it assigns to others for good.
    pub(super) fn follow_directory(&mut self, gateway: Option<&mut Gateway>) {
        let mut changed = Vec::new();
        for (group, held) in self.directory.assignments().clone() {
            let (mine, has) = (held.replicas.contains(&self.node), self.holds(group));
            if mine && !has {
                let setup = self.group_setup(group);
                // Of a group's first replicas each begins it; whoever comes later has to be sent it.
                let begins = held.epoch == 0 && !self.log.has_given_up(group);
                let replica = if begins {
                    let machine =
                        if group == META { MetaReplica::chunks(&self.directory) } else { Vec::new() };
                    RaftGroup::found(setup, &held.replicas, machine, &mut self.log)
                } else {
                    RaftGroup::join(setup, &mut self.log)
                };
                self.hold(group, replica);
                changed.push(Event::ReplicaBegun { shard: group });
            }
            // That it has settled is the proof that the group's committed configuration is without this node.
            if !mine && has && held.settled {
                self.give_up(group);
                changed.push(Event::ReplicaGivenUp { shard: group });
            }
        }
        let Some(gateway) = gateway else { return };
        changed.into_iter().for_each(|event| gateway.event(event));
        self.tell_driver(gateway);
    }

    /// Tells the driver who the members are, and clients whether this node serves.
    pub fn tell_driver(&mut self, gateway: &mut Gateway) {
        let members = self.directory.members();
        let standing = members.get(&self.node).map(|member| member.standing);
        // A node that is not known yet is about to be.
        let serves = standing.map_or(!self.directory.is_former(self.node), |held| held == Standing::Serving);
        gateway.turn_away(!serves);
        let members = members.iter().map(|(node, member)| (*node, member.address.clone())).collect();
        gateway.output(Output::Members { version: self.directory.version(), members });
    }

    /// A directory came, or was decided here.
    pub(super) fn on_directory(
        &mut self,
        directory: Directory,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        if directory.version() <= self.directory.version() {
            return;
        }
        let (cluster, own) = (directory.shape(), self.directory.shape());
        if cluster != own {
            gateway.event(Event::OtherShape { cluster, own });
            return;
        }
        self.log.directory(&directory);
        self.directory = directory;
        self.follow_directory(Some(gateway));
        let frame = Frame::Directory(Box::new(self.directory.clone()));
        out.extend(self.up.iter().map(|to| Addressed { to: *to, frame: frame.clone() }));
    }

    /// An operator wants the members to change.
    pub fn on_change(&mut self, request: u64, change: Change, gateway: &mut Gateway) {
        self.changes.insert(request, (gateway.now(), change));
        let mut out = Vec::new();
        self.ask_for_changes(&mut out);
        self.send(out, gateway);
    }

    /// Somebody leads the meta group.
    pub(super) fn ask_for_changes(&mut self, out: &mut Vec<Addressed>) {
        let Some(to) = self.meta_leader.0 else { return };
        out.extend(self.changes.iter().map(|(request, (_, change))| Addressed {
            to,
            frame: Frame::Change { request: *request, change: change.clone() },
        }));
    }

    /// What came of a change.
    pub(super) fn on_changed(&mut self, request: u64, result: Result<u64, Refusal>, gateway: &mut Gateway) {
        if self.changes.remove(&request).is_some() {
            gateway.output(Output::MembersChanged { request, result });
        }
    }

    /// Time has passed: brings the groups that this node leads nearer to where they should be.
    pub(super) fn steer_groups(&mut self, out: &mut Vec<Addressed>) {
        let mut settled = Vec::new();
        for (shard, replica) in &mut self.replicas {
            let Some(wanted) = self.directory.assignments().get(shard) else { continue };
            if replica.steer(wanted) && !wanted.settled {
                settled.push((*shard, wanted.epoch));
            }
        }
        if let (Some(meta), Some(wanted)) = (&mut self.meta, self.directory.assignments().get(&META))
            && meta.serving_since().is_some()
            && meta.group.steer(&wanted.replicas, wanted.epoch)
            && !wanted.settled
        {
            settled.push((META, wanted.epoch));
        }
        let Some(to) = self.meta_leader.0 else { return };
        out.extend(
            settled
                .into_iter()
                .map(|(group, epoch)| Addressed { to, frame: Frame::Settled { group, epoch } }),
        );
    }

    fn holds(&self, group: ShardId) -> bool {
        if group == META { self.meta.is_some() } else { self.replicas.contains_key(&group) }
    }

    fn hold(&mut self, group: ShardId, replica: RaftGroup) {
        if group == META {
            let (shards, replicas) = self.directory.shape();
            self.meta = Some(MetaReplica::new(replica, Directory::unknown(shards, replicas)));
        } else {
            self.replicas.insert(group, Replica::new(group, self.placement, replica, self.limits));
        }
    }

    fn give_up(&mut self, group: ShardId) {
        if group == META {
            self.meta.take().into_iter().for_each(|meta| meta.group.give_up(&mut self.log));
        } else {
            self.replicas.remove(&group).into_iter().for_each(|replica| replica.give_up(&mut self.log));
        }
    }

    fn group_setup(&self, group: ShardId) -> GroupSetup {
        GroupSetup { group, node: self.node, seed: self.seed, tail: TailLimits::default() }
    }
}

/// The directory with which a node begins.
pub(super) fn first_directory(
    node: NodeId,
    cluster: &ClusterSetup,
    recorded: Option<Directory>,
) -> Result<Directory, OpenError> {
    let configured = (cluster.shards, cluster.replicas);
    match recorded {
        Some(directory) if directory.shape() == configured => Ok(directory),
        Some(directory) => Err(OpenError::OtherShape { recorded: directory.shape(), configured }),
        None if cluster.founders.is_empty() => Ok(Directory::unknown(cluster.shards, cluster.replicas)),
        None if cluster.founders.contains_key(&node) => {
            Ok(Directory::found(cluster.shards, cluster.replicas, cluster.founders.clone()))
        }
        None => Err(OpenError::NotFounder(node)),
    }
}
