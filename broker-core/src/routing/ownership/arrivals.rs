//! When entries came, by this node's monotonic clock: how old the time in an entry is when it is applied.

use crate::base::ids::Index;
use crate::base::time::Instant;
use std::collections::VecDeque;

/// The arrivals of the entries that are not applied. Those that were there when the node started have none: how old they are nobody knows.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// The entries up to each index, from after the one before it on, came at that moment; before `first` none.
    runs: VecDeque<(Index, Option<Instant>)>,
}

impl Arrivals {
    /// Of a log that ends with `last` at the start.
    pub(super) fn new(last: Index) -> Self {
        Arrivals { runs: VecDeque::from([(last, None)]) }
    }

    /// The entries from `first` to `last` have come, in the place of all that were there from `first` on.
    pub(super) fn came(&mut self, (first, last): (Index, Index), now: Instant) {
        let mut replaced = None;
        while let Some(run) = self.runs.pop_back_if(|(end, _)| *end >= first) {
            replaced = Some(run.1);
        }
        if let Some(when) = replaced {
            self.runs.push_back((Index(first.0 - 1), when));
        }
        self.runs.push_back((last, Some(now)));
    }

    /// When the entry at `index` came; it is applied, and those before it are.
    pub(super) fn take(&mut self, index: Index) -> Option<Instant> {
        while self.runs.pop_front_if(|(end, _)| *end < index).is_some() {}
        self.runs.front().and_then(|(_, when)| *when)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Index, Instant};

    #[test]
    fn an_entry_is_as_old_as_its_last_arrival() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut arrivals = Arrivals::new(Index(3));
        arrivals.came((Index(4), Index(6)), at(10));
        arrivals.came((Index(7), Index(7)), at(20));
        // Another leader knows better.
        arrivals.came((Index(6), Index(8)), at(30));
        let taken = [2, 3, 4, 5, 6, 7, 8].map(|index| arrivals.take(Index(index)));
        let (old, young) = (Some(at(10)), Some(at(30)));
        assert_eq!(taken, [None, None, old, old, young, young, young]);
        assert_eq!(arrivals.take(Index(9)), None);
    }
}
