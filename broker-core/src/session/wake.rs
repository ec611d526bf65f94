//! What connections need because time passed.

use super::gateway::{Conn, Gateway, State};
use super::pause::Pause;
use super::refuse::Refusal;
use crate::base::ids::{ConnId, Incarnation};
use crate::codec::ReasonCode;
use crate::face::TimerKind;

impl Gateway {
    /// Looks after the connections whose time has come. True if routing has something to look after too.
    pub fn wake(&mut self) -> bool {
        let mut expiry = false;
        while let Some(kind) = self.timers.pop_due(self.now) {
            match kind {
                TimerKind::ConnectTimeout(id) => self.end_handshake(id),
                TimerKind::KeepAlive(id) => self.check_silence(id),
                TimerKind::Progress => self.propose_all_progress(),
                TimerKind::Expiry => expiry = true,
                TimerKind::Report => self.note_report_due(),
            }
        }
        expiry
    }

    /// A connection that is not open by now ends. If CONNECT came, it is not the client that is late.
    fn end_handshake(&mut self, id: ConnId) {
        match self.conns.get(&id).map(|conn| &conn.state) {
            Some(State::AwaitingConnect) => {
                self.close(id, ReasonCode::ProtocolError, "it sent no CONNECT in time");
            }
            Some(State::Authenticating(_)) => {
                let why = "CONNECT could not be answered in time";
                self.refuse(id, Refusal::connect(ReasonCode::ServerBusy, why));
            }
            // The disk, or the quorum that holds the session, does not answer.
            Some(State::Attaching(_)) => {
                self.give_up(id, "the session cannot be reached now");
            }
            Some(State::Open(_) | State::Frozen(_) | State::Closing) | None => {}
        }
    }

    /// Ends the connections of these sessions: what they do cannot be written down.
    pub fn close_sessions(&mut self, sessions: impl Iterator<Item = Incarnation>) {
        let conns: Vec<ConnId> =
            sessions.filter_map(|session| self.attached.get(&session).copied()).collect();
        for id in conns {
            self.close(id, ReasonCode::ServerBusy, "what it does cannot be written to disk");
        }
    }

    /// Closes a client that was silent for one and a half times its keep alive; looks again later if it was not. \[MQTT-3.1.2-22\]
    fn check_silence(&mut self, id: ConnId) {
        let Some(Conn { state: State::Open(link), pauses, .. }) = self.conns.get(&id) else { return };
        let Some(silence_max) = link.silence_max else { return };
        // Who is not listened to is not silent.
        let last_heard = if pauses.has(Pause::Log) { self.now } else { link.last_heard };
        let end = last_heard + silence_max;
        if end > self.now {
            self.timers.set(TimerKind::KeepAlive(id), end);
        } else {
            self.close(id, ReasonCode::KeepAliveTimeout, "it was silent for 1.5 times its keep alive");
        }
    }

    fn propose_all_progress(&mut self) {
        for id in std::mem::take(&mut self.progressed) {
            if let Some(mut client) = self.client(id) {
                client.propose_progress();
            }
        }
    }
}
