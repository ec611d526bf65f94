//! The list of properties that 5.0 puts into most packets. \[MQTT-2.2.2\]

use super::error::DecodeError;
use super::packet::{PayloadFormat, UserProperties};
use super::read::Reader;
use super::reason::ReasonCode;
use bytes::Bytes;
use bytestring::ByteString;
use std::num::{NonZeroU16, NonZeroU32};

/// How many user properties one packet may have; one more is refused with 0x97. Each costs some hundred bytes of
/// memory and as few as five on the wire.
pub const USER_PROPERTIES_MAX: usize = 1_024;

macro_rules! property_ids {
    ($($name:ident = $id:literal, $words:literal;)*) => {
        /// What a property says; the number is its identifier. \[MQTT-2.2.2.2\]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum PropertyId {
            $($name = $id,)*
        }

        impl PropertyId {
            fn new(id: u8) -> Option<Self> {
                match id {
                    $($id => Some(PropertyId::$name),)*
                    _ => None,
                }
            }

            /// Its name in the norm.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(PropertyId::$name => $words,)*
                }
            }
        }
    };
}

property_ids! {
    PayloadFormat = 0x01, "payload format indicator";
    MessageExpiry = 0x02, "message expiry interval";
    ContentType = 0x03, "content type";
    ResponseTopic = 0x08, "response topic";
    CorrelationData = 0x09, "correlation data";
    SubscriptionId = 0x0B, "subscription identifier";
    SessionExpiry = 0x11, "session expiry interval";
    AssignedClientId = 0x12, "assigned client identifier";
    ServerKeepAlive = 0x13, "server keep alive";
    AuthMethod = 0x15, "authentication method";
    AuthData = 0x16, "authentication data";
    RequestProblemInformation = 0x17, "request problem information";
    WillDelay = 0x18, "will delay interval";
    RequestResponseInformation = 0x19, "request response information";
    ResponseInformation = 0x1A, "response information";
    ServerReference = 0x1C, "server reference";
    ReasonString = 0x1F, "reason string";
    ReceiveMaximum = 0x21, "receive maximum";
    TopicAliasMaximum = 0x22, "topic alias maximum";
    TopicAlias = 0x23, "topic alias";
    MaximumQoS = 0x24, "maximum QoS";
    RetainAvailable = 0x25, "retain available";
    UserProperty = 0x26, "user property";
    MaximumPacketSize = 0x27, "maximum packet size";
    WildcardSubscriptionAvailable = 0x28, "wildcard subscription available";
    SubscriptionIdsAvailable = 0x29, "subscription identifiers available";
    SharedSubscriptionAvailable = 0x2A, "shared subscription available";
}

impl PropertyId {
    /// This property in a bitset of properties.
    const fn bit(self) -> u64 {
        1 << self as u8
    }

    /// The error for a property that this packet cannot have. \[MQTT-2.2.2.2\]
    pub(super) fn foreign(self) -> DecodeError {
        DecodeError::malformed(self.name(), "does not belong into this packet")
    }

    fn wrong(self, why: &'static str) -> DecodeError {
        DecodeError::protocol(self.name(), why)
    }
}

/// A list of properties being read: first [`Properties::next_id`], then the value by the method of its type.
pub(super) struct Properties {
    reader: Reader,
    current: PropertyId,
    seen: u64,
    repeatable: u64,
}

impl Properties {
    /// Takes the list off `packet`. No property but the user property may be there twice.
    pub(super) fn read(packet: &mut Reader) -> Result<Self, DecodeError> {
        let what = "property length";
        let len = packet.varint(what)?;
        Ok(Properties {
            reader: Reader::new(packet.split(len as usize, what)?),
            current: PropertyId::UserProperty,
            seen: 0,
            repeatable: PropertyId::UserProperty.bit(),
        })
    }

    /// Lets the subscription identifier be there more than once, as in PUBLISH. \[MQTT-3.3.4-4\]
    pub(super) fn with_many_subscription_ids(mut self) -> Self {
        self.repeatable |= PropertyId::SubscriptionId.bit();
        self
    }

    /// The next property's identifier; its value must be read before the next call.
    pub(super) fn next_id(&mut self) -> Result<Option<PropertyId>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        // The identifier is a Variable Byte Integer; all that exist have one byte.
        let what = "property identifier";
        let id = PropertyId::new(self.reader.u8(what)?).ok_or(DecodeError::malformed(what, "is unknown"))?;
        if self.seen & id.bit() & !self.repeatable != 0 {
            return Err(id.wrong("is there twice"));
        }
        self.seen |= id.bit();
        self.current = id;
        Ok(Some(id))
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.reader.u16(self.current.name())
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.reader.u32(self.current.name())
    }

    pub(super) fn nonzero_u16(&mut self) -> Result<NonZeroU16, DecodeError> {
        NonZeroU16::new(self.u16()?).ok_or(self.current.wrong("is 0"))
    }

    pub(super) fn nonzero_u32(&mut self) -> Result<NonZeroU32, DecodeError> {
        NonZeroU32::new(self.u32()?).ok_or(self.current.wrong("is 0"))
    }

    pub(super) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.reader.u8(self.current.name())? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.current.wrong("is neither 0 nor 1")),
        }
    }

    pub(super) fn payload_format(&mut self) -> Result<PayloadFormat, DecodeError> {
        Ok(if self.flag()? { PayloadFormat::Utf8 } else { PayloadFormat::Bytes })
    }

    pub(super) fn subscription_id(&mut self) -> Result<u32, DecodeError> {
        match self.reader.varint(self.current.name())? {
            0 => Err(self.current.wrong("is 0")), // [MQTT-3.8.2.1.2]
            id => Ok(id),
        }
    }

    pub(super) fn string(&mut self) -> Result<ByteString, DecodeError> {
        self.reader.string(self.current.name())
    }

    pub(super) fn topic(&mut self) -> Result<ByteString, DecodeError> {
        Ok(self.reader.topic(self.current.name())?.into_text())
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        self.reader.bytes(self.current.name())
    }

    /// Appends a user property to `user`.
    pub(super) fn user(&mut self, user: &mut UserProperties) -> Result<(), DecodeError> {
        if user.len() == USER_PROPERTIES_MAX {
            return Err(DecodeError {
                reason: ReasonCode::QuotaExceeded,
                what: self.current.name(),
                why: "is there more often than accepted",
            });
        }
        user.push((self.string()?, self.string()?));
        Ok(())
    }
}
