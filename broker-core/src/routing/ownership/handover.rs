//! When leadership moves although nobody is missed: to the member that should lead a group, and away from a node that stops.
//!
//! ```text
//!   leads, linked, same directory ── 10 s ──► asks the preferred member ──► it leads, and says so ──► the next group
//!                                   ▲                     │
//!                                   └── still leads ◄─────┴── declined, or a second has passed
//! ```
//! Time is counted in ticks: while a node stands still, nothing that it knows gets any steadier.

use super::Ownership;
use crate::base::ids::{NodeId, ShardId, Term};
use crate::base::time::{Duration, Instant};
use crate::cluster::{META, Standing};
use crate::replication::{RaftGroup, Role};
use std::collections::BTreeMap;

/// [`TICK`](crate::replication::raft::TICK)s, ten seconds, for which a leader has led, has been linked to the member that should lead, and has known that it should, before it
/// hands over. After a hand-over that came to nothing they begin again.
const STEADY_TICKS: u64 = 100;

/// Ticks, two seconds, after which the next group is handed over although nobody has said that it leads the one before.
const SILENT_TICKS: u64 = 20;

/// A node that was told to stop waits no longer than this for others to lead what it led.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// What a node remembers in order to hand over.
#[derive(Debug, Default)]
pub(super) struct HandOvers {
    /// Ticks that have passed.
    ticks: u64,
    /// Since when there is a link to each member.
    links: BTreeMap<NodeId, u64>,
    /// The groups that this node leads and serves: in which term, and since when nothing has come between.
    leads: BTreeMap<ShardId, (Term, u64)>,
    /// The version of the directory, and since when it is known.
    directory: (u64, u64),
    /// Who should lead each group by that directory.
    preferred: BTreeMap<ShardId, NodeId>,
    /// The group that is being handed over: the term in which it was led, and since when.
    current: Option<(ShardId, Term, u64)>,
    stop: Option<Stop>,
}

/// A node was told to stop.
#[derive(Debug)]
struct Stop {
    since: Instant,
    /// Who was asked to lead each group, in order; nobody is asked twice.
    asked: BTreeMap<ShardId, Vec<NodeId>>,
    /// The groups that were handed over, and in which term they were led.
    given: BTreeMap<ShardId, Term>,
    /// Whether there is nothing to wait for any more.
    over: bool,
}

/// Who is to lead a group after a node that stops.
enum Heir {
    /// This member.
    Member(NodeId),
    /// Somebody who does not keep up at the moment.
    Later,
    /// Nobody is left to be asked.
    Nobody,
}

impl HandOvers {
    pub(super) fn on_peer_up(&mut self, peer: NodeId) {
        self.links.insert(peer, self.ticks);
    }

    pub(super) fn on_peer_down(&mut self, peer: NodeId) {
        self.links.remove(&peer);
    }

    fn is_steady(&self, since: u64) -> bool {
        self.ticks - since >= STEADY_TICKS
    }
}

impl Ownership {
    /// A tick has passed: hands one group over, if it is led by this node and should be by another one.
    pub(super) fn balance(&mut self) {
        self.note_steadiness();
        if self.is_stopping() || self.is_waiting_for_leader() {
            return;
        }
        let Some((group, term, to)) = self.due() else { return };
        if let Some(held) = self.group_mut(group) {
            held.transfer_leader(to);
            self.hand_overs.current = Some((group, term, self.hand_overs.ticks));
        }
    }

    /// The node is to stop: from now on it takes no lead over, and hands over what it leads.
    pub fn stop(&mut self, now: Instant) {
        for group in self.groups() {
            self.group_mut(group).into_iter().for_each(RaftGroup::decline_to_lead);
        }
        let stop = Stop { since: now, asked: BTreeMap::new(), given: BTreeMap::new(), over: false };
        self.hand_overs.stop.get_or_insert(stop);
    }

    /// Whether it was told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.hand_overs.stop.is_some()
    }

    /// Whether, if it was told to stop, others lead what it led, or it has waited for that long enough.
    pub fn may_stop(&self) -> bool {
        self.hand_overs.stop.as_ref().is_none_or(|stop| stop.over)
    }

    /// Hands everything over, if the node is to stop: all groups at once, each to one member after the other until one takes it.
    pub(super) fn give_away(&mut self, now: Instant) {
        let Some(mut stop) = self.hand_overs.stop.take() else { return };
        if !stop.over {
            let mut open = false;
            for group in self.groups() {
                open |= self.give_group_away(group, &mut stop);
            }
            stop.over = !open || now.saturating_since(stop.since) >= STOP_PATIENCE;
        }
        self.hand_overs.stop = Some(stop);
    }

    /// True if there is something to wait for.
    fn give_group_away(&mut self, group: ShardId, stop: &mut Stop) -> bool {
        let Some(held) = self.group(group) else { return false };
        let Role::Leader { term } = held.role() else {
            // Until its leader says so, it has not applied what was asked of this one.
            return stop.given.get(&group).is_some_and(|term| self.latest_term(group) <= term.0);
        };
        if held.handing_over_to().is_some() {
            return true;
        }
        match self.heir(group, held, stop) {
            Heir::Nobody => false,
            Heir::Later => true,
            Heir::Member(to) => {
                stop.asked.entry(group).or_default().push(to);
                stop.given.insert(group, term);
                self.group_mut(group).into_iter().for_each(|held| held.transfer_leader(to));
                true
            }
        }
    }

    /// The member that should lead it, else one that serves and leads little.
    fn heir(&self, group: ShardId, held: &RaftGroup, stop: &Stop) -> Heir {
        let asked = stop.asked.get(&group).map_or(&[][..], |asked| asked);
        let voters = held.members().voters.iter().copied();
        let mut left = voters.filter(|node| self.up.contains(node) && !asked.contains(node)).peekable();
        if left.peek().is_none() {
            return Heir::Nobody;
        }
        let able = left.filter(|node| held.can_hand_over_to(*node));
        let best = able.min_by_key(|node| {
            let preferred = self.hand_overs.preferred.get(&group) == Some(node);
            let member = self.directory.members().get(node);
            let serves = member.is_some_and(|member| member.standing == Standing::Serving);
            (!preferred, !serves, self.load(*node, stop), *node)
        });
        best.map_or(Heir::Later, Heir::Member)
    }

    /// How many shards a member leads, or is to lead, as far as is known.
    fn load(&self, node: NodeId, stop: &Stop) -> usize {
        let leaders = (0..).map(ShardId).zip(&self.leaders);
        let leads = |(shard, (leader, _)): &(ShardId, &(Option<NodeId>, u64))| match stop.asked.get(shard) {
            Some(asked) => asked.last() == Some(&node),
            None => *leader == Some(node),
        };
        leaders.filter(leads).count()
    }

    /// Takes note of what has begun or ended since the last tick.
    fn note_steadiness(&mut self) {
        self.hand_overs.ticks += 1;
        let served: Vec<(ShardId, Term)> = self.served().collect();
        let HandOvers { ticks, leads, directory, preferred, .. } = &mut self.hand_overs;
        leads.retain(|group, (term, _)| served.contains(&(*group, *term)));
        for (group, term) in served {
            leads.entry(group).or_insert((term, *ticks));
        }
        if directory.0 != self.directory.version() {
            *directory = (self.directory.version(), *ticks);
            *preferred = self.directory.leaders();
        }
    }

    /// Whether a group that is being handed over has no leader yet, as far as is known.
    fn is_waiting_for_leader(&mut self) -> bool {
        let Some((group, term, since)) = self.hand_overs.current else { return false };
        if self.group(group).is_some_and(|held| held.handing_over_to().is_some()) {
            return true;
        }
        let ticks = self.hand_overs.ticks;
        if let Some((_, steady)) = self.hand_overs.leads.get_mut(&group).filter(|(led, _)| *led == term) {
            // It came to nothing.
            *steady = ticks;
        } else if self.latest_term(group) <= term.0 && ticks - since < SILENT_TICKS {
            return true;
        }
        self.hand_overs.current = None;
        false
    }

    /// A group that another member should lead, and who that is.
    fn due(&self) -> Option<(ShardId, Term, NodeId)> {
        let known = &self.hand_overs;
        if !known.is_steady(known.directory.1) {
            return None;
        }
        known.leads.iter().find_map(|(group, (term, since))| {
            let to = *known.preferred.get(group)?;
            let linked = known.links.get(&to).is_some_and(|since| known.is_steady(*since));
            // While its replicas move, who leads is the business of whoever moves them.
            let settled = self.directory.assignments().get(group).is_some_and(|held| held.settled);
            let able = linked && settled && self.group(*group)?.can_hand_over_to(to);
            (able && known.is_steady(*since)).then_some((*group, *term, to))
        })
    }

    /// The groups of which this node has a replica.
    fn groups(&self) -> Vec<ShardId> {
        self.replicas.keys().copied().chain(self.meta.iter().map(|_| META)).collect()
    }

    /// The groups that this node leads and serves, and in which term.
    fn served(&self) -> impl Iterator<Item = (ShardId, Term)> {
        let meta = self.meta.iter().filter_map(|meta| Some((META, meta.serving_since()?)));
        self.replicas.iter().filter_map(|(shard, held)| Some((*shard, held.serving_since()?))).chain(meta)
    }

    /// The latest term in which anybody has led a group, as far as is known.
    fn latest_term(&self, group: ShardId) -> u64 {
        let shard = self.leaders.get(usize::from(group.0));
        shard.map_or(self.meta_leader.1, |(_, term)| *term)
    }

    fn group(&self, group: ShardId) -> Option<&RaftGroup> {
        if group == META {
            return self.meta.as_ref().map(|meta| &meta.group);
        }
        self.replicas.get(&group).map(|replica| replica.group())
    }

    fn group_mut(&mut self, group: ShardId) -> Option<&mut RaftGroup> {
        if group == META {
            return self.meta.as_mut().map(|meta| &mut meta.group);
        }
        self.replicas.get_mut(&group).map(|replica| replica.group_mut())
    }
}
