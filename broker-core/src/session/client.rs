//! One connection, taken out of the gateway together with what all connections share, so that it is looked up once for a run
//! of packets and not once for each step of each.

use super::feed::Parts;
use super::gateway::{Conn, Gateway, PROGRESS_DELAY, State};
use super::intent::Intent;
use super::link::Link;
use super::refuse::Refusal;
use super::report::Counts;
use crate::base::ids::ConnId;
use crate::base::limits::Limits;
use crate::base::time::{Instant, WallTime};
use crate::base::timers::Timers;
use crate::codec::ReasonCode;
use crate::codec::packet::Packet;
use crate::event::Event;
use crate::face::{Output, TimerKind};
use std::collections::VecDeque;

/// A connection and its surroundings.
pub(super) struct Client<'g> {
    pub(super) id: ConnId,
    pub(super) conn: &'g mut Conn,
    pub(super) limits: &'g Limits,
    pub(super) parts: Parts,
    pub(super) now: Instant,
    pub(super) wall: WallTime,
    pub(super) intents: &'g mut VecDeque<Intent>,
    pub(super) counts: &'g mut Counts,
    timers: &'g mut Timers<TimerKind>,
    dirty: &'g mut Vec<ConnId>,
    ready: &'g mut Vec<ConnId>,
    progressed: &'g mut Vec<ConnId>,
    out: &'g mut Vec<Output>,
}

impl Gateway {
    /// The connection with this number, if there still is one.
    pub(super) fn client(&mut self, id: ConnId) -> Option<Client<'_>> {
        let conn = self.conns.get_mut(&id)?;
        Some(Client {
            id,
            conn,
            limits: &self.limits,
            parts: self.parts,
            now: self.now,
            wall: self.wall,
            intents: &mut self.intents,
            counts: &mut self.counts,
            timers: &mut self.timers,
            dirty: &mut self.dirty,
            ready: &mut self.ready,
            progressed: &mut self.progressed,
            out: &mut self.out,
        })
    }
}

impl Client<'_> {
    /// The link of a connection that is open.
    ///
    /// # Panics
    /// If it is not: packets are taken from open connections only.
    pub(super) fn link(&mut self) -> &mut Link {
        self.conn.link_mut().expect("packets are taken from open connections only")
    }

    /// Something happened.
    pub(super) fn event(&mut self, event: Event) {
        self.counts.publishes_dropped += u64::from(matches!(event, Event::Dropped { .. }));
        self.out.push(Output::Event(event));
    }

    /// Records that the client ran into a limit.
    pub(super) fn limit_reached(&mut self, limit: &'static str) {
        let client_id = self.conn.client_id().cloned();
        self.event(Event::LimitReached { limit, client_id });
    }

    /// Sends a packet that is not PUBLISH.
    ///
    /// # Errors
    /// If not even its shortest form fits the client's Maximum Packet Size: such a client is of no use to itself.
    /// \[MQTT-3.1.2-24\]
    pub(super) fn send(&mut self, packet: Packet) -> Result<(), Refusal> {
        let (State::Open(link) | State::Frozen(link)) = &self.conn.state else { return Ok(()) };
        let version = link.version;
        self.mark_dirty();
        if self.conn.write(version, packet) {
            return Ok(());
        }
        let why = "an answer is larger than its Maximum Packet Size";
        Err(Refusal::violation(ReasonCode::PacketTooLarge, why))
    }

    /// Notes that bytes are about to be gathered for the connection.
    pub(super) fn mark_dirty(&mut self) {
        if self.conn.outbox.is_clean() {
            self.dirty.push(self.id);
        }
    }

    /// Notes that the connection may send more of its queues: something is new there, or the window or the socket has room
    /// again.
    pub(super) fn note_ready(&mut self) {
        if !std::mem::replace(&mut self.conn.ready, true) {
            self.ready.push(self.id);
        }
    }

    /// Notes that the connection has progress to be written down within [`PROGRESS_DELAY`].
    pub(super) fn note_progress(&mut self) {
        self.progressed.push(self.id);
        if self.timers.get(TimerKind::Progress).is_none() {
            self.timers.set(TimerKind::Progress, self.now + PROGRESS_DELAY);
        }
    }

    /// Proposes the steps that the feeds have gathered, if they have any.
    pub(super) fn propose_progress(&mut self) {
        if let Some(link) = self.conn.link_mut() {
            self.intents.extend(link.take_progress());
        }
    }
}
