//! Sessions begin, are taken over, lose their connection and end.

use super::due::ALIVE_INTERVAL;
use super::{Machine, PeerOp, SessionRecord};
use crate::base::ids::{Epoch, Incarnation};
use crate::base::time::{Duration, WallTime};
use crate::event::SessionEnd;
use crate::shard::entry::{Attach, Attachment, Detach, Expected, OldConnection};
use crate::shard::peer::Sent;
use crate::shard::shard_set::ShardSet;
use crate::shard::stream::GatewayId;
use crate::shard::verdict::{Effect, Verdict};
use std::collections::BTreeMap;

impl Machine {
    /// A new process of a node that holds everything: whatever the previous one had attached is detached.
    pub(super) fn boot(&mut self, last_entry_at: WallTime, effects: &mut Vec<Effect>) {
        self.close_all(last_entry_at, |_| true, effects);
    }

    /// Drops a gateway and the older ones of its node: their sessions are detached, their hubs and streams forgotten. Participants
    /// are unbound by the shards of their sessions.
    pub(super) fn lose_gateway(
        &mut self,
        lost: GatewayId,
        last_entry_at: WallTime,
        effects: &mut Vec<Effect>,
    ) {
        self.close_all(last_entry_at, |gateway| gateway.is_covered_by(lost), effects);
        self.forget_hubs(lost);
        self.streams.drop_gateway(lost);
    }

    /// A new gateway of a node: the older ones are dropped.
    pub(super) fn lose_older(
        &mut self,
        newer: GatewayId,
        last_entry_at: WallTime,
        effects: &mut Vec<Effect>,
    ) {
        let sessions = self.sessions.values().filter_map(|record| record.gateway);
        let older = sessions.chain(self.hubs.keys().copied()).chain(self.streams.gateways());
        let newest = older.filter(|gateway| gateway.is_covered_by(newer)).max();
        if let Some(newest) = newest {
            self.lose_gateway(newest, last_entry_at, effects);
        }
    }

    /// Detaches the sessions of these gateways: at the latest moment at which they can have been connected.
    fn close_all(
        &mut self,
        last_entry_at: WallTime,
        lost: impl Fn(GatewayId) -> bool,
        effects: &mut Vec<Effect>,
    ) {
        let closed_at = self.time.min(last_entry_at + ALIVE_INTERVAL);
        let attached: Vec<Incarnation> = self
            .sessions
            .values()
            .filter(|record| record.gateway.is_some_and(&lost))
            .map(|record| record.incarnation)
            .collect();
        for session in attached {
            self.close(session, closed_at, &OldConnection::Unknown, effects);
        }
    }

    pub(super) fn attach(
        &mut self,
        attach: &Attach,
        gateway: GatewayId,
        effects: &mut Vec<Effect>,
    ) -> Verdict {
        let held = self.clients.get(&attach.client_id).copied();
        let last = self.last_attachment(&attach.client_id);
        if matches!(attach.expected, Expected::Last(expected) if expected != last) {
            return Verdict::AttachedSince { last };
        }
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
        record.gateway = Some(gateway);
        record.expiry_s = attach.expiry_s;
        record.window = attach.window;
        record.will = attach.will.clone();
        let verdict = Verdict::Attached {
            session: record.attachment(),
            present: resumed.is_some(),
            durable: record.durable,
            consuming: record.consuming,
            touched: record.touched,
        };
        let (reached, bind) = (record.reached(), record.bind());
        self.index_timed(session);
        for shard in reached.iter() {
            self.tell(shard, bind.clone(), effects);
        }
        verdict
    }

    pub(super) fn detach(&mut self, detach: &Detach, effects: &mut Vec<Effect>) -> Verdict {
        let Some(record) = self.current(detach.session) else { return Verdict::Fenced };
        if record.gateway.is_none() {
            return Verdict::Fenced;
        }
        if let Some(expiry_s) = detach.expiry_s {
            record.expiry_s = expiry_s;
        }
        if detach.discard_will {
            record.will = None;
        }
        let how = OldConnection::Sent(detach.session, detach.sent.clone());
        let counts_from = self.time + Duration::from_millis(detach.grace_ms.into());
        self.close(detach.session.incarnation, counts_from, &how, effects);
        Verdict::Applied
    }

    /// Ends the connection that has the session, if one has, and says whether the session goes on. The will of the old
    /// connection is sent unless the session goes on and the will has a delay. \[MQTT-3.1.4-3, 3.1.3-9\]
    fn take_over(&mut self, session: Incarnation, attach: &Attach, effects: &mut Vec<Effect>) -> bool {
        let record = self.sessions.get_mut(&session).expect("clients index only what is held");
        let goes_on =
            !attach.clean_start && record.durable && !(record.gateway.is_some() && record.expiry_s == 0);
        if let Some(gateway) = record.gateway.take() {
            let attachment = record.attachment();
            let delayed = record.will.as_ref().is_some_and(|will| will.delay_s > 0);
            self.unbind_all(attachment, &attach.old, effects);
            effects.push(Effect::Evicted { session: attachment, gateway });
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
            gateway: None,
            expiry_s: attach.expiry_s,
            expires_at: None,
            will: None,
            will_due: None,
            window: attach.window,
            subscriptions: BTreeMap::new(),
            consuming: ShardSet::default(),
            touched: ShardSet::default(),
        };
        self.sessions.insert(incarnation, record);
        incarnation
    }

    /// The connection of an attached session is gone; `how` tells what it sent. Its expiry, and the delay of its will, count from `closed_at`.
    fn close(
        &mut self,
        session: Incarnation,
        closed_at: WallTime,
        how: &OldConnection,
        effects: &mut Vec<Effect>,
    ) {
        let record = self.sessions.get_mut(&session).expect("the caller found it attached");
        let attachment = record.attachment();
        record.detach(closed_at);
        self.timed.remove(&session);
        self.unbind_all(attachment, how, effects);
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

    /// Tells the shards that the session concerns that the connection of `attachment` is gone, and what it sent there.
    fn unbind_all(&mut self, attachment: Attachment, how: &OldConnection, effects: &mut Vec<Effect>) {
        for shard in self.sessions[&attachment.incarnation].reached().iter() {
            let sent = match how {
                OldConnection::Silent => Sent::Nothing,
                OldConnection::Sent(by, upto) if *by == attachment => {
                    let upto = upto.iter().find(|(of, _)| *of == shard);
                    upto.map_or(Sent::Nothing, |(_, position)| Sent::Below(*position))
                }
                OldConnection::Sent(..) | OldConnection::Unknown => Sent::Unknown,
            };
            self.tell(shard, PeerOp::Unbind { attachment, sent }, effects);
        }
    }

    /// Forgets a session, here and wherever something of it may be: its will is sent if it was still to be. \[MQTT-3.1.3.2\]
    pub(super) fn end_session(&mut self, session: Incarnation, why: SessionEnd, effects: &mut Vec<Effect>) {
        self.forget_due(session);
        self.send_will(session, effects);
        let Some(record) = self.sessions.remove(&session) else { return };
        self.clients.remove(&record.client_id);
        self.timed.remove(&session);
        for shard in record.reached().iter() {
            self.tell(shard, PeerOp::Retire { incarnation: session }, effects);
        }
        effects.push(Effect::Ended { session, client_id: record.client_id, why });
    }
}
