//! The group that keeps the cluster's directory: its replica on this node, if there is one, and what its leader does.

use super::frame::{Addressed, Frame};
use crate::base::ids::{NodeId, ShardId, Term};
use crate::cluster::directory::MetaOp;
use crate::cluster::{Change, Directory, META};
use crate::event::Event;
use crate::replication::{Commit, RaftGroup, Role};
use crate::session::Gateway;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A replica of the meta group.
pub(super) struct MetaReplica {
    pub(super) group: RaftGroup,
    /// As of the entries that are applied here.
    directory: Directory,
    lead: Option<MetaLead>,
    /// To whom it was handing over when that was last looked at.
    handing_over_to: Option<NodeId>,
}

/// What the leader remembers.
#[derive(Debug)]
struct MetaLead {
    term: Term,
    /// Whether the first entry of the term is proposed, and whether it is applied.
    proposed: bool,
    serves: bool,
    /// The directory for which the next step was proposed.
    planned: Option<u64>,
}

/// An entry of the meta group.
#[derive(Debug, Serialize, Deserialize)]
struct MetaEntry {
    op: MetaOp,
    /// Who waits for what comes of it, and by which number.
    asked: Option<(NodeId, u64)>,
}

impl MetaReplica {
    /// `unknown` is what a machine without any entry holds.
    pub(super) fn new(group: RaftGroup, unknown: Directory) -> Self {
        MetaReplica { group, directory: unknown, lead: None, handing_over_to: None }
    }

    /// The directory as a machine's chunks.
    pub(super) fn chunks(directory: &Directory) -> Vec<Bytes> {
        vec![postcard::to_extend(directory, Vec::new()).expect("encoding into memory does not fail").into()]
    }

    /// What this replica holds.
    pub(super) fn machine(&self) -> Vec<Bytes> {
        MetaReplica::chunks(&self.directory)
    }

    /// The term in which it leads and serves.
    pub(super) fn serving_since(&self) -> Option<Term> {
        self.lead.as_ref().filter(|lead| lead.serves).map(|lead| lead.term)
    }

    /// An operator's wish came.
    pub(super) fn on_change(&mut self, from: NodeId, request: u64, change: Change) {
        if self.serving_since().is_some() {
            self.propose(MetaOp::Change(change), Some((from, request)));
        }
    }

    /// A group is where it should be.
    pub(super) fn on_settled(&mut self, group: ShardId, epoch: u64) {
        let held = self.directory.assignments().get(&group);
        let open = held.is_some_and(|held| held.epoch == epoch && !held.settled);
        if open && self.serving_since().is_some() {
            self.propose(MetaOp::Settled { group, epoch }, None);
        }
    }

    /// Applies what is committed. Gives the directory if it has changed.
    pub(super) fn advance(
        &mut self,
        linked: &[NodeId],
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) -> Option<Directory> {
        self.follow_role();
        self.follow_hand_over(linked, gateway, out);
        let before = self.directory.version();
        while let Some(commit) = self.group.next_committed() {
            match commit {
                Commit::Machine { chunks, .. } => self.restore(&chunks),
                Commit::Entry { term, data, .. } => self.apply(term, &data, linked, gateway, out),
            }
        }
        if self.group.wants_machine() {
            self.group.offer_machine(self.machine());
        }
        self.plan();
        (self.directory.version() != before).then(|| self.directory.clone())
    }

    fn follow_role(&mut self) {
        let Role::Leader { term } = self.group.role() else {
            self.lead = None;
            return;
        };
        if self.lead.as_ref().is_none_or(|lead| lead.term != term) {
            self.lead = Some(MetaLead { term, proposed: false, serves: false, planned: None });
        }
        if self.lead.as_ref().is_some_and(|lead| !lead.proposed) {
            let proposed = self.propose(MetaOp::Lead, None);
            self.lead.as_mut().expect("just set").proposed = proposed;
        }
    }

    /// A hand-over has begun, or it has come to nothing: then what was refused meanwhile is asked for again.
    fn follow_hand_over(&mut self, linked: &[NodeId], gateway: &mut Gateway, out: &mut Vec<Addressed>) {
        let to = self.group.handing_over_to();
        let before = std::mem::replace(&mut self.handing_over_to, to);
        match (to, self.serving_since()) {
            (Some(to), _) if before != Some(to) => gateway.event(Event::HandingOver { shard: META, to }),
            (None, Some(term)) if before.is_some() => announce(term, linked, out),
            _ => {}
        }
    }

    fn restore(&mut self, chunks: &[Bytes]) {
        let Some(chunk) = chunks.first() else { return };
        // A quorum has it, and the checksums on the way were right: what cannot be read is a bug of ours.
        self.directory = postcard::from_bytes(chunk).expect("a directory that was sent can be read");
    }

    fn apply(
        &mut self,
        term: Term,
        data: &[u8],
        linked: &[NodeId],
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        let MetaEntry { op, asked } = postcard::from_bytes(data).expect("what was proposed can be read");
        let result = self.directory.apply(&op).map(|()| self.directory.version());
        let Some(lead) = self.lead.as_mut() else { return };
        if op == MetaOp::Lead && lead.term == term {
            lead.serves = true;
            gateway.event(Event::Leading { shard: META, term: term.0 });
            announce(term, linked, out);
        }
        if let Some((to, request)) = asked {
            out.push(Addressed { to, frame: Frame::Changed { request, result } });
        }
    }

    /// Proposes the next step towards where everything should be.
    fn plan(&mut self) {
        let version = self.directory.version();
        let due = |lead: &&MetaLead| lead.serves && lead.planned != Some(version);
        if self.lead.as_ref().filter(due).is_none() {
            return;
        }
        let planned = match self.directory.next_op() {
            Some(op) => self.propose(op, None),
            None => true,
        };
        if planned {
            self.lead.as_mut().expect("it was asked").planned = Some(version);
        }
    }

    fn propose(&mut self, op: MetaOp, asked: Option<(NodeId, u64)>) -> bool {
        let entry = MetaEntry { op, asked };
        let data = postcard::to_extend(&entry, Vec::new()).expect("encoding into memory does not fail");
        self.group.propose(data.into()).is_ok()
    }
}

/// Says who leads the group.
fn announce(term: Term, linked: &[NodeId], out: &mut Vec<Addressed>) {
    let frame = Frame::Leads { shard: META, term: term.0 };
    out.extend(linked.iter().map(|to| Addressed { to: *to, frame: frame.clone() }));
}
