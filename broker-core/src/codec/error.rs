//! Why bytes are no packet.

use super::reason::ReasonCode;
use std::fmt;

/// Why bytes are no packet that the norm allows, as in "0x81 malformed packet: will topic is not UTF-8".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What to close the connection with (in 3.1.1 without saying so): 0x81, 0x82, 0x84, 0x90, 0x95 or 0x97.
    pub reason: ReasonCode,
    /// The culprit: a field or a packet, by the norm's name.
    pub what: &'static str,
    /// The rule it breaks, in words that follow the culprit's name.
    pub why: &'static str,
}

impl DecodeError {
    /// 0x81: the bytes cannot be parsed as the norm says.
    pub const fn malformed(what: &'static str, why: &'static str) -> Self {
        DecodeError { reason: ReasonCode::MalformedPacket, what, why }
    }

    /// 0x82: the bytes can be parsed, but the norm forbids what they say.
    pub const fn protocol(what: &'static str, why: &'static str) -> Self {
        DecodeError { reason: ReasonCode::ProtocolError, what, why }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.reason, self.what, self.why)
    }
}

impl std::error::Error for DecodeError {}
