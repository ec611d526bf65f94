//! Sessions begin, are taken over, lose their connection and end.

use super::due::ALIVE_INTERVAL;
use super::{Machine, SessionRecord};
use crate::base::ids::{Epoch, Incarnation};
use crate::base::time::WallTime;
use crate::codec::packet::QoS;
use crate::event::{DropReason, SessionEnd};
use crate::shard::entry::{Attach, Detach, OldConnection};
use crate::shard::queue::{Queue, Queued};
use crate::shard::shard_set::ShardSet;
use crate::shard::verdict::{Effect, Verdict};
use crate::topic::TopicFilter;
use std::collections::{BTreeMap, BTreeSet};

impl Machine {
    /// Detaches whatever the previous process had attached: at the latest moment at which it can have been connected.
    pub(super) fn boot(&mut self, last_entry_at: WallTime, effects: &mut Vec<Effect>) {
        let closed_at = self.time.min(last_entry_at + ALIVE_INTERVAL);
        let attached: Vec<Incarnation> = self
            .sessions
            .values()
            .filter(|record| record.attached)
            .map(|record| record.incarnation)
            .collect();
        for session in attached {
            let record = self.sessions.get_mut(&session).expect("just listed");
            let may_have_been_sent = record.send_end();
            record.queue.mark_sent(may_have_been_sent);
            self.close(session, closed_at, effects);
        }
    }

    pub(super) fn attach(&mut self, attach: &Attach, effects: &mut Vec<Effect>) -> Verdict {
        let held = self.clients.get(&attach.client_id).copied();
        if held.is_none() && self.sessions.len() >= self.limits.sessions_max as usize {
            return Verdict::SessionsFull;
        }
        let resumed = held.filter(|session| self.take_over(*session, attach, effects));
        let session = match resumed {
            Some(session) => session,
            None => self.create_session(attach),
        };
        self.forget_due(session);
        let record = self.sessions.get_mut(&session).expect("resumed or created");
        record.epoch = record.epoch.next();
        record.attached = true;
        record.expiry_s = attach.expiry_s;
        record.window = attach.window;
        record.will = attach.will.clone();
        let (attachment, durable) = (record.attachment(), record.durable);
        self.index_timed(session);
        if resumed.is_some() {
            effects.push(Effect::Bound(attachment));
        }
        Verdict::Attached {
            session: attachment,
            present: resumed.is_some(),
            durable,
            consuming: ShardSet::default(),
            touched: ShardSet::default(),
        }
    }

    pub(super) fn detach(&mut self, detach: &Detach, effects: &mut Vec<Effect>) -> Verdict {
        let Some(record) = self.current(detach.session) else { return Verdict::Fenced };
        if !record.attached {
            return Verdict::Fenced;
        }
        if let Some(expiry_s) = detach.expiry_s {
            record.expiry_s = expiry_s;
        }
        if detach.discard_will {
            record.will = None;
        }
        if let Some((_, sent)) = detach.sent.first() {
            record.queue.mark_sent(*sent);
        }
        self.close(detach.session.incarnation, self.time, effects);
        Verdict::Applied
    }

    /// Ends the connection that has the session, if one has, and says whether the session goes on. The will of the old
    /// connection is sent unless the session goes on and the will has a delay. \[MQTT-3.1.4-3, 3.1.3-9\]
    fn take_over(&mut self, session: Incarnation, attach: &Attach, effects: &mut Vec<Effect>) -> bool {
        let record = self.sessions.get_mut(&session).expect("clients index only what is held");
        let goes_on = !attach.clean_start && record.durable && !(record.attached && record.expiry_s == 0);
        if record.attached {
            record.attached = false;
            let attachment = record.attachment();
            let delayed = record.will.as_ref().is_some_and(|will| will.delay_s > 0);
            let sent = match &attach.old {
                OldConnection::Silent => record.queue.sent(),
                OldConnection::Sent(taken, sent) if *taken == attachment => {
                    sent.first().map_or(record.queue.sent(), |(_, sent)| *sent)
                }
                OldConnection::Sent(..) | OldConnection::Unknown => record.send_end(),
            };
            record.queue.mark_sent(sent);
            effects.push(Effect::Evicted { session: attachment, gateway: attach.gateway });
            if !(goes_on && delayed) {
                self.send_will(session, effects);
            }
        }
        if !goes_on {
            let why = if attach.clean_start { SessionEnd::CleanStart } else { SessionEnd::ConnectionClosed };
            self.end_session(session, why, effects);
        }
        goes_on
    }

    fn create_session(&mut self, attach: &Attach) -> Incarnation {
        let incarnation = self.next_incarnation;
        self.next_incarnation = incarnation.next();
        self.clients.insert(attach.client_id.clone(), incarnation);
        let record = SessionRecord {
            client_id: attach.client_id.clone(),
            incarnation,
            epoch: Epoch(0),
            durable: attach.expiry_s > 0,
            attached: false,
            expiry_s: attach.expiry_s,
            expires_at: None,
            will: None,
            will_due: None,
            window: attach.window,
            subscriptions: BTreeMap::new(),
            inbound: BTreeSet::new(),
            queue: Queue::default(),
        };
        self.sessions.insert(incarnation, record);
        incarnation
    }

    /// The connection of an attached session is gone.
    fn close(&mut self, session: Incarnation, closed_at: WallTime, effects: &mut Vec<Effect>) {
        let record = self.sessions.get_mut(&session).expect("the caller found it attached");
        record.detach(closed_at);
        self.timed.remove(&session);
        let record = &self.sessions[&session];
        if record.will.as_ref().is_some_and(|will| will.delay_s == 0) {
            self.send_will(session, effects);
        }
        let record = self.sessions.get(&session).expect("sending a will ends no session");
        if record.expiry_s == 0 {
            self.end_session(session, SessionEnd::ConnectionClosed, effects);
            return;
        }
        let (will_due, expires_at) = (record.will_due, record.expires_at);
        let due = [
            will_due.map(|at| (at, super::Due::Will(session))),
            expires_at.map(|at| (at, super::Due::Session(session))),
        ];
        self.due.extend(due.into_iter().flatten());
    }

    /// Forgets a session: its will is sent if it was still to be \[MQTT-3.1.3.2\], messages that other members of a shared
    /// subscription can take go to them, the rest is dropped with a recorded reason.
    pub(super) fn end_session(&mut self, session: Incarnation, why: SessionEnd, effects: &mut Vec<Effect>) {
        self.forget_due(session);
        self.send_will(session, effects);
        let Some(mut record) = self.sessions.remove(&session) else { return };
        self.clients.remove(&record.client_id);
        self.timed.remove(&session);
        for filter in record.subscriptions.keys() {
            self.remove_route(filter, session);
        }
        for (queued, maybe_sent) in record.queue.drain() {
            // QoS 2 that may have been sent is not sent to another member. [MQTT-4.8.2-5]
            let group = queued.group.clone().filter(|_| !(maybe_sent && queued.qos == QoS::ExactlyOnce));
            let passed_on = group.is_some_and(|group| self.pass_on(&group, &queued, effects));
            if !passed_on {
                self.drop_queued(&record, &queued, effects);
            }
            self.log.release(queued.offset);
        }
        effects.push(Effect::Ended { session, client_id: record.client_id, why });
    }

    /// Gives a message of a shared subscription to another member of the group.
    pub(super) fn pass_on(
        &mut self,
        group: &TopicFilter,
        queued: &Queued,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let message = self.log.get(queued.offset).clone();
        let Some(member) = self.pick_member(group) else { return false };
        let target = super::publish::Target::of_member(&message, group, &member);
        if target.qos == QoS::AtMostOnce {
            effects.push(target.volatile(&message));
            return true;
        }
        self.enqueue(target, queued.offset, effects)
    }

    fn drop_queued(&self, record: &SessionRecord, queued: &Queued, effects: &mut Vec<Effect>) {
        effects.push(Effect::Dropped {
            client_id: Some(record.client_id.clone()),
            message: self.log.get(queued.offset).clone(),
            reason: DropReason::SessionEnded,
        });
    }
}
