//! What must always be true of the state.

use super::{Due, Machine};
use crate::base::ids::{Incarnation, Offset};
use crate::base::time::WallTime;
use crate::shard::participant::Participant;
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
            self.check_session(record);
        }
        for (session, held) in &self.participants {
            self.check_participant(*session, held);
        }
        assert!(self.told.is_empty(), "what was put into the outbox was told of");
    }

    /// The log holds what queues and retained messages name, as often as they name it, and nothing else.
    fn check_references(&self) {
        let mut wanted: BTreeMap<Offset, u32> = BTreeMap::new();
        for held in self.participants.values() {
            let (mut waiting, mut bytes) = (0, 0);
            for (_, slot) in held.queue.iter() {
                if let Slot::Waiting(queued) = slot {
                    *wanted.entry(queued.offset).or_default() += 1;
                    waiting += 1;
                    bytes += self.log.get(queued.offset).size();
                }
            }
            assert_eq!(held.queue.backlog(), (waiting, bytes), "the backlog of {}", held.client_id);
        }
        for (gateway, hub) in &self.hubs {
            let mut bytes = 0;
            for entry in hub.iter() {
                *wanted.entry(entry.offset).or_default() += 1;
                bytes += self.log.get(entry.offset).size();
            }
            assert_eq!(hub.backlog().1, bytes, "the backlog of gateway {gateway}");
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

    /// Clients, routes and groups lead to those who have them, and to nobody else.
    fn check_indexes(&self) {
        let clients: BTreeMap<_, _> =
            self.sessions.values().map(|record| (record.client_id.clone(), record.incarnation)).collect();
        assert_eq!(self.clients, clients, "sessions by client identifier");
        let (mut routes, mut members) = (0, BTreeSet::new());
        for (session, held) in &self.participants {
            for (filter, subscription) in &held.routes {
                if filter.share().is_none() {
                    routes += 1;
                    let routed = self.routes.get(filter, session);
                    assert_eq!(routed, Some(subscription), "the route of {filter}");
                } else {
                    members.insert((filter.clone(), *session));
                    assert!(self.group_routes.get(filter, filter).is_some(), "the route of {filter}");
                }
            }
        }
        assert_eq!(self.routes.len(), routes, "routes");
        assert_eq!(self.groups.members(), members, "members of shared subscriptions");
        assert_eq!(self.group_routes.len(), self.groups.filters().count(), "routes of shared subscriptions");
        let heard = self.hubs.values().map(|hub| hub.filters().count());
        assert_eq!(self.hub_routes.len(), heard.sum::<usize>(), "routes of hubs");
        for (gateway, hub) in &self.hubs {
            let routed = |filter| self.hub_routes.get(filter, gateway).is_some();
            assert!(hub.filters().all(routed), "what gateway {gateway} hears is routed to it");
        }
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
        due.extend(self.retired.iter().map(|(session, at)| (*at, Due::Forget(*session))));
        assert_eq!(self.due, due, "what is due");
        // A message that was retained when it had expired already goes with the next entry.
        let clocks = self.due.iter().find(|(_, due)| !matches!(due, Due::Retained(..)));
        assert!(clocks.is_none_or(|(at, _)| *at > self.time), "what is due was carried out");
        let timed = self.sessions.values().filter(|record| record.is_timed());
        let timed: BTreeSet<Incarnation> = timed.map(|record| record.incarnation).collect();
        assert_eq!(self.timed, timed, "sessions whose connection matters to a clock");
    }

    fn check_session(&self, record: &SessionRecord) {
        let who = &record.client_id;
        assert_eq!(record.incarnation.shard(), self.shard, "{who}: a session is where it was created");
        assert!(record.incarnation < self.next_incarnation, "{who}: no incarnation is used again");
        for filter in record.subscriptions.keys() {
            let shards = self.shards_of(filter);
            assert_eq!(
                record.consuming.union(shards),
                record.consuming,
                "{who}: {filter} is known where it can match"
            );
        }
        if record.gateway.is_some() {
            assert_eq!(
                (record.expires_at, record.will_due),
                (None, None),
                "{who}: no clock runs while it is connected"
            );
        } else {
            assert!(record.durable, "{who}: a clean session ends with its connection");
            assert_eq!(record.will.is_some(), record.will_due.is_some(), "{who}: a will that is kept is due");
        }
        if record.consuming.contains(self.shard) {
            let held =
                self.participants.get(&record.incarnation).expect("a session is known where it consumes");
            assert_eq!(
                held.bound.map(|bound| bound.gateway),
                record.gateway,
                "{who}: who is bound is connected"
            );
            let here =
                record.subscriptions.iter().filter(|(filter, _)| self.shards_of(filter).contains(self.shard));
            assert!(here.eq(held.routes.iter()), "{who}: its subscriptions are its routes");
        }
    }

    fn check_participant(&self, session: Incarnation, held: &Participant) {
        let (who, queue) = (&held.client_id, &held.queue);
        assert!(queue.sent() <= queue.tail(), "{who}: what was not queued was not sent");
        assert!(
            !matches!(queue.get(queue.base()), Some(Slot::Done)),
            "{who}: the base has moved over what is done"
        );
        assert!(
            held.bound.is_none_or(|bound| bound.epoch <= held.epoch),
            "{who}: an attach is known by its epoch"
        );
        if session.shard() == self.shard {
            let record =
                self.sessions.get(&session).expect("a session that ended is forgotten at once in its shard");
            assert!(record.reached().contains(self.shard), "{who}: its shard knows that it concerns itself");
            assert!(held.epoch <= record.epoch, "{who}: epochs come from the session's shard");
            assert!(
                record.durable || held.inbound.is_empty(),
                "{who}: a clean session has its identifiers elsewhere"
            );
        } else {
            assert!(!self.retired.contains_key(&session), "{who}: a session that ended has no part any more");
        }
    }
}
