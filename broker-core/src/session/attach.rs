//! A connection opens with the session it asked for, and ends when another one takes that over.

use super::alias;
use super::behind::Behind;
use super::feed::{Feed, Feeds};
use super::gateway::{Attaching, Conn, Gateway, State};
use super::link::{ClientLimits, Link};
use super::pause::Pause;
use super::window::Window;
use crate::base::ids::{ConnId, Incarnation, Position, ShardId};
use crate::base::time::Duration;
use crate::codec::ReasonCode;
use crate::codec::packet::{ConnAck, Packet, Version};
use crate::event::Event;
use crate::face::{Output, TimerKind};
use crate::replication::{Committed, Owed, Receipt};
use crate::session::Intent;
use crate::shard::{Attachment, Detach, OldConnection, SentUpto};
use bytestring::ByteString;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};

/// Where delivery from a shard's queue begins.
#[derive(Clone, Copy, Debug)]
pub struct ResumeFrom {
    /// The shard.
    pub shard: ShardId,
    /// Everything below is done.
    pub base: Position,
    /// What is below may have been sent on an earlier connection.
    pub sent: Position,
}

/// What came of CONNECT.
#[derive(Clone, Copy, Debug)]
pub struct Attached<'a> {
    /// The session and its new epoch.
    pub session: Attachment,
    /// Whether state was held for it.
    pub present: bool,
    /// Whether it outlives its connection.
    pub durable: bool,
    /// The queues that are waiting for it.
    pub from: &'a [ResumeFrom],
}

impl Gateway {
    /// The attach is committed: CONNACK, and the connection is open.
    pub fn confirm_attach(&mut self, receipt: Receipt, committed: Committed, attached: &Attached<'_>) {
        let Attached { session, present, .. } = *attached;
        let id = receipt.conn();
        assert_eq!(receipt.spend(committed), Owed::ConnAck, "an attach owes CONNACK");
        let attaching = match self.conns.get_mut(&id) {
            Some(Conn { state: state @ State::Attaching(_), .. }) => std::mem::replace(state, State::Closing),
            _ => State::Closing,
        };
        let State::Attaching(attaching) = attaching else {
            // The client did not wait for the answer.
            self.detach_unsent(attached);
            return;
        };
        self.forget_attaching(id, &attaching.connect.client_id);
        self.timers.clear(TimerKind::ConnectTimeout(id));
        if !self.send_connack(id, &attaching, present) {
            self.detach_unsent(attached);
            let (code, why) = (ReasonCode::PacketTooLarge.code(), "CONNACK is too large for it".to_owned());
            let peer = self.conns.get(&id).map(|conn| conn.peer.clone()).unwrap_or_default();
            self.event(Event::Refused { conn: id, peer, code, why: why.clone() });
            self.close(id, ReasonCode::PacketTooLarge, &why);
            return;
        }
        let link = self.link_of(&attaching, attached);
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

    /// The end of an attachment that nothing was sent to. A client that had the session before may be waiting for it on another connection by now.
    fn detach_unsent(&mut self, attached: &Attached<'_>) {
        let (session, sent) = (attached.session, SentUpto::new());
        let grace_ms = if attached.present { self.limits.connect_timeout_ms } else { 0 };
        let detach = Detach { session, expiry_s: None, discard_will: false, sent, grace_ms };
        self.intents.push_back(Intent::Detach { receipt: None, detach });
    }

    fn link_of(&self, attaching: &Attaching, attached: &Attached<'_>) -> Link {
        let mut feeds = Feeds::default();
        for ResumeFrom { shard, base, sent } in attached.from {
            feeds.add(Feed::new(self.parts, *shard, *base, *sent));
        }
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
            session: attached.session,
            durable: attached.durable,
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
            local: Window::new(self.parts.local(), Position(0), Position(0)),
            local_queue: VecDeque::new(),
            local_queue_bytes: 0,
            behind: Behind::default(),
            feeds,
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

    /// Whether a connection still waits for its attach.
    pub fn is_attaching(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_some_and(|conn| matches!(conn.state, State::Attaching(_)))
    }

    /// What is known here of the connection that has this attachment, and is about to be taken over.
    pub fn old_connection(&self, last: Option<Attachment>) -> OldConnection {
        let conn =
            last.and_then(|last| self.attached.get(&last.incarnation)).and_then(|id| self.conns.get(id));
        match conn.map(|conn| &conn.state) {
            Some(State::Open(link) | State::Frozen(link)) if Some(link.session) == last => {
                OldConnection::Sent(link.session, link.sent())
            }
            _ => OldConnection::Unknown,
        }
    }

    /// A connection that was to take the session of `client_id` over is gone, and its attach will not come: so the one that was
    /// to be taken over ends too, unless another one of the client is attaching. The client has left both.
    pub fn abandon_attach(&mut self, client_id: &ByteString) {
        if self.attaching.contains_key(client_id) {
            return;
        }
        if let Some(&id) = self.clients.get(client_id)
            && self.conns.get(&id).is_some_and(|conn| matches!(conn.state, State::Frozen(_)))
        {
            self.close_for_another(id);
        }
    }

    /// The client of a session is about to be attached anew, here or elsewhere: the connection that it has now ends first. \[MQTT-3.1.4-3\]
    pub fn give_way(&mut self, session: Incarnation) {
        if let Some(&id) = self.attached.get(&session) {
            self.close_for_another(id);
        }
    }

    fn close_for_another(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        // What it leaves behind is proposed as of any connection that is closed.
        match std::mem::replace(&mut conn.state, State::Closing) {
            State::Frozen(link) => conn.state = State::Open(link),
            other => conn.state = other,
        }
        self.close(id, ReasonCode::SessionTakenOver, "another connection uses this client identifier");
    }

    /// Another connection took the session over: this one ends, and its session is not its to detach. \[MQTT-3.1.4-3\]
    pub fn evict(&mut self, session: Attachment) {
        let Some(&id) = self.attached.get(&session.incarnation) else { return };
        let state = self.conns.get(&id).map(|conn| &conn.state);
        if !matches!(state, Some(State::Open(link) | State::Frozen(link)) if link.session == session) {
            return;
        }
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
        self.leave(id, &link);
        self.out.push(Output::CloseClient { conn: id });
        self.event(Event::Disconnected {
            conn: id,
            client_id: Some(link.client_id),
            code: ReasonCode::SessionTakenOver.code(),
            why: "another connection took its session over".to_owned(),
        });
    }
}
