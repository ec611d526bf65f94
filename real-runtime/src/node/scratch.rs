//! The read buffer that all connections share.

use bytes::{Bytes, BytesMut};
use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes read in one call, at most.
const READ_BYTES: usize = 64 << 10;
/// With less room than this left, a new buffer is begun.
const ROOM_LEAST: usize = 16 << 10;
/// Smaller reads are copied out, so that a message that is kept does not keep a whole buffer with it.
const COPIED_BELOW: usize = 1 << 10;

/// One buffer for all sockets of a thread: a connection that is silent owns none.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    buffer: BytesMut,
}

/// What one read brought.
#[derive(Debug)]
pub(super) struct Read {
    /// The bytes; none at the end of the stream.
    pub(super) bytes: Bytes,
    /// Whether there may be more to read at once.
    pub(super) filled: bool,
}

impl Scratch {
    /// Reads from `stream` once.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Read>> {
        if self.buffer.capacity() < ROOM_LEAST {
            self.buffer.reserve(READ_BYTES);
        }
        let room = self.buffer.capacity();
        // `read_buf` keeps nothing between polls, so a fresh future each time loses nothing.
        let count = ready!(pin!(stream.read_buf(&mut self.buffer)).poll(context))?;
        let bytes = if count < COPIED_BELOW {
            let copy = Bytes::copy_from_slice(&self.buffer);
            self.buffer.clear();
            copy
        } else {
            self.buffer.split().freeze()
        };
        Poll::Ready(Ok(Read { bytes, filled: count == room }))
    }
}

#[cfg(test)]
mod tests {
    use super::{COPIED_BELOW, Context, Poll, READ_BYTES, Scratch};
    use std::task::Waker;

    #[test]
    fn a_stream_comes_out_whole_whatever_its_size() {
        let data: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let mut stream = data.as_slice();
        let mut scratch = Scratch::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut kept = Vec::new();
        loop {
            let Poll::Ready(Ok(read)) = scratch.poll_read(&mut stream, &mut context) else {
                panic!("a slice is always ready");
            };
            if read.bytes.is_empty() {
                break;
            }
            assert!(read.bytes.len() <= READ_BYTES);
            kept.push(read.bytes);
        }
        assert_eq!(kept.concat(), data);
    }

    #[test]
    fn a_small_read_keeps_no_buffer() {
        let mut scratch = Scratch::default();
        let mut stream: &[u8] = &[7; COPIED_BELOW - 1];
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(read)) = scratch.poll_read(&mut stream, &mut context) else {
            panic!("a slice is always ready");
        };
        let before = scratch.buffer.as_ptr();
        assert_eq!(read.bytes.len(), COPIED_BELOW - 1);
        assert!(!read.filled);
        let mut more: &[u8] = &[8; 10];
        assert!(scratch.poll_read(&mut more, &mut context).is_ready());
        assert_eq!(scratch.buffer.as_ptr(), before, "the same memory is read into again");
    }
}
