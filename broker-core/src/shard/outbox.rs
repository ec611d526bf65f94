//! What a shard has to tell another one, numbered from 1, until that has confirmed it.

use super::peer::PeerOp;
use crate::base::ids::ShardId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// All that is to be told, by who is to be told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outboxes {
    outboxes: BTreeMap<ShardId, Outbox>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Outbox {
    /// The last number that was confirmed.
    confirmed: u64,
    ops: VecDeque<PeerOp>,
}

impl Outboxes {
    pub(super) fn push(&mut self, to: ShardId, op: PeerOp) {
        self.outboxes.entry(to).or_default().ops.push_back(op);
    }

    /// `to` has applied everything up to and with `upto`. What was never told cannot have been applied.
    pub(super) fn confirm(&mut self, to: ShardId, upto: u64) {
        let Some(outbox) = self.outboxes.get_mut(&to) else { return };
        while outbox.confirmed < upto && outbox.ops.pop_front().is_some() {
            outbox.confirmed += 1;
        }
    }

    /// What `to` has not confirmed, from this number on.
    pub(super) fn from(&self, to: ShardId, sequence: u64) -> impl Iterator<Item = (u64, &PeerOp)> {
        self.outboxes.get(&to).into_iter().flat_map(move |outbox| {
            let first = outbox.confirmed + 1;
            let skipped = usize::try_from(sequence.saturating_sub(first)).unwrap_or(usize::MAX);
            (first..).zip(&outbox.ops).skip(skipped)
        })
    }

    /// The last number of what `to` has not confirmed; `None` if it has confirmed everything.
    pub(super) fn last_unconfirmed(&self, to: ShardId) -> Option<u64> {
        let outbox = self.outboxes.get(&to).filter(|outbox| !outbox.ops.is_empty())?;
        Some(outbox.confirmed + outbox.ops.len() as u64)
    }

    /// The last numbers under which wills of this client are on their way.
    pub(super) fn wills_of(&self, client_id: &str) -> Vec<(ShardId, u64)> {
        let last = |outbox: &Outbox| {
            let is_will =
                |op: &PeerOp| matches!(op, PeerOp::Publish { message, .. } if message.publisher == client_id);
            let index = outbox.ops.iter().rposition(is_will)?;
            Some(outbox.confirmed + 1 + index as u64)
        };
        self.outboxes.iter().filter_map(|(to, outbox)| Some((*to, last(outbox)?))).collect()
    }

    /// The shards that have something to confirm.
    pub(super) fn waiting(&self) -> impl Iterator<Item = ShardId> {
        self.outboxes.iter().filter(|(_, outbox)| !outbox.ops.is_empty()).map(|(to, _)| *to)
    }
}

#[cfg(test)]
mod tests {
    use super::{Outboxes, PeerOp, ShardId};
    use crate::base::ids::Incarnation;

    fn retire(session: u64) -> PeerOp {
        PeerOp::Retire { incarnation: Incarnation(session) }
    }

    #[test]
    fn numbers_stay_when_what_was_confirmed_goes() {
        let (mut outboxes, to) = (Outboxes::default(), ShardId(3));
        for session in 11..14 {
            outboxes.push(to, retire(session));
        }
        outboxes.confirm(to, 1);
        let left: Vec<_> = outboxes.from(to, 0).collect();
        assert_eq!(left, [(2, &retire(12)), (3, &retire(13))]);
        assert_eq!(outboxes.from(to, 3).map(|(sequence, _)| sequence).collect::<Vec<_>>(), [3]);
        assert_eq!(outboxes.last_unconfirmed(to), Some(3));
        outboxes.confirm(to, 99);
        assert_eq!((outboxes.last_unconfirmed(to), outboxes.waiting().count()), (None, 0));
        outboxes.push(to, retire(14));
        assert_eq!(outboxes.from(to, 4).collect::<Vec<_>>(), [(4, &retire(14))]);
        assert_eq!(outboxes.from(ShardId(4), 0).count(), 0);
    }
}
