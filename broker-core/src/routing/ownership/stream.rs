//! What passes between this gateway and one shard.

use super::gather::Part;
use super::turn::Turn;
use crate::base::ids::{ConnId, PacketId, Position, ShardId};
use crate::base::time::Instant;
use crate::codec::packet::QoS;
use crate::replication::{Receipt, Upstream};
use crate::shard::{Attach, Attachment, GatewayId, Op};
use crate::topic::TopicFilter;
use std::collections::BTreeMap;

/// What to do when the answer to a request comes.
#[derive(Debug)]
pub(super) enum Ticket {
    /// Nothing.
    Silent,
    /// It was one thing that the node tells of itself.
    Report,
    /// CONNECT.
    Attach { receipt: Receipt, attach: Box<Attach> },
    /// The end of a connection, which its client may wait for.
    Detach { session: Attachment, receipt: Option<Receipt> },
    /// PUBLISH.
    Publish { conn: ConnId, session: Attachment, turn: Option<Turn>, id: Option<PacketId> },
    /// QoS 2 publishes may go to `shard`.
    Touch { conn: ConnId, session: Attachment, shard: ShardId },
    /// A part of an answer.
    Part { gather: u64, part: Part },
    /// Progress of a session's queue, and PUBREL or the next message if one waits for it.
    Progress { session: Attachment, receipt: Option<Receipt> },
}

/// Whom retained messages of a hub's queue are for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) conn: ConnId,
    pub(super) qos: QoS,
    pub(super) subscription_id: Option<u32>,
}

/// One generation of the stream to one shard.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) gateway: GatewayId,
    pub(super) requests: Upstream<Op, Ticket>,
    /// When the shard was first asked for something: from then on it is to be told that the gateway lives.
    pub(super) used_since: Option<Instant>,
    /// When the last renewal was sent that the shard's leader has confirmed.
    pub(super) renewed_at: Option<Instant>,
    /// The last request that the shard had applied when it confirmed a renewal.
    pub(super) applied: u64,
    /// The next position of the hub's queue; `None` until something is heard through it.
    pub(super) hub_next: Option<Position>,
    /// What of it the shard was told is heard.
    pub(super) hub_told: Position,
    /// Subscriptions for which the hub's queue counts from a position on that has not come yet.
    pub(super) beginning: Vec<(Position, ConnId, TopicFilter)>,
    pub(super) tags: BTreeMap<u64, Tag>,
    /// Tags that are not needed from a position of the hub's queue on.
    pub(super) tags_end: Vec<(Position, u64)>,
}

impl Stream {
    pub(super) fn new(gateway: GatewayId) -> Self {
        Stream {
            gateway,
            requests: Upstream::new(),
            used_since: None,
            renewed_at: None,
            applied: 0,
            hub_next: None,
            hub_told: Position(0),
            beginning: Vec::new(),
            tags: BTreeMap::new(),
            tags_end: Vec::new(),
        }
    }

    pub(super) fn request(&mut self, op: Op, ticket: Ticket, now: Instant) {
        self.used_since.get_or_insert(now);
        self.requests.request(op, ticket);
    }

    /// The shard's leader has applied the requests up to `last`. If that is no more than at the last renewal, a leader has not taken what came next
    /// (it was handing over, or full): it is sent again. What had come after all is known by its number.
    pub(super) fn note_applied(&mut self, last: u64) {
        if last == self.applied {
            self.requests.resend_from(last + 1);
        }
        self.applied = last;
    }

    /// Tells the shard how far its hub's queue was heard.
    pub(super) fn tell_heard(&mut self, now: Instant) {
        if let Some(upto) = self.hub_next.filter(|next| *next > self.hub_told) {
            self.hub_told = upto;
            self.request(Op::Heard { upto }, Ticket::Silent, now);
        }
    }

    /// The gateway was dropped by the shard, or must take itself for dropped: begins the next generation and gives back what was
    /// never answered.
    pub(super) fn begin_anew(&mut self) -> Vec<Ticket> {
        let generation = self.gateway.generation + 1;
        let gateway = GatewayId { generation, ..self.gateway };
        let (leader, term) = self.requests.leadership();
        let mut fresh = Stream::new(gateway);
        if let Some(leader) = leader {
            fresh.requests.on_leader(leader, term);
        }
        std::mem::replace(self, fresh).requests.abandon().collect()
    }
}
