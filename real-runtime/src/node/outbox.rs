//! Bytes on their way to one socket.

use bytes::{Buf as _, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Pieces handed to the system in one call.
const SLICES_MAX: usize = 256;
/// A queue that once grew beyond this gives its memory back when it is empty.
const QUEUE_KEPT_MAX: usize = 16;

/// The bytes that one socket has still to take. Bounded by the core, which is told of every byte taken.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Bytes>,
    len: usize,
}

impl Outbox {
    /// Adds `piece` at the end.
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Bytes in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether the socket has taken everything.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes until it is empty or `stream` takes no more; adds what it took to `sent`. Ready when it is empty.
    pub(super) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        sent: &mut usize,
    ) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(stream);
        while let Some(first) = self.pieces.front() {
            let taken = if self.pieces.len() == 1 {
                ready!(stream.as_mut().poll_write(context, first))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.pieces.len().min(SLICES_MAX);
                for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                    *slice = IoSlice::new(piece);
                }
                ready!(stream.as_mut().poll_write_vectored(context, &slices[..count]))?
            };
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *sent += taken;
            self.advance(taken);
        }
        if self.pieces.capacity() > QUEUE_KEPT_MAX {
            self.pieces = VecDeque::new();
        }
        // Nothing to do on TCP; a simulated stream may hold bytes back until then.
        stream.poll_flush(context)
    }

    fn advance(&mut self, mut taken: usize) {
        self.len -= taken;
        while let Some(first) = self.pieces.front_mut() {
            if taken < first.len() {
                first.advance(taken);
                return;
            }
            taken -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AsyncWrite, Bytes, Context, IoSlice, Outbox, Pin, Poll, io};
    use std::task::Waker;

    /// Takes `room` bytes a call for `calls` calls, then nothing.
    struct Narrow {
        room: usize,
        calls: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.calls == 0 {
                return Poll::Pending;
            }
            self.calls -= 1;
            let count = bytes.len().min(self.room);
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let joined: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.poll_write(context, &joined)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_socket_takes() {
        for room in 1..12 {
            let mut outbox = Outbox::default();
            for piece in ["ab", "", "cde", "f"] {
                outbox.push(Bytes::from_static(piece.as_bytes()));
            }
            assert_eq!(outbox.len(), 6);
            let mut stream = Narrow { room, calls: 1, taken: Vec::new() };
            let mut context = Context::from_waker(Waker::noop());
            let mut sent = 0;
            let first = outbox.poll_send(&mut stream, &mut context, &mut sent);
            assert_eq!(first.is_pending(), room < 6, "room for {room}");
            assert_eq!(sent, room.min(6));
            stream.calls = 6;
            assert!(outbox.poll_send(&mut stream, &mut context, &mut sent).is_ready());
            assert_eq!((stream.taken.as_slice(), sent, outbox.len()), (b"abcdef".as_slice(), 6, 0));
        }
    }

    #[test]
    fn more_pieces_than_one_call_takes_leave_in_several() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.push(Bytes::from_static(b"x"));
        }
        let mut stream = Narrow { room: usize::MAX, calls: 4, taken: Vec::new() };
        let mut sent = 0;
        let sending = outbox.poll_send(&mut stream, &mut Context::from_waker(Waker::noop()), &mut sent);
        assert!(sending.is_ready() && outbox.is_empty());
        assert_eq!((sent, stream.calls), (1000, 0));
    }
}
