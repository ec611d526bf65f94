//! Frames on a connection between two members: four bytes of length, little-endian, then the frame. A frame of no bytes says
//! that its sender lives.

use broker_core::codec::PACKET_BYTES_MAX;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of a frame, at most: whatever the largest packet of MQTT makes fits, and what the core makes of several smaller
/// things is of a few megabytes. It does not depend on this node's configuration, for the other's may differ.
pub const FRAME_BYTES_MAX: usize = PACKET_BYTES_MAX as usize + (32 << 20);

/// Bytes before a frame.
pub const HEADER_BYTES: usize = 4;

/// Says that its sender lives.
pub const KEEP_ALIVE: [u8; HEADER_BYTES] = [0; HEADER_BYTES];

/// Memory taken for a frame before its bytes are here.
const RESERVED_MAX: usize = 1 << 20;

/// A frame larger than any member sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// What it claims to have.
    pub bytes: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame of {} bytes, and none may have more than {FRAME_BYTES_MAX}", self.bytes)
    }
}

/// Appends what stands before a frame of `bytes` bytes.
///
/// # Errors
/// If a frame cannot have so many.
pub fn put_header(bytes: usize, out: &mut BytesMut) -> Result<(), TooLong> {
    let checked = checked(bytes)?;
    out.put_u32_le(u32::try_from(checked).expect("the bound is below 2^32"));
    Ok(())
}

/// Cuts what arrives into frames.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of a frame, its header included.
    partial: BytesMut,
}

impl Splitter {
    /// Takes what arrived next, and hands out each frame that is whole by now. Frames that are whole in `bytes` are not copied.
    ///
    /// # Errors
    /// If a frame claims to be too large; nothing that follows can be read then.
    pub fn push(&mut self, mut bytes: Bytes, mut each: impl FnMut(Bytes)) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            let frame =
                if self.partial.is_empty() { self.cut(&mut bytes)? } else { self.complete(&mut bytes)? };
            if let Some(frame) = frame.filter(|frame| !frame.is_empty()) {
                each(frame);
            }
        }
        Ok(())
    }

    /// The frame at the beginning of `bytes`; keeps what is there if it is not whole.
    fn cut(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, TooLong> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            self.partial.extend_from_slice(&bytes.split_off(0));
            return Ok(None);
        };
        let wanted = wanted(*header)?;
        if bytes.len() < wanted {
            self.partial.reserve(wanted.min(RESERVED_MAX));
            self.partial.extend_from_slice(&bytes.split_off(0));
            return Ok(None);
        }
        bytes.advance(HEADER_BYTES);
        Ok(Some(bytes.split_to(wanted - HEADER_BYTES)))
    }

    /// Adds to the frame that has begun what `bytes` hold of it.
    fn complete(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, TooLong> {
        if self.partial.len() < HEADER_BYTES {
            self.add(bytes, HEADER_BYTES);
        }
        let Some(header) = self.partial.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let wanted = wanted(*header)?;
        self.add(bytes, wanted);
        if self.partial.len() < wanted {
            return Ok(None);
        }
        self.partial.advance(HEADER_BYTES);
        Ok(Some(self.partial.split().freeze()))
    }

    /// Moves bytes until there are `wanted`, or no more.
    fn add(&mut self, bytes: &mut Bytes, wanted: usize) {
        let missing = wanted - self.partial.len();
        self.partial.extend_from_slice(&bytes.split_to(missing.min(bytes.len())));
    }
}

/// Reads the next frame that has any bytes; `None` at the end of the stream.
///
/// # Errors
/// If the connection breaks, ends in the middle of a frame, or brings one that claims to be too large.
pub async fn read_frame<S>(stream: &mut S) -> io::Result<Option<Vec<u8>>>
where
    S: AsyncRead + Unpin,
{
    loop {
        let mut header = [0; HEADER_BYTES];
        if stream.read(&mut header[..1]).await? == 0 {
            return Ok(None);
        }
        stream.read_exact(&mut header[1..]).await?;
        let bytes = wanted(header).map_err(|error| io::Error::other(error.to_string()))? - HEADER_BYTES;
        let mut frame = Vec::new();
        // Grows with what comes, not with what is claimed.
        (&mut *stream).take(bytes as u64).read_to_end(&mut frame).await?;
        if frame.len() < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !frame.is_empty() {
            return Ok(Some(frame));
        }
    }
}

/// Bytes of a frame with this header, header included.
fn wanted(header: [u8; HEADER_BYTES]) -> Result<usize, TooLong> {
    Ok(HEADER_BYTES + checked(u32::from_le_bytes(header) as usize)?)
}

fn checked(bytes: usize) -> Result<usize, TooLong> {
    if bytes > FRAME_BYTES_MAX { Err(TooLong { bytes }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::{
        Bytes, BytesMut, FRAME_BYTES_MAX, HEADER_BYTES, KEEP_ALIVE, RESERVED_MAX, Splitter, TooLong,
        put_header,
    };

    fn framed(frames: &[&[u8]]) -> Bytes {
        let mut out = BytesMut::new();
        for frame in frames {
            put_header(frame.len(), &mut out).expect("short");
            out.extend_from_slice(frame);
        }
        out.freeze()
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let big = [7; 1_000];
        let frames: [&[u8]; 5] = [b"a", b"bcd", &big, b"e", b"fg"];
        let stream = [&framed(&frames)[..], &KEEP_ALIVE].concat();
        for step in [1, 2, 3, 4, 5, 7, 100, 999, stream.len()] {
            let mut splitter = Splitter::default();
            let mut out = Vec::new();
            for piece in stream.chunks(step) {
                splitter.push(Bytes::copy_from_slice(piece), |frame| out.push(frame)).expect("short frames");
            }
            assert_eq!(out, frames, "in pieces of {step}");
            assert!(splitter.partial.is_empty());
        }
    }

    #[test]
    fn a_frame_that_claims_too_much_is_refused_before_there_is_room_for_it() {
        let claim = |bytes: usize| u32::try_from(bytes).expect("32 bits").to_le_bytes();
        let mut splitter = Splitter::default();
        let most = Bytes::copy_from_slice(&claim(FRAME_BYTES_MAX));
        assert_eq!(splitter.push(most, |_| panic!("it is not whole")), Ok(()));
        assert!(splitter.partial.capacity() <= 2 * RESERVED_MAX, "{}", splitter.partial.capacity());
        for pieces in [1, 2, 4] {
            let mut splitter = Splitter::default();
            let header = claim(FRAME_BYTES_MAX + 1);
            let refused = header
                .chunks(HEADER_BYTES / pieces)
                .map(|piece| splitter.push(Bytes::copy_from_slice(piece), |_| panic!("it is not whole")))
                .find(Result::is_err);
            assert_eq!(refused, Some(Err(TooLong { bytes: FRAME_BYTES_MAX + 1 })), "in {pieces}");
        }
        assert!(put_header(FRAME_BYTES_MAX + 1, &mut BytesMut::new()).is_err());
    }
}
