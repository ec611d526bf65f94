//! Back-pressure: when a connection is not read from.

use super::gateway::{Conn, Gateway, State};
use crate::base::ids::ConnId;
use crate::event::Event;
use crate::face::Output;

/// A client that has so many packets waiting for the log is not read from until half of them are committed.
const UNCOMMITTED_MAX: u32 = 4_096;

/// A client that has sent so many bytes behind a CONNECT that is not answered is not read from until it is.
const EARLY_BYTES_MAX: usize = 65_536;

/// Why a connection is not read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Its packets wait for the log.
    Log = 1,
    /// It does not take the answers to what it sends.
    Outbox = 2,
    /// It does not wait for CONNACK.
    Handshake = 4,
}

/// All reasons why a connection is not read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pauses(u8);

impl Pauses {
    pub(super) fn has(self, pause: Pause) -> bool {
        self.0 & pause as u8 != 0
    }

    fn any(self) -> bool {
        self.0 != 0
    }

    fn set(&mut self, pause: Pause, on: bool) {
        if on {
            self.0 |= pause as u8;
        } else {
            self.0 &= !(pause as u8);
        }
    }
}

impl Gateway {
    /// Asks the driver to stop reading from a connection, or to go on once no reason to stop is left.
    pub(super) fn pause(&mut self, id: ConnId, why: Pause, on: bool) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let before = conn.pauses;
        conn.pauses.set(why, on);
        if before.any() != conn.pauses.any() {
            self.out.push(Output::ReadClient { conn: id, on: before.any() });
        }
        // It was not its silence.
        if why == Pause::Log
            && before.has(why)
            && !on
            && let State::Open(link) = &mut conn.state
        {
            link.last_heard = self.now;
        }
    }

    /// Notes that a packet of `id` waits for the log, and stops reading from a client that is far ahead of it.
    pub fn wait_for_log(&mut self, id: ConnId) {
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return };
        link.uncommitted += 1;
        if link.uncommitted == UNCOMMITTED_MAX {
            self.pause(id, Pause::Log, true);
        }
    }

    /// Notes that a packet of `id` has taken effect.
    pub fn waited_for_log(&mut self, id: ConnId) {
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return };
        // A connection counts only what it proposed itself.
        link.uncommitted = link.uncommitted.checked_sub(1).expect("what has waited was counted");
        if link.uncommitted == UNCOMMITTED_MAX / 2 {
            self.pause(id, Pause::Log, false);
        }
    }

    /// Whether a packet of `id` must wait its turn behind others that wait for the log.
    pub fn must_wait(&self, id: ConnId) -> bool {
        match self.conns.get(&id).map(|conn| &conn.state) {
            Some(State::Open(link)) => link.uncommitted > 0,
            _ => false,
        }
    }

    /// Stops reading from a client that sends on and on behind an unanswered CONNECT.
    pub(super) fn pause_early_client(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        let early = matches!(conn.state, State::Authenticating(_) | State::Attaching(_));
        if early && conn.framer.held_bytes() > EARLY_BYTES_MAX {
            self.pause(id, Pause::Handshake, true);
        }
    }

    /// Stops reading from a client that makes answers and does not take them. Messages alone do not come so far:
    /// they stop at half the bytes.
    pub(super) fn pause_full_outbox(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (bytes, max) = (conn.outbox.bytes(), self.limits.outbox_bytes_max as usize);
        match conn.pauses.has(Pause::Outbox) {
            false if bytes > 2 * max => {
                let client_id = conn.client_id().cloned();
                self.event(Event::LimitReached { limit: "outbox_bytes_max", client_id });
                self.pause(id, Pause::Outbox, true);
            }
            true if bytes <= max => self.pause(id, Pause::Outbox, false),
            _ => {}
        }
    }
}
