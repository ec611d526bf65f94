//! Why bytes are no packet.

use super::reason::ReasonCode;
use std::fmt;

/// Why bytes are no packet that the norm allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What to close the connection with (in 3.1.1 without saying so): 0x81, 0x82, 0x84, 0x90, 0x95 or 0x97.
    pub reason: ReasonCode,
    /// The culprit and the rule it breaks.
    pub what: &'static str,
}

impl DecodeError {
    /// 0x81: the bytes cannot be parsed as the norm says.
    pub const fn malformed(what: &'static str) -> Self {
        DecodeError { reason: ReasonCode::MalformedPacket, what }
    }

    /// 0x82: the bytes can be parsed, but the norm forbids what they say.
    pub const fn protocol(what: &'static str) -> Self {
        DecodeError { reason: ReasonCode::ProtocolError, what }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.what)
    }
}

impl std::error::Error for DecodeError {}
