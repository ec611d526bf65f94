//! The first 64 bytes of every file: what it is, its format, whose it is.
//!
//! Magic, version and checksum stay where they are in every later format, so that a program can tell a newer file from
//! a damaged one.
//!
//! ```text
//!  0  magic            8 bytes
//!  8  version          u32, little-endian as all numbers
//! 12  CRC32C           u32, of these 64 bytes with this field zero
//! 16  data id          u64
//! 24  node             u32
//! 28  reserved         u32, zero
//! 32  three numbers    u64 each, by kind of file
//! 56  reserved         8 bytes, zero
//! ```

use super::data::DataId;
use super::error::WalError;
use crate::base::ids::NodeId;

/// The length of a header in bytes.
pub(super) const HEADER_BYTES: usize = 64;
/// The format this program writes, and the newest it reads.
pub(super) const VERSION: u32 = 1;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A segment: its sequence number, the number of its first record, its salt.
    Segment,
    /// A snapshot: the last record whose effect it holds, its chunks, the bytes in them.
    Snapshot,
}

/// Whose data it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) data: DataId,
    pub(super) node: NodeId,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) identity: Identity,
    pub(super) numbers: [u64; 3],
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(magic(self.kind));
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.identity.data.0.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.identity.node.0.to_le_bytes());
        for (i, number) in self.numbers.iter().enumerate() {
            bytes[32 + 8 * i..40 + 8 * i].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of `file`, which is to be of `kind` and of node `node`.
    pub(super) fn decode(kind: Kind, node: NodeId, file: &str, bytes: &[u8]) -> Result<Header, WalError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(WalError::Unreadable { file: file.into(), reason: "it is shorter than its header" });
        };
        if bytes[0..8] != *magic(kind) {
            return Err(WalError::NotOurs { file: file.into() });
        }
        let mut zeroed = *bytes;
        zeroed[12..16].fill(0);
        if u32_at(bytes, 12) != crc32c::crc32c(&zeroed) {
            let reason = "the checksum of its header is wrong";
            return Err(WalError::Unreadable { file: file.into(), reason });
        }
        let version = u32_at(bytes, 8);
        if version == 0 {
            return Err(WalError::Unreadable { file: file.into(), reason: "there is no format 0" });
        }
        if version > VERSION {
            return Err(WalError::NewerFormat { file: file.into(), found: version, known: VERSION });
        }
        let found = NodeId(u32_at(bytes, 24));
        if found != node {
            return Err(WalError::OtherNode { file: file.into(), found, expected: node });
        }
        let identity = Identity { data: DataId(u64_at(bytes, 16)), node };
        Ok(Header { kind, identity, numbers: [32, 40, 48].map(|at| u64_at(bytes, at)) })
    }
}

/// The little-endian number at `at`.
///
/// # Panics
/// If `bytes` ends before it does.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The little-endian number at `at`.
///
/// # Panics
/// If `bytes` ends before it does.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn magic(kind: Kind) -> &'static [u8; 8] {
    match kind {
        Kind::Segment => b"QUORAWAL",
        Kind::Snapshot => b"QUORASNP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(3);

    fn header() -> Header {
        let identity = Identity { data: DataId(0xfeed), node: NODE };
        Header { kind: Kind::Segment, identity, numbers: [1, 2, 3] }
    }

    #[test]
    fn a_header_comes_back_as_written() {
        assert_eq!(Header::decode(Kind::Segment, NODE, "f", &header().encode()), Ok(header()));
    }

    #[test]
    fn the_bytes_of_format_1_are_these() {
        let hex: String = header().encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "51554f524157414c010000006b6c4b9fedfe0000000000000300000000000000",
            "0100000000000000020000000000000003000000000000000000000000000000",
        ];
        assert_eq!(hex, expected.concat());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = header().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = Header::decode(Kind::Segment, NODE, "f", &bytes);
            let expected = if bit < 64 {
                matches!(found, Err(WalError::NotOurs { .. }))
            } else {
                matches!(found, Err(WalError::Unreadable { .. }))
            };
            assert!(expected, "bit {bit}: {found:?}");
        }
    }

    #[test]
    fn a_newer_format_and_another_node_are_told_from_damage() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        bytes[12..16].fill(0);
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let newer = Header::decode(Kind::Segment, NODE, "f", &bytes).unwrap_err();
        assert_eq!(newer, WalError::NewerFormat { file: "f".into(), found: 2, known: 1 });
        let other = Header::decode(Kind::Segment, NodeId(4), "f", &header().encode()).unwrap_err();
        assert_eq!(other, WalError::OtherNode { file: "f".into(), found: NODE, expected: NodeId(4) });
    }
}
