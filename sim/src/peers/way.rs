//! The way to one of two nodes: what is on it, and what the network does to it.

use crate::link::{Piece, Pipe};
use broker_core::time::{Duration, Instant};

/// The state of the network from one node to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerWeather {
    /// What a frame takes longer.
    pub(crate) extra: Duration,
    /// Nothing arrives, and the link may be forgotten.
    pub(crate) blocked: bool,
    /// Nothing arrives until it is over.
    pub(crate) clogged: bool,
    /// How much less than usual the road takes in a millisecond.
    pub(crate) bytes_per_ms: Option<u64>,
}

impl PeerWeather {
    pub(super) const fn is_closed(self) -> bool {
        self.blocked || self.clogged
    }
}

/// The way to one of the two nodes.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) weather: PeerWeather,
    pub(super) pipe: Pipe,
    /// A router forgot the link: nothing arrives over it any more, and nobody is told.
    pub(super) forgotten: bool,
    /// When the road has taken all that was put on it.
    pub(super) free_at: Instant,
}

impl Way {
    /// What arrives now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Piece> {
        if self.is_held() { None } else { self.pipe.take(now, usize::MAX) }
    }

    /// Whether nothing arrives, although it may be under way.
    pub(super) fn is_held(&self) -> bool {
        self.forgotten || self.weather.is_closed()
    }

    /// How long the road is busy with so many bytes.
    pub(super) fn take_time(&self, bytes_per_ms: u64, bytes: usize) -> Duration {
        let rate = self.weather.bytes_per_ms.map_or(bytes_per_ms, |less| less.min(bytes_per_ms));
        Duration::from_nanos((bytes as u64).saturating_mul(1_000_000) / rate.max(1))
    }
}
