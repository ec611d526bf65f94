//! The link between two nodes: frames in order each way, until it is lost and made anew.
//!
//! ```text
//!            dial              join                 open
//!   (none) ───────► attempt ───────────► accepted ───────► up at both ends
//!     ▲  ▲              │ no way through      │                  │
//!     │  └──── backoff ─┘                     ▼                  ▼
//!     └──────────── broken: a process died, a reset, or silence for 3 s
//! ```
//! A link has a number. What was put on its way over one link never arrives over a later one, and an end that had a link
//! is told that it is down before it is told of the next.

mod pair;
mod way;

pub(crate) use pair::{Pair, Side};
pub(crate) use way::PeerWeather;

use crate::dice::Dice;
use crate::link::{Piece, Pipe};
use crate::scenario::{PeerRoads, Span};
use crate::stage::{Happening, Life, Stage};
use broker_core::time::{Duration, Instant};
use bytes::Bytes;
use way::Way;

/// After this much silence (also no answer to what a driver sends to see whether anybody is there) an end gives up.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How long an attempt waits before the next one, at first and at most.
const BACKOFF_MS: (u64, u64) = (20, 1_000);
/// How long an attempt may take before another one is made.
const PATIENCE: Duration = Duration::from_secs(1);

/// What one of the two nodes knows of the link.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// The link it has: its number.
    up: Option<u64>,
    /// Since when nothing can be heard.
    deaf_since: Option<Instant>,
}

/// The link between two nodes, and the roads it runs over.
#[derive(Debug)]
pub(crate) struct Wire {
    pair: Pair,
    roads: PeerRoads,
    /// The number of the last link.
    number: u64,
    /// The lives of the two processes that made it; none once that process is gone.
    lives: [Option<Life>; 2],
    ends: [End; 2],
    /// By the side they lead to.
    ways: [Way; 2],
    /// The number of the last attempt to make a link.
    attempt: u64,
    failures: u32,
    dial_at: Option<Instant>,
    dice: Dice,
}

/// What an end is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    Up,
    Frame(Bytes),
    Down,
}

impl Wire {
    pub(crate) fn new(seed: u64, pair: Pair, roads: PeerRoads) -> Self {
        let name = format!("wire {} {}", pair.node(Side::Low).0, pair.node(Side::High).0);
        Wire {
            pair,
            roads,
            number: 0,
            lives: [None; 2],
            ends: [End::default(); 2],
            ways: [Way::default(), Way::default()],
            attempt: 0,
            failures: 0,
            dial_at: None,
            dice: Dice::new(seed, &name),
        }
    }

    /// How many draws were made; for the trace.
    pub(crate) fn draws(&self) -> u64 {
        self.dice.draws()
    }

    /// Whether the process of `side` has a link.
    pub(crate) fn is_up(&self, side: Side) -> bool {
        self.ends[side as usize].up.is_some()
    }

    /// Has an attempt made after `delay`, if none is to be made earlier.
    pub(crate) fn plan_dial(&mut self, stage: &mut Stage, delay: Duration) {
        let at = stage.now + delay;
        if self.dial_at.is_none_or(|planned| at < planned) {
            self.dial_at = Some(at);
            stage.schedule(at, Happening::Dial(self.pair));
        }
    }

    /// An attempt is due: it gets through after a while if the processes are awake and the network lets it. Where a process
    /// is down none is made; one that starts has it made then.
    pub(crate) fn dial(&mut self, stage: &mut Stage, both_run: bool, awake: bool) {
        if self.dial_at != Some(stage.now) {
            return;
        }
        self.dial_at = None;
        if !both_run || Side::BOTH.iter().all(|side| self.has_link(*side)) {
            return;
        }
        if !awake || !self.is_open() {
            let (first_ms, max_ms) = BACKOFF_MS;
            let whole = first_ms.saturating_mul(1 << self.failures.min(16)).min(max_ms);
            self.failures += 1;
            let pause = self.dice.millis(Span { min: whole / 2, max: whole });
            return self.plan_dial(stage, pause);
        }
        self.attempt += 1;
        let there = self.delay(Side::High) + self.delay(Side::High);
        let back = self.delay(Side::Low);
        stage.after(there + back, Happening::Join(self.pair, self.attempt));
        self.plan_dial(stage, PATIENCE);
    }

    /// An attempt got through: there is a new link between processes with these lives. What the accepting end is to be
    /// told; the other one is told when the answer arrives.
    pub(crate) fn join(
        &mut self,
        stage: &mut Stage,
        attempt: u64,
        lives: [Life; 2],
    ) -> Option<(Side, Vec<Tell>)> {
        if attempt != self.attempt || !self.is_open() {
            return None;
        }
        self.failures = 0;
        self.number += 1;
        self.lives = lives.map(Some);
        for way in &mut self.ways {
            way.pipe = Pipe::default();
            way.forgotten = false;
            way.free_at = stage.now;
        }
        // The one that has no link called.
        let caller = if self.is_up(Side::Low) { Side::High } else { Side::Low };
        self.put(stage, caller, Piece::Open);
        Some((caller.other(), self.raise(caller.other())))
    }

    /// Takes what has arrived at `side`; a process with another life than the link's is told nothing.
    pub(crate) fn arrive(&mut self, stage: &mut Stage, side: Side, life: Option<Life>) -> Vec<Tell> {
        self.ways[side as usize].pipe.looked(stage.now);
        let mut told = Vec::new();
        while let Some(piece) = self.ways[side as usize].take(stage.now) {
            let concerned = life.is_some() && self.lives[side as usize] == life;
            let up = self.has_link(side);
            match piece {
                Piece::Open if concerned => told.extend(self.raise(side)),
                Piece::Data(frame) if concerned && up => told.push(Tell::Frame(frame)),
                Piece::End | Piece::Broken => {
                    told.extend(self.lower(side));
                    self.plan_dial(stage, Duration::ZERO);
                }
                Piece::Open | Piece::Data(_) => {}
            }
        }
        self.look(stage, side);
        told
    }

    /// A process hands out a frame; it is lost if the process has no link.
    pub(crate) fn send(&mut self, stage: &mut Stage, from: Side, frame: Bytes) {
        if self.has_link(from) {
            self.put(stage, from.other(), Piece::Data(frame));
        }
    }

    /// The process of `side` is gone. The other end learns it by a reset, of what is under way some may still arrive
    /// before; or from silence.
    pub(crate) fn process_down(&mut self, stage: &mut Stage, side: Side, silent: bool) {
        self.ends[side as usize] = End::default();
        self.lives[side as usize] = None;
        if !silent {
            let pieces = self.ways[side.other() as usize].pipe.pieces();
            let keep = self.dice.index(pieces + 1);
            self.cut(stage, side.other(), keep);
        }
    }

    /// A process of `side` with another life is there: it knows nothing of an earlier one's link, and says so.
    pub(crate) fn process_up(&mut self, stage: &mut Stage, side: Side) {
        if self.is_up(side.other()) && !self.ways[side.other() as usize].pipe.is_shut() {
            self.cut(stage, side.other(), 0);
        }
        self.failures = 0;
        let delay = self.delay(side.other());
        self.plan_dial(stage, delay);
    }

    /// An end gives the link up; what it had sent and has not arrived is lost.
    pub(crate) fn give_up(&mut self, stage: &mut Stage, side: Side) -> Option<Tell> {
        let told = self.lower(side)?;
        self.cut(stage, side.other(), 0);
        self.plan_dial(stage, Duration::ZERO);
        Some(told)
    }

    /// The network resets the link.
    pub(crate) fn reset(&mut self, stage: &mut Stage) {
        for side in Side::BOTH {
            self.ways[side as usize].forgotten = false;
            self.cut(stage, side, 0);
        }
    }

    /// Whether the link is dead one way or both, and nobody was told.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.ways.iter().any(|way| way.forgotten)
    }

    /// The network between the two changes. A router that lets nothing through any more may forget the link: then it
    /// stays dead when the way is free again.
    pub(crate) fn set_weather(&mut self, stage: &mut Stage, to: Side, weather: PeerWeather) {
        let before = std::mem::replace(&mut self.ways[to as usize].weather, weather);
        if weather.blocked && !before.blocked && self.dice.percent(50) {
            self.ways[to as usize].forgotten = true;
        }
        self.look(stage, to);
    }

    /// Notes since when `side` hears nothing (`mute`: the process at the other end says nothing), and has it looked after
    /// when it has been silent for too long.
    pub(crate) fn listen(&mut self, stage: &mut Stage, side: Side, mute: bool) {
        let deaf = mute || self.ways[side as usize].is_held() || self.lives[side.other() as usize].is_none();
        let end = &mut self.ends[side as usize];
        if end.up.is_none() || !deaf {
            end.deaf_since = None;
            return;
        }
        let since = *end.deaf_since.get_or_insert(stage.now);
        let overdue = stage.now >= since + SILENCE_MAX;
        if since == stage.now || overdue {
            stage.schedule(since + SILENCE_MAX, Happening::Silence(self.pair, side));
        }
    }

    /// Whether `side` has heard nothing for too long.
    pub(crate) fn is_silent(&self, now: Instant, side: Side) -> bool {
        self.ends[side as usize].deaf_since.is_some_and(|since| now >= since + SILENCE_MAX)
    }

    /// Whether `side` has the last link (it may have an earlier one, and not know of the last yet).
    fn has_link(&self, side: Side) -> bool {
        self.ends[side as usize].up == Some(self.number)
    }

    fn is_open(&self) -> bool {
        !self.ways.iter().any(|way| way.weather.is_closed())
    }

    /// `side` has the last link from now on.
    fn raise(&mut self, side: Side) -> Vec<Tell> {
        let told = self.lower(side);
        self.ends[side as usize].up = Some(self.number);
        told.into_iter().chain([Tell::Up]).collect()
    }

    /// `side` has no link any more.
    fn lower(&mut self, side: Side) -> Option<Tell> {
        let end = std::mem::take(&mut self.ends[side as usize]);
        end.up.map(|_| Tell::Down)
    }

    fn cut(&mut self, stage: &mut Stage, to: Side, keep: usize) {
        let delay = self.delay(to);
        self.ways[to as usize].pipe.break_after(stage.now, delay, keep);
        self.look(stage, to);
    }

    fn put(&mut self, stage: &mut Stage, to: Side, piece: Piece) {
        let delay = self.delay(to);
        let way = &mut self.ways[to as usize];
        if way.forgotten {
            return;
        }
        let taken = way.take_time(self.roads.bytes_per_ms, piece.len());
        way.free_at = way.free_at.max(stage.now) + taken;
        let waits = way.free_at.saturating_since(stage.now);
        way.pipe.put(stage.now, waits + delay, piece);
        self.look(stage, to);
    }

    /// How long something put on its way now takes.
    fn delay(&mut self, to: Side) -> Duration {
        self.dice.micros(self.roads.latency_us) + self.ways[to as usize].weather.extra
    }

    fn look(&mut self, stage: &mut Stage, to: Side) {
        let way = &mut self.ways[to as usize];
        if !way.is_held()
            && let Some(at) = way.pipe.look_at(stage.now)
        {
            stage.schedule(at, Happening::ArriveAtPeer(self.pair, to));
        }
    }
}
