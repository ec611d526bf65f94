//! Connections between clients and nodes, and the roads they run over.

mod pipe;

pub(crate) use pipe::{Piece, Pipe};

use crate::dice::Dice;
use crate::history::ClientNo;
use crate::scenario::{Direction, Span};
use crate::stage::{Happening, Life, NodeIx, Stage};
use broker_core::ids::ConnId;
use broker_core::time::{Duration, Instant};
use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes that the sockets and the network between them hold towards a client that does not read.
const WINDOW: usize = 64 << 10;
/// The same for a client that reads slowly: it has a small receive buffer.
const WINDOW_SMALL: usize = 4 << 10;
/// How often a slow reader reads.
const SIP: Duration = Duration::from_millis(10);

/// The state of the network between one client and its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// What each way takes longer.
    pub(crate) extra: Duration,
    /// The longest chunk in bytes.
    pub(crate) fragment: Option<u32>,
    /// Nothing arrives at the broker.
    pub(crate) stalled_to_broker: bool,
    /// Nothing arrives at the client.
    pub(crate) stalled_to_client: bool,
    /// How much the client reads every 10 ms.
    pub(crate) sip_bytes: Option<u32>,
    /// New connections are not answered.
    pub(crate) black_hole: bool,
}

/// The road between one client and its node.
#[derive(Debug)]
pub(crate) struct Road {
    pub(crate) weather: Weather,
    latency_us: Span,
    dice: Dice,
}

impl Road {
    pub(crate) fn new(seed: u64, client: ClientNo, latency_us: Span) -> Self {
        Road { weather: Weather::default(), latency_us, dice: Dice::new(seed, &format!("road {client}")) }
    }

    /// How long something put on its way now takes.
    pub(crate) fn delay(&mut self) -> Duration {
        self.dice.micros(self.latency_us) + self.weather.extra
    }

    /// How many of `pieces` under way still arrive when the connection breaks.
    fn survivors(&mut self, pieces: usize) -> usize {
        match self.dice.below(3) {
            0 => 0,
            1 => pieces,
            _ => self.dice.index(pieces + 1),
        }
    }

    fn put(&mut self, now: Instant, pipe: &mut Pipe, mut bytes: Bytes) {
        let Some(max) = self.weather.fragment else {
            return pipe.put(now, self.delay(), Piece::Data(bytes));
        };
        while !bytes.is_empty() {
            let len = self.dice.span(Span { min: 1, max: u64::from(max.max(1)) });
            let len = usize::try_from(len).map_or(bytes.len(), |len| len.min(bytes.len()));
            pipe.put(now, self.delay(), Piece::Data(bytes.split_to(len)));
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) conn: ConnId,
    pub(crate) client: ClientNo,
    pub(crate) node: NodeIx,
    /// The life of the node's process that accepted it; `None` before that.
    pub(crate) accepted: Option<Life>,
    to_broker: Pipe,
    to_client: Pipe,
    /// Bytes the broker handed out that the socket did not take yet.
    waiting: VecDeque<Bytes>,
    /// The broker closes once `waiting` is empty.
    closing: bool,
    /// The broker has forgotten the connection: nothing of it is handed in any more.
    pub(crate) broker_done: bool,
    /// The broker reads.
    reading: bool,
    /// A router forgot it: nothing arrives any more, and nobody is told.
    forgotten: bool,
    /// A slow reader does not read before this time.
    next_sip: Instant,
}

impl Link {
    /// A connection on its way to a node.
    pub(crate) fn open(
        stage: &mut Stage,
        road: &mut Road,
        conn: ConnId,
        client: ClientNo,
        node: NodeIx,
    ) -> Self {
        let mut link = Link {
            conn,
            client,
            node,
            accepted: None,
            to_broker: Pipe::default(),
            to_client: Pipe::default(),
            waiting: VecDeque::new(),
            closing: false,
            broker_done: false,
            reading: true,
            forgotten: road.weather.black_hole,
            next_sip: Instant::ZERO,
        };
        link.to_broker.put(stage.now, road.delay(), Piece::Open);
        link.look(stage, Direction::ToBroker);
        link
    }

    /// The client writes.
    pub(crate) fn client_writes(&mut self, stage: &mut Stage, road: &mut Road, bytes: Bytes) {
        if !self.forgotten {
            road.put(stage.now, &mut self.to_broker, bytes);
            self.look(stage, Direction::ToBroker);
        }
    }

    /// The client closes, in order or not: what is on its way to it is dropped.
    pub(crate) fn client_closes(&mut self, stage: &mut Stage, road: &mut Road, in_order: bool) {
        self.waiting.clear();
        self.to_client.break_after(stage.now, Duration::ZERO, 0);
        if in_order {
            self.to_broker.put(stage.now, road.delay(), Piece::End);
        } else {
            let keep = road.survivors(self.to_broker.pieces());
            self.to_broker.break_after(stage.now, road.delay(), keep);
        }
        self.look(stage, Direction::ToBroker);
    }

    /// The broker hands bytes out; tells how many the socket took.
    pub(crate) fn broker_writes(&mut self, stage: &mut Stage, road: &mut Road, bytes: Bytes) -> usize {
        self.waiting.push_back(bytes);
        self.fill(stage, road)
    }

    /// The broker closes, once everything it handed out is sent.
    pub(crate) fn broker_closes(&mut self, stage: &mut Stage, road: &mut Road) {
        self.closing = true;
        self.broker_done = true;
        self.fill(stage, road);
    }

    /// The broker stops reading or goes on.
    pub(crate) fn broker_reads(&mut self, stage: &mut Stage, on: bool) {
        self.reading = on;
        self.look(stage, Direction::ToBroker);
    }

    /// The broker's end is gone, without order: of what is under way some may still arrive.
    pub(crate) fn broker_breaks(&mut self, stage: &mut Stage, road: &mut Road) {
        self.broker_done = true;
        self.waiting.clear();
        let keep = road.survivors(self.to_client.pieces());
        self.to_client.break_after(stage.now, road.delay(), keep);
        self.look(stage, Direction::ToClient);
    }

    /// The network resets both ends.
    pub(crate) fn reset(&mut self, stage: &mut Stage, road: &mut Road) {
        self.forgotten = false;
        self.waiting.clear();
        self.to_broker.break_after(stage.now, road.delay(), 0);
        self.to_client.break_after(stage.now, road.delay(), 0);
        self.look(stage, Direction::ToBroker);
        self.look(stage, Direction::ToClient);
    }

    /// A router forgets the connection.
    pub(crate) fn forget(&mut self) {
        self.forgotten = true;
    }

    /// Whether a router forgot the connection.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    /// Has what waits looked at, now that the weather is better.
    pub(crate) fn look_again(&mut self, stage: &mut Stage) {
        self.look(stage, Direction::ToBroker);
        self.look(stage, Direction::ToClient);
    }

    /// What arrives at the broker now.
    pub(crate) fn arrive_at_broker(&mut self, stage: &mut Stage, road: &Road) -> Option<Piece> {
        self.to_broker.looked(stage.now);
        let held = self.forgotten || road.weather.stalled_to_broker || !self.reading;
        let piece = if held { None } else { self.to_broker.take(stage.now, usize::MAX) };
        if !held {
            self.look(stage, Direction::ToBroker);
        }
        piece
    }

    /// What arrives at the client now.
    pub(crate) fn arrive_at_client(&mut self, stage: &mut Stage, road: &Road) -> Option<Piece> {
        self.to_client.looked(stage.now);
        if self.forgotten || road.weather.stalled_to_client {
            return None;
        }
        let max = match road.weather.sip_bytes {
            None => usize::MAX,
            Some(_) if stage.now < self.next_sip => {
                stage.schedule(self.next_sip, Happening::Arrive(self.conn, Direction::ToClient));
                return None;
            }
            Some(bytes) => {
                self.next_sip = stage.now + SIP;
                bytes.max(1) as usize
            }
        };
        let piece = self.to_client.take(stage.now, max);
        self.look(stage, Direction::ToClient);
        piece
    }

    /// The socket takes what fits; tells how many bytes.
    pub(crate) fn fill(&mut self, stage: &mut Stage, road: &mut Road) -> usize {
        let window = if road.weather.sip_bytes.is_some() { WINDOW_SMALL } else { WINDOW };
        let mut taken = 0;
        while let Some(bytes) = self.waiting.front_mut() {
            let room = window.saturating_sub(self.to_client.bytes());
            if room == 0 {
                break;
            }
            let part = bytes.split_to(room.min(bytes.len()));
            if bytes.is_empty() {
                self.waiting.pop_front();
            }
            taken += part.len();
            road.put(stage.now, &mut self.to_client, part);
        }
        if self.closing && self.waiting.is_empty() {
            self.to_client.put(stage.now, road.delay(), Piece::End);
        }
        self.look(stage, Direction::ToClient);
        taken
    }

    fn look(&mut self, stage: &mut Stage, direction: Direction) {
        let pipe = match direction {
            Direction::ToBroker => &mut self.to_broker,
            Direction::ToClient | Direction::Both => &mut self.to_client,
        };
        if let Some(at) = pipe.look_at(stage.now) {
            stage.schedule(at, Happening::Arrive(self.conn, direction));
        }
    }
}
