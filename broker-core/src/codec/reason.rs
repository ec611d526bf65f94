//! Reason codes of MQTT 5.0, and how 3.1.1 says the same. \[MQTT-2.4\]

use super::packet::PacketType;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! reasons {
    ($($name:ident = $code:literal, $words:literal;)*) => {
        /// A reason code of MQTT 5.0 (section 2.4). 0x80 and above are failures.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(#[doc = concat!(stringify!($code), ": ", $words, ".")] $name = $code,)*
        }

        impl ReasonCode {
            /// Every code, in ascending order.
            pub const ALL: &'static [ReasonCode] = &[$(ReasonCode::$name),*];

            /// The reason with this code, if the norm defines one.
            pub const fn new(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(ReasonCode::$name),)*
                    _ => None,
                }
            }

            /// The reason in words.
            pub fn words(self) -> &'static str {
                match self {
                    $(ReasonCode::$name => $words,)*
                }
            }
        }
    };
}

reasons! {
    Success = 0x00, "success";
    GrantedQoS1 = 0x01, "granted QoS 1";
    GrantedQoS2 = 0x02, "granted QoS 2";
    DisconnectWithWill = 0x04, "disconnect with will message";
    NoMatchingSubscribers = 0x10, "no matching subscribers";
    NoSubscriptionExisted = 0x11, "no subscription existed";
    ContinueAuthentication = 0x18, "continue authentication";
    ReAuthenticate = 0x19, "re-authenticate";
    UnspecifiedError = 0x80, "unspecified error";
    MalformedPacket = 0x81, "malformed packet";
    ProtocolError = 0x82, "protocol error";
    ImplementationSpecificError = 0x83, "implementation specific error";
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version";
    ClientIdentifierNotValid = 0x85, "client identifier not valid";
    BadUserNameOrPassword = 0x86, "bad user name or password";
    NotAuthorized = 0x87, "not authorized";
    ServerUnavailable = 0x88, "server unavailable";
    ServerBusy = 0x89, "server busy";
    Banned = 0x8A, "banned";
    ServerShuttingDown = 0x8B, "server shutting down";
    BadAuthenticationMethod = 0x8C, "bad authentication method";
    KeepAliveTimeout = 0x8D, "keep alive timeout";
    SessionTakenOver = 0x8E, "session taken over";
    TopicFilterInvalid = 0x8F, "topic filter invalid";
    TopicNameInvalid = 0x90, "topic name invalid";
    PacketIdentifierInUse = 0x91, "packet identifier in use";
    PacketIdentifierNotFound = 0x92, "packet identifier not found";
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded";
    TopicAliasInvalid = 0x94, "topic alias invalid";
    PacketTooLarge = 0x95, "packet too large";
    MessageRateTooHigh = 0x96, "message rate too high";
    QuotaExceeded = 0x97, "quota exceeded";
    AdministrativeAction = 0x98, "administrative action";
    PayloadFormatInvalid = 0x99, "payload format invalid";
    RetainNotSupported = 0x9A, "retain not supported";
    QoSNotSupported = 0x9B, "QoS not supported";
    UseAnotherServer = 0x9C, "use another server";
    ServerMoved = 0x9D, "server moved";
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported";
    ConnectionRateExceeded = 0x9F, "connection rate exceeded";
    MaximumConnectTime = 0xA0, "maximum connect time";
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported";
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// 0x00 in SUBACK.
    pub const GRANTED_QOS_0: ReasonCode = ReasonCode::Success;
    /// 0x00 in DISCONNECT.
    pub const NORMAL_DISCONNECTION: ReasonCode = ReasonCode::Success;

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether it says that something failed: 0x80 or more.
    pub const fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// Whether a packet of this type may carry it in 5.0. \[MQTT-2.4\]
    pub const fn belongs_to(self, packet: PacketType) -> bool {
        match packet {
            PacketType::ConnAck => self.belongs_to_conn_ack(),
            PacketType::PubAck | PacketType::PubRec => {
                matches!(self.code(), 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            PacketType::PubRel | PacketType::PubComp => matches!(self.code(), 0x00 | 0x92),
            PacketType::SubAck => matches!(
                self.code(),
                0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2
            ),
            PacketType::UnsubAck => {
                matches!(self.code(), 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91)
            }
            PacketType::Disconnect => self.belongs_to_disconnect(),
            PacketType::Auth => matches!(self.code(), 0x00 | 0x18 | 0x19),
            _ => false,
        }
    }

    /// \[MQTT-3.2.2.2\]
    const fn belongs_to_conn_ack(self) -> bool {
        matches!(
            self.code(),
            0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F
        )
    }

    /// \[MQTT-3.14.2.1\], and 0x8C, which only the table in section 2.4 lists.
    const fn belongs_to_disconnect(self) -> bool {
        matches!(
            self.code(),
            0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
        )
    }

    /// The return code of a 3.1.1 CONNACK that comes nearest, or `None` where 3.1.1 has the server close the
    /// connection without an answer. \[MQTT-3.2.2.3 of 3.1.1\]
    pub const fn connack_v3(self) -> Option<u8> {
        Some(match self {
            ReasonCode::Success => 0,
            ReasonCode::UnsupportedProtocolVersion => 1,
            ReasonCode::ClientIdentifierNotValid => 2,
            ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::ServerShuttingDown
            | ReasonCode::QuotaExceeded
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
            | ReasonCode::ConnectionRateExceeded => 3,
            ReasonCode::BadUserNameOrPassword => 4,
            ReasonCode::NotAuthorized | ReasonCode::Banned | ReasonCode::BadAuthenticationMethod => 5,
            _ => return None,
        })
    }

    /// What the return code of a 3.1.1 CONNACK means, if it is one.
    pub const fn from_connack_v3(return_code: u8) -> Option<Self> {
        Some(match return_code {
            0 => ReasonCode::Success,
            1 => ReasonCode::UnsupportedProtocolVersion,
            2 => ReasonCode::ClientIdentifierNotValid,
            3 => ReasonCode::ServerUnavailable,
            4 => ReasonCode::BadUserNameOrPassword,
            5 => ReasonCode::NotAuthorized,
            _ => return None,
        })
    }

    /// The return code of a 3.1.1 SUBACK: the granted QoS, or 0x80 for every failure. \[MQTT-3.9.3 of 3.1.1\]
    pub const fn suback_v3(self) -> u8 {
        if self.is_error() { 0x80 } else { self.code() }
    }
}

impl fmt::Display for ReasonCode {
    /// As in `0x82 protocol error`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x} {}", self.code(), self.words())
    }
}
