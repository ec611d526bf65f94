//! From a stream of bytes to frames: the only place that knows "incomplete".
//!
//! The fixed header is judged as soon as its bytes are there, so a packet that is too large, or a peer that does not
//! speak MQTT at all, is refused before anything is kept for it. \[MQTT-2.1\]

use super::encode::packet_bytes;
use super::error::DecodeError;
use super::packet::PacketType;
use super::read::{VARINT_MAX, varint};
use super::reason::ReasonCode;
use bytes::{Buf, Bytes, BytesMut};

/// The largest packet the protocol can express, in bytes: five of fixed header, and the longest body.
pub const PACKET_BYTES_MAX: u32 = 5 + VARINT_MAX;

/// One control packet's type, flags and body. The flags are those that the type demands (any, for PUBLISH).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub(super) packet_type: PacketType,
    pub(super) flags: u8,
    pub(super) body: Bytes,
}

impl Frame {
    /// Takes `bytes` as exactly one frame.
    ///
    /// # Errors
    /// If the fixed header is malformed, or says more or less than there is.
    pub fn whole(bytes: &Bytes) -> Result<Self, DecodeError> {
        let head = Head::parse(bytes, PACKET_BYTES_MAX)?
            .ok_or(DecodeError::malformed("fixed header", "ends beyond the bytes"))?;
        if head.frame_bytes() != bytes.len() {
            return Err(DecodeError::malformed("remaining length", "is not what follows it"));
        }
        Ok(head.frame(bytes.clone()))
    }

    /// The packet's type.
    pub fn packet_type(&self) -> PacketType {
        self.packet_type
    }

    /// The size of the packet, fixed header included (in its shortest form, as it must be).
    pub fn packet_bytes(&self) -> usize {
        packet_bytes(self.body.len())
    }
}

/// Cuts a stream into frames.
///
/// A frame that lies within one chunk is a slice of it. Of a frame that does not, only the bytes that have come are
/// kept: no header makes the framer allocate for what may never follow.
#[derive(Clone, Debug)]
pub struct Framer {
    packet_bytes_max: u32,
    /// The beginning of a frame whose end was not in an earlier chunk.
    begun: Vec<u8>,
    /// What has not been looked at.
    chunk: Bytes,
}

impl Framer {
    /// A framer that refuses packets of more than `packet_bytes_max` bytes, fixed header included, with 0x95.
    pub fn new(packet_bytes_max: u32) -> Self {
        Framer { packet_bytes_max, begun: Vec::new(), chunk: Bytes::new() }
    }

    /// Appends `chunk` to the stream. Cheapest when [`Framer::next_frame`] has said `None` since the last one.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
            return;
        }
        // Memory that is ours alone grows in place, so that bytes which come one by one are not copied again with each.
        let mut joined = BytesMut::from(std::mem::take(&mut self.chunk));
        joined.extend_from_slice(&chunk);
        self.chunk = joined.freeze();
    }

    /// The next frame, or `None` until more bytes come.
    ///
    /// # Errors
    /// If the fixed header is malformed (0x81), or the packet is too large (0x95). The stream cannot be taken up again
    /// after that: every further call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if !self.begun.is_empty() {
            return self.finish_begun();
        }
        match Head::parse(&self.chunk, self.packet_bytes_max)? {
            Some(head) if head.frame_bytes() <= self.chunk.len() => {
                Ok(Some(head.frame(self.chunk.split_to(head.frame_bytes()))))
            }
            _ => {
                self.begun = self.chunk.to_vec();
                self.chunk = Bytes::new();
                Ok(None)
            }
        }
    }

    /// How many bytes are held that have not become a frame.
    pub fn held_bytes(&self) -> usize {
        self.begun.len() + self.chunk.len()
    }

    /// How many bytes of memory the framer has taken for a frame that has begun: at most twice what has come of it.
    pub fn reserved_bytes(&self) -> usize {
        self.begun.capacity()
    }

    fn finish_begun(&mut self) -> Result<Option<Frame>, DecodeError> {
        loop {
            let head = Head::parse(&self.begun, self.packet_bytes_max)?;
            // Without a whole header, one byte is needed at least.
            let wanted = head.as_ref().map_or(1, |head| head.frame_bytes() - self.begun.len());
            match head {
                Some(head) if wanted == 0 => {
                    return Ok(Some(head.frame(std::mem::take(&mut self.begun).into())));
                }
                _ if self.chunk.is_empty() => return Ok(None),
                _ => self.take(wanted),
            }
        }
    }

    /// Moves up to `wanted` bytes from the chunk to what has begun.
    fn take(&mut self, wanted: usize) {
        let taken = wanted.min(self.chunk.len());
        if self.begun.capacity() - self.begun.len() < taken {
            // Doubling keeps many small chunks cheap; never more than the frame needs keeps the frame's buffer exact.
            self.begun.reserve_exact(taken.max(self.begun.len().min(wanted)));
        }
        self.begun.extend_from_slice(&self.chunk[..taken]);
        self.chunk.advance(taken);
    }
}

/// What a fixed header says.
struct Head {
    packet_type: PacketType,
    flags: u8,
    head_bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// `None` if `bytes` end within the fixed header.
    fn parse(bytes: &[u8], packet_bytes_max: u32) -> Result<Option<Self>, DecodeError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let (packet_type, flags) = first_byte(first)?;
        let Some((body, length_bytes)) =
            varint(rest).map_err(|why| DecodeError::malformed("remaining length", why))?
        else {
            return Ok(None);
        };
        let head = Head { packet_type, flags, head_bytes: 1 + length_bytes, body_bytes: body as usize };
        if head.frame_bytes() > packet_bytes_max as usize {
            return Err(DecodeError {
                reason: ReasonCode::PacketTooLarge,
                what: "packet",
                why: "is larger than accepted",
            });
        }
        Ok(Some(head))
    }

    fn frame_bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }

    /// The frame of this header in `bytes`, which are the frame exactly.
    fn frame(&self, mut bytes: Bytes) -> Frame {
        debug_assert_eq!(bytes.len(), self.frame_bytes());
        bytes.advance(self.head_bytes);
        Frame { packet_type: self.packet_type, flags: self.flags, body: bytes }
    }
}

/// Type and flags. Reserved flags must have the values the norm gives. \[MQTT-2.1.3-1\]
fn first_byte(byte: u8) -> Result<(PacketType, u8), DecodeError> {
    let flags = byte & 0x0F;
    let packet_type =
        PacketType::new(byte >> 4).ok_or(DecodeError::malformed("packet type", "is 0, which is reserved"))?;
    if packet_type.flags().is_some_and(|wanted| wanted != flags) {
        return Err(DecodeError::malformed("fixed header", "has other flags than its packet type demands"));
    }
    Ok((packet_type, flags))
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Frame, Framer, PacketType, ReasonCode};

    const PUBLISH: &[u8] = b"\x30\x05\x00\x01apq";

    fn frames(framer: &mut Framer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next_frame().expect("well formed")).collect()
    }

    #[test]
    fn a_frame_within_one_chunk_is_a_slice_of_it() {
        let chunk = Bytes::from([PUBLISH, b"\xC0\x00", PUBLISH].concat());
        let mut framer = Framer::new(100);
        framer.push(chunk.clone());
        let frames = frames(&mut framer);
        let types: Vec<_> = frames.iter().map(Frame::packet_type).collect();
        assert_eq!(types, [PacketType::Publish, PacketType::PingReq, PacketType::Publish]);
        assert_eq!(frames[2].body.as_ptr(), chunk[11..].as_ptr());
        assert_eq!(framer.held_bytes(), 0);
    }

    #[test]
    fn wherever_the_stream_is_cut_the_frames_are_the_same() {
        let long = [b"\x30\xC8\x01\x00\x01a".as_slice(), &[7; 197]].concat();
        let stream = [PUBLISH, &long, b"\xC0\x00", PUBLISH].concat();
        let mut whole = Framer::new(1000);
        whole.push(stream.clone().into());
        let whole = frames(&mut whole);
        for size in 1..stream.len() {
            let mut framer = Framer::new(1000);
            let mut cut = Vec::new();
            for chunk in stream.chunks(size) {
                framer.push(Bytes::copy_from_slice(chunk));
                cut.append(&mut frames(&mut framer));
            }
            assert_eq!(cut, whole, "in chunks of {size}");
        }
    }

    #[test]
    fn chunks_pushed_before_the_last_was_read_are_kept_in_order() {
        let mut framer = Framer::new(100);
        for byte in PUBLISH {
            framer.push(Bytes::copy_from_slice(&[*byte]));
        }
        assert_eq!(frames(&mut framer).len(), 1);
    }

    #[test]
    fn bytes_that_are_pushed_one_by_one_are_copied_seldom() {
        let mut framer = Framer::new(1 << 20);
        let mut copies = 0;
        let mut place = framer.chunk.as_ptr();
        for _ in 0..60_000 {
            framer.push(Bytes::from_static(b"x"));
            copies += usize::from(std::mem::replace(&mut place, framer.chunk.as_ptr()) != place);
        }
        assert_eq!(framer.held_bytes(), 60_000);
        assert!(copies < 40, "{copies}");
    }

    #[test]
    fn a_large_promise_is_refused_before_anything_is_kept() {
        let mut framer = Framer::new(1 << 20);
        framer.push(Bytes::from_static(b"\x30\xFF\xFF\xFF\x7F\x00\x01a"));
        for _ in 0..2 {
            let error = framer.next_frame().expect_err("268 MB");
            assert_eq!(error.reason, ReasonCode::PacketTooLarge);
        }
        assert_eq!(framer.reserved_bytes(), 0);
    }

    #[test]
    fn an_accepted_promise_costs_what_has_come_of_it() {
        let mut framer = Framer::new(1 << 20);
        framer.push(Bytes::from_static(b"\x30\x80\x80\x20\x00\x01a"));
        assert_eq!(framer.next_frame(), Ok(None));
        for sent in 1..5_000 {
            framer.push(Bytes::from_static(b"x"));
            assert_eq!(framer.next_frame(), Ok(None));
            assert!(framer.reserved_bytes() <= 2 * (sent + 7), "{} for {sent}", framer.reserved_bytes());
        }
    }

    #[test]
    fn the_largest_packet_accepted_is_exactly_the_limit() {
        for (limit, accepted) in [(6, false), (7, true), (8, true)] {
            let mut framer = Framer::new(limit);
            framer.push(Bytes::from_static(PUBLISH));
            assert_eq!(framer.next_frame().is_ok(), accepted, "{limit}");
        }
    }

    #[test]
    fn a_peer_that_speaks_another_protocol_is_refused_at_once() {
        for greeting in ["GET / HTTP/1.1\r\n", "\u{16}\u{3}\u{1}", "SSH-2.0"] {
            let mut framer = Framer::new(1 << 20);
            framer.push(Bytes::copy_from_slice(&greeting.as_bytes()[..1]));
            let error = framer.next_frame().expect_err(greeting);
            assert_eq!(error.reason, ReasonCode::MalformedPacket);
        }
    }
}
