//! What time brings: due sessions and wills, leases of gateways, what was not confirmed.

use super::super::frame::{Addressed, Frame};
use super::Lead;
use crate::base::ids::NodeId;
use crate::base::time::{Duration, Instant, WallTime};
use crate::replication::raft::RaftGroup;
use crate::shard::machine::due::ALIVE_INTERVAL;
use crate::shard::{Attachment, Entry, GatewayId, Machine, Op, Producer};

/// A gateway that was not heard of for so long is dropped.
const LEASE: Duration = Duration::from_secs(10);
/// For so much longer than after an election the leader before may believe that it leads, and confirm leases, if this one was asked to take over: nobody
/// waited first until it was silent.
const TAKEN_OVER: Duration = Duration::from_secs(1);
/// While somebody's expiry counts from the end of a connection, an entry is written at least this often.
const ALIVE_PERIOD: Duration = Duration::from_secs(4);
/// What another shard has not confirmed any part of for so long is sent to it again: its leader was handing over, or full.
const FORWARD_AGAIN: Duration = Duration::from_secs(2);

const _: () = assert!(ALIVE_PERIOD.as_nanos() < ALIVE_INTERVAL.as_nanos());

impl Lead {
    /// A gateway lives.
    pub(in crate::routing::ownership) fn on_renew(
        &mut self,
        gateway: GatewayId,
        at: Instant,
        machine: &Machine,
        now: Instant,
        out: &mut Vec<Addressed>,
    ) {
        // One that was dropped has nothing here any more and must not think that it has.
        let last = machine.last_of(Producer::Gateway(gateway));
        if last > 0 {
            self.heard.insert(gateway, now);
            let frame = Frame::Renewed { shard: self.shard, gateway, at, last };
            out.push(Addressed { to: gateway.node, frame });
        }
    }

    /// A gateway says which attachments of the shard's sessions it has: those that are not current are told so.
    pub(in crate::routing::ownership) fn on_holds(
        &self,
        from: NodeId,
        sessions: Vec<Attachment>,
        machine: &Machine,
        out: &mut Vec<Addressed>,
    ) {
        for session in sessions {
            let record = machine.session(session.incarnation);
            if record.is_none_or(|record| record.attachment() != session) {
                out.push(Addressed { to: from, frame: Frame::Evicted { session } });
            }
        }
    }

    /// Time has passed: what is due, who was not heard of, what is to be put on record.
    pub(in crate::routing::ownership) fn on_timer(
        &mut self,
        machine: &Machine,
        group: &mut RaftGroup,
        time: WallTime,
        now: Instant,
    ) {
        self.ready.extend(self.late.on_timer(now));
        self.takeovers.on_timer(now);
        let due = machine.next_due().is_some_and(|at| at <= time);
        for to in machine.outbox_shards() {
            let moved = *self.outbox_moved.entry(to).or_insert(now);
            let confirmed = self.confirmed.get(&to).copied().unwrap_or(0);
            if machine.outbox(to, confirmed + 1).next().is_none() {
                self.outbox_moved.insert(to, now);
            } else if now.saturating_since(moved) >= FORWARD_AGAIN {
                self.outbox_moved.insert(to, now);
                self.outbox_next.insert(to, confirmed + 1);
                self.outbox_ready.insert(to);
            }
        }
        let silent = now.saturating_since(self.last_entry_at) >= ALIVE_PERIOD;
        let timed = machine.timed_sessions().len() > 0;
        if !self.tick_proposed && (due || (silent && timed)) {
            self.tick_proposed = self.propose(group, &Entry { at: time, stamp: None, op: Op::Tick }, now);
        }
        for gateway in machine.gateways() {
            let heard = self.heard.get(&gateway).copied().unwrap_or(self.since + TAKEN_OVER).max(self.since);
            if now.saturating_since(heard) > LEASE && !self.lost.contains(&gateway) {
                let entry = Entry { at: time, stamp: None, op: Op::GatewayLost(gateway) };
                if self.propose(group, &entry, now) {
                    self.lost.insert(gateway);
                }
            }
        }
        for (shard, upto) in self.confirmed.clone() {
            if self.trimmed.get(&shard).is_none_or(|trimmed| *trimmed < upto) {
                let entry = Entry { at: time, stamp: None, op: Op::StreamConfirmed { shard, upto } };
                if self.propose(group, &entry, now) {
                    self.trimmed.insert(shard, upto);
                }
            }
        }
    }
}
