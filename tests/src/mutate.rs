//! Packets that are nearly what the norm allows: valid ones with a few mistakes, most of them where a codec looks.

use crate::packets;
use crate::wire::varint;
use broker_core::codec::{Version, encode};
use broker_core::rng::Rng;
use bytes::BytesMut;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::ops::Range;

/// Bytes at which codecs turn off: bounds, wildcards, identifiers of properties, bytes that are not UTF-8.
const TELLING: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x04, 0x08, 0x09, 0x0B, 0x10, 0x11, 0x15, 0x16, 0x17, 0x1F, 0x21, 0x22, 0x23,
    0x24, 0x26, 0x27, 0x2A, 0x2B, 0x2F, 0x7F, 0x80, 0x81, 0x8E, 0xC0, 0xED, 0xFE, 0xFF,
];

/// A packet taken apart: the first byte, and the body behind the remaining length.
#[derive(Clone, Debug)]
pub struct Parts {
    first: u8,
    body: Vec<u8>,
}

impl Parts {
    /// The parts of a whole packet, or `None` if `bytes` are no whole packet.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        let length_bytes = rest.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
        let length =
            rest[..length_bytes].iter().rev().fold(0, |len, byte| len << 7 | usize::from(byte & 0x7F));
        let body = rest[length_bytes..].to_vec();
        (body.len() == length).then_some(Parts { first, body })
    }

    /// The packet with the remaining length that is right.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.first];
        varint(self.body.len(), &mut bytes);
        bytes.extend(&self.body);
        bytes
    }
}

/// `count` valid packets of `version`, the same for the same seed.
///
/// # Panics
/// Never: the strategies reject nothing.
pub fn corpus(version: Version, seed: u64, count: usize) -> Vec<Parts> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = packets::packet(version);
    let valid = || {
        let packet = strategy.new_tree(&mut runner).expect("strategies reject nothing").current();
        let mut out = BytesMut::new();
        encode(version, &packet, &mut out);
        Parts::of(&out).expect("a whole packet")
    };
    std::iter::repeat_with(valid).take(count).collect()
}

/// A packet of `corpus` with one to three mistakes, as bytes.
///
/// # Panics
/// If the corpus is empty.
pub fn mutant(version: Version, corpus: &[Parts], rng: &mut Rng) -> Vec<u8> {
    let mut parts = rng.pick(corpus).clone();
    for _ in 0..rng.between(1, 3) {
        match rng.below(8) {
            0 => parts.first ^= 1 << rng.below(8),
            1 | 2 if version == Version::V5 => mistake_in_properties(&mut parts, rng),
            3 => splice(&mut parts.body, &rng.pick(corpus).body, rng),
            _ => mistake_in_bytes(&mut parts.body, rng),
        }
    }
    let mut bytes = parts.bytes();
    // Mostly the remaining length is right, or nothing behind it would be looked at.
    if rng.chance(1, 16) {
        let head = 5.min(bytes.len());
        let at = index(rng, head);
        bytes[at] = *rng.pick(TELLING);
    }
    bytes
}

fn mistake_in_bytes(body: &mut Vec<u8>, rng: &mut Rng) {
    if body.is_empty() {
        body.push(*rng.pick(TELLING));
        return;
    }
    // The beginning is where the structure is.
    let end = if rng.chance(1, 2) { body.len().min(24) } else { body.len() };
    let at = index(rng, end);
    match rng.below(7) {
        0 => body[at] ^= 1 << rng.below(8),
        1 | 2 => body[at] = *rng.pick(TELLING),
        3 => body.insert(at, *rng.pick(TELLING)),
        4 => drop(body.remove(at)),
        5 => body.truncate(at),
        _ => body[at] = if rng.chance(1, 2) { body[at].wrapping_add(1) } else { body[at].wrapping_sub(1) },
    }
}

/// Replaces a part of `body` by a part of `other`.
fn splice(body: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let (out, range) = (part(body.len(), rng), part(other.len(), rng));
    body.splice(out, other[range].iter().copied());
}

/// Puts a well-formed property where it may not belong, may be twice, or may have a value it must not have; the
/// lengths around it are right.
fn mistake_in_properties(parts: &mut Parts, rng: &mut Rng) {
    let Some(list) = property_list(parts) else { return mistake_in_bytes(&mut parts.body, rng) };
    let (length_bytes, content) = list;
    let mut properties = parts.body[content.clone()].to_vec();
    let property = property(rng);
    if rng.chance(1, 2) {
        properties.extend(property);
    } else {
        properties.splice(0..0, property);
    }
    let mut length = Vec::new();
    varint(properties.len(), &mut length);
    length.extend(properties);
    parts.body.splice(length_bytes.start..content.end, length);
}

/// Where the length of the list of properties is, and where the list: of packets that are intact so far.
fn property_list(parts: &Parts) -> Option<(Range<usize>, Range<usize>)> {
    let text_at = |at: usize| {
        Some(2 + usize::from(u16::from_be_bytes([*parts.body.get(at)?, *parts.body.get(at + 1)?])))
    };
    let start = match parts.first >> 4 {
        1 => 10,
        2 => 2,
        3 => text_at(0)? + if parts.first & 0b110 == 0 { 0 } else { 2 },
        4..=7 => 3,
        8..=11 => 2,
        14 | 15 => 1,
        _ => return None,
    };
    let length = parts.body.get(start..)?;
    let length_bytes = length.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let len = length[..length_bytes].iter().rev().fold(0, |len, byte| len << 7 | usize::from(byte & 0x7F));
    let content = start + length_bytes..start + length_bytes + len;
    (content.end <= parts.body.len()).then_some((start..start + length_bytes, content))
}

/// A property whose value has the type it must have.
fn property(rng: &mut Rng) -> Vec<u8> {
    const TEXTS: &[&[u8]] = &[b"", b"a", b"a/b", b"a/#", b"+", b"\xC3\xA9", b"\0", b"\xFF"];
    let id = *rng.pick(&[
        0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x11, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1C, 0x1F,
        0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x2B,
    ]);
    let mut out = vec![id];
    let mut text = |out: &mut Vec<u8>| {
        let text = *rng.pick(TEXTS);
        out.extend([0, text.len() as u8]);
        out.extend(text);
    };
    match id {
        0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => text(&mut out),
        0x26 => {
            text(&mut out);
            text(&mut out);
        }
        0x02 | 0x11 | 0x18 | 0x27 => out.extend(*rng.pick(&[[0; 4], [0, 0, 0, 1], [0xFF; 4]])),
        0x13 | 0x21 | 0x22 | 0x23 => out.extend(*rng.pick(&[[0; 2], [0, 1], [0xFF; 2]])),
        0x0B => out.extend(*rng.pick(&[&[0][..], &[1], &[0x80, 1], &[0x81, 0], &[0xFF, 0xFF, 0xFF, 0x7F]])),
        _ => out.push(*rng.pick(&[0, 1, 2, 0xFF])),
    }
    out
}

fn part(len: usize, rng: &mut Rng) -> Range<usize> {
    let (a, b) = (index(rng, len + 1), index(rng, len + 1));
    a.min(b)..a.max(b)
}

fn index(rng: &mut Rng, len: usize) -> usize {
    rng.below(len as u64) as usize
}
