//! Delivery from one shard's queue to one connection.

use super::mirror::Mirror;
use super::window::{Part, Window};
use crate::base::ids::{PacketId, Position, ShardId};
use crate::shard::Step;

/// How the packet identifier space is cut: one part for the gateway's own queue of a clean session, one for each shard.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    shards: u16,
}

impl Parts {
    /// For so many shards.
    pub const fn of(shards: u16) -> Self {
        Parts { shards }
    }

    /// The part of the gateway's own queue.
    pub(super) const fn local(self) -> Part {
        Part::of(0, self.shards + 1)
    }

    /// The part of a shard's queue.
    pub(super) const fn shard(self, shard: ShardId) -> Part {
        Part::of(shard.0 + 1, self.shards + 1)
    }
}

/// Messages that can be unacknowledged towards one client of a single node at most, whatever `inflight_max` allows.
pub const INFLIGHT_MOST: u16 = Parts::of(1).local().span_max();

/// What a connection remembers of one shard's queue.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) shard: ShardId,
    pub(super) window: Window,
    /// Positions below it that were not sent are being dropped: nothing behind them is sent until that is on disk.
    pub(super) dropped: Position,
    /// Steps that are not proposed yet.
    pub(super) progress: Vec<(Position, Step)>,
    /// What the shard's leader pushed; `None` if the queue is read where it is applied.
    pub(super) mirror: Option<Mirror>,
}

impl Feed {
    /// Everything below `base` is done; what is below `sent` may have been sent on an earlier connection.
    pub(super) fn new(parts: Parts, shard: ShardId, base: Position, sent: Position) -> Self {
        let window = Window::new(parts.shard(shard), base, sent);
        Feed { shard, window, dropped: base, progress: Vec::new(), mirror: None }
    }

    /// The same, of a queue that is pushed by its shard's leader.
    pub(super) fn mirrored(parts: Parts, shard: ShardId, base: Position, sent: Position) -> Self {
        Feed { mirror: Some(Mirror::new(base, sent)), ..Feed::new(parts, shard, base, sent) }
    }
}

/// The feeds of one connection, in the order of shards.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    open: Vec<Feed>,
    /// Shards that have a queue for the session and have not said where it begins.
    awaited: Vec<ShardId>,
}

impl Feeds {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Feed> {
        self.open.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Feed> {
        self.open.iter_mut()
    }

    /// How many sent messages are not complete.
    pub(super) fn open(&self) -> u16 {
        self.open.iter().map(|feed| feed.window.open()).sum()
    }

    pub(super) fn get_mut(&mut self, shard: ShardId) -> Option<&mut Feed> {
        let at = self.open.binary_search_by_key(&shard, |feed| feed.shard).ok()?;
        Some(&mut self.open[at])
    }

    /// Adds a feed; one that is there already stays as it is.
    pub(super) fn add(&mut self, feed: Feed) {
        self.awaited.retain(|shard| *shard != feed.shard);
        if let Err(at) = self.open.binary_search_by_key(&feed.shard, |other| other.shard) {
            self.open.insert(at, feed);
        }
    }

    /// Notes that a feed is to come; false if that is known.
    pub(super) fn await_one(&mut self, shard: ShardId) -> bool {
        let new = !self.awaited.contains(&shard);
        if new {
            self.awaited.push(shard);
        }
        new
    }

    /// Whether a feed from `shard` is to come.
    pub(super) fn awaits(&self, shard: ShardId) -> bool {
        self.awaited.contains(&shard)
    }

    /// Whether `id` is of the part of a feed that is to come.
    pub(super) fn awaits_id(&self, parts: Parts, id: PacketId) -> bool {
        self.awaited.iter().any(|shard| parts.shard(*shard).has(id))
    }

    /// The feed in whose part of the identifier space `id` is.
    pub(super) fn of_id(&mut self, id: PacketId) -> Option<&mut Feed> {
        self.open.iter_mut().find(|feed| feed.window.owns(id))
    }
}
