//! Simulated clients: they speak real bytes and behave like real ones.
//!
//! A client keeps a [`Store`] of what it owes and is owed, comes back when it is cut off, resends, answers, pings. What it
//! does is a script's or its own workload's; how it does it is its conduct.

mod connection;
mod inbound;
mod outbound;
mod presence;
mod request;
mod store;
mod wire;
mod workload;

pub(crate) use store::Store;

use crate::dice::Dice;
use crate::history::{ClientNo, Closer, Publish, Tag, What};
use crate::scenario::{Action, CleanStart, ClientSpec, Milestone, Scenario, Span, StepId};
use crate::stage::Stage;
use broker_core::ids::{ConnId, NodeId};
use broker_core::time::{Duration, Instant};
use bytes::Bytes;
use bytestring::ByteString;
use connection::Connection;
use request::{Kind, Request};
use std::collections::{BTreeMap, VecDeque};
use workload::Work;

/// What a client wants of the world.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Open a connection.
    Open(ConnId),
    /// Write to a connection.
    Write(ConnId, Bytes),
    /// Close a connection, in order or not.
    Close(ConnId, bool),
    /// A step reached a milestone.
    Reached(StepId, Milestone),
    /// A PUBLISH was received: how many the client has received by now.
    Received(u32),
}

/// What the faults that are active make of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mood {
    /// It stands still.
    pub(crate) stalled: bool,
    /// How much later it answers.
    pub(crate) late: Duration,
    /// It does not answer.
    pub(crate) mute: bool,
}

/// What a client works with, beside itself.
pub(crate) struct Desk<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) store: &'a mut Store,
    pub(crate) asks: &'a mut Vec<Ask>,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: ClientNo,
    spec: ClientSpec,
    dice: Dice,
    mood: Mood,
    /// Its process runs.
    up: bool,
    /// It wants to be connected.
    wanted: bool,
    /// The run is in its last phase: no new work, best behaviour.
    healed: bool,
    /// Where it is connected, or was last.
    home: NodeId,
    /// It was turned away there.
    turned_away: bool,
    connection: Option<Connection>,
    /// Connections that a newer one took the place of, until the broker closes them.
    old: BTreeMap<ConnId, Connection>,
    reconnect_at: Option<Instant>,
    attempts: u32,
    connects: u32,
    last_conn: Option<ConnId>,
    /// Publishes that wait for a connection or for quota.
    pending: VecDeque<(Publish, Option<StepId>)>,
    /// Requests that wait for a connection.
    requests: VecDeque<Request>,
    /// The subscriptions it wants, to take them again where the broker has no session.
    subscriptions: BTreeMap<ByteString, Request>,
    next_number: u32,
    received: u32,
    work: Option<Work>,
}

impl Client {
    pub(crate) fn new(scenario: &Scenario, number: ClientNo) -> Self {
        let spec = scenario.clients[number.index()].clone();
        let work = spec.workload.clone().map(Work::new);
        Client {
            number,
            dice: Dice::new(scenario.seed, &format!("client {number}")),
            mood: Mood::default(),
            up: true,
            wanted: spec.connect_at.is_some(),
            healed: false,
            home: *spec.nodes.first().expect("a client has a node to connect to"),
            turned_away: false,
            connection: None,
            old: BTreeMap::new(),
            reconnect_at: spec.connect_at,
            attempts: 0,
            connects: 0,
            last_conn: None,
            pending: VecDeque::new(),
            requests: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            next_number: 0,
            received: 0,
            work,
            spec,
        }
    }

    /// How many draws it made; for the trace.
    pub(crate) fn draws(&self) -> u64 {
        self.dice.draws()
    }

    /// Where it is connected, or was last.
    pub(crate) fn node(&self) -> NodeId {
        self.home
    }

    /// When it wants to be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if !self.up || self.mood.stalled {
            return None;
        }
        let connection = self.connection.as_ref();
        let answers = if self.mood.mute { None } else { connection.and_then(Connection::answer_due) };
        let patience = connection.and_then(Connection::gives_up_at);
        let ping = connection.and_then(Connection::ping_at);
        let reconnect = if self.connection.is_none() { self.reconnect_at } else { None };
        let work = if self.healed { None } else { self.work.as_ref().and_then(Work::next_at) };
        [answers, patience, ping, reconnect, work].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, desk: &mut Desk<'_>) {
        if !self.up || self.mood.stalled {
            return;
        }
        let now = desk.stage.now;
        if self.connection.is_none() && self.reconnect_at.is_some_and(|at| at <= now) {
            self.connect(desk, None, None, None);
        }
        self.send_answers(desk);
        if let Some(connection) = &self.connection {
            if connection.gives_up_at().is_some_and(|at| at <= now) {
                self.lose(desk, false, Closer::Client);
            } else if connection.ping_at().is_some_and(|at| at <= now) {
                self.ping(desk);
            }
        }
        if !self.healed {
            self.work(desk);
        }
    }

    /// Does one step of a script.
    pub(crate) fn act(&mut self, desk: &mut Desk<'_>, step: StepId, action: &Action) {
        if !self.up {
            return;
        }
        match action {
            Action::Connect { clean_start, node } => {
                self.wanted = true;
                self.connect(desk, *clean_start, *node, Some(step));
            }
            Action::Publish(spec) => self.publish(desk, spec, Some(step)),
            Action::Subscribe { filters, subscription_id } => {
                let kind = Kind::subscribe(self.spec.version, filters, *subscription_id);
                self.request(desk, Request { kind, step: Some(step) });
            }
            Action::Unsubscribe { filters } => {
                let filters = filters.iter().map(|filter| filter.as_str().into()).collect();
                self.request(desk, Request { kind: Kind::Unsubscribe { filters }, step: Some(step) });
            }
            Action::Disconnect(disconnect) => {
                self.leave(desk, Some(*disconnect));
                desk.reached(Some(step), Milestone::Done);
            }
            Action::Drop => {
                self.leave(desk, None);
                desk.reached(Some(step), Milestone::Done);
            }
            Action::Ping => {
                self.ping(desk);
                desk.reached(Some(step), Milestone::Done);
            }
            Action::Misdeed(misdeed) => {
                self.misbehave(desk, misdeed);
                desk.reached(Some(step), Milestone::Done);
            }
        }
    }

    /// Its process dies.
    pub(crate) fn crash(&mut self, desk: &mut Desk<'_>) {
        if !self.up {
            return;
        }
        self.up = false;
        // What another client has taken over is that one's to keep.
        let keeps_session = self.spec.keeps_session() || !self.owned_last(desk.store);
        if self.connection.is_some() {
            self.lose(desk, false, Closer::Network);
        }
        for (conn, _) in std::mem::take(&mut self.old) {
            desk.asks.push(Ask::Close(conn, false));
            desk.stage.record(What::Closed { client: self.number, conn, by: Closer::Network });
        }
        self.pending.clear();
        self.requests.clear();
        if !keeps_session {
            desk.store.discard();
            desk.store.must_start_clean = true;
        }
        desk.stage.record(What::ClientDown { client: self.number, keeps_session });
    }

    /// Its process runs again.
    pub(crate) fn restart(&mut self, desk: &mut Desk<'_>) {
        if self.up {
            return;
        }
        self.up = true;
        desk.stage.record(What::ClientUp { client: self.number });
        if self.wanted {
            self.reconnect_at = Some(desk.stage.now);
        }
    }

    /// Its circumstances change.
    pub(crate) fn set_mood(&mut self, mood: Mood) {
        self.mood = mood;
    }

    /// Everything heals: no new work, best behaviour; a keeper (one for each store) connects and stays.
    pub(crate) fn heal(&mut self, desk: &mut Desk<'_>, keeper: bool) {
        self.healed = true;
        self.spec.conduct.refuse_percent = 0;
        self.spec.conduct.double_pubrel_percent = 0;
        self.spec.conduct.ack_ms = Span::exactly(0);
        self.spec.clean_start = CleanStart::Never;
        if keeper && (self.wanted || (self.connects > 0 && self.spec.keeps_session())) {
            if !self.owns(desk.store) {
                // Another client had taken the session over, and has gone since.
                self.lose(desk, false, Closer::Client);
            }
            self.wanted = true;
            self.attempts = 0;
            self.reconnect_at = Some(desk.stage.now);
        } else {
            self.wanted = false;
            self.reconnect_at = None;
            self.pending.clear();
            self.requests.clear();
        }
    }

    /// Whether its connection owns the store.
    pub(crate) fn owns(&self, store: &Store) -> bool {
        self.connection.as_ref().is_some_and(|connection| store.owner == Some(connection.conn))
    }

    /// Whether no other client has used the store since this one connected last.
    fn owned_last(&self, store: &Store) -> bool {
        store.owner == self.last_conn
    }

    /// Whether nothing is left to be done that it can know of.
    pub(crate) fn is_at_rest(&self, store: &Store) -> bool {
        if !self.wanted {
            return true;
        }
        let quiet = self.connection.as_ref().is_some_and(Connection::is_quiet);
        quiet && self.pending.is_empty() && self.requests.is_empty() && store.is_settled()
    }

    /// A connection ended at the other end, or broke.
    pub(crate) fn on_end(&mut self, desk: &mut Desk<'_>, conn: ConnId, by: Closer) {
        if self.old.remove(&conn).is_some() {
            desk.stage.record(What::Closed { client: self.number, conn, by });
            return;
        }
        if self.connection.as_ref().is_some_and(|connection| connection.conn == conn) {
            self.lose(desk, true, by);
        }
    }

    fn next_tag(&mut self) -> Tag {
        let tag = Tag { publisher: self.number, number: self.next_number };
        self.next_number += 1;
        tag
    }
}

impl Desk<'_> {
    /// A step reached a milestone.
    fn reached(&mut self, step: Option<StepId>, milestone: Milestone) {
        if let Some(step) = step {
            self.asks.push(Ask::Reached(step, milestone));
        }
    }
}
