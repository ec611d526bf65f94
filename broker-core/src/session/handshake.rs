//! CONNECT, and what it takes to answer it.

use super::gateway::{Attaching, Gateway, State};
use super::intent::Intent;
use super::publishing::{TOPIC_LIMITS, judge_message};
use super::refuse::Refusal;
use crate::auth::{Credentials, Decision, Permissions};
use crate::base::ids::ConnId;
use crate::base::text;
use crate::codec::ReasonCode;
use crate::codec::packet::{Connect, PublishProperties, Version, Will as ConnectWill};
use crate::codec::{self, Frame};
use crate::face::Output;
use crate::message::Message;
use crate::replication::{Owed, Receipt};
use crate::shard::Attach;
use crate::shard::entry::{Expected, OldConnection, Will};
use crate::shard::session::NEVER_S;
use bytestring::ByteString;
use std::num::NonZeroU32;
use std::sync::Arc;

impl Gateway {
    /// The first packet of a connection. \[MQTT-3.1.0-1\]
    pub(super) fn on_connect(&mut self, id: ConnId, frame: Frame) -> Result<(), Refusal> {
        let connections = self.conns.len();
        let conn = self.conns.get_mut(&id).expect("its frame was just taken");
        conn.version = codec::answer_version(&frame);
        let connect = codec::decode_connect(frame)?;
        conn.packet_bytes_max = connect.properties.packet_bytes_max.map_or(u32::MAX, NonZeroU32::get);
        if connections > self.limits.connections_max as usize {
            return Err(Refusal::limit("connections_max", ReasonCode::QuotaExceeded));
        }
        check_connect(&connect, usize::from(self.limits.client_id_bytes_max))?;
        let credentials = Credentials {
            client_id: connect.client_id.clone(),
            user_name: connect.user_name.clone(),
            password: connect.password.clone(),
            peer: conn.peer.clone(),
        };
        conn.state = State::Authenticating(Box::new(connect));
        self.out.push(Output::Authenticate { conn: id, credentials });
        Ok(())
    }

    /// The driver knows who it is.
    pub fn authenticated(&mut self, id: ConnId, decision: Decision) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !matches!(conn.state, State::Authenticating(_)) {
            return;
        }
        let State::Authenticating(connect) = std::mem::replace(&mut conn.state, State::Closing) else {
            return;
        };
        let refusal = match decision {
            Decision::Allowed(permissions) => match self.propose_attach(id, connect, permissions) {
                Ok(()) => return,
                Err(refusal) => refusal,
            },
            Decision::BadUserNameOrPassword => {
                Refusal::connect(ReasonCode::BadUserNameOrPassword, "the user name or password is wrong")
            }
            Decision::NotAuthorized => {
                Refusal::connect(ReasonCode::NotAuthorized, "this client may not connect")
            }
            Decision::Unavailable => {
                Refusal::connect(ReasonCode::ServerUnavailable, "authentication is not available")
            }
        };
        self.refuse(id, refusal);
    }

    fn propose_attach(
        &mut self,
        id: ConnId,
        mut connect: Box<Connect>,
        permissions: Arc<Permissions>,
    ) -> Result<(), Refusal> {
        if self.away {
            return Err(Refusal::connect(ReasonCode::UseAnotherServer, "this node is being drained"));
        }
        let assigned = connect.client_id.is_empty();
        connect.client_id = if assigned { self.assign_client_id() } else { text::own(&connect.client_id) };
        let will = match connect.will.take() {
            Some(will) => Some(self.accept_will(will, &connect.client_id, &permissions)?),
            None => None,
        };
        let expiry_s = session_expiry(&connect).min(self.limits.session_expiry_max_s);
        let receive_max =
            connect.properties.receive_max.map_or(u16::MAX, u16::from).min(self.limits.inflight_max);
        let attach = Attach {
            client_id: connect.client_id.clone(),
            clean_start: connect.clean_start,
            expiry_s,
            window: receive_max,
            will,
            old: self.freeze(&connect.client_id),
            expected: Expected::Anything,
        };
        // A 3.1.1 client cannot be told of another keep alive than its own, and would be closed for keeping that.
        let keep_alive_max_s = if connect.version == Version::V5 { self.limits.keep_alive_max_s } else { 0 };
        let keep_alive_s = match (connect.keep_alive_s, keep_alive_max_s) {
            (asked, 0) => asked,
            (0, max) => max,
            (asked, max) => asked.min(max),
        };
        self.attaching.insert(connect.client_id.clone(), id);
        let attaching = Attaching { connect, assigned, expiry_s, keep_alive_s, receive_max, permissions };
        let conn = self.conns.get_mut(&id).expect("it was just authenticated");
        conn.state = State::Attaching(Box::new(attaching));
        let receipt = Receipt::new(id, Owed::ConnAck);
        self.intents.push_back(Intent::Attach { receipt, attach: Box::new(attach) });
        Ok(())
    }

    fn assign_client_id(&mut self) -> ByteString {
        ByteString::from(format!("q-{:016x}", self.rng.next_u64()))
    }

    fn accept_will(
        &self,
        will: ConnectWill,
        client_id: &ByteString,
        permissions: &Permissions,
    ) -> Result<Will, Refusal> {
        let format = will.properties.payload_format;
        judge_message(&self.limits, permissions, &will.topic, format, &will.payload).map_err(|reason| {
            let limit = (reason == ReasonCode::TopicNameInvalid).then_some(TOPIC_LIMITS);
            Refusal { limit, ..Refusal::connect(reason, "its will is not a message that it may publish") }
        })?;
        let (delay_s, expiry_s) = (will.properties.delay_s.unwrap_or(0), will.properties.message_expiry_s);
        let mut properties = PublishProperties::from(will.properties);
        properties.message_expiry_s = None;
        let message = Message {
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            properties,
            publisher: client_id.clone(),
            expires_at: None,
        };
        Ok(Will { delay_s, expiry_s, message: message.owned() })
    }

    /// Stops listening to the connection that has the session of `client_id` now, and proposes its progress: what it had sent is
    /// then known exactly. It is closed when the attach that takes the session over is committed; one that is only about to
    /// be attached is closed now.
    fn freeze(&mut self, client_id: &ByteString) -> OldConnection {
        if let Some(id) = self.attaching.remove(client_id) {
            self.close(id, ReasonCode::SessionTakenOver, "another connection uses this client identifier");
            return OldConnection::Silent;
        }
        let old = self.clients.get(client_id);
        let Some(conn) = old.and_then(|id| self.conns.get_mut(id)) else { return OldConnection::Unknown };
        let State::Open(link) = &mut conn.state else { return OldConnection::Silent };
        let (session, sent) = (link.session, link.sent());
        self.intents.extend(link.take_progress());
        if let State::Open(link) = std::mem::replace(&mut conn.state, State::Closing) {
            conn.state = State::Frozen(link);
        }
        OldConnection::Sent(session, sent)
    }
}

/// What the norm and the limits forbid before anybody is asked.
fn check_connect(connect: &Connect, client_id_bytes_max: usize) -> Result<(), Refusal> {
    let not_valid = |why| Err(Refusal::connect(ReasonCode::ClientIdentifierNotValid, why));
    if connect.client_id.is_empty() && connect.version == Version::V3 && !connect.clean_start {
        // [MQTT-3.1.3-8] of 3.1.1
        return not_valid("a client without an identifier must ask for a clean session");
    }
    if connect.client_id.len() > client_id_bytes_max {
        let reason = ReasonCode::ClientIdentifierNotValid;
        return Err(Refusal::limit("client_id_bytes_max", reason));
    }
    if connect.properties.auth_method.is_some() {
        return Err(Refusal::connect(
            ReasonCode::BadAuthenticationMethod,
            "authentication methods other than user name and password are not supported",
        ));
    }
    Ok(())
}

/// Seconds the session outlives the connection. In 3.1.1 a session that is not clean never ends.
fn session_expiry(connect: &Connect) -> u32 {
    match connect.version {
        Version::V5 => connect.properties.session_expiry_s.unwrap_or(0),
        Version::V3 if connect.clean_start => 0,
        Version::V3 => NEVER_S,
    }
}
