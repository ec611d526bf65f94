//! The state of a shard and the one function that changes it.

mod attach;
mod check;
pub(crate) mod due;
mod publish;
pub mod read;
mod subscribe;

use super::entry::{Attachment, Entry, Op, Publish, QueueLimits, Step};
use super::groups::Groups;
use super::log::MessageLog;
use super::session::{SessionRecord, Subscription};
use super::snapshot;
use super::verdict::{Effect, Verdict};
use crate::base::ids::{Incarnation, Offset, Position};
use crate::base::limits::Limits;
use crate::base::time::WallTime;
use crate::topic::retained::RetainedStore;
use crate::topic::trie::SubscriptionTrie;
use crate::topic::{TopicFilter, TopicName};
use bytes::Bytes;
use bytestring::ByteString;
use due::Due;
use std::collections::{BTreeMap, BTreeSet};

/// The deterministic queue machine of one shard.
#[derive(Debug)]
pub struct Machine {
    limits: QueueLimits,
    /// The time of the last entry applied.
    time: WallTime,
    next_incarnation: Incarnation,
    log: MessageLog,
    sessions: BTreeMap<Incarnation, SessionRecord>,
    groups: Groups,
    retained: RetainedStore<Offset>,
    // What follows can be derived from what is above.
    clients: BTreeMap<ByteString, Incarnation>,
    routes: SubscriptionTrie<Incarnation, Subscription>,
    group_routes: SubscriptionTrie<TopicFilter, ()>,
    due: BTreeSet<(WallTime, Due)>,
    /// Sessions from the end of whose connection something will count.
    timed: BTreeSet<Incarnation>,
    retained_bytes: u64,
}

impl Machine {
    /// An empty machine. Default limits hold until the first [`Op::Boot`].
    pub fn new() -> Self {
        Machine {
            limits: QueueLimits::from(&Limits::default()),
            time: WallTime::default(),
            next_incarnation: Incarnation(1),
            log: MessageLog::default(),
            sessions: BTreeMap::new(),
            groups: Groups::default(),
            retained: RetainedStore::new(),
            clients: BTreeMap::new(),
            routes: SubscriptionTrie::new(),
            group_routes: SubscriptionTrie::new(),
            due: BTreeSet::new(),
            timed: BTreeSet::new(),
            retained_bytes: 0,
        }
    }

    /// Applies one committed entry. What is due at its time is carried out first.
    pub fn apply(&mut self, entry: &Entry, effects: &mut Vec<Effect>) -> Verdict {
        let before = self.time;
        self.time = before.max(entry.at);
        if let Op::Boot(limits) = entry.op {
            self.limits = limits;
            self.boot(before, effects);
        }
        self.carry_out_due(effects);
        match &entry.op {
            Op::Boot(_) | Op::Tick => Verdict::Applied,
            Op::Attach(attach) => self.attach(attach, effects),
            Op::Detach(detach) => self.detach(detach, effects),
            Op::Publish(publish) => self.publish(publish, effects),
            Op::Release { session, id } => match self.current(*session) {
                Some(record) => Verdict::Released { known: record.inbound.remove(id) },
                None => Verdict::Fenced,
            },
            Op::Subscribe { session, subscription_id, filters } => {
                self.subscribe(*session, *subscription_id, filters, effects)
            }
            Op::Unsubscribe { session, filters } => self.unsubscribe(*session, filters),
            Op::Progress { session, steps } => self.progress(*session, steps),
            Op::Lead(_)
            | Op::GatewayLost(_)
            | Op::Touch { .. }
            | Op::Hear { .. }
            | Op::Unhear { .. }
            | Op::Heard { .. }
            | Op::StreamConfirmed { .. }
            | Op::Peer(_) => Verdict::UnknownProducer,
        }
    }

    /// The whole state, for a snapshot.
    pub fn snapshot(&self) -> Vec<Bytes> {
        let retained = self.retained.iter().map(|(topic, offset)| (topic.clone(), *offset)).collect();
        snapshot::encode(&snapshot::State {
            limits: self.limits,
            time: self.time,
            next_incarnation: self.next_incarnation,
            log: &self.log,
            sessions: self.sessions.values().collect(),
            groups: &self.groups,
            retained,
        })
    }

    /// The machine that a snapshot was taken of.
    ///
    /// # Errors
    /// Says what is wrong if the chunks are no snapshot of this format.
    pub fn restore(chunks: &[Bytes]) -> Result<Self, snapshot::SnapshotError> {
        let state = snapshot::decode(chunks)?;
        let mut machine = Machine::new();
        machine.limits = state.limits;
        machine.time = state.time;
        machine.next_incarnation = state.next_incarnation;
        machine.log = state.log;
        machine.groups = state.groups;
        for filter in machine.groups.filters() {
            machine.group_routes.insert(filter, filter.clone(), ());
        }
        for (topic, offset) in state.retained {
            machine.index_retained(topic, offset);
        }
        for record in state.sessions {
            machine.index_session(&record);
            let session = record.incarnation;
            machine.sessions.insert(session, record);
            machine.index_timed(session);
        }
        Ok(machine)
    }

    /// The record of a session whose attachment is the current one.
    fn current(&mut self, session: Attachment) -> Option<&mut SessionRecord> {
        self.sessions.get_mut(&session.incarnation).filter(|record| record.epoch == session.epoch)
    }

    fn progress(&mut self, session: Attachment, steps: &[(Position, Step)]) -> Verdict {
        // Not by `current`, which would borrow the log with the sessions.
        let Some(record) = self.sessions.get_mut(&session.incarnation) else { return Verdict::Fenced };
        if record.epoch != session.epoch {
            return Verdict::Fenced;
        }
        for &(position, step) in steps {
            let log = &self.log;
            let size = |queued: &super::queue::Queued| log.get(queued.offset).size();
            if let Some(queued) = record.queue.finish(position, step == Step::Received, size) {
                self.log.release(queued.offset);
            }
        }
        Verdict::Applied
    }

    fn index_session(&mut self, record: &SessionRecord) {
        self.clients.insert(record.client_id.clone(), record.incarnation);
        for (filter, subscription) in &record.subscriptions {
            if filter.share().is_none() {
                self.routes.insert(filter, record.incarnation, *subscription);
            }
        }
        self.index_due(record);
    }

    /// Keeps the list of sessions from the end of whose connection something will count.
    fn index_timed(&mut self, session: Incarnation) {
        if self.sessions.get(&session).is_some_and(SessionRecord::is_timed) {
            self.timed.insert(session);
        } else {
            self.timed.remove(&session);
        }
    }

    fn index_retained(&mut self, topic: TopicName, offset: Offset) {
        let message = self.log.get(offset);
        self.retained_bytes += message.size();
        if let Some(at) = message.expires_at {
            self.due.insert((at, Due::Retained(topic.clone(), offset)));
        }
        self.retained.set(topic, offset);
    }
}

impl Default for Machine {
    fn default() -> Self {
        Machine::new()
    }
}
