//! The node: the core between its sockets and its disk.
//!
//! Everything runs on one thread. The task of a connection reads and hands bytes to the core directly; the core's
//! answers are carried out by [`Turns`], once for all connections that were ready together:
//!
//! ```text
//!   sockets ─► LinkTask ─┐                     ┌─► outbox of each touched connection ─► one writev each
//!   sockets ─► LinkTask ─┼─► core.handle ─► Turns: core.drain ─► Storage ─► reports ─► core.handle
//!   sockets ─► LinkTask ─┘                     └─► questions to the gatekeeper
//! ```
//! The connections with other members of a cluster are two more kinds of socket, treated alike ([`peers`]); those of operators are answered by tasks of their own ([`operators`]). No message passes through a channel or wakes a task of its own.

mod auth;
mod link;
mod operators;
mod outbox;
mod peers;
mod scratch;
mod turn;

pub use auth::{Authenticator, CheckBounds};
pub use peers::Membership;
pub use turn::Turns;

use crate::auth::Passwords;
use crate::clock::Clock;
use crate::log::EventLog;
use crate::net::Stream;
use crate::storage::{Storage, StorageError};
use auth::ask;
use broker_core::auth::{Credentials, Decision};
use broker_core::event::Event;
use broker_core::face::{Broker, Input, Output};
use broker_core::ids::ConnId;
use broker_core::time::Instant;
use bytes::Bytes;
use link::{Link, LinkTask};
use operators::Operators;
use peers::Peers;
use scratch::Scratch;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

/// A node, shared by the tasks of one thread.
pub type SharedNode<S> = Rc<RefCell<Node<S>>>;

/// Connections beyond `connections_max` that are still let in, so that the core can refuse them in MQTT's words.
const CONNECTIONS_TO_REFUSE_MAX: usize = 64;

/// What a node is made of.
pub struct Parts {
    /// The core.
    pub broker: Box<dyn Broker>,
    /// The disk.
    pub storage: Box<dyn Storage>,
    /// Who may connect.
    pub authenticator: Authenticator,
    /// The clock the core was opened with.
    pub clock: Clock,
    /// The bounds.
    pub bounds: Bounds,
}

/// The bounds of the loop itself; those of the broker are the core's.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections the core accepts.
    pub connections_max: u32,
    /// Bytes that wait for one socket, above which the connection is not read.
    pub outbox_bytes_max: u32,
    /// How long a connection that is being closed may take to accept its last bytes.
    pub close_timeout: Duration,
}

/// The core, its connections and its disk.
pub struct Node<S> {
    broker: Box<dyn Broker>,
    storage: Box<dyn Storage>,
    authenticator: Authenticator,
    clock: Clock,
    events: EventLog,
    connections_max: usize,
    outbox_bytes_max: usize,
    close_timeout: Duration,
    /// The connections the core knows.
    links: BTreeMap<ConnId, Rc<Link<S>>>,
    last_conn: ConnId,
    /// Tasks of connections, those being closed included.
    alive: usize,
    scratch: Scratch,
    /// Connections that are not read until the disk has caught up.
    stalled: Vec<Rc<Link<S>>>,
    /// A turn is due, and its task was woken.
    pending: bool,
    turn_waker: Waker,
    stopping: bool,
    /// The last turn left nothing to do.
    idle: bool,
    outputs: Vec<Output>,
    touched: Vec<Rc<Link<S>>>,
    peers: Peers<S>,
    operators: Operators,
    questions: Vec<(ConnId, Credentials)>,
}

impl<S: Stream> Node<S> {
    /// A node without connections.
    pub fn new(parts: Parts) -> SharedNode<S> {
        let Parts { broker, storage, authenticator, clock, bounds } = parts;
        Rc::new(RefCell::new(Node {
            broker,
            storage,
            authenticator,
            clock,
            events: EventLog::default(),
            connections_max: (bounds.connections_max as usize).saturating_add(CONNECTIONS_TO_REFUSE_MAX),
            outbox_bytes_max: bounds.outbox_bytes_max as usize,
            close_timeout: bounds.close_timeout,
            links: BTreeMap::new(),
            last_conn: ConnId(0),
            alive: 0,
            scratch: Scratch::default(),
            stalled: Vec::new(),
            pending: true,
            turn_waker: Waker::noop().clone(),
            stopping: false,
            idle: false,
            outputs: Vec::new(),
            touched: Vec::new(),
            peers: Peers::default(),
            operators: Operators::default(),
            questions: Vec::new(),
        }))
    }

    /// Takes a connection over and starts its task. False, and the connection is closed, if there are too many.
    pub fn open(shared: &SharedNode<S>, stream: S, peer: SocketAddr) -> bool {
        let mut node = shared.borrow_mut();
        if node.alive >= node.connections_max {
            node.limit_reached("connections_max", &peer.to_string());
            return false;
        }
        if node.stopping {
            return false;
        }
        node.alive += 1;
        node.last_conn = node.last_conn.next();
        let conn = node.last_conn;
        let link = Rc::new(Link::new(conn, stream));
        node.links.insert(conn, link.clone());
        node.handle(Input::ClientOpened { conn, peer: peer.to_string() });
        tokio::task::spawn_local(LinkTask::new(link, shared.clone()));
        true
    }

    /// Tells the core to stop. [`Turns`] end when every connection is gone.
    pub fn shut_down(&mut self) {
        self.stopping = true;
        self.handle(Input::Shutdown);
    }

    /// Asks for other passwords from now on, if any are asked for. Who is connected stays so.
    pub fn replace_passwords(&mut self, passwords: Arc<Passwords>) {
        self.authenticator.replace(passwords);
    }

    /// Connections that are not closed yet.
    pub fn connections(&self) -> usize {
        self.alive
    }

    fn limit_reached(&mut self, limit: &'static str, client: &str) {
        self.events.limit_reached(self.clock.now(), limit, client);
    }

    fn received(&mut self, conn: ConnId, bytes: Bytes) {
        self.handle(Input::ClientBytes { conn, bytes });
    }

    fn sent(&mut self, conn: ConnId, bytes: usize) {
        self.handle(Input::ClientSent { conn, bytes });
    }

    /// The socket of `conn` is at its end. The core may have forgotten the connection in the same turn.
    fn closed(&mut self, conn: ConnId) {
        if self.links.remove(&conn).is_some() {
            self.handle(Input::ClientClosed { conn });
        }
    }

    fn authenticated(&mut self, conn: ConnId, decision: Decision) {
        self.handle(Input::Authenticated { conn, decision });
    }

    /// The task of a connection is gone.
    fn ended(&mut self) {
        self.alive -= 1;
        if self.stopping {
            self.mark();
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        self.broker.handle(now, input);
        self.mark();
    }

    /// Asks for a turn.
    fn mark(&mut self) {
        if !self.pending {
            self.pending = true;
            self.turn_waker.wake_by_ref();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.broker.deadline().map(|(at, _)| at)
    }

    fn is_finished(&self) -> bool {
        self.stopping && self.alive == 0 && self.idle && self.broker.may_stop()
    }

    /// Tells the core what got on disk, then carries out everything it wants, and writes to each touched connection.
    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), StorageError> {
        if !self.turn_waker.will_wake(context.waker()) {
            self.turn_waker.clone_from(context.waker());
        }
        let reports = self.storage.poll(context)?;
        if !self.storage.is_full() {
            self.stalled.drain(..).for_each(|link| link.resume());
            self.peers.resume();
        }
        let now = self.clock.now();
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        if !self.pending && !due && reports.is_empty() {
            return Ok(());
        }
        // What is handed in here belongs to this turn and asks for no other.
        if let Some(write) = reports.persisted {
            self.broker.handle(now, Input::Persisted { write });
        }
        for upto in reports.snapshots {
            self.broker.handle(now, Input::SnapshotStored { upto });
        }
        if due {
            self.broker.handle(now, Input::Wake);
        }
        self.pending = false;
        let mut outputs = std::mem::take(&mut self.outputs);
        self.broker.drain(&mut outputs);
        self.idle = outputs.is_empty();
        for output in outputs.drain(..) {
            self.carry_out(now, output);
        }
        self.outputs = outputs;
        self.flush();
        if self.stopping && !self.idle {
            // Only a turn that found nothing to do may be the last.
            self.mark();
        }
        Ok(())
    }

    fn carry_out(&mut self, now: Instant, output: Output) {
        match output {
            Output::SendClient { conn, bytes } => {
                // A connection that is gone is about to be reported as closed, or was.
                if let Some(link) = self.links.get(&conn)
                    && link.push(bytes)
                {
                    self.touched.push(link.clone());
                }
            }
            Output::CloseClient { conn } => {
                if let Some(link) = self.links.remove(&conn) {
                    link.close();
                }
            }
            Output::ReadClient { conn, on } => {
                if let Some(link) = self.links.get(&conn) {
                    link.set_reading(on);
                }
            }
            Output::SendPeer { peer, frame } => self.send_peer(peer, frame),
            Output::Authenticate { conn, credentials } => self.questions.push((conn, credentials)),
            Output::Persist { write, records, urgent } => self.storage.persist(write, records, urgent),
            Output::Snapshot(snapshot) => self.storage.snapshot(snapshot),
            Output::Members { version, members } => self.set_members(version, &members),
            Output::MembersChanged { request, result } => self.operators.decided(request, result),
            Output::Event(event) => {
                if let Event::LeaderKnown { shard, .. } = event {
                    self.peers.leader_known(shard);
                }
                self.events.write(now, &event);
            }
        }
    }

    fn flush(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for link in touched.drain(..) {
            let sent = link.flush();
            if sent > 0 {
                self.sent(link.conn(), sent);
            }
        }
        self.touched = touched;
        self.flush_peers();
    }
}

#[cfg(test)]
mod tests;
