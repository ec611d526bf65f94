//! Shard time, as one replica tells it.

use crate::base::time::{Instant, WallTime};

/// What a replica knows of the time beside the last entry applied.
///
/// A leader counts on from what it began its term with. From its own entries it could not: their times are whole milliseconds, and what is cut off
/// each of them would add up, until the time of a busy shard stood still.
#[derive(Debug, Default)]
pub(super) struct ShardClock {
    /// When the last entry that was applied came, by this node's monotonic clock; `None` if that was before the node started.
    came_at: Option<Instant>,
    /// While this replica leads: a shard time, and when it was that.
    led_from: Option<(WallTime, Instant)>,
}

impl ShardClock {
    /// Shard time, as a leader would put it into an entry; `applied` is that of the last entry. Nobody knows what has passed since that was made, if
    /// it came before the node started; the wall clock has to do until an entry comes.
    pub(super) fn time(&self, applied: WallTime, now: Instant, wall: WallTime) -> WallTime {
        match (self.led_from, self.came_at) {
            (Some((time, at)), _) => applied.max(time + now.saturating_since(at)),
            (None, Some(came_at)) => applied + now.saturating_since(came_at),
            (None, None) => applied.max(wall),
        }
    }

    /// This replica begins to lead.
    pub(super) fn lead(&mut self, applied: WallTime, now: Instant, wall: WallTime) {
        self.led_from = None;
        self.led_from = Some((self.time(applied, now, wall), now));
    }

    /// It does not lead.
    pub(super) fn follow(&mut self) {
        self.led_from = None;
    }

    /// An entry that came at this moment was applied, and the shard time is `applied`.
    pub(super) fn entry(&mut self, came_at: Option<Instant>, applied: WallTime, now: Instant) {
        self.came_at = came_at;
        // Of an earlier leader, who was ahead.
        if self.led_from.is_some_and(|(time, at)| time + now.saturating_since(at) < applied) {
            self.led_from = Some((applied, now));
        }
    }

    /// All that was applied has come from another replica at once.
    pub(super) fn restored(&mut self) {
        self.came_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::{Instant, ShardClock, WallTime};

    const WALL: WallTime = WallTime::from_millis(1_000_000);

    fn at_us(us: u64) -> Instant {
        Instant::from_nanos(us * 1_000)
    }

    #[test]
    fn the_time_of_a_busy_shard_passes_as_any_other() {
        let (mut clock, mut applied) = (ShardClock::default(), WallTime::default());
        clock.lead(applied, at_us(0), WALL);
        for number in 1..=10_000 {
            let now = at_us(number * 300);
            applied = clock.time(applied, now, WALL);
            clock.entry(Some(now), applied, now);
        }
        assert_eq!(applied, WallTime::from_millis(1_003_000));
        // Who has followed all of it goes on from there.
        let mut next = ShardClock::default();
        next.entry(Some(at_us(3_000_500)), applied, at_us(3_000_500));
        next.lead(applied, at_us(4_000_500), WALL);
        assert_eq!(next.time(applied, at_us(4_500_500), WALL), WallTime::from_millis(1_004_500));
    }

    #[test]
    fn a_leader_that_was_behind_counts_on_from_the_entry_that_was_ahead() {
        let mut clock = ShardClock::default();
        clock.lead(WallTime::default(), at_us(0), WALL);
        let ahead = WallTime::from_millis(1_005_000);
        clock.entry(Some(at_us(500)), ahead, at_us(1_000));
        assert_eq!(clock.time(ahead, at_us(1_001_000), WALL), WallTime::from_millis(1_006_000));
    }

    #[test]
    fn after_a_start_the_wall_clock_has_to_do() {
        let mut clock = ShardClock::default();
        let (behind, ahead) = (WallTime::from_millis(5), WallTime::from_millis(2_000_000));
        assert_eq!(clock.time(behind, at_us(0), WALL), WALL);
        assert_eq!(clock.time(ahead, at_us(0), WALL), ahead);
        clock.entry(Some(at_us(0)), ahead, at_us(0));
        assert_eq!(clock.time(ahead, at_us(7_000), WALL), WallTime::from_millis(2_000_007));
        clock.restored();
        assert_eq!(clock.time(behind, at_us(8_000), WALL), WALL);
    }
}
