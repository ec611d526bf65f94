//! What the shard of a topic holds of a session that subscribes there, or publishes QoS 2.

use super::entry::Attachment;
use super::queue::Queue;
use super::session::Subscription;
use super::stream::GatewayId;
use crate::base::ids::{Epoch, PacketId, Position};
use crate::topic::TopicFilter;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A session, as far as one shard is concerned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    /// Whose.
    pub client_id: ByteString,
    /// The highest epoch that is known here: what has a lower one is refused. A publish can teach a higher one than the session's
    /// shard has told of yet.
    pub epoch: Epoch,
    /// The connection that may read the queue, as far as the session's shard has told.
    pub bound: Option<Bound>,
    /// A gateway sends at most so many positions beyond what is committed.
    pub span: u64,
    /// Its subscriptions that can match here.
    pub routes: BTreeMap<TopicFilter, Subscription>,
    /// QoS 2 publishes that were received here and not released.
    pub inbound: BTreeSet<PacketId>,
    /// Messages towards it.
    pub queue: Queue,
}

/// A connection that reads a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Of this attach.
    pub epoch: Epoch,
    /// Here, as the session's shard knows that gateway: its generation is that of the gateway's stream there.
    pub gateway: GatewayId,
}

impl Participant {
    /// Nothing is held yet.
    pub(super) fn new(client_id: ByteString, epoch: Epoch) -> Self {
        Participant {
            client_id,
            epoch,
            bound: None,
            span: 0,
            routes: BTreeMap::new(),
            inbound: BTreeSet::new(),
            queue: Queue::default(),
        }
    }

    /// The gateway sends nothing from this position on until more progress is committed.
    pub fn send_end(&self) -> Position {
        Position(self.queue.base().0 + self.span)
    }

    /// Whether this attachment may read the queue.
    pub fn is_bound(&self, attachment: Attachment) -> bool {
        self.bound.is_some_and(|bound| bound.epoch == attachment.epoch)
    }
}

/// How many positions past the committed base a gateway may send: two windows and some slack, so that progress can be
/// committed lazily without holding the client up. It bounds what a crash leaves in doubt, and is below the part of the packet
/// identifier space that each of so many shards has, so that no two open positions share an identifier.
pub(super) fn send_span(window: u16, shards: u16) -> u64 {
    let max = (1 << 15) / (u64::from(shards) + 1);
    (2 * u64::from(window) + 16).min(max)
}
