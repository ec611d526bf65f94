//! What a gateway remembers of a connected client beside its connection.

use super::turn::{Turn, Turns};
use crate::base::ids::{PacketId, ShardId};
use crate::shard::{Attachment, Publish, ShardSet};
use crate::topic::TopicFilter;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A publish that was not sent to its shard yet.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) shard: ShardId,
    pub(super) publish: Publish,
    pub(super) turn: Option<Turn>,
}

/// One connected client.
#[derive(Debug)]
pub(super) struct ClientState {
    pub(super) session: Attachment,
    /// The shards where packet identifiers of its QoS 2 publishes may be, on record.
    pub(super) touched: ShardSet,
    /// Those that are about to be put on record.
    pub(super) touching: ShardSet,
    /// The shards of the QoS 2 publishes that were seen on this connection and not released.
    pub(super) inbound: BTreeMap<PacketId, ShardId>,
    /// How many PUBRELs for an identifier are not answered. A PUBLISH that uses it anew waits for that, or a PUBCOMP for the old
    /// message would be taken for its own.
    pub(super) releasing: BTreeMap<PacketId, u32>,
    pub(super) held: VecDeque<Held>,
    pub(super) turns: Turns,
    /// How many of its QoS 0 publishes a shard has not answered: those with RETAIN, and what came behind them.
    pub(super) unanswered_qos0: BTreeMap<ShardId, u32>,
    /// What is heard through the hubs for it.
    pub(super) hears: BTreeSet<TopicFilter>,
}

impl ClientState {
    pub(super) fn new(session: Attachment, touched: ShardSet) -> Self {
        ClientState {
            session,
            touched,
            touching: ShardSet::default(),
            inbound: BTreeMap::new(),
            releasing: BTreeMap::new(),
            held: VecDeque::new(),
            turns: Turns::default(),
            unanswered_qos0: BTreeMap::new(),
            hears: BTreeSet::new(),
        }
    }

    /// A PUBREL is answered.
    pub(super) fn released(&mut self, id: PacketId) {
        let count = self.releasing.get_mut(&id).expect("what is answered was counted");
        *count -= 1;
        if *count == 0 {
            self.releasing.remove(&id);
        }
    }

    /// A shard has answered one of its QoS 0 publishes.
    pub(super) fn answered_qos0(&mut self, shard: ShardId) {
        let count = self.unanswered_qos0.get_mut(&shard).expect("what is answered was counted");
        *count -= 1;
        if *count == 0 {
            self.unanswered_qos0.remove(&shard);
        }
    }
}
