//! Saying no.

use super::gateway::{Conn, Gateway, State};
use crate::base::ids::ConnId;
use crate::codec::packet::{ConnAck, Disconnect, Packet, Version};
use crate::codec::{DecodeError, ReasonCode};
use crate::event::Event;
use bytestring::ByteString;

/// Why a connection is not to go on.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: ReasonCode,
    pub(super) why: String,
    /// The limit that was reached, if one was.
    pub(super) limit: Option<&'static str>,
}

impl Refusal {
    /// CONNECT is not accepted.
    pub(super) fn connect(reason: ReasonCode, why: &str) -> Self {
        Refusal { reason, why: why.to_owned(), limit: None }
    }

    /// The client broke a rule of the protocol.
    pub(super) fn violation(reason: ReasonCode, why: &str) -> Self {
        Refusal { reason, why: why.to_owned(), limit: None }
    }

    /// A limit was reached.
    pub(super) fn limit(limit: &'static str, reason: ReasonCode) -> Self {
        Refusal { reason, why: format!("{limit} is reached"), limit: Some(limit) }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let limit = (error.reason == ReasonCode::PacketTooLarge).then_some("packet_bytes_max");
        Refusal { reason: error.reason, why: error.to_string(), limit }
    }
}

impl Gateway {
    /// Ends a connection for cause: with CONNACK if it is not open yet, with DISCONNECT if it is. \[MQTT-4.13.1-1\]
    pub(super) fn refuse(&mut self, id: ConnId, refusal: impl Into<Refusal>) {
        let Refusal { reason, why, limit } = refusal.into();
        let Some(conn) = self.conns.get(&id) else { return };
        let open = matches!(conn.state, State::Open(_) | State::Frozen(_));
        let peer = conn.peer.clone();
        if let Some(limit) = limit {
            self.limit_reached(limit, id);
        }
        if !open {
            self.send_refusal(id, reason, &why);
            self.event(Event::Refused { conn: id, peer, code: reason.code(), why: why.clone() });
        }
        self.close(id, reason, &why);
    }

    /// Ends a connection that cannot be served here now: its client is to go elsewhere. Only CONNACK can say 0x88. \[MQTT-3.14.2.1\]
    pub fn give_up(&mut self, id: ConnId, why: &str) {
        let open =
            self.conns.get(&id).is_some_and(|conn| matches!(conn.state, State::Open(_) | State::Frozen(_)));
        let reason = if open { ReasonCode::ServerBusy } else { ReasonCode::ServerUnavailable };
        self.refuse(id, Refusal::connect(reason, why));
    }

    /// Whether clients are to use another node from now on: this one is drained, or no member any more. Who is connected is told so by
    /// [`Gateway::send_away`].
    pub fn turn_away(&mut self, away: bool) {
        self.away = away;
    }

    /// While clients are to use another node: closes at most `count` connections, so that the others are not overrun.
    pub fn send_away(&mut self, count: usize) {
        if !self.away {
            return;
        }
        let open = |conn: &Conn| !matches!(conn.state, State::AwaitingConnect | State::Closing);
        let some: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| open(conn)).map(|(id, _)| *id).take(count).collect();
        for id in some {
            self.refuse(id, Refusal::connect(ReasonCode::UseAnotherServer, "this node is being drained"));
        }
    }

    fn send_refusal(&mut self, id: ConnId, reason: ReasonCode, why: &str) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Some(version) = conn.version else { return };
        if version == Version::V3 && reason.connack_v3().is_none() {
            return;
        }
        let mut connack = ConnAck::new(false, reason);
        connack.properties.reason_string = Some(ByteString::from(why));
        conn.write(version, Packet::ConnAck(connack));
    }

    /// Tells an MQTT 5.0 client that its connection ends. \[MQTT-3.14\]
    pub(super) fn send_disconnect(&mut self, id: ConnId, reason: ReasonCode, why: &str) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (State::Open(link) | State::Frozen(link)) = &conn.state else { return };
        if link.version == Version::V5 {
            let mut disconnect = Disconnect::new(reason);
            disconnect.properties.reason_string = Some(ByteString::from(why));
            conn.write(Version::V5, Packet::Disconnect(disconnect));
        }
    }

    /// Records that a client ran into a limit.
    pub fn limit_reached(&mut self, limit: &'static str, id: ConnId) {
        let client_id = self.conns.get(&id).and_then(Conn::client_id).cloned();
        self.event(Event::LimitReached { limit, client_id });
    }
}
