//! Where the other codecs differ from ours, each with an example, and why ours is right.

use super::Difference;
use broker_core::codec::{Packet, PacketType, Version};
use tests::oracle::Oracle::{self, MqttBytes, MqttProto};

/// A difference that is known and decided.
pub(crate) struct Known {
    pub(crate) oracle: Oracle,
    pub(crate) versions: &'static [Version],
    /// Bytes that show it in the first of the versions, in the notation of [`tests::wire`].
    pub(crate) example: &'static str,
    kind: Kind,
    /// What the other codec does not look at, or why we take what it does not.
    pub(crate) because: &'static str,
}

enum Kind {
    /// It takes what the norm forbids: the culprit and the rule, as our error names them.
    Takes(&'static str, &'static str),
    /// It refuses what the norm allows: the packet, and its error.
    Refuses(PacketType, &'static str),
    /// It reads, or writes, another packet than was sent, if the packet is such.
    Differs(fn(&Packet) -> bool),
}

impl Known {
    /// Whether this row explains `difference`.
    pub(crate) fn explains(&self, oracle: Oracle, version: Version, difference: &Difference) -> bool {
        let same_kind = match (&self.kind, difference) {
            (Kind::Takes(what, why), Difference::Lenient(packet, error)) => {
                (*what == ANY || *what == error.what) && error.why == *why && can_miscount(*packet, why)
            }
            (Kind::Refuses(of_packet, name), Difference::Strict(packet, error)) => {
                of_packet == packet && name == error
            }
            (Kind::Differs(is_such), Difference::Other(packet)) => is_such(packet),
            _ => false,
        };
        same_kind && self.oracle == oracle && self.versions.contains(&version)
    }
}

/// A foreign property is taken where a subscription identifier was counted twice, so only where there can be one.
fn can_miscount(packet: PacketType, why: &str) -> bool {
    let by_miscounting = [FOREIGN, UNKNOWN].contains(&why);
    !by_miscounting || matches!(packet, PacketType::Publish | PacketType::Subscribe)
}

const V3: &[Version] = &[Version::V3];
const V5: &[Version] = &[Version::V5];
const BOTH: &[Version] = &[Version::V3, Version::V5];
/// Any culprit.
const ANY: &str = "*";

const FLAGS: &str = "has other flags than its packet type demands";
const TRAILING: &str = "goes on after its last field";
const RESERVED: &str = "has a reserved bit set";
const REFUSAL: &str = "is set in a refusal";
const WILDCARD: &str = "contains '+' or '#'";
const NULL: &str = "contains U+0000";
const NO_TOPIC: &str = "is empty and no alias stands for it";
const TWICE: &str = "is there twice";
const NO_FLAG: &str = "is neither 0 nor 1";
const LONG: &str = "is not in its shortest form";
const CUT_OFF: &str = "is cut off";
const FOREIGN: &str = "does not belong into this packet";
const UNKNOWN: &str = "is unknown";
const NO_METHOD: &str = "is there without a method";
const PASSWORD: &str = "has a password without a user name";
const NO_WILL: &str = "has will QoS or will retain without a will";

const fn takes(
    oracle: Oracle,
    versions: &'static [Version],
    (what, why): (&'static str, &'static str),
    example: &'static str,
    because: &'static str,
) -> Known {
    Known { oracle, versions, example, kind: Kind::Takes(what, why), because }
}

const fn refuses(
    oracle: Oracle,
    versions: &'static [Version],
    (packet, error): (PacketType, &'static str),
    example: &'static str,
    because: &'static str,
) -> Known {
    Known { oracle, versions, example, kind: Kind::Refuses(packet, error), because }
}

const fn differs(
    oracle: Oracle,
    versions: &'static [Version],
    is_such: fn(&Packet) -> bool,
    example: &'static str,
    because: &'static str,
) -> Known {
    Known { oracle, versions, example, kind: Kind::Differs(is_such), because }
}

/// All that is known.
pub(crate) const KNOWN: &[Known] = &[
    takes(MqttBytes, BOTH, ("fixed header", FLAGS), "c1 00", "[MQTT-2.1.3-1]"),
    takes(MqttBytes, BOTH, ("remaining length", LONG), "c0 8000", "[MQTT-1.5.5-1]"),
    takes(MqttBytes, BOTH, ("packet", TRAILING), "c0 01 00", "drops the rest of a frame"),
    takes(MqttBytes, BOTH, (ANY, NULL), "10 [ 'MQTT' 04 02 0000 000100 ]", "[MQTT-1.5.4-2]"),
    takes(
        MqttBytes,
        BOTH,
        ("connect flags", "has the reserved bit set"),
        "10 [ 'MQTT' 04 03 0000 'c' ]",
        "[MQTT-3.1.2-3]",
    ),
    takes(MqttBytes, V3, ("connect flags", PASSWORD), "10 [ 'MQTT' 04 42 0000 'c' 'p' ]", "[MQTT-3.1.2-22]"),
    takes(MqttBytes, BOTH, ("will topic", WILDCARD), "10 [ 'MQTT' 04 06 0000 'c' '#' '' ]", "[MQTT-3.3.2-2]"),
    takes(
        MqttBytes,
        BOTH,
        ("will topic", "is empty"),
        "10 [ 'MQTT' 04 06 0000 'c' '' '' ]",
        "[MQTT-4.7.3-1]",
    ),
    takes(MqttBytes, BOTH, ("connect acknowledge flags", RESERVED), "20 [ 02 00 ]", "[MQTT-3.2.2-1]"),
    takes(MqttBytes, BOTH, ("session present", REFUSAL), "20 [ 01 05 ]", "[MQTT-3.2.2-6]"),
    takes(MqttBytes, BOTH, ("DUP", "is set with QoS 0"), "38 [ 'a' ]", "[MQTT-3.3.1-2]"),
    takes(MqttBytes, BOTH, ("topic name", WILDCARD), "30 [ 'a/#' ]", "[MQTT-3.3.2-2]"),
    takes(MqttBytes, V3, ("topic name", "is empty"), "30 [ '' ]", "[MQTT-4.7.3-1]"),
    takes(MqttBytes, V5, ("topic name", NO_TOPIC), "30 [ '' [ ] ]", "[MQTT-3.3.2-8]"),
    takes(MqttBytes, V5, ("response topic", WILDCARD), "30 [ 'a' [ 08 '#' ] ]", "[MQTT-3.3.2-14]"),
    takes(MqttBytes, V5, ("response topic", "is empty"), "30 [ 'a' [ 08 '' ] ]", "[MQTT-4.7.3-1]"),
    takes(MqttBytes, BOTH, ("packet identifier", "is 0"), "40 [ 0000 ]", "[MQTT-2.2.1-3], but in PUBLISH"),
    takes(MqttBytes, BOTH, ("topic filter", "is missing"), "82 [ 0001 ]", "[MQTT-3.8.3-2]"),
    takes(MqttBytes, BOTH, ("subscription options", RESERVED), "82 [ 0001 'a' 80 ]", "[MQTT-3.8.3-5]"),
    takes(
        MqttBytes,
        V5,
        ("no local", "is set for a shared subscription"),
        "82 [ 0001 [ ] '$share/g/a' 04 ]",
        "[MQTT-3.8.3-4]",
    ),
    takes(MqttBytes, V5, (ANY, TWICE), "40 [ 0001 00 [ 1f 'a' 1f 'b' ] ]", "lets the last one win"),
    takes(MqttBytes, V5, (ANY, NO_FLAG), "20 [ 00 00 [ 2502 ] ]", "a Protocol Error in each of these"),
    takes(MqttBytes, V5, (ANY, "is 0"), "30 [ 'a' [ 230000 ] ]", "a Protocol Error in each of these"),
    takes(MqttBytes, V5, (ANY, LONG), "30 [ 'a' 8000 ]", "[MQTT-1.5.5-1]"),
    takes(MqttBytes, V5, (ANY, CUT_OFF), "e0 [ 00 02 1f 'abc' ]", "lets a property reach beyond its list"),
    takes(
        MqttBytes,
        V5,
        (ANY, FOREIGN),
        "30 [ 'a' [ 0b01 11 ] =abc ]",
        "counts a subscription identifier twice, and so does not come to it",
    ),
    takes(
        MqttBytes,
        V5,
        ("property identifier", UNKNOWN),
        "30 [ 'a' [ 0b01 ff ] =abc ]",
        "counts a subscription identifier twice, and so does not come to it",
    ),
    takes(
        MqttBytes,
        V5,
        ("authentication data", NO_METHOD),
        "10 [ 'MQTT' 05 02 0000 [ 16 'd' ] 'c' ]",
        "[MQTT-3.1.2.11.10]",
    ),
    refuses(
        MqttBytes,
        BOTH,
        (PacketType::Connect, "TopicNotUtf8"),
        "10 [ 'MQTT' 04 c2 0000 'c' 'u' 0001ff ]",
        "a password is binary data [MQTT-3.1.3.6]",
    ),
    refuses(MqttBytes, V5, (PacketType::Disconnect, "PayloadRequired"), "e0 00", "[MQTT-3.14.2.1]"),
    refuses(MqttBytes, V5, (PacketType::Disconnect, "InsufficientBytes"), "e0 01 8e", "[MQTT-3.14.2.2.1]"),
    refuses(
        MqttBytes,
        V5,
        (PacketType::Disconnect, "InvalidConnectReturnCode"),
        "e0 01 8c",
        "the table of 2.4 lists 0x8C, that of 3.14.2.1 does not",
    ),
    refuses(MqttBytes, V5, (PacketType::Auth, "InvalidPacketType"), "f0 [ 18 [ 15 'm' ] ]", "it has no AUTH"),
    differs(
        MqttBytes,
        BOTH,
        login_is_empty,
        "10 [ 'MQTT' 04 82 0000 'c' '' ]",
        "a user name or password without a byte is left out",
    ),
    differs(
        MqttBytes,
        V5,
        has_subscription_ids,
        "30 0d 0001 61 06 0b01 0b02 0b03 706179",
        "counts a subscription identifier twice: properties become payload",
    ),
    differs(
        MqttBytes,
        V5,
        conn_ack_is_bare,
        "20 [ 00 00 [ ] ]",
        "leaves the property length out where there are no properties",
    ),
    takes(MqttProto, BOTH, ("packet", TRAILING), "c0 01 00", "the remaining length is not looked at"),
    takes(MqttProto, BOTH, ("remaining length", LONG), "c0 8000", "[MQTT-1.5.5-1]"),
    takes(MqttProto, V5, ("property length", LONG), "40 [ 0001 00 8000 ]", "[MQTT-1.5.5-1]"),
    takes(
        MqttProto,
        BOTH,
        ("connect flags", NO_WILL),
        "10 [ 'MQTT' 04 22 0000 'c' ]",
        "[MQTT-3.1.2-13], but the QoS",
    ),
    takes(MqttProto, V3, ("connect flags", PASSWORD), "10 [ 'MQTT' 04 42 0000 'c' 'p' ]", "[MQTT-3.1.2-22]"),
    takes(
        MqttProto,
        BOTH,
        ("will topic", "is empty"),
        "10 [ 'MQTT' 04 06 0000 'c' '' '' ]",
        "[MQTT-4.7.3-1]",
    ),
    takes(MqttProto, BOTH, ("session present", REFUSAL), "20 [ 01 05 ]", "[MQTT-3.2.2-6]"),
    takes(MqttProto, BOTH, ("DUP", "is set with QoS 0"), "38 [ 'a' ]", "[MQTT-3.3.1-2]"),
    takes(MqttProto, V3, ("topic name", "is empty"), "30 [ '' ]", "[MQTT-4.7.3-1]"),
    takes(MqttProto, V5, ("topic name", NO_TOPIC), "30 [ '' [ ] ]", "[MQTT-3.3.2-8]"),
    takes(MqttProto, V5, ("response topic", "is empty"), "30 [ 'a' [ 08 '' ] ]", "[MQTT-4.7.3-1]"),
    takes(MqttProto, BOTH, ("reason code", "is missing"), "90 [ 0001 ]", "one is due for each filter"),
    takes(MqttProto, BOTH, (ANY, NULL), "10 [ 'MQTT' 04 02 0000 000100 ]", "[MQTT-1.5.4-2], but in topics"),
    takes(MqttProto, V5, ("topic alias", "is 0"), "30 [ 'a' [ 230000 ] ]", "[MQTT-3.3.2-8]"),
    takes(MqttProto, V5, ("subscription identifier", "is 0"), "30 [ 'a' [ 0b00 ] ]", "[MQTT-3.3.2.3.8]"),
    takes(
        MqttProto,
        V5,
        ("no local", "is set for a shared subscription"),
        "82 [ 0001 [ ] '$share/g/a' 04 ]",
        "[MQTT-3.8.3-4]",
    ),
    takes(MqttProto, V5, ("receive maximum", "is 0"), "20 [ 00 00 [ 210000 ] ]", "[MQTT-3.2.2.3.3]"),
    takes(MqttProto, V5, ("maximum packet size", "is 0"), "20 [ 00 00 [ 2700000000 ] ]", "[MQTT-3.2.2.3.6]"),
    takes(
        MqttProto,
        V5,
        ("authentication data", NO_METHOD),
        "10 [ 'MQTT' 05 02 0000 [ 16 'd' ] 'c' ]",
        "[MQTT-3.1.2.11.10]",
    ),
    takes(MqttProto, V5, ("authentication method", "is missing"), "f0 [ 18 [ ] ]", "[MQTT-3.15.2.2.2]"),
    refuses(
        MqttProto,
        BOTH,
        (PacketType::Subscribe, "InvalidTopicFilter"),
        "82 [ 0001 'a#' 00 ]",
        "answered filter by filter with 0x8F",
    ),
    refuses(
        MqttProto,
        BOTH,
        (PacketType::Unsubscribe, "InvalidTopicFilter"),
        "a2 [ 0001 'a#' ]",
        "answered filter by filter with 0x8F",
    ),
    refuses(
        MqttProto,
        V5,
        (PacketType::Disconnect, "InvalidReasonCode"),
        "e0 01 8c",
        "the table of 2.4 lists 0x8C, that of 3.14.2.1 does not",
    ),
    refuses(
        MqttProto,
        V5,
        (PacketType::Publish, "DuplicatedProperty"),
        "30 [ 'a' [ 0b01 0b02 ] ]",
        "a message may match several subscriptions [MQTT-3.3.4-4]",
    ),
    refuses(
        MqttProto,
        V5,
        (PacketType::Publish, "InvalidPayloadFormat"),
        "30 [ 'a' [ 0101 ] ff ]",
        "a receiver may look, and need not [MQTT-3.3.2.3.2]",
    ),
    refuses(
        MqttProto,
        V5,
        (PacketType::Connect, "InvalidPayloadFormat"),
        "10 [ 'MQTT' 05 06 0000 [ ] 'c' [ 0101 ] 'w' 0001ff ]",
        "a receiver may look, and need not [MQTT-3.1.3.2.3]",
    ),
    differs(MqttProto, V3, refuses_filters, "90 [ 0001 80 ]", "writes a refused filter as 0x03"),
];

fn login_is_empty(packet: &Packet) -> bool {
    matches!(packet, Packet::Connect(connect)
        if connect.user_name.as_ref().is_some_and(|name| name.is_empty())
            || connect.password.as_ref().is_some_and(|password| password.reveal().is_empty()))
}

fn has_subscription_ids(packet: &Packet) -> bool {
    matches!(packet, Packet::Publish(publish) if !publish.properties.subscription_ids.is_empty())
}

fn conn_ack_is_bare(packet: &Packet) -> bool {
    matches!(packet, Packet::ConnAck(ack) if *ack.properties == Default::default())
}

fn refuses_filters(packet: &Packet) -> bool {
    matches!(packet, Packet::SubAck(ack) if ack.reasons.iter().any(|reason| reason.is_error()))
}
