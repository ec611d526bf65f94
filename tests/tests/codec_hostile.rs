//! Hostile and borderline packets, one a row (hence the length): what the codec says to each, whole and byte by byte.

use broker_core::codec::{
    FILTERS_MAX, Framer, Packet, ReasonCode, USER_PROPERTIES_MAX, Version, check_from_client, decode, encode,
};
use bytes::{Bytes, BytesMut};
use tests::wire;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They are a packet.
    Good,
    /// More bytes are awaited.
    Incomplete,
    /// They are refused with this reason.
    Refused(ReasonCode),
}

use Fate::{Good, Incomplete};
const MALFORMED: Fate = Fate::Refused(ReasonCode::MalformedPacket);
const PROTOCOL: Fate = Fate::Refused(ReasonCode::ProtocolError);
const VERSION: Fate = Fate::Refused(ReasonCode::UnsupportedProtocolVersion);
const TOPIC: Fate = Fate::Refused(ReasonCode::TopicNameInvalid);
const LARGE: Fate = Fate::Refused(ReasonCode::PacketTooLarge);
const QUOTA: Fate = Fate::Refused(ReasonCode::QuotaExceeded);

const V3: &[Version] = &[Version::V3];
const V5: &[Version] = &[Version::V5];
const BOTH: &[Version] = &[Version::V3, Version::V5];

/// Versions, bytes in the notation of [`wire`], fate.
type Row = (&'static [Version], &'static str, Fate);

/// The largest packet accepted here.
const PACKET_BYTES_MAX: u32 = 1 << 20;

#[test]
fn fixed_header() {
    check(&[
        // Packet type 0 is reserved, and so is 15 in 3.1.1.
        (BOTH, "00 00", MALFORMED),
        (V3, "f0 00", MALFORMED),
        (V5, "f0 00", Good),
        // Flags other than the norm's.
        (BOTH, "11 00", MALFORMED),
        (BOTH, "21 [ 00 00 ]", MALFORMED),
        (BOTH, "41 [ 0001 ]", MALFORMED),
        (BOTH, "52 [ 0001 ]", MALFORMED),
        (BOTH, "60 [ 0001 ]", MALFORMED),
        (BOTH, "63 [ 0001 ]", MALFORMED),
        (BOTH, "6a [ 0001 ]", MALFORMED),
        (BOTH, "72 [ 0001 ]", MALFORMED),
        (BOTH, "80 [ 0001 'a' 00 ]", MALFORMED),
        (BOTH, "83 [ 0001 'a' 00 ]", MALFORMED),
        (BOTH, "98 [ 0001 00 ]", MALFORMED),
        (BOTH, "a0 [ 0001 'a' ]", MALFORMED),
        (BOTH, "b1 [ 0001 ]", MALFORMED),
        (BOTH, "c8 00", MALFORMED),
        (BOTH, "d4 00", MALFORMED),
        (BOTH, "e2 00", MALFORMED),
        (V5, "f1 00", MALFORMED),
        // Wrong flags are refused before the rest has come.
        (BOTH, "47", MALFORMED),
        (BOTH, "16 03", MALFORMED),
        // Remaining length.
        (BOTH, "c0", Incomplete),
        (BOTH, "30 80", Incomplete),
        (BOTH, "30 808080", Incomplete),
        (BOTH, "30 05 0001", Incomplete),
        (BOTH, "30 80808080", MALFORMED),
        (BOTH, "30 8080808001", MALFORMED),
        (BOTH, "30 ffffffff7f", MALFORMED),
        (BOTH, "c0 8000", MALFORMED),
        (BOTH, "30 8300 0001 =a", MALFORMED),
        (BOTH, "30 83808000 0001 =a", MALFORMED),
        (BOTH, "30 ffffff7f 0001 =a", LARGE),
        (BOTH, "30 80804000", LARGE),
        (BOTH, "30 808040", LARGE),
        (BOTH, "30 ffff3f 0001 =a", LARGE),
        (BOTH, "30 fbff3f 0001 =a", Incomplete),
        (BOTH, "30 fcff3f 0001 =a", Incomplete),
        (BOTH, "30 fdff3f 0001 =a", LARGE),
    ]);
}

#[test]
fn connect_of_both_versions() {
    check(&[
        (BOTH, "10 [ 'MQTT' 04 02 003c 'c' ]", Good),
        (BOTH, "10 [ 'MQTT' 05 02 003c [ ] 'c' ]", Good),
        (BOTH, "10 [ 'MQTT' 04 02 0000 '' ]", Good),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ ] '' ]", Good),
        // An empty client identifier without clean session is answered with a return code by the session.
        (BOTH, "10 [ 'MQTT' 04 00 0000 '' ]", Good),
        // Protocol name and version.
        (BOTH, "10 00", MALFORMED),
        (BOTH, "10 [ 'MQTT' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 03 02 0000 'c' ]", VERSION),
        (BOTH, "10 [ 'MQTT' 06 02 0000 [ ] 'c' ]", VERSION),
        (BOTH, "10 [ 'MQTT' 00 02 0000 'c' ]", VERSION),
        (BOTH, "10 [ 'MQTT' 84 02 0000 'c' ]", VERSION),
        (BOTH, "10 [ 'MQIsdp' 03 02 0000 'c' ]", VERSION),
        (BOTH, "10 [ 'MQIsdp' 04 02 0000 'c' ]", VERSION),
        (BOTH, "10 [ 'mqtt' 04 02 0000 'c' ]", VERSION),
        (BOTH, "10 [ '' 04 02 0000 'c' ]", VERSION),
        (BOTH, "10 [ 'MQTTX' 05 02 0000 [ ] 'c' ]", VERSION),
        (BOTH, "10 [ 0004 4d51fffe 04 02 0000 'c' ]", MALFORMED),
        (BOTH, "10 [ 00ff =MQTT 04 02 0000 'c' ]", MALFORMED),
        // Connect flags.
        (BOTH, "10 [ 'MQTT' 04 03 0000 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 03 0000 [ ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 0a 0000 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 12 0000 [ ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 22 0000 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 1e 0000 'c' 'w' 'p' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 1e 0000 [ ] 'c' [ ] 'w' 'p' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 42 0000 'c' 'pw' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 42 0000 [ ] 'c' 'pw' ]", Good),
        (BOTH, "10 [ 'MQTT' 04 82 0000 'c' 'user' ]", Good),
        (BOTH, "10 [ 'MQTT' 04 c2 0000 'c' 'user' 'pw' ]", Good),
        (BOTH, "10 [ 'MQTT' 04 c2 0000 'c' 'user' 0002fffe ]", Good),
        (BOTH, "10 [ 'MQTT' 05 c2 0000 [ ] 'c' '' '' ]", Good),
        // Flags that promise more than follows, and less.
        (BOTH, "10 [ 'MQTT' 04 02 0000 ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 82 0000 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 c2 0000 'c' 'user' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 06 0000 'c' 'w' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 06 0000 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 02 0000 'c' 00 ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 02 0000 'c' 'user' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ ] 'c' 'user' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 02 0000 0002 =c ]", MALFORMED),
        // Texts.
        (BOTH, "10 [ 'MQTT' 04 02 0000 000100 ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 02 0000 0001ff ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ ] 0003eda080 ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 82 0000 'c' 0002c080 ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 04 82 0000 'c' 000100 ]", MALFORMED),
    ]);
}

#[test]
fn wills() {
    check(&[
        (BOTH, "10 [ 'MQTT' 04 06 0000 'c' 'w' 'p' ]", Good),
        (BOTH, "10 [ 'MQTT' 04 36 0000 'c' 'w' '' ]", Good),
        (BOTH, "10 [ 'MQTT' 05 2e 0000 [ ] 'c' [ ] 'w' 0002fffe ]", Good),
        (BOTH, "10 [ 'MQTT' 04 06 0000 'c' '' 'p' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 04 06 0000 'c' 'w/#' 'p' ]", TOPIC),
        (BOTH, "10 [ 'MQTT' 04 06 0000 'c' 'w/+' 'p' ]", TOPIC),
        (BOTH, "10 [ 'MQTT' 04 06 0000 'c' 000100 'p' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 06 0000 [ ] 'c' 'w' 'p' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 06 0000 [ ] 'c' [ 1800000001 01 01 0200000001 ] 'w' 'p' ]", Good),
        (BOTH, "10 [ 'MQTT' 05 06 0000 [ ] 'c' [ 03 't' 08 'r' 09 'd' 26 'k' 'v' ] 'w' 'p' ]", Good),
        (BOTH, "10 [ 'MQTT' 05 06 0000 [ ] 'c' [ 01 02 ] 'w' 'p' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 06 0000 [ ] 'c' [ 08 'r/#' ] 'w' 'p' ]", TOPIC),
        (BOTH, "10 [ 'MQTT' 05 06 0000 [ ] 'c' [ 1800000001 1800000001 ] 'w' 'p' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 06 0000 [ ] 'c' [ 1100000001 ] 'w' 'p' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 06 0000 [ ] 'c' [ 230001 ] 'w' 'p' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 06 0000 [ ] 'c' [ 0b01 ] 'w' 'p' ]", MALFORMED),
    ]);
}

#[test]
fn connect_properties() {
    check(&[
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 1100000000 21ffff 2700000001 22ffff ] 'c' ]", Good),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 1901 1700 26 'k' 'v' 26 'k' 'v' 15 'm' 16 'd' ] 'c' ]", Good),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 210000 ] 'c' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 2700000000 ] 'c' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 1902 ] 'c' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 17ff ] 'c' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 16 'd' ] 'c' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 15 'm' ] 'c' ]", Good),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 1100000000 1100000000 ] 'c' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 210001 210001 ] 'c' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 220001 220001 ] 'c' ]", PROTOCOL),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 15 'm' 15 'm' ] 'c' ]", PROTOCOL),
        // Properties of other packets, and of none.
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 1f 'r' ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 130001 ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 1800000001 ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 00 ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 2b 00 ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ ff 7f ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 9100 00000001 ] 'c' ]", MALFORMED),
        // Lengths.
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 11 0000 ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 11 ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 26 'k' ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 04 1100000001 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 7f 1100000001 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 ffffff7f 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 8000 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 8080808001 'c' ]", MALFORMED),
        // Texts.
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 26 000100 'v' ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 26 'k' 0001ff ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 15 0003edbfbf ] 'c' ]", MALFORMED),
        (BOTH, "10 [ 'MQTT' 05 02 0000 [ 15 'm' 16 0002ff00 ] 'c' ]", Good),
    ]);
}

#[test]
fn connack() {
    check(&[
        (V3, "20 [ 00 00 ]", Good),
        (V3, "20 [ 01 00 ]", Good),
        (V3, "20 [ 00 05 ]", Good),
        (V3, "20 [ 00 06 ]", MALFORMED),
        (V3, "20 [ 00 84 ]", MALFORMED),
        (V3, "20 [ 01 01 ]", PROTOCOL),
        (V3, "20 [ 00 00 00 ]", MALFORMED),
        (BOTH, "20 [ 02 00 ]", MALFORMED),
        (BOTH, "20 [ 00 ]", MALFORMED),
        (BOTH, "20 00", MALFORMED),
        (V5, "20 [ 00 00 ]", MALFORMED),
        (V5, "20 [ 00 00 [ ] ]", Good),
        (V5, "20 [ 01 80 [ ] ]", PROTOCOL),
        (V5, "20 [ 00 8b [ ] ]", MALFORMED),
        (V5, "20 [ 00 01 [ ] ]", MALFORMED),
        (V5, "20 [ 00 00 [ 2401 2501 2801 2901 2a00 130000 12 'c' 1a 'r' 1c 's' ] ]", Good),
        (V5, "20 [ 00 00 [ 2402 ] ]", PROTOCOL),
        (V5, "20 [ 00 00 [ 2502 ] ]", PROTOCOL),
        (V5, "20 [ 00 00 [ 2802 ] ]", PROTOCOL),
        (V5, "20 [ 00 00 [ 2902 ] ]", PROTOCOL),
        (V5, "20 [ 00 00 [ 2aff ] ]", PROTOCOL),
        (V5, "20 [ 00 00 [ 210000 ] ]", PROTOCOL),
        (V5, "20 [ 00 00 [ 2700000000 ] ]", PROTOCOL),
        (V5, "20 [ 00 00 [ 130001 130001 ] ]", PROTOCOL),
        (V5, "20 [ 00 00 [ 1700 ] ]", MALFORMED),
        (V5, "20 [ 00 00 [ ] 00 ]", MALFORMED),
    ]);
}

#[test]
fn publish() {
    check(&[
        (V3, "30 [ 'a' =payload ]", Good),
        (V5, "30 [ 'a' [ ] =payload ]", Good),
        (V3, "30 [ 'a' ]", Good),
        (V5, "30 [ 'a' [ ] ]", Good),
        (V5, "30 [ 'a' ]", MALFORMED),
        (V3, "31 [ 'a' fffe00 ]", Good),
        (V3, "32 [ 'a' 0001 =p ]", Good),
        (V3, "3d [ 'a' ffff ]", Good),
        (V5, "3a [ 'a' 0001 [ ] =p ]", Good),
        // QoS and DUP.
        (BOTH, "36 [ 'a' 0001 [ ] ]", MALFORMED),
        (BOTH, "38 [ 'a' [ ] ]", MALFORMED),
        (BOTH, "39 [ 'a' [ ] ]", MALFORMED),
        (BOTH, "3e [ 'a' 0001 [ ] ]", MALFORMED),
        (BOTH, "38 06 0003 =a/b =q", MALFORMED),
        // Packet identifier.
        (BOTH, "32 [ 'a' 0000 [ ] ]", PROTOCOL),
        (BOTH, "34 [ 'a' 0000 [ ] ]", PROTOCOL),
        (BOTH, "32 [ 'a' 00 ]", MALFORMED),
        (BOTH, "32 [ 'a' ]", MALFORMED),
        // Topic.
        (BOTH, "30 00", MALFORMED),
        (BOTH, "30 [ 00 ]", MALFORMED),
        (BOTH, "30 [ 0005 =abc ]", MALFORMED),
        (BOTH, "30 [ ffff =abc ]", MALFORMED),
        (V3, "30 [ '' =p ]", PROTOCOL),
        (V5, "30 [ '' [ ] =p ]", PROTOCOL),
        (V5, "30 [ '' [ 230001 ] =p ]", Good),
        (BOTH, "30 [ 'x#' [ ] ]", TOPIC),
        (BOTH, "30 04 0001 23 78", TOPIC),
        (BOTH, "30 [ '+/a' [ ] ]", TOPIC),
        (BOTH, "30 [ 'a+' [ ] ]", TOPIC),
        (BOTH, "30 [ 0001 00 [ ] ]", MALFORMED),
        (BOTH, "30 [ 0003 610062 [ ] ]", MALFORMED),
        (BOTH, "30 [ 0001 80 [ ] ]", MALFORMED),
        (BOTH, "30 [ 0002 c0af [ ] ]", MALFORMED),
        (BOTH, "30 [ 0003 eda080 [ ] ]", MALFORMED),
        (BOTH, "30 [ 0003 edbfbf [ ] ]", MALFORMED),
        (BOTH, "30 [ 0004 f4908080 [ ] ]", MALFORMED),
        (BOTH, "30 [ 0002 e282 [ ] ]", MALFORMED),
        (V3, "30 [ 0004 f48fbfbf ]", Good),
        (V3, "30 [ 0003 efbbbf ]", Good),
        (V3, "30 [ 0003 efbfbf ]", Good),
        (V3, "30 [ 0001 01 ]", Good),
        (V3, "30 [ '/' ]", Good),
        (V3, "30 [ '$SYS/x' ]", Good),
    ]);
}

#[test]
fn publish_properties() {
    check(&[
        (V5, "30 [ 'a' [ 0101 02ffffffff 23ffff 08 'r' 09 0002fffe 03 't' 26 'k' 'v' 0b01 ] ]", Good),
        (V5, "30 0d 0001 61 06 0b01 0b02 0b03 706179", Good),
        (V5, "30 [ 'a' [ 26 '' '' 26 '' '' ] ]", Good),
        (V5, "30 [ 'a' [ 0b ffffff7f ] ]", Good),
        (V5, "30 [ 'a' [ 0b00 ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 0b 8100 ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 0b 80808080 01 ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 0b ff ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 230000 ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 0102 ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 08 'r/+' ] ]", TOPIC),
        (V5, "30 [ 'a' [ 08 '' ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 08 000100 ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 03 0001ff ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 0100 0100 ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 0200000001 0200000001 ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 230001 230001 ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 08 'r' 08 'r' ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 09 'd' 09 'd' ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 03 't' 03 't' ] ]", PROTOCOL),
        (V5, "30 [ 'a' [ 1100000001 ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 1f 'r' ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 1800000001 ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 04 ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 7f ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 02 0000 ] ]", MALFORMED),
        (V5, "30 [ 'a' [ 09 0005 00 ] ]", MALFORMED),
        (V5, "30 [ 'a' 05 0100 ]", MALFORMED),
        (V5, "30 [ 'a' 01 0100 ]", MALFORMED),
        (V5, "30 [ 'a' ffffff7f ]", MALFORMED),
        (V5, "30 [ 'a' ffffffff ]", MALFORMED),
        (V5, "30 [ 'a' 8000 ]", MALFORMED),
    ]);
}

#[test]
fn acknowledgements() {
    check(&[
        (BOTH, "40 [ 0001 ]", Good),
        (BOTH, "50 [ 0001 ]", Good),
        (BOTH, "62 [ ffff ]", Good),
        (BOTH, "70 [ 0001 ]", Good),
        (BOTH, "40 [ 0000 ]", PROTOCOL),
        (BOTH, "50 [ 0000 ]", PROTOCOL),
        (BOTH, "62 [ 0000 ]", PROTOCOL),
        (BOTH, "70 [ 0000 ]", PROTOCOL),
        (BOTH, "40 00", MALFORMED),
        (BOTH, "50 [ 00 ]", MALFORMED),
        (BOTH, "62 [ 01 ]", MALFORMED),
        (BOTH, "70 00", MALFORMED),
        (V3, "40 [ 0001 00 ]", MALFORMED),
        (V3, "50 [ 0001 00 ]", MALFORMED),
        (V3, "62 [ 0001 00 ]", MALFORMED),
        (V3, "70 [ 0001 00 [ ] ]", MALFORMED),
        (V5, "40 [ 0001 00 ]", Good),
        (V5, "40 [ 0001 10 [ ] ]", Good),
        (V5, "50 [ 0001 97 [ 1f 'full' 26 'k' 'v' ] ]", Good),
        (V5, "62 [ 0001 92 ]", Good),
        (V5, "70 [ 0001 92 [ ] ]", Good),
        (V5, "40 [ 0001 01 ]", MALFORMED),
        (V5, "40 [ 0001 92 ]", MALFORMED),
        (V5, "50 [ 0001 8f ]", MALFORMED),
        (V5, "62 [ 0001 10 ]", MALFORMED),
        (V5, "70 [ 0001 80 ]", MALFORMED),
        (V5, "40 [ 0001 ff ]", MALFORMED),
        (V5, "40 [ 0001 00 [ ] 00 ]", MALFORMED),
        (V5, "40 [ 0001 00 05 ]", MALFORMED),
        (V5, "40 [ 0001 00 [ 1f 'a' 1f 'a' ] ]", PROTOCOL),
        (V5, "40 [ 0001 00 [ 0100 ] ]", MALFORMED),
        (V5, "40 [ 0001 00 [ 1f 0001ff ] ]", MALFORMED),
    ]);
}

#[test]
fn subscribe() {
    check(&[
        (V3, "82 [ 0001 'a/+' 00 'b/#' 02 ]", Good),
        (V5, "82 [ 0001 [ 0b01 26 'k' 'v' ] 'a/+' 2d ]", Good),
        // A filter that is not valid is answered filter by filter.
        (V3, "82 [ 0001 'a/#/b' 00 ]", Good),
        (V3, "82 [ 0001 '' 00 ]", Good),
        (V5, "82 [ 0001 [ ] '$share/' 00 ]", Good),
        (BOTH, "82 [ 0000 [ ] 'a' 00 ]", PROTOCOL),
        (V3, "82 [ 0001 ]", PROTOCOL),
        (V5, "82 [ 0001 [ ] ]", PROTOCOL),
        (BOTH, "82 00", MALFORMED),
        (V5, "82 [ 0001 ]", MALFORMED),
        (V3, "82 [ 0001 'a' ]", MALFORMED),
        (V3, "82 [ 0001 'a' 00 'b' ]", MALFORMED),
        (V3, "82 [ 0001 0005 =a 00 ]", MALFORMED),
        (V3, "82 [ 0001 'a' 00 00 ]", MALFORMED),
        (V3, "82 [ 0001 000100 00 ]", MALFORMED),
        (V3, "82 [ 0001 0001ff 00 ]", MALFORMED),
        (V3, "82 [ 0001 'a' 03 ]", PROTOCOL),
        (V3, "82 [ 0001 'a' 04 ]", MALFORMED),
        (V3, "82 [ 0001 'a' 80 ]", MALFORMED),
        (V5, "82 [ 0001 [ ] 'a' 03 ]", PROTOCOL),
        (V5, "82 [ 0001 [ ] 'a' 30 ]", PROTOCOL),
        (V5, "82 [ 0001 [ ] 'a' 40 ]", MALFORMED),
        (V5, "82 [ 0001 [ ] 'a' 80 ]", MALFORMED),
        (V5, "82 [ 0001 [ ] '$share/g/a' 04 ]", PROTOCOL),
        (V5, "82 [ 0001 [ ] '$share/g/a' 00 ]", Good),
        (V5, "82 [ 0001 [ ] '$shared' 04 ]", Good),
        (V5, "82 [ 0001 [ 0b00 ] 'a' 00 ]", PROTOCOL),
        (V5, "82 [ 0001 [ 0b01 0b02 ] 'a' 00 ]", PROTOCOL),
        (V5, "82 [ 0001 [ 0b 80808080 ] 'a' 00 ]", MALFORMED),
        (V5, "82 [ 0001 [ 1f 'r' ] 'a' 00 ]", MALFORMED),
    ]);
}

#[test]
fn suback() {
    check(&[
        (V3, "90 [ 0001 00 01 02 80 ]", Good),
        (V5, "90 [ 0001 [ ] 00 01 02 80 8f ]", Good),
        (V3, "90 [ 0001 ]", PROTOCOL),
        (V5, "90 [ 0001 [ ] ]", PROTOCOL),
        (BOTH, "90 [ 0000 [ ] 00 ]", PROTOCOL),
        (V3, "90 [ 0001 03 ]", MALFORMED),
        (V3, "90 [ 0001 8f ]", MALFORMED),
        (V5, "90 [ 0001 [ ] 03 ]", MALFORMED),
        (V5, "90 [ 0001 [ ] 11 ]", MALFORMED),
        (V5, "90 [ 0001 [ 0b01 ] 00 ]", MALFORMED),
        (V5, "90 [ 0001 05 00 ]", MALFORMED),
    ]);
}

#[test]
fn unsubscribe_and_unsuback() {
    check(&[
        (V3, "a2 [ 0001 'a' 'b' ]", Good),
        (V5, "a2 [ 0001 [ 26 'k' 'v' ] 'a' ]", Good),
        (V3, "a2 [ 0001 '' ]", Good),
        (BOTH, "a2 [ 0000 [ ] 'a' ]", PROTOCOL),
        (V3, "a2 [ 0001 ]", PROTOCOL),
        (V5, "a2 [ 0001 [ ] ]", PROTOCOL),
        (BOTH, "a2 00", MALFORMED),
        (V3, "a2 [ 0001 'a' 00 ]", MALFORMED),
        (V3, "a2 [ 0001 0004 =abc ]", MALFORMED),
        (V3, "a2 [ 0001 0001ff ]", MALFORMED),
        (V5, "a2 [ 0001 [ ] 000100 ]", MALFORMED),
        (V5, "a2 [ 0001 [ 0b01 ] 'a' ]", MALFORMED),
        (V3, "b0 [ 0001 ]", Good),
        (V3, "b0 [ 0000 ]", PROTOCOL),
        (V3, "b0 [ 0001 00 ]", MALFORMED),
        (V5, "b0 [ 0001 [ ] 00 11 8f ]", Good),
        (V5, "b0 [ 0001 ]", MALFORMED),
        (V5, "b0 [ 0001 [ ] ]", PROTOCOL),
        (V5, "b0 [ 0001 [ ] 01 ]", MALFORMED),
        (V5, "b0 [ 0001 [ ] a2 ]", MALFORMED),
    ]);
}

#[test]
fn ping_disconnect_and_auth() {
    check(&[
        (BOTH, "c0 00", Good),
        (BOTH, "d0 00", Good),
        (BOTH, "c0 01 00", MALFORMED),
        (BOTH, "d0 01 00", MALFORMED),
        (BOTH, "e0 00", Good),
        (V3, "e0 01 00", MALFORMED),
        (V3, "e0 02 0000", MALFORMED),
        (V5, "e0 01 8e", Good),
        (V5, "e0 01 04", Good),
        (V5, "e0 [ 00 [ ] ]", Good),
        (V5, "e0 [ 00 [ 1100000005 1f 'r' 26 'k' 'v' ] ]", Good),
        (V5, "e0 [ 9d [ 1c 'other' ] ]", Good),
        (V5, "e0 01 01", MALFORMED),
        (V5, "e0 01 91", MALFORMED),
        (V5, "e0 01 ff", MALFORMED),
        (V5, "e0 [ 00 [ ] 00 ]", MALFORMED),
        (V5, "e0 [ 00 03 ]", MALFORMED),
        (V5, "e0 [ 00 [ 15 'm' ] ]", MALFORMED),
        (V5, "e0 [ 00 [ 1100000005 1100000005 ] ]", PROTOCOL),
        (V5, "f0 [ 18 [ 15 'm' ] ]", Good),
        (V5, "f0 [ 18 [ 15 'm' 16 'd' 1f 'r' 26 'k' 'v' ] ]", Good),
        (V5, "f0 [ 19 [ 15 'm' ] ]", Good),
        (V5, "f0 [ 00 [ ] ]", Good),
        (V5, "f0 [ 00 ]", MALFORMED),
        (V5, "f0 [ 18 ]", MALFORMED),
        (V5, "f0 [ 18 [ ] ]", PROTOCOL),
        (V5, "f0 [ 00 [ 16 'd' ] ]", PROTOCOL),
        (V5, "f0 [ 80 [ 15 'm' ] ]", MALFORMED),
        (V5, "f0 [ 18 [ 15 'm' 15 'm' ] ]", PROTOCOL),
        (V5, "f0 [ 18 [ 15 'm' ] 00 ]", MALFORMED),
        (V5, "f0 [ 18 [ 15 'm' 0100 ] ]", MALFORMED),
        (V3, "f0 [ 18 [ 15 'm' ] ]", MALFORMED),
    ]);
}

#[test]
fn a_client_may_not_say_what_servers_say() {
    let rows = [
        ("20 [ 00 00 [ ] ]", false),
        ("90 [ 0001 [ ] 00 ]", false),
        ("b0 [ 0001 [ ] 00 ]", false),
        ("d0 00", false),
        ("30 [ 'a' [ 0b01 ] ]", false),
        ("e0 01 8e", false),
        ("e0 01 8b", false),
        ("e0 [ 00 [ 1c 'other' ] ]", false),
        ("f0 00", false),
        ("10 [ 'MQTT' 05 02 0000 [ ] 'c' ]", true),
        ("30 [ 'a' [ ] ]", true),
        ("40 [ 0001 ]", true),
        ("50 [ 0001 ]", true),
        ("62 [ 0001 ]", true),
        ("70 [ 0001 ]", true),
        ("82 [ 0001 [ 0b01 ] 'a' 00 ]", true),
        ("a2 [ 0001 [ ] 'a' ]", true),
        ("c0 00", true),
        ("e0 00", true),
        ("e0 01 04", true),
        ("e0 01 81", true),
        ("e0 [ 00 [ 1100000005 ] ]", true),
        ("f0 [ 18 [ 15 'm' ] ]", true),
        ("f0 [ 19 [ 15 'm' ] ]", true),
    ];
    for (notation, allowed) in rows {
        let packet = first_packet(Version::V5, &wire::bytes(notation), usize::MAX)
            .expect("well formed")
            .expect("complete");
        let answer = check_from_client(&packet).map_err(|error| error.reason);
        assert_eq!(answer.is_ok(), allowed, "{notation}: {answer:?}");
        assert!(allowed || answer == Err(ReasonCode::ProtocolError), "{notation}: {answer:?}");
    }
}

#[test]
fn lists_are_as_long_as_accepted_and_no_longer() {
    let user = |count: usize| format!("30 [ 'a' [ {} ] ]", "26 '' '' ".repeat(count));
    let filters = |count: usize| format!("82 [ 0001 [ ] {} ]", "'' 00 ".repeat(count));
    let filters_off = |count: usize| format!("a2 [ 0001 [ ] {} ]", "'' ".repeat(count));
    for (notation, fate) in [
        (user(USER_PROPERTIES_MAX), Good),
        (user(USER_PROPERTIES_MAX + 1), QUOTA),
        (filters(FILTERS_MAX), Good),
        (filters(FILTERS_MAX + 1), QUOTA),
        (filters_off(FILTERS_MAX), Good),
        (filters_off(FILTERS_MAX + 1), QUOTA),
    ] {
        let end = notation.len().min(40);
        assert_eq!(fate_of(Version::V5, &wire::bytes(&notation), usize::MAX), fate, "{}", &notation[..end]);
    }
}

/// Checks every row, and that a good packet is written as it is understood.
fn check(rows: &[Row]) {
    for (versions, notation, fate) in rows {
        let bytes = wire::bytes(notation);
        for &version in *versions {
            for chunk in [usize::MAX, 1, 3] {
                let found = fate_of(version, &bytes, chunk);
                assert_eq!(found, *fate, "{version:?} {notation}, in chunks of {chunk}");
            }
            if let Ok(Some(packet)) = first_packet(version, &bytes, usize::MAX) {
                let mut again = BytesMut::new();
                encode(version, &packet, &mut again);
                let read = first_packet(version, &again, usize::MAX);
                assert_eq!(read, Ok(Some(packet)), "{version:?} {notation} written and read");
            }
        }
    }
}

fn fate_of(version: Version, bytes: &[u8], chunk: usize) -> Fate {
    match first_packet(version, bytes, chunk) {
        Ok(Some(_)) => Good,
        Ok(None) => Incomplete,
        Err(reason) => Fate::Refused(reason),
    }
}

/// The packet in `bytes`, which come in chunks of `chunk` bytes and are one packet at most.
fn first_packet(version: Version, bytes: &[u8], chunk: usize) -> Result<Option<Packet>, ReasonCode> {
    let mut framer = Framer::new(PACKET_BYTES_MAX);
    for part in bytes.chunks(chunk.min(bytes.len().max(1))) {
        framer.push(Bytes::copy_from_slice(part));
        if let Some(frame) = framer.next_frame().map_err(|error| error.reason)? {
            let packet = decode(version, frame).map_err(|error| error.reason)?;
            assert_eq!(framer.held_bytes(), 0, "one packet a row");
            return Ok(Some(packet));
        }
    }
    Ok(None)
}
