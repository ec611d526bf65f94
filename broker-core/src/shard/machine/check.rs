//! What must always be true of the state.

use super::{Due, Machine};
use crate::base::ids::{Incarnation, Offset};
use crate::base::time::WallTime;
use crate::shard::queue::Slot;
use crate::shard::session::SessionRecord;
use std::collections::{BTreeMap, BTreeSet};

impl Machine {
    /// Checks that all parts of the state agree with each other. It costs as much as the state is large, so it is for tests.
    ///
    /// # Panics
    /// If they do not, which no entry can bring about.
    pub fn check(&self) {
        self.check_references();
        self.check_indexes();
        self.check_due();
        for record in self.sessions.values() {
            check_session(record);
        }
    }

    /// The log holds what queues and retained messages name, as often as they name it, and nothing else.
    fn check_references(&self) {
        let mut wanted: BTreeMap<Offset, u32> = BTreeMap::new();
        for record in self.sessions.values() {
            let (mut waiting, mut bytes) = (0, 0);
            for (_, slot) in record.queue.iter() {
                if let Slot::Waiting(queued) = slot {
                    *wanted.entry(queued.offset).or_default() += 1;
                    waiting += 1;
                    bytes += self.log.get(queued.offset).size();
                }
            }
            assert_eq!(record.queue.backlog(), (waiting, bytes), "the backlog of {}", record.client_id);
        }
        let mut retained_bytes = 0;
        for (topic, offset) in self.retained.iter() {
            *wanted.entry(*offset).or_default() += 1;
            let message = self.log.get(*offset);
            assert_eq!(*topic, message.topic, "a retained message is kept under its topic");
            retained_bytes += message.size();
        }
        assert_eq!(self.retained_bytes, retained_bytes, "bytes of retained messages");
        assert_eq!(self.log.references(), wanted, "references to messages");
    }

    /// Clients, routes and groups lead to the sessions that have them, and to no other.
    fn check_indexes(&self) {
        let clients: BTreeMap<_, _> =
            self.sessions.values().map(|record| (record.client_id.clone(), record.incarnation)).collect();
        assert_eq!(self.clients, clients, "sessions by client identifier");
        let (mut routes, mut members) = (0, BTreeSet::new());
        for record in self.sessions.values() {
            for (filter, subscription) in &record.subscriptions {
                if filter.share().is_none() {
                    routes += 1;
                    let routed = self.routes.get(filter, &record.incarnation);
                    assert_eq!(routed, Some(subscription), "the route of {filter}");
                } else {
                    members.insert((filter.clone(), record.incarnation));
                    assert!(self.group_routes.get(filter, filter).is_some(), "the route of {filter}");
                }
            }
        }
        assert_eq!(self.routes.len(), routes, "routes");
        assert_eq!(self.groups.members(), members, "members of shared subscriptions");
        assert_eq!(self.group_routes.len(), self.groups.filters().count(), "routes of shared subscriptions");
    }

    /// Everything with a time is due at that time, and nothing else is.
    fn check_due(&self) {
        let mut due: BTreeSet<(WallTime, Due)> = BTreeSet::new();
        for record in self.sessions.values() {
            due.extend(record.will_due.map(|at| (at, Due::Will(record.incarnation))));
            due.extend(record.expires_at.map(|at| (at, Due::Session(record.incarnation))));
        }
        for (topic, offset) in self.retained.iter() {
            due.extend(
                self.log.get(*offset).expires_at.map(|at| (at, Due::Retained(topic.clone(), *offset))),
            );
        }
        assert_eq!(self.due, due, "what is due");
        // A message that was retained when it had expired already goes with the next entry.
        let clocks = self.due.iter().find(|(_, due)| !matches!(due, Due::Retained(..)));
        assert!(clocks.is_none_or(|(at, _)| *at > self.time), "what is due was carried out");
        let timed = self.sessions.values().filter(|record| record.is_timed());
        let timed: BTreeSet<Incarnation> = timed.map(|record| record.incarnation).collect();
        assert_eq!(self.timed, timed, "sessions whose connection matters to a clock");
    }
}

fn check_session(record: &SessionRecord) {
    let (who, queue) = (&record.client_id, &record.queue);
    assert!(queue.sent() <= queue.tail(), "{who}: what was not queued was not sent");
    assert!(
        !matches!(queue.get(queue.base()), Some(Slot::Done)),
        "{who}: the base has moved over what is done"
    );
    assert!(
        record.durable || record.inbound.is_empty(),
        "{who}: a clean session has its identifiers elsewhere"
    );
    if record.attached {
        assert_eq!(
            (record.expires_at, record.will_due),
            (None, None),
            "{who}: no clock runs while it is connected"
        );
    } else {
        assert!(record.durable, "{who}: a clean session ends with its connection");
        assert_eq!(record.will.is_some(), record.will_due.is_some(), "{who}: a will that is kept is due");
    }
}
