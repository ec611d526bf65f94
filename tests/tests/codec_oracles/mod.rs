//! Our codec beside two others, on valid packets and on mutants of them: every difference must be one that is known,
//! with the reason why ours is right, and every known one must still be there.

mod known;

use broker_core::codec::{DecodeError, Frame, Packet, PacketType, Version, answer_version, decode, encode};
use broker_core::rng::Rng;
use bytes::{Bytes, BytesMut};
use known::{KNOWN, Known};
use tests::mutate::{corpus, mutant};
use tests::oracle::Oracle;
use tests::wire;

/// How many valid packets are compared for each codec and version.
const VALID: usize = 1_500;
/// How many mutants.
const MUTANTS: usize = 50_000;

#[test]
fn mqttbytes_in_3_1_1() {
    compare(Oracle::MqttBytes, Version::V3);
}

#[test]
fn mqttbytes_in_5_0() {
    compare(Oracle::MqttBytes, Version::V5);
}

#[test]
fn mqtt_proto_in_3_1_1() {
    compare(Oracle::MqttProto, Version::V3);
}

#[test]
fn mqtt_proto_in_5_0() {
    compare(Oracle::MqttProto, Version::V5);
}

/// A difference between the two codecs.
#[derive(Debug)]
enum Difference {
    /// We refuse what it takes.
    Lenient(PacketType, DecodeError),
    /// We take what it refuses, with the name of its error.
    Strict(PacketType, String),
    /// It understands, or writes, another packet.
    Other(Box<Packet>),
}

fn compare(oracle: Oracle, version: Version) {
    let valid = corpus(version, 1, VALID);
    let mut rng = Rng::from_seed(1).fork("mutants");
    let mut unknown = Vec::new();
    let mut agreed = 0;
    let mut look_at = |bytes: &Bytes| match differ(oracle, version, bytes) {
        None => agreed += 1,
        Some(difference) if is_known(oracle, version, &difference) => {}
        Some(difference) => unknown.push(format!("{}: {difference:?}", hex(bytes))),
    };
    for packet in &valid {
        let bytes = Bytes::from(packet.bytes());
        assert!(read(version, &bytes).is_ok(), "valid: {}", hex(&bytes));
        look_at(&bytes);
    }
    for _ in 0..MUTANTS {
        look_at(&mutant(version, &valid, &mut rng).into());
    }
    assert!(
        unknown.is_empty(),
        "{oracle:?} in {version:?} has {} new: {:#?}",
        unknown.len(),
        shortest(unknown)
    );
    assert!(agreed > MUTANTS / 2, "the mutants go too far: agreement on {agreed} only");
}

fn is_known(oracle: Oracle, version: Version, difference: &Difference) -> bool {
    KNOWN.iter().any(|known| known.explains(oracle, version, difference))
}

fn shortest(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_by_key(|text| (text.len(), text.clone()));
    texts.dedup();
    texts.truncate(20);
    texts
}

#[test]
fn each_known_difference_has_an_example_that_still_shows_it() {
    let stale: Vec<_> = KNOWN.iter().filter(|known| !is_shown(known)).collect();
    let stale: Vec<_> = stale.iter().map(|known| (known.oracle, known.example, known.because)).collect();
    assert!(stale.is_empty(), "{stale:#?}");
}

fn is_shown(known: &Known) -> bool {
    let bytes = Bytes::from(wire::bytes(known.example));
    differ(known.oracle, known.versions[0], &bytes)
        .is_some_and(|difference| known.explains(known.oracle, known.versions[0], &difference))
}

/// The difference on `bytes`, if there is one.
fn differ(oracle: Oracle, version: Version, bytes: &Bytes) -> Option<Difference> {
    // How a stream is cut into frames is not compared: with a length that promises more than there is, mqtt-proto
    // would allocate it. What is left of the fixed header's rules is.
    if !whole_frame(bytes) || !comparable(oracle, version, bytes) {
        return None;
    }
    let packet_type = PacketType::new(bytes[0] >> 4)?;
    match (read(version, bytes), oracle.ask(version, bytes)) {
        (Err(_), Err(_)) => None,
        (Err(error), Ok(_)) => Some(Difference::Lenient(packet_type, error)),
        (Ok(_), Err(error)) => Some(Difference::Strict(packet_type, error)),
        (Ok(packet), Ok(written)) if read(version, &written).as_ref() == Ok(&packet) => {
            assert_eq!(read(version, &encoded(version, &packet)).as_ref(), Ok(&packet));
            None
        }
        (Ok(packet), Ok(_)) => Some(Difference::Other(Box::new(packet))),
    }
}

/// Whether the remaining length is what follows it.
fn whole_frame(bytes: &[u8]) -> bool {
    let length = &bytes[1..bytes.len().min(5)];
    let Some(last) = length.iter().position(|byte| byte & 0x80 == 0) else { return false };
    let body = length[..=last].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7F));
    2 + last + body == bytes.len()
}

/// Whether the other codec can be asked at all.
fn comparable(oracle: Oracle, version: Version, bytes: &Bytes) -> bool {
    let packet = bytes[0] >> 4;
    // We read a CONNECT in the version it names, mqttbytes in that of the module.
    let other_version =
        Frame::whole(bytes).is_ok_and(|frame| answer_version(&frame).is_some_and(|named| named != version));
    // It prints every UNSUBSCRIBE of 5.0 to standard error.
    let noisy = oracle == Oracle::MqttBytes && version == Version::V5 && packet == 10;
    !other_version && !noisy
}

fn read(version: Version, bytes: &Bytes) -> Result<Packet, DecodeError> {
    decode(version, Frame::whole(bytes)?)
}

fn encoded(version: Version, packet: &Packet) -> Bytes {
    let mut out = BytesMut::new();
    encode(version, packet, &mut out);
    out.freeze()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
