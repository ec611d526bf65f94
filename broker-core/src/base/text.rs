//! Copies of what is to be kept. Strings and payloads of packets are slices of read buffers; something small that is
//! kept must not keep the whole buffer alive.

use bytes::Bytes;
use bytestring::ByteString;

/// Payloads of at most so many bytes are copied when they are kept.
const COPY_BYTES_MAX: usize = 16 * 1024;

/// The same text in memory of its own.
pub fn own(text: &ByteString) -> ByteString {
    ByteString::from(&**text)
}

/// The same bytes, in memory of their own if they are few.
pub fn own_bytes(bytes: &Bytes) -> Bytes {
    if bytes.len() <= COPY_BYTES_MAX { Bytes::copy_from_slice(bytes) } else { bytes.clone() }
}
