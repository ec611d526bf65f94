//! The state as a snapshot, and back.

use super::{Due, Machine, sole_placement};
use crate::base::ids::{Incarnation, Offset};
use crate::cluster::Placement;
use crate::shard::session::SessionRecord;
use crate::shard::snapshot::{self, SnapshotError};
use crate::topic::TopicName;
use bytes::Bytes;

impl Machine {
    /// The whole state, for a snapshot.
    pub fn snapshot(&self) -> Vec<Bytes> {
        let retained = self.retained.iter().map(|(topic, offset)| (topic.clone(), *offset)).collect();
        snapshot::encode(&snapshot::State {
            shard: self.shard,
            shards: self.placement.shards(),
            limits: self.limits,
            time: self.time,
            streams: &self.streams,
            outboxes: &self.outboxes,
            next_incarnation: self.next_incarnation,
            sessions: self.sessions.values().collect(),
            log: &self.log,
            participants: &self.participants,
            retired: &self.retired,
            authors: &self.authors,
            groups: &self.groups,
            hubs: &self.hubs,
            retained,
        })
    }

    /// The machine that a snapshot was taken of.
    ///
    /// # Errors
    /// Says what is wrong if the chunks are no snapshot of this format, or of a cluster with another number of shards.
    pub fn restore(chunks: &[Bytes], placement: Placement) -> Result<Self, SnapshotError> {
        let state = snapshot::decode(chunks)?;
        if state.shards != placement.shards() || state.shard.0 >= state.shards {
            return Err(SnapshotError::Shards { held: state.shards, expected: placement.shards() });
        }
        let mut machine = Machine::new(state.shard, placement);
        machine.limits = state.limits;
        machine.time = state.time;
        machine.streams = state.streams;
        machine.outboxes = state.outboxes;
        machine.next_incarnation = state.next_incarnation;
        machine.log = state.log;
        machine.participants = state.participants;
        machine.retired = state.retired;
        machine.authors = state.authors;
        machine.groups = state.groups;
        machine.hubs = state.hubs;
        machine.index_routes();
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

    /// The machine that a snapshot of a node that holds everything was taken of.
    ///
    /// # Errors
    /// As [`Machine::restore`].
    pub fn restore_sole(chunks: &[Bytes]) -> Result<Self, SnapshotError> {
        Machine::restore(chunks, sole_placement())
    }

    fn index_routes(&mut self) {
        for (session, held) in &self.participants {
            for (filter, subscription) in &held.routes {
                if filter.share().is_none() {
                    self.routes.insert(filter, *session, *subscription);
                }
            }
        }
        for filter in self.groups.filters() {
            self.group_routes.insert(filter, filter.clone(), ());
        }
        for (gateway, hub) in &self.hubs {
            for filter in hub.filters() {
                self.hub_routes.insert(filter, *gateway, ());
            }
        }
        self.due.extend(self.retired.iter().map(|(session, at)| (*at, Due::Forget(*session))));
    }

    fn index_session(&mut self, record: &SessionRecord) {
        self.clients.insert(record.client_id.clone(), record.incarnation);
        self.index_due(record);
    }

    /// Keeps the list of sessions from the end of whose connection something will count.
    pub(super) fn index_timed(&mut self, session: Incarnation) {
        if self.sessions.get(&session).is_some_and(SessionRecord::is_timed) {
            self.timed.insert(session);
        } else {
            self.timed.remove(&session);
        }
    }

    pub(super) fn index_retained(&mut self, topic: TopicName, offset: Offset) {
        let message = self.log.get(offset);
        self.retained_bytes += message.size();
        if let Some(at) = message.expires_at {
            self.due.insert((at, Due::Retained(topic.clone(), offset)));
        }
        self.retained.set(topic, offset);
    }
}
