//! Answers that routing lets go: what they depended on is committed.

use super::alias;
use super::client::Client;
use super::gateway::{Attaching, Conn, Gateway, State};
use super::link::{self, ClientLimits, Link};
use super::outbound::{Live, Wish};
use super::pause::Pause;
use super::refuse::Refusal;
use super::window::Window;
use crate::base::ids::{ConnId, PacketId, Position};
use crate::base::time::Duration;
use crate::codec::ReasonCode;
use crate::codec::packet::{
    Ack, AckProperties, ConnAck, Packet, QoS, SubAck, SubscriptionOptions, UnsubAck, Version,
};
use crate::event::Event;
use crate::face::{Output, TimerKind};
use crate::message::Message;
use crate::replication::{Committed, Owed, Receipt};
use crate::session::Intent;
use crate::shard::session::Subscription;
use crate::shard::{Attachment, Detach};
use crate::topic::TopicFilter;
use bytestring::ByteString;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};
use std::rc::Rc;

/// What an answer says.
#[derive(Debug)]
pub enum Answer {
    /// One reason code.
    Reason(ReasonCode),
    /// One for each filter.
    Reasons(Vec<ReasonCode>),
}

/// Where delivery from the shard's queue begins.
#[derive(Clone, Copy, Debug)]
pub struct ResumeFrom {
    /// Whether the session outlives its connection.
    pub durable: bool,
    /// Everything below is done.
    pub base: Position,
    /// What is below may have been sent on an earlier connection.
    pub sent: Position,
}

impl Gateway {
    /// Sends an answer whose time has come. If the connection is gone, nobody is told.
    pub fn confirm(&mut self, receipt: Receipt, committed: Committed, answer: Answer) {
        let id = receipt.conn();
        let result = match (receipt.spend(committed), answer) {
            (Owed::Close, _) => return self.close_after_disconnect(id),
            (Owed::ConnAck, Answer::Reason(reason)) => {
                Err(Refusal::connect(reason, "the attach was refused"))
            }
            (owed, answer) => match self.client(id) {
                Some(mut client) => client.send_answer(&owed, answer),
                None => Ok(()),
            },
        };
        if let Err(refusal) = result {
            self.refuse(id, refusal);
        }
    }

    /// What DISCONNECT depended on is committed.
    fn close_after_disconnect(&mut self, id: ConnId) {
        self.hand_out(id);
        if self.conns.remove(&id).is_some() {
            self.timers.clear(TimerKind::KeepAlive(id));
            self.out.push(Output::CloseClient { conn: id });
        }
    }

    /// The attach is committed: CONNACK, and the connection is open.
    pub fn confirm_attach(
        &mut self,
        receipt: Receipt,
        committed: Committed,
        session: Attachment,
        present: bool,
        from: ResumeFrom,
    ) {
        let id = receipt.conn();
        assert_eq!(receipt.spend(committed), Owed::ConnAck, "an attach owes CONNACK");
        let attaching = match self.conns.get_mut(&id) {
            Some(Conn { state: state @ State::Attaching(_), .. }) => std::mem::replace(state, State::Closing),
            _ => State::Closing,
        };
        let State::Attaching(attaching) = attaching else {
            // The client did not wait for the answer.
            let detach = Detach { session, expiry_s: None, discard_will: false, sent: from.base };
            self.intents.push_back(Intent::Detach { receipt: None, detach });
            return;
        };
        self.forget_attaching(id, &attaching.connect.client_id);
        self.timers.clear(TimerKind::ConnectTimeout(id));
        if !self.send_connack(id, &attaching, present) {
            let detach = Detach { session, expiry_s: None, discard_will: false, sent: from.base };
            self.intents.push_back(Intent::Detach { receipt: None, detach });
            let (code, why) = (ReasonCode::PacketTooLarge.code(), "CONNACK is too large for it".to_owned());
            self.event(Event::Refused { conn: id, code, why: why.clone() });
            self.close(id, ReasonCode::PacketTooLarge, &why);
            return;
        }
        let link = self.link_of(&attaching, session, from);
        self.event(Event::Connected {
            conn: id,
            client_id: link.client_id.clone(),
            protocol: link.version.level(),
            session_present: present,
        });
        self.attached.insert(session.incarnation, id);
        self.clients.insert(link.client_id.clone(), id);
        if let Some(silence_max) = link.silence_max {
            self.timers.set(TimerKind::KeepAlive(id), self.now + silence_max);
        }
        if let Some(mut client) = self.client(id) {
            client.conn.state = State::Open(Box::new(link));
            client.note_ready();
        }
        self.pause(id, Pause::Handshake, false);
        self.process(id);
    }

    fn link_of(&self, attaching: &Attaching, session: Attachment, from: ResumeFrom) -> Link {
        let connect = &attaching.connect;
        let properties = &connect.properties;
        let limits = ClientLimits {
            receive_max: attaching.receive_max,
            topic_alias_max: properties.topic_alias_max.unwrap_or(0).min(self.limits.topic_alias_out_max),
            problem_information: properties.request_problem_information.unwrap_or(true),
        };
        let keep_alive = Duration::from_secs(u64::from(attaching.keep_alive_s));
        Link {
            client_id: connect.client_id.clone(),
            session,
            durable: from.durable,
            expiry_s: attaching.expiry_s,
            version: connect.version,
            permissions: attaching.permissions.clone(),
            silence_max: (attaching.keep_alive_s > 0).then(|| keep_alive * 3 / 2),
            last_heard: self.now,
            limits,
            aliases_in: alias::Incoming::default(),
            aliases_out: alias::Outgoing::new(limits.topic_alias_max),
            inbound: BTreeSet::new(),
            unanswered: 0,
            uncommitted: 0,
            subscriptions: BTreeMap::new(),
            local: Window::new(link::LOCAL, Position(0), Position(0)),
            local_queue: VecDeque::new(),
            local_queue_bytes: 0,
            shard: Window::new(link::SHARD, from.base, from.sent),
            dropped: from.base,
            hears_shard: from.durable,
            progress: Vec::new(),
        }
    }

    /// False if the client takes no packet of that size.
    fn send_connack(&mut self, id: ConnId, attaching: &Attaching, present: bool) -> bool {
        let connect = &attaching.connect;
        let mut connack = ConnAck::new(present, ReasonCode::Success);
        if connect.version == Version::V5 {
            let properties = &mut connack.properties;
            let asked = connect.properties.session_expiry_s.unwrap_or(0);
            properties.session_expiry_s = (asked != attaching.expiry_s).then_some(attaching.expiry_s);
            properties.receive_max = NonZeroU16::new(self.limits.receive_max);
            properties.packet_bytes_max = NonZeroU32::new(self.limits.packet_bytes_max);
            properties.assigned_client_id = attaching.assigned.then(|| connect.client_id.clone());
            properties.topic_alias_max = Some(self.limits.topic_alias_max).filter(|max| *max > 0);
            let changed = attaching.keep_alive_s != connect.keep_alive_s;
            properties.server_keep_alive_s = changed.then_some(attaching.keep_alive_s);
        }
        let conn = self.conns.get_mut(&id).expect("it is attaching");
        if conn.outbox.is_clean() {
            self.dirty.push(id);
        }
        conn.write(connect.version, Packet::ConnAck(connack))
    }

    /// Another connection took the session over: this one ends, and its session is not its to detach. \[MQTT-3.1.4-3\]
    pub fn evict(&mut self, session: Attachment) {
        let Some(&id) = self.attached.get(&session.incarnation) else { return };
        self.send_disconnect(
            id,
            ReasonCode::SessionTakenOver,
            "another connection uses this client identifier",
        );
        self.hand_out(id);
        self.timers.clear(TimerKind::KeepAlive(id));
        let Some(Conn { state: State::Open(link) | State::Frozen(link), .. }) = self.conns.remove(&id) else {
            return;
        };
        assert_eq!(link.session, session, "what is attached is what was evicted");
        self.leave(id, &link);
        self.out.push(Output::CloseClient { conn: id });
        self.event(Event::Disconnected {
            conn: id,
            client_id: Some(link.client_id),
            code: ReasonCode::SessionTakenOver.code(),
            why: "another connection took its session over".to_owned(),
        });
    }

    /// Adds a subscription of a clean session. Says the granted QoS and whether the subscription is new.
    pub fn hub_subscribe(
        &mut self,
        id: ConnId,
        filter: &TopicFilter,
        options: SubscriptionOptions,
        subscription_id: Option<u32>,
    ) -> Result<(QoS, bool), ReasonCode> {
        let subscriptions_max = self.limits.subscriptions_max as usize;
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else {
            return Err(ReasonCode::UnspecifiedError);
        };
        let new = !link.subscriptions.contains_key(filter);
        if new && link.subscriptions.len() >= subscriptions_max {
            let client_id = Some(link.client_id.clone());
            self.event(Event::LimitReached { limit: "subscriptions_max", client_id });
            return Err(ReasonCode::QuotaExceeded);
        }
        let subscription = Subscription { options, id: subscription_id };
        link.subscriptions.insert(filter.clone(), subscription);
        self.hub.subscribe(id, filter, subscription);
        Ok((options.qos, new))
    }

    /// Removes a subscription of a clean session. Says whether it existed.
    pub fn hub_unsubscribe(&mut self, id: ConnId, filter: &TopicFilter) -> bool {
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return false };
        let existed = link.subscriptions.remove(filter).is_some();
        if existed {
            self.hub.unsubscribe(id, filter);
        }
        existed
    }

    /// Hands a retained message to a clean session that subscribed. \[MQTT-3.3.1-8\]
    pub fn deliver_retained(
        &mut self,
        id: ConnId,
        message: &Rc<Message>,
        qos: QoS,
        subscription_id: Option<u32>,
    ) {
        let Some(mut client) = self.client(id) else { return };
        let wish = Wish { qos: message.qos.min(qos), retain: true, ids: subscription_id.as_slice() };
        client.deliver(&mut Live::kept(message), wish);
    }
}

impl Client<'_> {
    fn send_answer(&mut self, owed: &Owed, answer: Answer) -> Result<(), Refusal> {
        let (reason, reasons) = match answer {
            Answer::Reason(reason) => (reason, Vec::new()),
            Answer::Reasons(reasons) => (ReasonCode::Success, reasons),
        };
        match *owed {
            Owed::PubAck(id) => {
                self.answered();
                let properties = self.explain(&[reason]);
                self.send(Packet::PubAck(Ack { id, reason, properties }))
            }
            Owed::PubRec(id) => {
                if reason.is_error() {
                    self.refused(id);
                }
                let properties = self.explain(&[reason]);
                self.send(Packet::PubRec(Ack { id, reason, properties }))
            }
            Owed::PubComp(id) => {
                // An identifier that was not in use was not counted.
                if reason == ReasonCode::Success {
                    self.answered();
                }
                self.send(Packet::PubComp(Ack::new(id, reason)))
            }
            Owed::PubRel(position) => self.release(position),
            Owed::Next => {
                self.note_ready();
                Ok(())
            }
            Owed::SubAck(id) => {
                let properties = self.explain(&reasons);
                self.send(Packet::SubAck(SubAck { id, properties, reasons }))
            }
            Owed::UnsubAck(id) => {
                let properties = self.explain(&reasons);
                self.send(Packet::UnsubAck(UnsubAck { id, properties, reasons }))
            }
            Owed::ConnAck | Owed::Close => unreachable!("these answer no packet of an open connection"),
        }
    }

    /// The reason string of an answer that says no, for a client that wants one. \[MQTT-3.1.2-29\]
    fn explain(&self, reasons: &[ReasonCode]) -> AckProperties {
        let Some(at) = reasons.iter().position(|reason| reason.is_error()) else {
            return AckProperties::default();
        };
        let State::Open(link) = &self.conn.state else { return AckProperties::default() };
        let text = match reasons {
            _ if !link.limits.problem_information => None,
            [only] => Some(ByteString::from_static(only.words())),
            _ => Some(ByteString::from(format!("filter {}: {}", at + 1, reasons[at].words()))),
        };
        AckProperties { reason_string: text, ..AckProperties::default() }
    }

    fn answered(&mut self) {
        if let Some(link) = self.conn.link_mut() {
            link.unanswered = link.unanswered.saturating_sub(1);
        }
    }

    /// A QoS 2 publish was refused: that ends it, and frees its identifier. \[MQTT-4.3.3-9\]
    fn refused(&mut self, id: PacketId) {
        if let Some(link) = self.conn.link_mut() {
            link.unanswered = link.unanswered.saturating_sub(1);
            link.inbound.remove(&id);
        }
    }

    /// The receipt of a QoS 2 message is on disk: PUBREL may go.
    fn release(&mut self, position: Position) -> Result<(), Refusal> {
        let packet = self.conn.link_mut().and_then(|link| link.shard.on_received_committed(position));
        match packet {
            Some(packet) => self.send(Packet::PubRel(Ack::new(packet, ReasonCode::Success))),
            None => Ok(()),
        }
    }
}
