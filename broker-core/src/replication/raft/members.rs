//! Who is in the group, how that changes, and who leads it.

use super::group::RaftGroup;
use super::ids::{change_to_raft, members_of, node_of, raft_id};
use super::wire::Wire;
use crate::base::ids::{NodeId, Term};
use crate::replication::configuration::{Configuration, Reconfigure, Step};
use raft::INVALID_ID;

/// Entries that a follower may be behind what is committed, and counts as one that keeps up.
const CAUGHT_UP_ENTRIES: u64 = 64;

impl RaftGroup {
    /// The members, after all that was handed out.
    pub fn members(&self) -> &Configuration {
        self.raw.store().members()
    }

    /// Proposes a change of the members. It is decided one at a time: nothing comes of it if this replica does not lead, if it has not applied the
    /// last one yet, or if too much is not committed.
    pub(super) fn reconfigure(&mut self, change: &Reconfigure) {
        let steady = self.is_leader() && !self.raw.raft.has_pending_conf();
        if steady {
            // What is refused is tried again by whoever wants it.
            drop(self.raw.propose_conf_change(change.encode().to_vec(), change_to_raft(change)));
        }
    }

    /// Asks `to` to lead, if this replica does. Until that is decided, a second at most, proposals are refused.
    pub fn transfer_leader(&mut self, to: NodeId) {
        if self.is_leader() {
            self.raw.transfer_leader(raft_id(to));
        }
    }

    /// To whom it is handing over, if it is.
    pub fn handing_over_to(&self) -> Option<NodeId> {
        self.raw.raft.lead_transferee.and_then(node_of)
    }

    /// Whether it leads, and could let `to` lead now: that one votes and keeps up, and no change of the members waits to be applied (who has to apply one
    /// does not campaign).
    pub fn can_hand_over_to(&self, to: NodeId) -> bool {
        let votes = to != self.node() && self.members().voters.contains(&to);
        votes && !self.raw.raft.has_pending_conf() && self.is_caught_up(to)
    }

    /// From now on it does not take the lead over from another replica, and says so: its node stops.
    pub fn decline_to_lead(&mut self) {
        self.declines = true;
    }

    /// The leader wants this replica to lead.
    pub(super) fn take_over(&mut self, from: NodeId, term: Term) {
        // It would campaign with nothing, or with a log that is being replaced.
        if !self.declines && !self.is_joining() && !self.is_installing() {
            let message = Wire::TakeOver { term }.into_raft(from, self.node()).expect("it is the crate's");
            self.raw.step(message).expect("a request to lead is taken");
        }
        // The crate does not say that it does not campaign. If it does, this is a later term.
        if term.0 >= self.raw.raft.term {
            self.outbox.push((from, Wire::Declined { term }.encode()));
        }
    }

    /// `from` does not take over: there is no need to wait until it should have.
    pub(super) fn on_declined(&mut self, from: NodeId, term: Term) {
        if self.is_leader() && self.raw.raft.term == term.0 && self.handing_over_to() == Some(from) {
            self.raw.raft.abort_leader_transfer();
        }
    }

    /// Whether `peer` keeps up, as far as this leader knows: it answers, and has almost everything that is committed. False if this one does not lead.
    pub fn is_caught_up(&self, peer: NodeId) -> bool {
        let progress = self.raw.raft.prs().get(raft_id(peer)).filter(|_| self.is_leader());
        progress.is_some_and(|progress| {
            progress.recent_active && progress.matched + CAUGHT_UP_ENTRIES >= self.raw.raft.raft_log.committed
        })
    }

    /// Takes the next step, if this replica leads, towards having the replicas on `wanted`, which is the assignment `epoch`. True if they are there.
    ///
    /// A new replica is a learner until it has caught up; then it takes the place of the one that goes, in one joint change: at no moment do
    /// fewer than a majority of the old replicas, or of the new ones, have to agree. Who is to go does not lead meanwhile.
    pub fn steer(&mut self, wanted: &[NodeId], epoch: u64) -> bool {
        let members = self.members().clone();
        // An assignment that is older than what the group follows.
        if members.epoch > epoch || !self.is_leader() {
            return false;
        }
        let change = |steps: Vec<Step>| Reconfigure { epoch, steps };
        if members.is_joint() {
            self.reconfigure(&change(Vec::new()));
            return false;
        }
        let to_go = |of: &[NodeId]| of.iter().copied().find(|member| !wanted.contains(member));
        if let Some(stray) = to_go(&members.learners) {
            self.reconfigure(&change(vec![Step::Remove(stray)]));
            return false;
        }
        let goes = to_go(&members.voters);
        let comes = wanted.iter().copied().find(|member| !members.voters.contains(member));
        match (comes, goes) {
            (None, None) => return true,
            (Some(comes), _) if !members.learners.contains(&comes) => {
                self.reconfigure(&change(vec![Step::Learner(comes)]));
            }
            (Some(comes), _) if !self.is_caught_up(comes) => {}
            (_, Some(goes)) if goes == self.node() => self.hand_over(&members.voters, wanted),
            (comes, goes) => {
                let steps = comes.map(Step::Voter).into_iter().chain(goes.map(Step::Remove));
                self.reconfigure(&change(steps.collect()));
            }
        }
        false
    }

    /// Lets another of `voters` lead, one that stays.
    fn hand_over(&mut self, voters: &[NodeId], wanted: &[NodeId]) {
        let stays = |member: &&NodeId| **member != self.node() && wanted.contains(member);
        let able = voters.iter().filter(stays).copied().find(|member| self.is_caught_up(*member));
        if let Some(to) = able.filter(|_| self.handing_over_to().is_none()) {
            self.transfer_leader(to);
        }
    }

    /// A change of the members is committed.
    pub(super) fn apply_members(&mut self, data: &[u8]) {
        let change = Reconfigure::decode(data).expect("what was proposed can be read");
        // One that does not fit what came before it changes nothing, at any replica.
        let Ok(state) = self.raw.apply_conf_change(&change_to_raft(&change)) else { return };
        let members = members_of(&state, self.members().epoch.max(change.epoch));
        let excluded = !members.voters.contains(&self.node()) && !members.outgoing.contains(&self.node());
        self.raw.mut_store().set_members(members);
        if excluded && self.is_leader() {
            // It has nothing to lead any more, and the crate would go on.
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, INVALID_ID);
        }
        self.note_unsaid();
    }
}
