//! Named streams of randomness.
//!
//! One seed gives many independent ChaCha8 streams, each found by its name, so that a new draw in one place does not
//! shift the draws of every other place.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};

/// A deterministic stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: u64,
    stream: ChaCha8Rng,
}

impl Rng {
    /// The root stream of `seed`.
    pub fn from_seed(seed: u64) -> Self {
        Rng { seed, stream: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// An independent stream that depends on this stream's seed and `name` only, not on what was drawn before.
    pub fn fork(&self, name: &str) -> Rng {
        // FNV-1a over the name, folded with the seed by the finalizer of SplitMix64.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Rng::from_seed(mix(self.seed ^ mix(hash)))
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// A number below `bound`, by multiplication and shift (bias below 2^-32 for bounds below 2^32).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no member to draw");
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).expect("below a u64 bound")
    }

    /// A number in `low..=high`.
    ///
    /// # Panics
    /// If `low > high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "the range {low}..={high} is empty");
        match (high - low).checked_add(1) {
            Some(span) => low + self.below(span),
            None => self.next_u64(),
        }
    }

    /// True with probability `numerator / denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = self.below(items.len() as u64);
        &items[usize::try_from(index).expect("an index fits")]
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection that spreads every bit.
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn forks_do_not_depend_on_earlier_draws() {
        let mut root = Rng::from_seed(7);
        let before = root.fork("disk").next_u64();
        root.next_u64();
        assert_eq!(before, root.fork("disk").next_u64());
        assert_ne!(before, root.fork("network").next_u64());
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::from_seed(1);
        assert!((0..1000).all(|_| rng.below(3) < 3));
        assert!((0..1000).all(|_| (5..=6).contains(&rng.between(5, 6))));
    }
}
