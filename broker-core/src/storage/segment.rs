//! One file of records: its name, its first sector.

use super::data::DataId;
use super::error::WalError;
use super::header::{Header, Identity, Kind};
use crate::base::ids::{Lsn, NodeId};
use crate::base::rng::mix;

/// Where the first frame begins: the header has a sector of its own, which no append ever touches.
pub(super) const DATA_START: usize = 512;
/// What a segment's length is a multiple of.
pub(super) const SECTOR: u64 = 512;

/// A segment in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its name.
    pub(super) name: String,
    /// Segments are numbered from 1 without a gap; a number is never used again.
    pub(super) seq: u64,
    /// The number of its first record.
    pub(super) first: Lsn,
    /// Mixed into the checksum of each frame, so that what a recycled file held before is not taken for a record.
    pub(super) salt: u32,
    /// Its length in bytes.
    pub(super) bytes: u64,
}

impl Segment {
    /// The segment number `seq` of the data folder `data`.
    pub(super) fn new(data: DataId, seq: u64, first: Lsn, bytes: u64) -> Segment {
        let salt = u32::try_from(mix(data.0 ^ mix(seq)) >> 32).expect("the upper half of 64 bits");
        Segment { name: name(seq), seq, first, salt, bytes }
    }

    pub(super) fn header(&self, identity: Identity) -> Header {
        Header { kind: Kind::Segment, identity, numbers: [self.seq, self.first.0, u64::from(self.salt)] }
    }

    /// Reads the segment `file` of `bytes` bytes from its first sector.
    pub(super) fn decode(
        node: NodeId,
        file: &str,
        first_sector: &[u8],
        bytes: u64,
    ) -> Result<(Segment, Identity), WalError> {
        let damaged = |reason| WalError::Unreadable { file: file.into(), reason };
        let header = Header::decode(Kind::Segment, node, file, first_sector)?;
        let [seq, first, salt] = header.numbers;
        if Some(seq) != number(file) {
            return Err(damaged("its name is that of another segment"));
        }
        let salt = u32::try_from(salt).map_err(|_| damaged("its salt is longer than 32 bits"))?;
        if first == 0 {
            return Err(damaged("its first record has number 0"));
        }
        if bytes < DATA_START as u64 {
            return Err(damaged("it is shorter than its first sector"));
        }
        Ok((Segment { name: file.into(), seq, first: Lsn(first), salt, bytes }, header.identity))
    }
}

/// The name of segment number `seq`.
pub(super) fn name(seq: u64) -> String {
    format!("wal-{seq:016x}")
}

/// The number of the segment called `name`, if it is the name of one.
pub(super) fn number(name: &str) -> Option<u64> {
    parse_hex(name.strip_prefix("wal-")?)
}

/// Sixteen lower-case hexadecimal digits.
pub(super) fn parse_hex(digits: &str) -> Option<u64> {
    let plain = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}
