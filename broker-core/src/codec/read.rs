//! Reading the norm's data types from a slice that must end where its content ends. \[MQTT-1.5\]

use super::error::DecodeError;
use super::reason::ReasonCode;
use crate::base::ids::PacketId;
use crate::topic::TopicName;
use crate::topic::name::TopicError;
use bytes::{Buf, Bytes};
use bytestring::ByteString;

/// The largest Variable Byte Integer.
pub(super) const VARINT_MAX: u32 = 268_435_455;

const CUT_OFF: &str = "is cut off";

/// Reads a Variable Byte Integer at the start of `bytes`: its value and its own length, or `None` if it does not end
/// within them. \[MQTT-1.5.5\]
pub(super) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, &'static str> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return match byte {
                0 if at > 0 => Err("is not in its shortest form"), // [MQTT-1.5.5-1]
                _ => Ok(Some((value, at + 1))),
            };
        }
    }
    if bytes.len() >= 4 { Err("has more than four bytes") } else { Ok(None) }
}

/// What is left to read of a packet, or of its properties. Each method takes the name of what it reads, for the error.
pub(super) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Reader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Demands that nothing is left.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::malformed("packet", "goes on after its last field"))
        }
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.rest.try_get_u8().map_err(|_| DecodeError::malformed(what, CUT_OFF))
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.rest.try_get_u16().map_err(|_| DecodeError::malformed(what, CUT_OFF))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.rest.try_get_u32().map_err(|_| DecodeError::malformed(what, CUT_OFF))
    }

    pub(super) fn varint(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        match varint(&self.rest) {
            Ok(Some((value, bytes))) => {
                self.rest.advance(bytes);
                Ok(value)
            }
            Ok(None) => Err(DecodeError::malformed(what, CUT_OFF)),
            Err(why) => Err(DecodeError::malformed(what, why)),
        }
    }

    /// The next `len` bytes.
    pub(super) fn split(&mut self, len: usize, what: &'static str) -> Result<Bytes, DecodeError> {
        if len > self.rest.len() {
            return Err(DecodeError::malformed(what, CUT_OFF));
        }
        Ok(self.rest.split_to(len))
    }

    /// Binary Data. \[MQTT-1.5.6\]
    pub(super) fn bytes(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let len = self.u16(what)?;
        self.split(usize::from(len), what)
    }

    /// A UTF-8 Encoded String: no surrogate, no U+0000. \[MQTT-1.5.4-1, 1.5.4-2\]
    pub(super) fn string(&mut self, what: &'static str) -> Result<ByteString, DecodeError> {
        let text = ByteString::try_from(self.bytes(what)?)
            .map_err(|_| DecodeError::malformed(what, "is not UTF-8"))?;
        if text.as_bytes().contains(&0) {
            return Err(DecodeError::malformed(what, "contains U+0000"));
        }
        Ok(text)
    }

    /// Skips a string that has no character; otherwise skips nothing and says no.
    pub(super) fn skip_empty_string(&mut self) -> bool {
        let empty = self.rest.starts_with(&[0, 0]);
        if empty {
            self.rest.advance(2);
        }
        empty
    }

    /// A string that must be a valid topic name.
    pub(super) fn topic(&mut self, what: &'static str) -> Result<TopicName, DecodeError> {
        let text = self.string(what)?;
        TopicName::parse(text).map_err(|error| match error {
            TopicError::Empty => DecodeError::protocol(what, "is empty"), // [MQTT-4.7.3-1]
            // [MQTT-3.3.2-2, 3.3.2-14]
            TopicError::WildcardInName => {
                DecodeError { reason: ReasonCode::TopicNameInvalid, what, why: "contains '+' or '#'" }
            }
            _ => DecodeError::malformed(what, "is not a topic name"),
        })
    }

    /// A packet identifier: not 0. \[MQTT-2.2.1-3\]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        let what = "packet identifier";
        PacketId::new(self.u16(what)?).ok_or(DecodeError::protocol(what, "is 0"))
    }
}
