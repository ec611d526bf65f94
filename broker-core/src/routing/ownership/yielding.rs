//! Connections whose clients are at another one now: they end, and whoever waits for that is told when what they leave behind is on record.

use super::edge::Edge;
use super::frame::{Addressed, Frame};
use super::stream::Ticket;
use crate::base::ids::NodeId;
use crate::session::Gateway;
use crate::shard::Attachment;

/// Who is to be told that an attachment is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Yielding {
    session: Attachment,
    to: NodeId,
}

impl Edge {
    /// The client of a session is about to be attached anew: its connection here ends.
    pub(super) fn on_yield(&mut self, session: Attachment, to: NodeId, gateway: &mut Gateway) {
        if self.has(session) {
            gateway.give_way(session.incarnation);
        }
        self.yielding.push(Yielding { session, to });
        self.yielded = true;
    }

    /// Tells of those that are over. Not before what their connections wanted last was asked for.
    pub(super) fn tell_yielded(&mut self, gateway: &Gateway, out: &mut Vec<Addressed>) {
        if self.yielding.is_empty() || gateway.has_intents() || !std::mem::take(&mut self.yielded) {
            return;
        }
        let all = self.streams.iter().flat_map(|stream| stream.requests.tickets());
        let open: Vec<Attachment> = all.filter_map(Ticket::of_session).collect();
        for Yielding { session, to } in self.yielding.extract_if(.., |one| !open.contains(&one.session)) {
            out.push(Addressed { to, frame: Frame::Yielded { session } });
        }
    }
}

impl Ticket {
    /// The attachment whose end waits for the answer.
    fn of_session(&self) -> Option<Attachment> {
        match self {
            Ticket::Progress { session, .. } | Ticket::Detach { session, .. } => Some(*session),
            Ticket::Silent
            | Ticket::Report
            | Ticket::Attach { .. }
            | Ticket::Publish { .. }
            | Ticket::Touch { .. }
            | Ticket::Part { .. } => None,
        }
    }
}
