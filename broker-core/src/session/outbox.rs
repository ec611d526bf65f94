//! Bytes on their way to one client: gathered during a turn, handed to the driver at its end, counted until the socket took them.

use bytes::{Bytes, BytesMut};

/// A payload of at least so many bytes goes out as a shared slice instead of being copied behind its header.
pub const SHARE_PAYLOAD_BYTES: usize = 2_048;

/// At most so many bytes are reserved before they are written.
const EXPECTED_BYTES_MAX: usize = 64 * 1024;

/// The outgoing bytes of one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What is being encoded; whole packets, or the head of one whose payload follows as a segment.
    buffer: BytesMut,
    segments: Vec<Bytes>,
    /// Handed out, and not yet taken by the socket.
    unsent: usize,
    gathered: usize,
    /// How long the last segment was: the next one is likely to be as long.
    expected: usize,
}

impl Outbox {
    /// Where to encode the next packet, or the head of one.
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(self.expected);
        }
        &mut self.buffer
    }

    /// Appends a payload behind the head that was written to `buffer`.
    pub fn payload(&mut self, payload: &Bytes) {
        if payload.len() < SHARE_PAYLOAD_BYTES {
            self.buffer().extend_from_slice(payload);
            return;
        }
        self.close_segment();
        self.gathered += payload.len();
        self.segments.push(payload.clone());
    }

    /// All bytes that wait: gathered, or handed out and not yet taken by the socket.
    pub fn bytes(&self) -> usize {
        self.unsent + self.gathered + self.buffer.len()
    }

    /// Whether nothing was gathered in this turn.
    pub fn is_clean(&self) -> bool {
        self.buffer.is_empty() && self.segments.is_empty()
    }

    /// Hands out what was gathered.
    pub fn take(&mut self) -> impl Iterator<Item = Bytes> {
        self.close_segment();
        self.unsent += std::mem::take(&mut self.gathered);
        std::mem::take(&mut self.segments).into_iter()
    }

    /// The socket took `bytes`.
    pub fn sent(&mut self, bytes: usize) {
        self.unsent = self.unsent.saturating_sub(bytes);
    }

    fn close_segment(&mut self) {
        if !self.buffer.is_empty() {
            // A fresh buffer, not a split one: an idle connection is to own no memory here.
            let segment = std::mem::take(&mut self.buffer).freeze();
            self.expected = segment.len().min(EXPECTED_BYTES_MAX);
            self.gathered += segment.len();
            self.segments.push(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Outbox, SHARE_PAYLOAD_BYTES};

    #[test]
    fn large_payloads_are_shared_and_everything_is_counted_until_it_is_sent() {
        let mut outbox = Outbox::default();
        outbox.buffer().extend_from_slice(b"head");
        outbox.payload(&Bytes::from_static(b"small"));
        let large = Bytes::from(vec![7; SHARE_PAYLOAD_BYTES]);
        outbox.payload(&large);
        assert_eq!(outbox.bytes(), 9 + large.len());
        let segments: Vec<Bytes> = outbox.take().collect();
        assert_eq!(segments[0], Bytes::from_static(b"headsmall"));
        assert_eq!(segments[1].as_ptr(), large.as_ptr());
        assert!(outbox.is_clean());
        outbox.sent(9);
        assert_eq!(outbox.bytes(), large.len());
    }
}
