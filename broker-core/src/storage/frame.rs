//! One record in a segment, and how a segment is read.
//!
//! ```text
//!  0  CRC32C of bytes 4..24   u32, started from the segment's salt
//!  4  CRC32C of the body      u32, started from the segment's salt
//!  8  length of the body      u32
//! 12  distance                u32: everything up to (lsn - distance) was on disk when this frame was written
//! 16  lsn                     u64
//! 24  body, then zeros up to a multiple of 8
//! ```
//! A frame of distance 0 holds no record: it attests that everything up to its lsn is on disk. The header has a
//! checksum of its own, so that a frame with a torn body still tells its length and what was durable before it.

use super::data::Record;
use super::header::{u32_at, u64_at};
use crate::base::ids::Lsn;
use bytes::Bytes;
use std::ops::Range;

const HEADER_BYTES: usize = 24;
const ALIGN: usize = 8;

/// The bytes a record with a body of `body` bytes takes.
pub(super) const fn frame_bytes(body: usize) -> usize {
    (HEADER_BYTES + body).next_multiple_of(ALIGN)
}

/// The bytes an attestation takes.
pub(super) const ATTEST_BYTES: usize = frame_bytes(0);

/// Adds a record to `out`, stating that everything up to `durable` is on disk.
///
/// # Panics
/// If `durable` is not below `lsn`, or the body is longer than 2^32 - 1 bytes.
pub(super) fn put_record(out: &mut Vec<u8>, salt: u32, lsn: Lsn, durable: Lsn, body: &[u8]) {
    assert!(durable < lsn, "record {lsn} is not written yet, but counted as durable");
    // A distance that does not fit is cut: it then states less than is known, and nothing false.
    let distance = u32::try_from(lsn.0 - durable.0).unwrap_or(u32::MAX);
    put(out, salt, lsn, distance, body);
}

/// Adds the statement that everything up to `durable` is on disk.
pub(super) fn put_attest(out: &mut Vec<u8>, salt: u32, durable: Lsn) {
    put(out, salt, durable, 0, &[]);
}

/// The records of a segment up to the first bad frame.
#[derive(Debug)]
pub(super) struct Scan {
    /// The records, and where each begins.
    pub(super) records: Vec<(usize, Record)>,
    /// Where the first bad frame begins.
    pub(super) end: usize,
    /// The record that was expected there.
    pub(super) next: Lsn,
    /// The highest record that a frame states to have been durable.
    pub(super) durable: Lsn,
}

/// Reads the segment `bytes` from `start`, where record `first` is expected, up to record `stop` or a bad frame.
pub(super) fn scan(bytes: &Bytes, start: usize, salt: u32, first: Lsn, stop: Option<Lsn>) -> Scan {
    let mut scan = Scan { records: Vec::new(), end: start, next: first, durable: Lsn(0) };
    while stop != Some(scan.next) {
        let Some(header) = Header::read(bytes, scan.end, salt) else { break };
        if header.distance == 0 {
            if header.lsn.next() != scan.next {
                break;
            }
        } else {
            if header.lsn != scan.next || !header.body_is_intact(bytes, salt) {
                break;
            }
            scan.records.push((scan.end, Record { lsn: header.lsn, body: bytes.slice(header.body()) }));
            scan.next = scan.next.next();
        }
        scan.durable = scan.durable.max(header.durable());
        scan.end = header.end();
    }
    scan
}

/// What survived behind a bad frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beyond {
    /// The highest record that a surviving header states to have been durable.
    pub(super) durable: Lsn,
    /// The end of the last frame whose header survived.
    pub(super) end: usize,
}

/// Looks for frames behind (and at) the bad frame at `from`, where record `next` was expected.
pub(super) fn beyond(bytes: &[u8], from: usize, salt: u32, next: Lsn) -> Beyond {
    let mut found = Beyond { durable: Lsn(0), end: from };
    // No more records than this fit behind `from`. Comparing the number first spares nearly all of the checksums.
    let highest = next.0.saturating_add((bytes.len() / HEADER_BYTES) as u64);
    let numbers = next.0.saturating_sub(1).max(1)..=highest;
    let mut at = from;
    while at + HEADER_BYTES <= bytes.len() {
        let candidate = numbers.contains(&u64_at(bytes, at + 16));
        match candidate.then(|| Header::read(bytes, at, salt)).flatten() {
            Some(header) => {
                found.durable = found.durable.max(header.durable());
                found.end = header.end();
                at = header.end();
            }
            None => at += ALIGN,
        }
    }
    found
}

fn put(out: &mut Vec<u8>, salt: u32, lsn: Lsn, distance: u32, body: &[u8]) {
    let mut header = [0; HEADER_BYTES];
    let body_bytes = u32::try_from(body.len()).expect("a record of less than 4 GiB");
    header[4..8].copy_from_slice(&crc32c::crc32c_append(salt, body).to_le_bytes());
    header[8..12].copy_from_slice(&body_bytes.to_le_bytes());
    header[12..16].copy_from_slice(&distance.to_le_bytes());
    header[16..24].copy_from_slice(&lsn.0.to_le_bytes());
    let crc = crc32c::crc32c_append(salt, &header[4..]);
    header[0..4].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

struct Header {
    at: usize,
    body_crc: u32,
    body_bytes: usize,
    distance: u32,
    lsn: Lsn,
}

impl Header {
    /// The header at `at`, if it is intact and its frame ends within `bytes`.
    fn read(bytes: &[u8], at: usize, salt: u32) -> Option<Header> {
        let header = bytes.get(at..at + HEADER_BYTES)?;
        if u32_at(header, 0) != crc32c::crc32c_append(salt, &header[4..]) {
            return None;
        }
        let (distance, lsn) = (u32_at(header, 12), Lsn(u64_at(header, 16)));
        let body_bytes = usize::try_from(u32_at(header, 8)).ok()?;
        let fits = frame_bytes(body_bytes) <= bytes.len() - at;
        let sound = u64::from(distance) <= lsn.0 && lsn.0 < u64::MAX;
        (fits && sound).then_some(Header { at, body_crc: u32_at(header, 4), body_bytes, distance, lsn })
    }

    fn body(&self) -> Range<usize> {
        self.at + HEADER_BYTES..self.at + HEADER_BYTES + self.body_bytes
    }

    fn body_is_intact(&self, bytes: &[u8], salt: u32) -> bool {
        self.body_crc == crc32c::crc32c_append(salt, &bytes[self.body()])
    }

    fn end(&self) -> usize {
        self.at + frame_bytes(self.body_bytes)
    }

    fn durable(&self) -> Lsn {
        Lsn(self.lsn.0 - u64::from(self.distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u32 = 0x5a17;

    /// Records 1 to 3, of which 1 is known to be durable when 3 is written, and an attestation of all.
    fn frames() -> Vec<u8> {
        let mut bytes = Vec::new();
        put_record(&mut bytes, SALT, Lsn(1), Lsn(0), b"one");
        put_record(&mut bytes, SALT, Lsn(2), Lsn(0), b"");
        put_record(&mut bytes, SALT, Lsn(3), Lsn(1), b"three and more");
        put_attest(&mut bytes, SALT, Lsn(3));
        bytes.resize(512, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Scan {
        scan(&Bytes::copy_from_slice(bytes), 0, SALT, Lsn(1), None)
    }

    #[test]
    fn frames_come_back_up_to_the_first_that_is_none() {
        let scan = read(&frames());
        let bodies: Vec<&[u8]> = scan.records.iter().map(|(_, record)| &record.body[..]).collect();
        assert_eq!(bodies, [&b"one"[..], b"", b"three and more"]);
        assert_eq!((scan.next, scan.durable, scan.end), (Lsn(4), Lsn(3), 32 + 24 + 40 + 24));
    }

    #[test]
    fn frames_of_another_salt_or_place_in_the_log_are_none() {
        let bytes = Bytes::from(frames());
        assert_eq!(scan(&bytes, 0, SALT + 1, Lsn(1), None).next, Lsn(1));
        assert_eq!(scan(&bytes, 0, SALT, Lsn(2), None).next, Lsn(2));
        assert_eq!(
            scan(&bytes, 0, SALT, Lsn(1), Some(Lsn(3))).next,
            Lsn(3),
            "and a scan stops where it is told"
        );
    }

    #[test]
    fn every_flipped_bit_of_a_frame_ends_the_log_before_it() {
        for bit in 0..27 * 8 {
            let mut bytes = frames();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!((read(&bytes).next, read(&bytes).end), (Lsn(1), 0), "bit {bit}");
        }
    }

    #[test]
    fn what_a_frame_behind_a_bad_one_states_is_heard() {
        let mut bytes = frames();
        bytes[3] ^= 1;
        assert_eq!(beyond(&bytes, 0, SALT, Lsn(1)), Beyond { durable: Lsn(3), end: 120 });
        bytes[32 + 24 + 40] ^= 1;
        assert_eq!(beyond(&bytes, 0, SALT, Lsn(1)), Beyond { durable: Lsn(1), end: 96 });
        bytes[32 + 24 + 30] ^= 1;
        assert_eq!(beyond(&bytes, 0, SALT, Lsn(1)).durable, Lsn(1), "even if its body is torn");
        assert_eq!(beyond(&bytes, 0, SALT + 1, Lsn(1)), Beyond { durable: Lsn(0), end: 0 });
    }

    #[test]
    fn the_bytes_of_format_1_are_these() {
        let mut bytes = Vec::new();
        put_record(&mut bytes, SALT, Lsn(0x0102), Lsn(0x0100), b"body");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "d84ae3973c51a21604000000020000000201000000000000626f647900000000");
    }
}
