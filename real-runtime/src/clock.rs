//! The monotonic clock that gives the core its time.

use broker_core::time::{Instant, WallTime};
use std::time::{SystemTime, UNIX_EPOCH};

/// Time since the node started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts now, at [`Instant::ZERO`].
    pub fn start() -> Self {
        Clock { start: tokio::time::Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// `at` as the timers of tokio see it.
    pub fn timer(&self, at: Instant) -> tokio::time::Instant {
        self.start + at.saturating_since(Instant::ZERO)
    }
}

/// The wall clock, once, for [`broker_core::face::Setup`].
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
