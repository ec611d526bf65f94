//! What this shard tells the others, and what a leader reads of streams.

use super::{Effect, GatewayId, Machine, Op, PeerOp, Producer, ShardSet};
use crate::base::ids::ShardId;
use crate::cluster::FilterShards;
use crate::shard::verdict::Answered;
use crate::topic::TopicFilter;

impl Machine {
    /// What `to` has not confirmed, from this number on, in order.
    pub fn outbox(&self, to: ShardId, from_sequence: u64) -> impl Iterator<Item = (u64, &PeerOp)> {
        self.outboxes.from(to, from_sequence)
    }

    /// The shards that have something to confirm.
    pub fn outbox_shards(&self) -> impl Iterator<Item = ShardId> {
        self.outboxes.waiting()
    }

    /// The last request of a producer that was applied, 0 if there is none.
    pub fn last_of(&self, producer: Producer) -> u64 {
        self.streams.last_of(producer)
    }

    /// The gateways whose streams are known.
    pub fn gateways(&self) -> impl Iterator<Item = GatewayId> {
        self.streams.gateways()
    }

    /// The answer to a request of a gateway, if it was applied and the gateway has not said that it has it.
    pub fn answer(&self, producer: Producer, sequence: u64) -> Option<&Answered> {
        self.streams.answer(producer, sequence)
    }

    /// Tells a shard something: another one by the outbox, this one at once.
    pub(super) fn tell(&mut self, to: ShardId, op: PeerOp, effects: &mut Vec<Effect>) {
        if to == self.shard {
            self.on_peer(&op, effects);
        } else {
            self.outboxes.push(to, op);
            self.told.insert(to);
        }
    }

    /// The shards in which a filter can match.
    pub(super) fn shards_of(&self, filter: &TopicFilter) -> ShardSet {
        match self.placement.filter_shards(filter) {
            FilterShards::One(shard) => [shard].into_iter().collect(),
            FilterShards::All => self.placement.all().collect(),
        }
    }

    /// What others must have confirmed before a request may be answered. Of (UN)SUBSCRIBE all that concerns its filters: what an
    /// earlier request has changed counts too, or UNSUBACK for what is given up already would come before the route is
    /// gone. Of CONNECT the client's wills: a client that says in a retained message that it is back must not be overtaken by
    /// its own death.
    pub(super) fn awaited(&self, op: &Op) -> Vec<(ShardId, u64)> {
        let shards = match op {
            Op::Subscribe { filters, .. } => self.shards_of_all(filters.iter().map(|(filter, _)| filter)),
            Op::Unsubscribe { filters, .. } => self.shards_of_all(filters.iter()),
            Op::Attach(attach) => return self.outboxes.wills_of(&attach.client_id),
            _ => return Vec::new(),
        };
        let last = |shard| self.outboxes.last_unconfirmed(shard).map(|last| (shard, last));
        shards.iter().filter_map(last).collect()
    }

    fn shards_of_all<'f>(&self, filters: impl Iterator<Item = &'f TopicFilter>) -> ShardSet {
        filters.fold(ShardSet::default(), |all, filter| all.union(self.shards_of(filter)))
    }
}
