//! What a proposer leaves with the log, to be reminded of when its entry is committed.

use crate::base::ids::{ConnId, Incarnation, PacketId};
use crate::codec::ReasonCode;
use crate::codec::packet::SubscriptionOptions;
use crate::message::Message;
use crate::replication::Receipt;
use crate::topic::TopicFilter;
use std::rc::Rc;

/// A filter of a SUBSCRIBE, by who answers it.
#[derive(Debug)]
pub(super) enum AskedFilter {
    /// Refused before anybody was asked.
    Refused(ReasonCode),
    /// The machine answers.
    Machine,
    /// The gateway's hub: a subscription of a clean session.
    Hub(TopicFilter, SubscriptionOptions),
}

/// A filter of an UNSUBSCRIBE, by who answers it.
#[derive(Debug)]
pub(super) enum GivenUpFilter {
    /// Refused before anybody was asked.
    Refused(ReasonCode),
    /// The machine answers.
    Machine,
    /// The gateway's hub.
    Hub(TopicFilter),
}

/// What to do when it is committed.
#[derive(Debug)]
pub(super) enum Ticket {
    /// Nothing.
    Silent,
    /// The node's own tick.
    Tick,
    /// One thing that the node tells of itself.
    Report,
    /// Close the connection, if the client asked for that.
    Close { receipt: Option<Receipt> },
    /// Let PUBREL go, if one is owed, and what the window held back.
    Progress { session: Incarnation, receipt: Option<Receipt> },
    /// A publish with an entry.
    Publish { conn: ConnId, receipt: Option<Receipt> },
    /// A publish without an entry, in its place behind others of its connection.
    Volatile { conn: ConnId, receipt: Option<Receipt>, message: Rc<Message> },
    /// An answer without an entry, in its place behind others of its connection.
    Answer { receipt: Receipt, reason: ReasonCode, unless_taken: Option<(Incarnation, PacketId)> },
    /// CONNECT.
    Attach { receipt: Receipt },
    /// PUBREL.
    Release { receipt: Receipt },
    /// SUBSCRIBE.
    Subscribe { receipt: Receipt, subscription_id: Option<u32>, filters: Vec<AskedFilter> },
    /// UNSUBSCRIBE.
    Unsubscribe { receipt: Receipt, filters: Vec<GivenUpFilter> },
}

impl Ticket {
    /// The connection whose next packets wait for this one to take effect.
    pub(super) fn waits_in_turn(&self) -> Option<ConnId> {
        match self {
            Ticket::Publish { conn, .. } | Ticket::Volatile { conn, .. } => Some(*conn),
            Ticket::Answer { receipt, .. }
            | Ticket::Release { receipt }
            | Ticket::Subscribe { receipt, .. }
            | Ticket::Unsubscribe { receipt, .. } => Some(receipt.conn()),
            Ticket::Silent | Ticket::Tick | Ticket::Report | Ticket::Close { .. } => None,
            Ticket::Progress { .. } | Ticket::Attach { .. } => None,
        }
    }
}
