//! Snapshots: one file each, written under a temporary name and renamed when it is on disk.
//!
//! After the header (see `header.rs`) follow the chunks: length u32, CRC32C u32 (started from the chunk's position), bytes.

use super::data::Snapshot;
use super::disk::{Disk, DiskError};
use super::error::WalError;
use super::header::{HEADER_BYTES, Header, Identity, Kind, u32_at};
use super::segment::parse_hex;
use crate::base::ids::{Lsn, NodeId};
use bytes::Bytes;

/// The name of a snapshot that is being written.
pub(super) const TEMPORARY: &str = "snapshot.tmp";
/// Bytes written and synced in one step, so that neither a step nor the last sync holds appends up for long.
const STEP_BYTES: usize = 1 << 20;
const CHUNK_HEADER_BYTES: usize = 8;

/// A snapshot that is being stored step by step, between appends.
#[derive(Debug)]
pub struct SnapshotJob {
    snapshot: Snapshot,
    /// Which job of this log it is.
    number: u64,
    /// The chunk to write next.
    chunk: usize,
    /// Bytes written.
    offset: u64,
}

impl SnapshotJob {
    /// Begins with an empty temporary file.
    pub(super) fn begin<D: Disk>(
        disk: &mut D,
        identity: Identity,
        snapshot: Snapshot,
        number: u64,
    ) -> Result<SnapshotJob, DiskError> {
        if disk.list()?.iter().any(|name| name == TEMPORARY) {
            disk.remove(TEMPORARY)?;
        }
        disk.create(TEMPORARY, 0)?;
        let bytes = snapshot.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let numbers = [snapshot.upto.0, snapshot.chunks.len() as u64, bytes];
        let header = Header { kind: Kind::Snapshot, identity, numbers }.encode();
        disk.write_at(TEMPORARY, 0, &header)?;
        Ok(SnapshotJob { snapshot, number, chunk: 0, offset: HEADER_BYTES as u64 })
    }

    /// Writes and syncs about a megabyte. True when everything is written.
    pub(super) fn step<D: Disk>(&mut self, disk: &mut D) -> Result<bool, DiskError> {
        let mut step = Vec::new();
        while step.len() < STEP_BYTES {
            let Some(chunk) = self.snapshot.chunks.get(self.chunk) else { break };
            let len = u32::try_from(chunk.len()).expect("a chunk of less than 4 GiB");
            step.extend_from_slice(&len.to_le_bytes());
            step.extend_from_slice(&chunk_crc(self.chunk, chunk).to_le_bytes());
            step.extend_from_slice(chunk);
            self.chunk += 1;
        }
        if !step.is_empty() {
            disk.write_at(TEMPORARY, self.offset, &step)?;
            self.offset += step.len() as u64;
        }
        disk.sync(TEMPORARY)?;
        Ok(self.chunk == self.snapshot.chunks.len())
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The last record whose effect the snapshot holds.
    pub fn upto(&self) -> Lsn {
        self.snapshot.upto
    }
}

/// The name of the snapshot up to record `upto`.
pub(super) fn name(upto: Lsn) -> String {
    format!("snapshot-{:016x}", upto.0)
}

/// What the snapshot called `name` holds, if it is the name of one.
pub(super) fn upto(name: &str) -> Option<Lsn> {
    parse_hex(name.strip_prefix("snapshot-")?).map(Lsn)
}

/// Reads the snapshot `file`.
pub(super) fn decode(node: NodeId, file: &str, bytes: &Bytes) -> Result<(Snapshot, Identity), WalError> {
    let header = Header::decode(Kind::Snapshot, node, file, bytes)?;
    let [upto, count, total] = header.numbers;
    let damaged = |reason| Err(WalError::Unreadable { file: file.into(), reason });
    if Some(Lsn(upto)) != self::upto(file) {
        return damaged("its name is that of another snapshot");
    }
    let mut chunks: Vec<Bytes> = Vec::new();
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        if bytes.len() - at < CHUNK_HEADER_BYTES {
            return damaged("it ends within a chunk");
        }
        let (len, crc) = (u32_at(bytes, at) as usize, u32_at(bytes, at + 4));
        at += CHUNK_HEADER_BYTES;
        if bytes.len() - at < len {
            return damaged("it ends within a chunk");
        }
        let chunk = bytes.slice(at..at + len);
        if crc != chunk_crc(chunks.len(), &chunk) {
            return damaged("the checksum of a chunk is wrong");
        }
        at += len;
        chunks.push(chunk);
    }
    if count != chunks.len() as u64 || total != chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>() {
        return damaged("it is longer or shorter than its header says");
    }
    Ok((Snapshot { upto: Lsn(upto), chunks }, header.identity))
}

fn chunk_crc(position: usize, chunk: &[u8]) -> u32 {
    let position = u32::try_from(position).expect("fewer than 2^32 chunks");
    // The length is covered too: a chunk of zeros must not pass for a shorter one.
    let seed = crc32c::crc32c_append(position, &(chunk.len() as u64).to_le_bytes());
    crc32c::crc32c_append(seed, chunk)
}
