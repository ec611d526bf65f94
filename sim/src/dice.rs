//! Randomness of the world's parts: a named stream each, with a count of draws for the trace.

use crate::scenario::Span;
use broker_core::rng::Rng;
use broker_core::time::Duration;

/// One part's stream.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    rng: Rng,
    draws: u64,
}

impl Dice {
    /// The stream called `name` of the run with `seed`.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Dice { rng: Rng::from_seed(seed).fork(name), draws: 0 }
    }

    /// How many draws were made.
    pub(crate) fn draws(&self) -> u64 {
        self.draws
    }

    /// The stream itself, for code that draws as often as it likes; counts as one draw.
    pub(crate) fn stream(&mut self) -> &mut Rng {
        self.draws += 1;
        &mut self.rng
    }

    /// A stream of its own for a part, by name.
    pub(crate) fn fork(&self, name: &str) -> Rng {
        self.rng.fork(name)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.draws += 1;
        self.rng.next_u64()
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.draws += 1;
        self.rng.below(bound)
    }

    /// An index below `len`, which is not 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a length")
    }

    /// A number in `span`; the lower end if the span is empty. A span of one number takes no draw.
    pub(crate) fn span(&mut self, span: Span) -> u64 {
        if span.min >= span.max { span.min } else { span.min + self.below(span.max - span.min + 1) }
    }

    pub(crate) fn micros(&mut self, span: Span) -> Duration {
        Duration::from_micros(self.span(span))
    }

    pub(crate) fn millis(&mut self, span: Span) -> Duration {
        Duration::from_millis(self.span(span))
    }

    /// True in `percent` of 100 cases; never and always take no draw.
    pub(crate) fn percent(&mut self, percent: u8) -> bool {
        match percent {
            0 => false,
            1..100 => self.below(100) < u64::from(percent),
            _ => true,
        }
    }

    /// The place of one of `weights`, drawn by weight; `None` if all are 0.
    pub(crate) fn weighted(&mut self, weights: &[u16]) -> Option<usize> {
        let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        if sum == 0 {
            return None;
        }
        let mut left = self.below(sum);
        for (place, weight) in weights.iter().enumerate() {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return Some(place),
            }
        }
        unreachable!("a draw below the sum of all weights falls on one of them")
    }
}
