//! The trace of a run: every event folded into one number, so that two runs can be compared, and on demand every
//! event as a line, so that the first difference can be shown.

use broker_core::rng::mix;
use broker_core::time::Instant;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a run was, as one number: equal runs have equal hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Folds events as they happen.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace; with `lines`, it keeps every event as text.
    pub(crate) fn new(lines: bool) -> Self {
        Trace { hash: 0, events: 0, lines: lines.then(Vec::new) }
    }

    /// Folds one event: when, what kind, of whom (`numbers`: identifiers, draw counts) and its bytes.
    pub(crate) fn event(&mut self, at: Instant, kind: &'static str, numbers: &[u64], bytes: &[u8]) {
        self.events += 1;
        let mut hash = fold(self.hash, at.as_nanos());
        hash = fold_bytes(hash, kind.as_bytes());
        for number in numbers {
            hash = fold(hash, *number);
        }
        self.hash = fold_bytes(hash, bytes);
        if let Some(lines) = &mut self.lines {
            let (micros, hash) = (at.as_nanos() / 1_000, self.hash);
            lines.push(format!("{micros:>10}us {kind} {numbers:?} {} bytes {hash:016x}", bytes.len()));
        }
    }

    /// How many events were folded.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The hash of all events, and their lines if they were kept.
    pub(crate) fn finish(self) -> (TraceHash, Option<Vec<String>>) {
        (TraceHash(mix(self.hash ^ self.events)), self.lines)
    }
}

fn fold(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn fold_bytes(hash: u64, bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| fold(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    fold(fold(hash, u64::from_le_bytes(last)), bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::{Instant, Trace};

    fn hash_of(events: &[(u64, &'static str, &[u64], &[u8])]) -> u64 {
        let mut trace = Trace::new(false);
        for (at, kind, numbers, bytes) in events {
            trace.event(Instant::from_nanos(*at), kind, numbers, bytes);
        }
        trace.finish().0.0
    }

    #[test]
    fn every_part_of_an_event_counts() {
        let base = hash_of(&[(1, "a", &[1, 2], b"xyz")]);
        assert_eq!(base, hash_of(&[(1, "a", &[1, 2], b"xyz")]));
        for other in [
            hash_of(&[(2, "a", &[1, 2], b"xyz")]),
            hash_of(&[(1, "b", &[1, 2], b"xyz")]),
            hash_of(&[(1, "a", &[2, 1], b"xyz")]),
            hash_of(&[(1, "a", &[1, 2], b"xyz\0")]),
            hash_of(&[(1, "a", &[1, 2], b"xyz"), (1, "", &[], b"")]),
        ] {
            assert_ne!(base, other);
        }
    }
}
