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
    pub(super) held: VecDeque<Held>,
    pub(super) turns: Turns,
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
            held: VecDeque::new(),
            turns: Turns::default(),
            hears: BTreeSet::new(),
        }
    }
}
