//! A session that is taken over: its earlier connection ends, with all that it leaves behind on record, before the later one may attach.

use super::super::frame::{Addressed, Frame};
use super::Lead;
use crate::base::ids::NodeId;
use crate::base::time::{Duration, Instant};
use crate::shard::{Attachment, Machine};
use bytestring::ByteString;
use std::collections::BTreeMap;
use std::ops::RangeBounds;

/// How long a CONNECT waits for a gateway that says nothing, and to which there is a link.
const PATIENCE: Duration = Duration::from_secs(1);

/// A gateway that wants to know what a session was attached as last, and is to be told when that is over.
#[derive(Debug)]
struct Asking {
    client_id: ByteString,
    /// Where the attachment is that is to end.
    node: NodeId,
    since: Instant,
}

/// The questions that wait.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    /// By the attachment that is to end, and who asks.
    waiting: BTreeMap<(Attachment, NodeId), Asking>,
    /// Those that wait no more.
    over: Vec<(NodeId, ByteString)>,
}

impl Takeovers {
    fn end(&mut self, among: impl RangeBounds<(Attachment, NodeId)>, which: impl Fn(&Asking) -> bool) {
        let ended = self.waiting.extract_if(among, |_, asking| which(asking));
        self.over.extend(ended.map(|((_, asker), asking)| (asker, asking.client_id)));
    }

    /// A gateway that cannot be reached finds out by itself that it has lost its connections.
    pub(super) fn on_peer_down(&mut self, peer: NodeId) {
        self.waiting.retain(|(_, asker), _| *asker != peer);
        self.end(.., |asking| asking.node == peer);
    }

    /// Time has passed.
    pub(super) fn on_timer(&mut self, now: Instant) {
        self.end(.., |asking| now.saturating_since(asking.since) >= PATIENCE);
    }
}

impl Lead {
    /// A gateway asks what the session of a client was attached as last. While a gateway that can be reached has it, that is asked to end the connection,
    /// and the answer waits.
    pub(in crate::routing::ownership) fn on_ask_session(
        &mut self,
        asker: NodeId,
        client_id: ByteString,
        machine: &Machine,
        linked: &[NodeId],
        now: Instant,
        out: &mut Vec<Addressed>,
    ) {
        let record = machine.last_attachment(&client_id).and_then(|last| machine.session(last.incarnation));
        let attached = record.and_then(|record| Some((record.attachment(), record.gateway?.node)));
        let Some((earlier, node)) = attached.filter(|(_, node)| linked.contains(node)) else {
            self.takeovers.over.push((asker, client_id));
            return;
        };
        self.takeovers.waiting.entry((earlier, asker)).or_insert_with(|| {
            out.push(Addressed { to: node, frame: Frame::Yield { session: earlier } });
            Asking { client_id, node, since: now }
        });
    }

    /// A gateway does not have this connection any more, and what it left behind is on record.
    pub(in crate::routing::ownership) fn on_yielded(&mut self, from: NodeId, session: Attachment) {
        let of_it = (session, NodeId(0))..=(session, NodeId(u32::MAX));
        self.takeovers.end(of_it, |asking| asking.node == from);
    }

    /// Answers the questions that wait no more.
    pub(super) fn answer_askers(&mut self, machine: &Machine, out: &mut Vec<Addressed>) {
        for (to, client_id) in std::mem::take(&mut self.takeovers.over) {
            let last = machine.last_attachment(&client_id);
            out.push(Addressed { to, frame: Frame::SessionIs { shard: self.shard, client_id, last } });
        }
    }
}
