//! Which files the log has: segments in use, and spares to use again.
//!
//! A file is called `wal-…` only while its header is on disk: it gets its header as `spare-…`, is synced, and renamed.
//! A recycled segment goes the other way, and the folder is synced before its old header is overwritten: a power loss
//! that undoes the renaming finds the old segment whole.

use super::disk::{Disk, DiskError};
use super::header::Identity;
use super::segment::{DATA_START, SECTOR, Segment, parse_hex};
use crate::base::ids::Lsn;
use std::collections::VecDeque;

/// Spares kept for use; more are removed.
const SPARES_MAX: usize = 2;

/// The segments and spares of a data folder.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) identity: Identity,
    /// The length of a new segment, unless one record needs more.
    pub(super) segment_bytes: u64,
    /// In order; the last one is appended to.
    pub(super) segments: VecDeque<Segment>,
    /// Files of `segment_bytes` bytes with any content.
    pub(super) spares: Vec<String>,
    /// The number of the next spare.
    pub(super) spare_next: u64,
}

impl Space {
    /// The segment that is appended to.
    ///
    /// # Panics
    /// Before the first one is added.
    pub(super) fn active(&self) -> &Segment {
        self.segments.back().expect("a log has a segment")
    }

    /// Adds a segment whose first record is `first` and which has room for a frame of `frame` bytes.
    ///
    /// Everything in the segment before it must be on disk: recovery relies on it.
    pub(super) fn add_segment<D: Disk>(
        &mut self,
        disk: &mut D,
        first: Lsn,
        frame: usize,
    ) -> Result<(), DiskError> {
        let needed = (DATA_START as u64 + frame as u64).next_multiple_of(SECTOR);
        let spare = if needed > self.segment_bytes {
            self.create_spare(disk, needed)?
        } else {
            match self.spares.pop() {
                Some(spare) => spare,
                None => self.create_spare(disk, self.segment_bytes)?,
            }
        };
        let seq = self.segments.back().map_or(1, |last| last.seq + 1);
        let segment = Segment::new(self.identity.data, seq, first, needed.max(self.segment_bytes));
        let mut sector = [0; DATA_START];
        let header = segment.header(self.identity).encode();
        sector[..header.len()].copy_from_slice(&header);
        disk.write_at(&spare, 0, &sector)?;
        disk.sync(&spare)?;
        disk.rename(&spare, &segment.name)?;
        disk.sync_dir()?;
        self.segments.push_back(segment);
        Ok(())
    }

    /// Makes sure that the next segment need not be created when an append wants it.
    pub(super) fn prepare<D: Disk>(&mut self, disk: &mut D) -> Result<(), DiskError> {
        if self.spares.is_empty() {
            let spare = self.create_spare(disk, self.segment_bytes)?;
            disk.sync(&spare)?;
            disk.sync_dir()?;
            self.spares.push(spare);
        }
        Ok(())
    }

    /// Turns segments that hold no record above `upto` into spares. The caller syncs the folder.
    pub(super) fn recycle<D: Disk>(&mut self, disk: &mut D, upto: Lsn) -> Result<(), DiskError> {
        while self.segments.get(1).is_some_and(|second| second.first <= upto.next()) {
            let Some(old) = self.segments.pop_front() else { break };
            if old.bytes == self.segment_bytes && self.spares.len() < SPARES_MAX {
                let spare = self.spare_name();
                disk.rename(&old.name, &spare)?;
                self.spares.push(spare);
            } else {
                disk.remove(&old.name)?;
            }
        }
        Ok(())
    }

    fn create_spare<D: Disk>(&mut self, disk: &mut D, bytes: u64) -> Result<String, DiskError> {
        let spare = self.spare_name();
        disk.create(&spare, bytes)?;
        Ok(spare)
    }

    fn spare_name(&mut self) -> String {
        let number = self.spare_next;
        self.spare_next += 1;
        format!("spare-{number:016x}")
    }
}

/// The number of the spare called `name`, if it is the name of one.
pub(super) fn spare_number(name: &str) -> Option<u64> {
    parse_hex(name.strip_prefix("spare-")?)
}
