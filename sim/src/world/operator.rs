//! The operator of the cluster: asks for changes of its members, one after the other, until each is answered.

use super::World;
use crate::history::NodeDown;
use crate::scenario::FaultKind;
use crate::stage::{Happening, NodeIx};
use broker_core::cluster::{Change, Member};
use broker_core::face::Input;
use broker_core::ids::NodeId;
use broker_core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

/// How long the operator waits for an answer before asking another node.
const PATIENCE: Duration = Duration::from_secs(6);

/// What the operator still wants.
#[derive(Debug, Default)]
pub(super) struct Operator {
    wanted: VecDeque<Change>,
    /// The number of the last request; the first of `wanted` was asked for by it if `asked`.
    request: u64,
    asked: bool,
}

impl World<'_> {
    /// A fault begins that is a change of the members.
    pub(super) fn members_begin(&mut self, kind: &FaultKind) {
        match *kind {
            FaultKind::Join { node } => self.want(Change::Join { node, member: Member::plain(node, "") }),
            FaultKind::Leave { node } => self.want(Change::Leave(node)),
            FaultKind::Drain { node } => self.want(Change::Drain(node)),
            FaultKind::Replace { old, new, lost } => {
                if lost {
                    let ix = self.node_ix(old);
                    self.bring_down(ix, NodeDown::PowerLost);
                    self.nodes[ix.0].retire();
                }
                self.want(Change::Replace { old, new, address: String::new() });
            }
            _ => {}
        }
    }

    /// And ends.
    pub(super) fn members_end(&mut self, kind: &FaultKind) {
        if let FaultKind::Drain { node } = *kind {
            self.want(Change::Serve(node));
        }
    }

    fn want(&mut self, change: Change) {
        self.operator.wanted.push_back(change);
        if !self.operator.asked {
            self.ask_for_members();
        }
    }

    /// Asks any node that runs for the first of what is wanted.
    pub(super) fn ask_for_members(&mut self) {
        let Some(change) = self.operator.wanted.front().cloned() else {
            self.operator.asked = false;
            return;
        };
        self.operator.asked = true;
        self.operator.request += 1;
        let request = self.operator.request;
        let count = self.nodes.len();
        let turns = (0..count).map(|turn| (turn + usize::try_from(request).unwrap_or(0)) % count);
        if let Some(place) = turns.into_iter().find(|place| self.nodes[*place].life().is_some()) {
            self.nodes[place].input(&mut self.stage, Input::ChangeMembers { request, change });
        }
        self.stage.after(PATIENCE, Happening::Operate(request));
    }

    /// Nobody may have answered a request.
    pub(super) fn operate(&mut self, request: u64) {
        if self.operator.asked && self.operator.request == request {
            self.ask_for_members();
        }
    }

    /// A node has an answer. One that is refused is not asked for again.
    pub(super) fn members_changed(&mut self, request: u64) {
        if self.operator.asked && self.operator.request == request {
            self.operator.wanted.pop_front();
            self.ask_for_members();
        }
    }

    /// A node tells who the members are: one that finds itself to have left is switched off.
    pub(super) fn members_are(&mut self, ix: NodeIx, members: &BTreeMap<NodeId, String>) {
        let node = self.nodes[ix.0].spec.node;
        let is_member = members.contains_key(&node);
        if self.nodes[ix.0].note_member(is_member) {
            self.node_down(ix, NodeDown::Stopped);
            self.nodes[ix.0].retire();
        }
    }
}
