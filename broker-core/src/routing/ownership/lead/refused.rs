//! What a leader could not take because it was handing over, and goes on leading all the same.
//!
//! While a hand-over is under way nothing is appended. If there is a new leader, it is asked again for everything, for it says that it leads.
//! If there is none, nobody would notice for seconds.

use super::super::frame::{Addressed, Frame};
use super::{Lead, Surroundings};
use crate::replication::raft::RaftGroup;
use crate::shard::{GatewayId, Verdict};

impl Lead {
    /// A request was not taken.
    pub(super) fn note_refused(&mut self, group: &RaftGroup, from: GatewayId, sequence: u64) {
        if group.handing_over_to().is_some() {
            let first = self.refused.entry(from).or_insert(sequence);
            *first = sequence.min(*first);
        }
    }

    /// The hand-over has come to nothing: gateways are told from which request on to ask again, and other shards to send again what is not confirmed.
    pub(in crate::routing::ownership) fn go_on(
        &mut self,
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        for (gateway, expected) in std::mem::take(&mut self.refused) {
            let verdict = Verdict::OutOfTurn { expected };
            let frame = Frame::Answer { shard: self.shard, gateway, sequence: expected, verdict };
            out.push(Addressed { to: gateway.node, frame });
        }
        if self.serves {
            self.announce(around, out);
        }
    }
}
