//! All connections of a node.

use super::feed::Parts;
use super::hub::{Hub, Route};
use super::inbound::Taken;
use super::intent::Intent;
use super::link::Link;
use super::outbox::Outbox;
use super::pause::Pauses;
use super::refuse::Refusal;
use super::report::{Counts, Reporting};
use crate::auth::Permissions;
use crate::base::ids::{ConnId, Incarnation};
use crate::base::limits::Limits;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant, WallTime};
use crate::base::timers::Timers;
use crate::codec::packet::{Connect, Packet, Version};
use crate::codec::{self, Framer, ReasonCode};
use crate::event::Event;
use crate::face::{Output, TimerKind};
use crate::shard::Detach;
use bytes::Bytes;
use bytestring::ByteString;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Progress of consumers is written down at the latest so long after it was made.
pub(super) const PROGRESS_DELAY: Duration = Duration::from_millis(100);

/// So many connections more than allowed are held while they are told so.
const UNANSWERED_MAX: usize = 64;

/// A driver may hand in so many bytes that it had read before it was asked to stop.
const EARLY_SLACK_BYTES: usize = 256 * 1024;

/// How far a connection has got.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing was received.
    AwaitingConnect,
    /// The driver was asked who this is.
    Authenticating(Box<Connect>),
    /// The attach was proposed.
    Attaching(Box<Attaching>),
    /// CONNACK was sent.
    Open(Box<Link>),
    /// It was taken over: what still comes is ignored until the attach of the new connection is committed.
    Frozen(Box<Link>),
    /// DISCONNECT was received, or the attach was given up: what still comes is ignored.
    Closing,
}

/// What CONNACK will say and the link will need.
#[derive(Debug)]
pub(super) struct Attaching {
    pub(super) connect: Box<Connect>,
    pub(super) assigned: bool,
    pub(super) expiry_s: u32,
    pub(super) keep_alive_s: u16,
    pub(super) receive_max: u16,
    pub(super) permissions: Arc<Permissions>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) peer: String,
    pub(super) framer: Framer,
    pub(super) outbox: Outbox,
    /// What it speaks, once that is known.
    pub(super) version: Option<Version>,
    pub(super) state: State,
    pub(super) pauses: Pauses,
    /// Bytes of one packet that the client takes. \[MQTT-3.1.2-24\]
    pub(super) packet_bytes_max: u32,
    /// Whether it is among those that may send more of their queues.
    pub(super) ready: bool,
}

/// All connections of a node, and what they share.
#[derive(Debug)]
pub struct Gateway {
    pub(super) limits: Limits,
    pub(super) parts: Parts,
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) wall: WallTime,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    pub(super) attached: BTreeMap<Incarnation, ConnId>,
    /// Connections whose attach was proposed last, by client identifier.
    pub(super) attaching: BTreeMap<ByteString, ConnId>,
    /// Open connections by client identifier.
    pub(super) clients: BTreeMap<ByteString, ConnId>,
    pub(super) hub: Hub,
    pub(super) routes: Vec<Route>,
    pub(super) timers: Timers<TimerKind>,
    pub(super) intents: VecDeque<Intent>,
    /// Connections with bytes to hand out.
    pub(super) dirty: Vec<ConnId>,
    /// Connections that may send more of their queues.
    pub(super) ready: Vec<ConnId>,
    /// Connections with steps to propose.
    pub(super) progressed: Vec<ConnId>,
    pub(super) out: Vec<Output>,
    pub(super) stopping: bool,
    /// Whether clients are to go to another node.
    pub(super) away: bool,
    pub(super) counts: Counts,
    /// If the node tells of itself.
    pub(super) reporting: Option<Reporting>,
}

impl Gateway {
    /// No connection. `parts` cuts the packet identifier space.
    pub fn new(limits: Limits, parts: Parts, rng: Rng) -> Self {
        Gateway {
            limits,
            parts,
            rng,
            now: Instant::ZERO,
            wall: WallTime::default(),
            conns: BTreeMap::new(),
            attached: BTreeMap::new(),
            attaching: BTreeMap::new(),
            clients: BTreeMap::new(),
            hub: Hub::new(),
            routes: Vec::new(),
            timers: Timers::new(),
            intents: VecDeque::new(),
            dirty: Vec::new(),
            ready: Vec::new(),
            progressed: Vec::new(),
            out: Vec::new(),
            stopping: false,
            away: false,
            counts: Counts::default(),
            reporting: None,
        }
    }

    /// Sets the time of this turn.
    pub fn set_time(&mut self, now: Instant, wall: WallTime) {
        (self.now, self.wall) = (now, wall);
    }

    /// The time of this turn.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The shard time of this turn.
    pub fn wall(&self) -> WallTime {
        self.wall
    }

    /// A connection was accepted by the driver.
    pub fn open(&mut self, id: ConnId, peer: String) {
        let full = self.conns.len() >= self.limits.connections_max as usize + UNANSWERED_MAX;
        if full {
            self.event(Event::LimitReached { limit: "connections_max", client_id: None });
        }
        if full || self.stopping {
            self.out.push(Output::CloseClient { conn: id });
            return;
        }
        let conn = Conn {
            peer,
            framer: Framer::new(self.limits.packet_bytes_max),
            outbox: Outbox::default(),
            version: None,
            state: State::AwaitingConnect,
            pauses: Pauses::default(),
            packet_bytes_max: u32::MAX,
            ready: false,
        };
        let replaced = self.conns.insert(id, conn);
        assert!(replaced.is_none(), "connection {id} was opened twice");
        let timeout = Duration::from_millis(u64::from(self.limits.connect_timeout_ms));
        self.timers.set(TimerKind::ConnectTimeout(id), self.now + timeout);
    }

    /// Bytes arrived.
    pub fn bytes(&mut self, id: ConnId, bytes: Bytes) {
        let early_bytes_max = self.limits.packet_bytes_max as usize + EARLY_SLACK_BYTES;
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match &conn.state {
            State::Closing | State::Frozen(_) => return,
            State::Authenticating(_) | State::Attaching(_) if conn.framer.held_bytes() > early_bytes_max => {
                self.refuse(id, Refusal::limit("packet_bytes_max", ReasonCode::QuotaExceeded));
                return;
            }
            // What a client sends before CONNACK waits here.
            State::Authenticating(_) | State::Attaching(_) | State::AwaitingConnect | State::Open(_) => {}
        }
        self.counts.bytes_received += bytes.len() as u64;
        conn.framer.push(bytes);
        self.process(id);
        self.pause_early_client(id);
    }

    /// Takes complete packets off what has arrived, as long as the connection's state lets it.
    pub(super) fn process(&mut self, id: ConnId) {
        let Some(mut client) = self.client(id) else { return };
        let result = match client.take_packets() {
            Ok(Taken::All) => Ok(()),
            // What follows CONNECT waits until that is answered.
            Ok(Taken::First(frame)) => self.on_connect(id, frame),
            Ok(Taken::Disconnect(disconnect)) => {
                self.on_disconnect(id, &disconnect);
                Ok(())
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = result {
            self.refuse(id, refusal);
        }
    }

    /// The socket took bytes.
    pub fn sent(&mut self, id: ConnId, bytes: usize) {
        let Some(mut client) = self.client(id) else { return };
        client.conn.outbox.sent(bytes);
        // Only what a window or a socket held back can go on.
        if client.conn.link_mut().is_some_and(|link| !link.feeds.is_empty() || !link.local_queue.is_empty()) {
            client.note_ready();
        }
        self.pause_full_outbox(id);
    }

    /// The driver lost the connection.
    pub fn lost(&mut self, id: ConnId) {
        self.forget(id, ReasonCode::UnspecifiedError, "the connection was lost");
    }

    /// Ends every connection: the node stops.
    pub fn stop(&mut self) {
        self.stopping = true;
        let all: Vec<ConnId> = self.conns.keys().copied().collect();
        for id in all {
            self.close(id, ReasonCode::ServerShuttingDown, "the node stops");
        }
    }

    /// Ends a connection: tells the client why (in MQTT 5.0), lets the driver close it, and proposes the detach.
    pub(super) fn close(&mut self, id: ConnId, reason: ReasonCode, why: &str) {
        self.send_disconnect(id, reason, why);
        self.hand_out(id);
        self.forget(id, reason, why);
        self.out.push(Output::CloseClient { conn: id });
    }

    /// Forgets a connection, and proposes the detach of its session.
    fn forget(&mut self, id: ConnId, reason: ReasonCode, why: &str) {
        let Some(conn) = self.conns.remove(&id) else { return };
        self.timers.clear(TimerKind::ConnectTimeout(id));
        self.timers.clear(TimerKind::KeepAlive(id));
        let client_id = match conn.state {
            // Also if the attach that takes its session over is on its way: its client may give up.
            State::Open(link) | State::Frozen(link) => {
                let client_id = link.client_id.clone();
                // A CONNECT waits for its session no longer than that, and until then the client has not gone.
                let for_another = reason == ReasonCode::SessionTakenOver;
                let grace_ms = if for_another { self.limits.connect_timeout_ms } else { 0 };
                self.detach(id, *link, None, (None, grace_ms), false);
                Some(client_id)
            }
            State::Authenticating(connect) => Some(connect.client_id),
            // Its attach will still be committed: `confirm_attach` then finds no connection, and detaches.
            State::Attaching(attaching) => {
                self.forget_attaching(id, &attaching.connect.client_id);
                Some(attaching.connect.client_id)
            }
            State::AwaitingConnect => None,
            // It was told when it said DISCONNECT.
            State::Closing => return,
        };
        self.event(Event::Disconnected { conn: id, client_id, code: reason.code(), why: why.to_owned() });
    }

    /// Proposes what a link leaves behind: its progress, and the end of its attachment.
    pub(super) fn detach(
        &mut self,
        id: ConnId,
        mut link: Link,
        receipt: Option<crate::replication::Receipt>,
        (expiry_s, grace_ms): (Option<u32>, u32),
        discard_will: bool,
    ) {
        self.leave(id, &link);
        self.intents.extend(link.take_progress());
        let detach = Detach { session: link.session, expiry_s, discard_will, sent: link.sent(), grace_ms };
        self.intents.push_back(Intent::Detach { receipt, detach });
    }

    /// Takes a link out of everything that leads to it.
    pub(super) fn leave(&mut self, id: ConnId, link: &Link) {
        for filter in link.subscriptions.keys() {
            self.hub.unsubscribe(id, filter);
        }
        if self.attached.get(&link.session.incarnation) == Some(&id) {
            self.attached.remove(&link.session.incarnation);
        }
        if self.clients.get(&link.client_id) == Some(&id) {
            self.clients.remove(&link.client_id);
        }
    }

    /// A connection does not attach any more, or has attached.
    pub(super) fn forget_attaching(&mut self, id: ConnId, client_id: &ByteString) {
        if self.attaching.get(client_id) == Some(&id) {
            self.attaching.remove(client_id);
        }
    }

    /// Whether anything is left for routing to decide.
    pub fn has_intents(&self) -> bool {
        !self.intents.is_empty()
    }

    /// The next thing for routing to decide.
    pub fn next_intent(&mut self) -> Option<Intent> {
        self.intents.pop_front()
    }

    /// The deadlines of connections, and the one that routing set.
    pub fn timers(&mut self) -> &mut Timers<TimerKind> {
        &mut self.timers
    }

    /// The next deadline.
    pub fn deadline(&self) -> Option<(Instant, TimerKind)> {
        self.timers.next()
    }

    /// Something happened.
    pub fn event(&mut self, event: Event) {
        self.counts.publishes_dropped += u64::from(matches!(event, Event::Dropped { .. }));
        self.out.push(Output::Event(event));
    }

    /// Asks the driver for something.
    pub fn output(&mut self, output: Output) {
        self.out.push(output);
    }

    /// How many connections are open.
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// Hands out everything that was gathered, one run of bytes a connection.
    pub fn drain(&mut self, out: &mut Vec<Output>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.hand_out(id);
        }
        self.dirty = dirty;
        out.append(&mut self.out);
    }

    pub(super) fn hand_out(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        for bytes in conn.outbox.take() {
            self.counts.bytes_sent += bytes.len() as u64;
            self.out.push(Output::SendClient { conn: id, bytes });
        }
        self.pause_full_outbox(id);
    }
}

impl Conn {
    /// The client identifier, once it is known.
    pub(super) fn client_id(&self) -> Option<&ByteString> {
        match &self.state {
            State::Open(link) | State::Frozen(link) => Some(&link.client_id),
            State::Attaching(attaching) => Some(&attaching.connect.client_id),
            State::Authenticating(_) | State::AwaitingConnect | State::Closing => None,
        }
    }

    pub(super) fn link(&self) -> Option<&Link> {
        match &self.state {
            State::Open(link) => Some(link),
            _ => None,
        }
    }

    pub(super) fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.state {
            State::Open(link) => Some(link),
            _ => None,
        }
    }

    /// Appends a packet that is not PUBLISH to what goes out, without its user properties and reason string if it is
    /// too large for the client with them. False if it is too large all the same.
    pub(super) fn write(&mut self, version: Version, mut packet: Packet) -> bool {
        let fits =
            self.packet_bytes_max == u32::MAX || codec::fit(version, &mut packet, self.packet_bytes_max);
        if fits {
            codec::encode(version, &packet, self.outbox.buffer());
        }
        fits
    }
}
