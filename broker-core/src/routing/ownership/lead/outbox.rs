//! What this shard has to tell others, and what they tell it.

use super::super::frame::{Addressed, Frame};
use super::{Lead, Surroundings, Waiting};
use crate::base::ids::{NodeId, ShardId};
use crate::base::time::{Instant, WallTime};
use crate::replication::raft::RaftGroup;
use crate::shard::{Entry, Machine, Op, PeerOp, Producer, Stamp};

impl Lead {
    pub(super) fn is_confirmed(&self, (shard, upto): (ShardId, u64), machine: &Machine) -> bool {
        let told = self.confirmed.get(&shard).is_some_and(|confirmed| *confirmed >= upto);
        // What is on record as confirmed is not in the outbox any more.
        told || machine.outbox(shard, 0).next().is_none_or(|(first, _)| first > upto)
    }

    /// Tells the leader of another shard how far its outbox was applied here.
    pub(super) fn confirm(&mut self, from: ShardId, machine: &Machine, out: &mut Vec<Addressed>) {
        let upto = machine.last_of(Producer::Shard(from));
        if let Some(to) = self.forwarders.get(&from) {
            out.push(Addressed { to: *to, frame: Frame::Confirmed { from, to: self.shard, upto } });
        }
    }

    /// From the outbox of another shard.
    #[expect(clippy::too_many_arguments, reason = "the fields of one frame, and the group")]
    pub(in crate::routing::ownership) fn on_forward(
        &mut self,
        group: &mut RaftGroup,
        machine: &Machine,
        sender: NodeId,
        from: ShardId,
        sequence: u64,
        op: PeerOp,
        (time, now): (WallTime, Instant),
        out: &mut Vec<Addressed>,
    ) {
        self.forwarders.insert(from, sender);
        let producer = Producer::Shard(from);
        if machine.last_of(producer) >= sequence {
            self.confirm(from, machine, out);
            return;
        }
        let stamp = Stamp { producer, sequence, answered: sequence };
        self.propose(group, &Entry { at: time, stamp: Some(stamp), op: Op::Peer(op) }, now);
    }

    /// Another shard has applied a part of this one's outbox: answers that waited for it may go.
    pub(in crate::routing::ownership) fn on_confirmed(
        &mut self,
        by: ShardId,
        upto: u64,
        machine: &Machine,
        now: Instant,
        out: &mut Vec<Addressed>,
    ) {
        let confirmed = self.confirmed.entry(by).or_default();
        if *confirmed < upto {
            *confirmed = upto;
            self.outbox_moved.insert(by, now);
        }
        for Waiting { gateway, sequence, awaits } in std::mem::take(&mut self.waiting) {
            let open: Vec<(ShardId, u64)> =
                awaits.into_iter().filter(|wanted| !self.is_confirmed(*wanted, machine)).collect();
            if !open.is_empty() {
                self.waiting.push(Waiting { gateway, sequence, awaits: open });
            } else if let Some(kept) = machine.answer(Producer::Gateway(gateway), sequence) {
                let verdict = kept.verdict.clone();
                self.push_answer(gateway, sequence, verdict, machine, out);
            }
        }
    }

    pub(super) fn push_outbox(
        &mut self,
        to: ShardId,
        machine: &Machine,
        around: &Surroundings<'_>,
        out: &mut Vec<Addressed>,
    ) {
        let Some(leader) = around.leaders[usize::from(to.0)].0 else { return };
        let next = self.outbox_next.entry(to).or_insert(0);
        for (sequence, op) in machine.outbox(to, *next) {
            let frame = Frame::Forward { from: self.shard, to, sequence, op: op.clone() };
            out.push(Addressed { to: leader, frame });
            *next = sequence + 1;
        }
    }
}
