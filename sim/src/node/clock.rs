//! A node's clocks: a monotonic one that may run at another rate than the world, and a wall clock that may jump.

use broker_core::time::{Instant, WallTime};

const MILLION: u128 = 1_000_000;

/// The clocks of one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// World time at the anchor.
    world: Instant,
    /// The node's monotonic time at the anchor.
    local: Instant,
    ppm: i32,
    wall_ms: i64,
}

impl Clock {
    /// A clock that shows `wall_ms` at the beginning of the world.
    pub(super) fn new(wall_ms: u64) -> Self {
        let wall_ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
        Clock { world: Instant::ZERO, local: Instant::ZERO, ppm: 0, wall_ms }
    }

    /// The monotonic clock starts from zero, as with a process.
    pub(super) fn restart(&mut self, now: Instant) {
        *self = Clock { world: now, local: Instant::ZERO, ..*self };
    }

    /// Changes the rate of the monotonic clock.
    pub(super) fn set_rate(&mut self, now: Instant, ppm: i32) {
        *self = Clock { world: now, local: self.local(now), ppm, ..*self };
    }

    /// The wall clock jumps.
    pub(super) fn jump(&mut self, by_ms: i64) {
        self.wall_ms = self.wall_ms.saturating_add(by_ms);
    }

    /// The node's monotonic time.
    pub(super) fn local(&self, now: Instant) -> Instant {
        let passed = u128::from(now.as_nanos().saturating_sub(self.world.as_nanos()));
        Instant::from_nanos(self.local.as_nanos().saturating_add(narrow(passed * self.rate() / MILLION)))
    }

    /// The world's time when the node's monotonic clock shows `local` or more.
    pub(super) fn world(&self, local: Instant) -> Instant {
        let passed = u128::from(local.as_nanos().saturating_sub(self.local.as_nanos()));
        let passed = narrow((passed * MILLION).div_ceil(self.rate()));
        Instant::from_nanos(self.world.as_nanos().saturating_add(passed))
    }

    /// The node's wall clock.
    pub(super) fn wall(&self, now: Instant) -> WallTime {
        let passed_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        WallTime::from_millis(u64::try_from(self.wall_ms.saturating_add(passed_ms)).unwrap_or(0))
    }

    /// Node nanoseconds in a million world nanoseconds; never less than half.
    fn rate(&self) -> u128 {
        u128::try_from(1_000_000 + i64::from(self.ppm)).unwrap_or(0).max(MILLION / 2)
    }
}

fn narrow(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Clock, Instant};

    #[test]
    fn a_deadline_is_due_when_its_world_time_has_come() {
        for ppm in [-300_000, -7, 0, 3, 999_999] {
            let mut clock = Clock::new(0);
            clock.set_rate(Instant::from_nanos(17), ppm);
            for local in [18, 1_000_003, 77_777_777_777] {
                let local = Instant::from_nanos(local);
                let due = clock.world(local);
                assert!(clock.local(due) >= local, "{ppm} {local:?}");
                let before = Instant::from_nanos(due.as_nanos().saturating_sub(3));
                assert!(clock.local(before) < local, "{ppm} {local:?}");
            }
        }
    }

    #[test]
    fn a_jump_of_the_wall_clock_leaves_the_monotonic_one() {
        let mut clock = Clock::new(1_000);
        let now = Instant::from_millis(5);
        clock.jump(-600);
        assert_eq!(clock.wall(now).as_millis(), 405);
        assert_eq!(clock.local(now), now);
        clock.restart(now);
        assert_eq!(clock.local(now), Instant::ZERO);
        assert_eq!(clock.wall(now).as_millis(), 405);
    }
}
