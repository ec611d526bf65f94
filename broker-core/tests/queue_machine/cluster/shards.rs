//! The machines of the shards, and what was ever seen in their queues.

use broker_core::cluster::{FilterShards, Placement};
use broker_core::face::Durability;
use broker_core::ids::{Incarnation, Lsn, Position, ShardId};
use broker_core::limits::Limits;
use broker_core::message::Message;
use broker_core::replication::local::{LocalGroup, decode};
use broker_core::rng::Rng;
use broker_core::shard::queue::Slot;
use broker_core::shard::{
    Attachment, Effect, Entry, GatewayId, Machine, Op, Producer, QueueLimits, Stamp, Verdict,
};
use broker_core::time::{Duration, Instant, WallTime};
use broker_core::topic::TopicFilter;
use std::collections::{BTreeMap, BTreeSet};

/// The number of a message in a hub, and its tag.
pub(super) type Heard = (u64, Option<u64>);

/// Everything that was ever queued, by position, and what was seen of attaches.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) queued: BTreeMap<(Incarnation, ShardId), Vec<u64>>,
    pub(super) hubs: BTreeMap<(GatewayId, ShardId), Vec<Heard>>,
    /// The will of each attach.
    pub(super) wills: BTreeMap<Attachment, u64>,
    /// Attaches whose DISCONNECT has deleted the will.
    pub(super) discarded: BTreeSet<Attachment>,
}

pub(super) struct Shards {
    pub(super) machines: Vec<Machine>,
    pub(super) placement: Placement,
    pub(super) seen: Seen,
    pub(super) clock: WallTime,
    logs: Vec<LocalGroup<()>>,
    entries: Vec<Vec<Entry>>,
}

/// What a message says: its number.
pub(super) fn number(message: &Message) -> u64 {
    u64::from_be_bytes(message.payload.as_ref().try_into().expect("eight bytes"))
}

impl Shards {
    pub(super) fn new(count: u16) -> Self {
        let placement = Placement::new(count);
        let all = || (0..count).map(ShardId);
        let mut shards = Shards {
            machines: all().map(|shard| Machine::new(shard, placement)).collect(),
            placement,
            seen: Seen::default(),
            clock: WallTime::from_millis(1_000),
            logs: all().map(|_| LocalGroup::new(Durability::Sync, Lsn(0), 0, Instant::ZERO)).collect(),
            entries: all().map(|_| Vec::new()).collect(),
        };
        all().for_each(|shard| shards.lead(shard));
        shards
    }

    pub(super) fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        self.placement.all()
    }

    pub(super) fn of_filter(&self, filter: &TopicFilter) -> Vec<ShardId> {
        match self.placement.filter_shards(filter) {
            FilterShards::One(shard) => vec![shard],
            FilterShards::All => self.all().collect(),
        }
    }

    pub(super) fn machine(&self, shard: ShardId) -> &Machine {
        &self.machines[usize::from(shard.0)]
    }

    /// Writes an entry to the shard's log, and applies what is read from there.
    pub(super) fn apply(&mut self, shard: ShardId, stamp: Option<Stamp>, op: Op) -> (Verdict, Vec<Effect>) {
        let at = usize::from(shard.0);
        self.clock = self.clock + Duration::from_millis(3);
        let entry = Entry { at: self.clock, stamp, op };
        self.logs[at].propose(entry.clone(), (), true);
        let write = self.logs[at].take_write(Instant::ZERO).expect("a record");
        let read = decode(&write.records[0]).expect("what was written can be read");
        assert_eq!(read, entry);
        let mut effects = Vec::new();
        let verdict = self.machines[at].apply(&read, &mut effects);
        self.machines[at].check();
        self.note(shard, &read, &verdict);
        self.entries[at].push(read);
        (verdict, effects)
    }

    /// A new leader: a replica that got its state by a snapshot.
    pub(super) fn change_leader(&mut self, shard: ShardId) {
        let old = self.machine(shard);
        let new = Machine::restore(&old.snapshot(), self.placement).expect("a snapshot can be read");
        assert_eq!(new.snapshot(), old.snapshot(), "a snapshot holds everything");
        self.machines[usize::from(shard.0)] = new;
        self.lead(shard);
    }

    fn lead(&mut self, shard: ShardId) {
        self.apply(shard, None, Op::Lead(QueueLimits::from(&Limits::default())));
    }

    /// Whether `to` has something of `from` still to apply.
    pub(super) fn may_forward(&self, from: ShardId, to: ShardId) -> bool {
        let applied = self.machine(to).last_of(Producer::Shard(from));
        self.machine(from).outbox(to, applied + 1).next().is_some()
    }

    /// Brings one thing from an outbox to where it belongs: mostly the next one, also one that was brought before or is too early.
    pub(super) fn forward(&mut self, from: ShardId, to: ShardId, rng: &mut Rng) -> Vec<Effect> {
        let producer = Producer::Shard(from);
        let applied = self.machine(to).last_of(producer);
        let first = match rng.below(8) {
            0 => applied.saturating_sub(2),
            1 => applied + 2,
            _ => applied + 1,
        };
        let Some((sequence, op)) = self.machine(from).outbox(to, first).next() else { return Vec::new() };
        let op = Op::Peer(op.clone());
        let (verdict, effects) = self.apply(to, Some(Stamp { producer, sequence, answered: 0 }), op);
        let expected = match sequence {
            _ if sequence <= applied => Verdict::AnsweredBefore,
            _ if sequence > applied + 1 => Verdict::OutOfTurn { expected: applied + 1 },
            _ => Verdict::Applied,
        };
        assert_eq!(verdict, expected, "{sequence} after {applied}");
        let last = if sequence == applied + 1 { sequence } else { applied };
        assert_eq!(self.machine(to).last_of(producer), last);
        effects
    }

    /// Whether something in the outbox of `from` was applied and is not confirmed.
    pub(super) fn may_confirm(&self, from: ShardId, to: ShardId) -> bool {
        let applied = self.machine(to).last_of(Producer::Shard(from));
        self.machine(from).outbox(to, 0).next().is_some_and(|(first, _)| first <= applied)
    }

    pub(super) fn confirm(&mut self, from: ShardId, to: ShardId) {
        let upto = self.machine(to).last_of(Producer::Shard(from));
        self.apply(from, None, Op::StreamConfirmed { shard: to, upto });
    }

    /// Every replica that applies the log has the same state.
    pub(super) fn check_replicas(&self) {
        for (machine, entries) in self.machines.iter().zip(&self.entries) {
            let mut replica = Machine::new(machine.shard(), self.placement);
            for entry in entries {
                replica.apply(entry, &mut Vec::new());
            }
            assert_eq!(replica.snapshot(), machine.snapshot(), "a replica of shard {}", machine.shard());
        }
    }

    /// Notes what an entry has put into queues.
    fn note(&mut self, shard: ShardId, entry: &Entry, verdict: &Verdict) {
        let machine = &self.machines[usize::from(shard.0)];
        for (session, held) in machine.participants() {
            let seen = self.seen.queued.entry((session, shard)).or_default();
            while (seen.len() as u64) < held.queue.tail().0 {
                let position = Position(seen.len() as u64);
                let Some(Slot::Waiting(queued)) = held.queue.get(position) else {
                    panic!("what was just queued waits");
                };
                seen.push(number(machine.message(queued.offset)));
            }
        }
        let producers: BTreeSet<GatewayId> = entry
            .stamp
            .and_then(|stamp| stamp.producer.gateway())
            .into_iter()
            .chain(self.seen.hubs.keys().map(|(gateway, _)| *gateway))
            .collect();
        for gateway in producers {
            let Some(hub) = machine.hub(gateway) else { continue };
            let seen = self.seen.hubs.entry((gateway, shard)).or_default();
            while (seen.len() as u64) < hub.tail().0 {
                let entry = hub.get(Position(seen.len() as u64)).expect("what was just queued waits");
                seen.push((number(machine.message(entry.offset)), entry.tag));
            }
        }
        match (&entry.op, verdict) {
            (Op::Attach(attach), Verdict::Attached { session, .. }) => {
                if let Some(will) = &attach.will {
                    self.seen.wills.insert(*session, number(&will.message));
                }
            }
            (Op::Detach(detach), Verdict::Applied) if detach.discard_will => {
                self.seen.discarded.insert(detach.session);
            }
            _ => {}
        }
    }
}
