//! One direction of a connection: bytes in order, each with its time of arrival.

use broker_core::time::{Duration, Instant};
use bytes::Bytes;
use std::collections::VecDeque;

/// What travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The connection is opened.
    Open,
    /// Bytes.
    Data(Bytes),
    /// The other end closed in order, after all its bytes.
    End,
    /// The connection broke.
    Broken,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pieces: VecDeque<(Instant, Piece)>,
    /// Bytes in `pieces`.
    bytes: usize,
    /// When the happening that looks at this pipe is scheduled.
    look_at: Option<Instant>,
    /// Whether nothing more can be put in.
    shut: bool,
}

impl Pipe {
    /// Puts `piece` in; it arrives after `latency` and not before what was put in earlier. Nothing follows an end.
    pub(crate) fn put(&mut self, now: Instant, latency: Duration, piece: Piece) {
        if self.shut {
            return;
        }
        self.shut = matches!(piece, Piece::End | Piece::Broken);
        if let Piece::Data(bytes) = &piece {
            self.bytes += bytes.len();
        }
        let last = self.pieces.back().map_or(Instant::ZERO, |(at, _)| *at);
        self.pieces.push_back((last.max(now + latency), piece));
    }

    /// Breaks the pipe: of what is under way, the first `keep` pieces still arrive.
    pub(crate) fn break_after(&mut self, now: Instant, latency: Duration, keep: usize) {
        self.pieces.truncate(keep);
        self.bytes = self.pieces.iter().map(|(_, piece)| piece.len()).sum();
        self.shut = self.pieces.iter().any(|(_, piece)| matches!(piece, Piece::End | Piece::Broken));
        self.put(now, latency, Piece::Broken);
    }

    /// Takes the next piece that has arrived at `now`, at most `max` bytes of it.
    pub(crate) fn take(&mut self, now: Instant, max: usize) -> Option<Piece> {
        let (at, piece) = self.pieces.front_mut()?;
        if *at > now {
            return None;
        }
        if let Piece::Data(bytes) = piece {
            if max == 0 {
                return None;
            }
            if bytes.len() > max {
                self.bytes -= max;
                return Some(Piece::Data(bytes.split_to(max)));
            }
        }
        let (_, piece) = self.pieces.pop_front()?;
        self.bytes -= piece.len();
        Some(piece)
    }

    /// When somebody is to look at this pipe next, if that has to be scheduled: marks it as scheduled.
    pub(crate) fn look_at(&mut self, now: Instant) -> Option<Instant> {
        let (at, _) = self.pieces.front()?;
        let at = (*at).max(now);
        if self.look_at.is_some_and(|planned| planned <= at) {
            return None;
        }
        self.look_at = Some(at);
        Some(at)
    }

    /// The scheduled look happens now.
    pub(crate) fn looked(&mut self, now: Instant) {
        if self.look_at.is_some_and(|planned| planned <= now) {
            self.look_at = None;
        }
    }

    /// Bytes that were put in and not taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether its end was put in.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut
    }

    /// Pieces that were put in and not taken.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }
}

impl Piece {
    /// Its bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Piece::Data(bytes) => bytes.len(),
            Piece::Open | Piece::End | Piece::Broken => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Duration, Instant, Piece, Pipe};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn bytes_keep_their_order_whatever_the_latency() {
        let mut pipe = Pipe::default();
        pipe.put(Instant::ZERO, 5 * MS, Piece::Data(Bytes::from_static(b"ab")));
        pipe.put(Instant::ZERO, MS, Piece::Data(Bytes::from_static(b"c")));
        pipe.put(Instant::ZERO, MS, Piece::End);
        pipe.put(Instant::ZERO, MS, Piece::Data(Bytes::from_static(b"late")));
        assert_eq!(pipe.take(Instant::from_millis(4), 9), None);
        let now = Instant::from_millis(5);
        assert_eq!(pipe.take(now, 1), Some(Piece::Data(Bytes::from_static(b"a"))));
        assert_eq!(pipe.take(now, 0), None);
        assert_eq!(pipe.bytes(), 2);
        assert_eq!(pipe.take(now, 9), Some(Piece::Data(Bytes::from_static(b"b"))));
        assert_eq!(pipe.take(now, 9), Some(Piece::Data(Bytes::from_static(b"c"))));
        assert_eq!(pipe.take(now, 0), Some(Piece::End));
        assert_eq!(pipe.take(now, 9), None);
    }

    #[test]
    fn a_broken_pipe_delivers_what_it_kept() {
        let mut pipe = Pipe::default();
        for text in [&b"a"[..], b"b", b"c"] {
            pipe.put(Instant::ZERO, MS, Piece::Data(Bytes::copy_from_slice(text)));
        }
        pipe.break_after(Instant::ZERO, MS, 1);
        let now = Instant::from_millis(1);
        assert_eq!(pipe.take(now, 9), Some(Piece::Data(Bytes::from_static(b"a"))));
        assert_eq!(pipe.take(now, 9), Some(Piece::Broken));
        assert_eq!(pipe.bytes(), 0);
    }
}
