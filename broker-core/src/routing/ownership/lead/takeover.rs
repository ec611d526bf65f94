//! A session that is taken over: its earlier connection goes before CONNACK is sent on the later one.

use super::super::frame::{Addressed, Frame};
use super::{Lead, Surroundings};
use crate::base::ids::NodeId;
use crate::base::time::{Duration, Instant};
use crate::shard::{Attachment, Effect, GatewayId, Machine, Producer};

/// How long a CONNECT waits for a gateway that says nothing, and to which there is a link.
const PATIENCE: Duration = Duration::from_secs(1);

/// An attach whose answer waits until the earlier connection is gone.
#[derive(Debug)]
struct Taking {
    earlier: Attachment,
    node: NodeId,
    since: Instant,
    gateway: GatewayId,
    sequence: u64,
}

/// The attaches that wait.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    waiting: Vec<Taking>,
    /// Those that wait no more: of this gateway, with this number.
    over: Vec<(GatewayId, u64)>,
}

impl Takeovers {
    fn end(&mut self, which: impl Fn(&Taking) -> bool) {
        let ended = self.waiting.extract_if(.., |taking| which(taking));
        self.over.extend(ended.map(|taking| (taking.gateway, taking.sequence)));
    }

    /// The gateway cannot be reached: it finds out by itself that it has lost its connections.
    pub(super) fn on_peer_down(&mut self, peer: NodeId) {
        self.end(|taking| taking.node == peer);
    }

    /// Time has passed.
    pub(super) fn on_timer(&mut self, now: Instant) {
        self.end(|taking| now.saturating_since(taking.since) >= PATIENCE);
    }
}

impl Lead {
    /// Tells the connections that have lost their sessions. True if the answer to who has them now is to wait until they are gone.
    pub(super) fn evict(
        &mut self,
        effects: &mut Vec<Effect>,
        by: Option<(GatewayId, u64)>,
        around: &Surroundings<'_>,
        now: Instant,
        out: &mut Vec<Addressed>,
    ) -> bool {
        let mut waits = false;
        for effect in effects.extract_if(.., |effect| matches!(effect, Effect::Evicted { .. })) {
            let Effect::Evicted { session: earlier, gateway: GatewayId { node, .. } } = effect else {
                continue;
            };
            out.push(Addressed { to: node, frame: Frame::Evicted { session: earlier } });
            if let Some((gateway, sequence)) = by.filter(|_| around.linked.contains(&node)) {
                self.takeovers.waiting.push(Taking { earlier, node, since: now, gateway, sequence });
                waits = true;
            }
        }
        waits
    }

    /// A gateway does not have this connection any more.
    pub(in crate::routing::ownership) fn on_gone(&mut self, from: NodeId, session: Attachment) {
        self.takeovers.end(|taking| taking.node == from && taking.earlier == session);
    }

    /// Answers the attaches that wait no more.
    pub(super) fn answer_takeovers(&mut self, machine: &Machine, out: &mut Vec<Addressed>) {
        for (gateway, sequence) in std::mem::take(&mut self.takeovers.over) {
            if let Some(kept) = machine.answer(Producer::Gateway(gateway), sequence) {
                self.answer(gateway, sequence, kept.verdict.clone(), machine, out);
            }
        }
    }
}
