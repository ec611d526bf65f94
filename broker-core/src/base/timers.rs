//! Deadlines with reasons.

use super::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// A set of deadlines, at most one for each `K`, in the order of time and then of `K`.
#[derive(Debug)]
pub struct Timers<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_kind: BTreeMap<K, Instant>,
}

impl<K: Ord + Copy> Timers<K> {
    /// No deadline.
    pub fn new() -> Self {
        Timers { by_time: BTreeSet::new(), by_kind: BTreeMap::new() }
    }

    /// Sets the deadline of `kind`, in place of the one it had.
    pub fn set(&mut self, kind: K, at: Instant) {
        if let Some(old) = self.by_kind.insert(kind, at) {
            self.by_time.remove(&(old, kind));
        }
        self.by_time.insert((at, kind));
    }

    /// Forgets the deadline of `kind`, if it has one.
    pub fn clear(&mut self, kind: K) {
        if let Some(old) = self.by_kind.remove(&kind) {
            self.by_time.remove(&(old, kind));
        }
    }

    /// The deadline of `kind`.
    pub fn get(&self, kind: K) -> Option<Instant> {
        self.by_kind.get(&kind).copied()
    }

    /// The next deadline and its reason.
    pub fn next(&self) -> Option<(Instant, K)> {
        self.by_time.first().copied()
    }

    /// Takes the next deadline that is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, kind) = self.next()?;
        if at > now {
            return None;
        }
        self.clear(kind);
        Some(kind)
    }
}

impl<K: Ord + Copy> Default for Timers<K> {
    fn default() -> Self {
        Timers::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Instant, Timers};

    #[test]
    fn a_deadline_set_again_moves() {
        let mut timers = Timers::new();
        timers.set("a", Instant::from_millis(5));
        timers.set("b", Instant::from_millis(6));
        timers.set("a", Instant::from_millis(7));
        assert_eq!(timers.next(), Some((Instant::from_millis(6), "b")));
        assert_eq!(timers.pop_due(Instant::from_millis(5)), None);
        assert_eq!(timers.pop_due(Instant::from_millis(9)), Some("b"));
        assert_eq!(timers.pop_due(Instant::from_millis(9)), Some("a"));
        assert_eq!(timers.pop_due(Instant::from_millis(9)), None);
    }
}
