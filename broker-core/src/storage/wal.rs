//! The write-ahead log: appends records, syncs them, stores snapshots, finds everything again.

use super::data::{DataId, Record, Recovered, RecoveryReport, Snapshot};
use super::disk::{Disk, DiskError};
use super::error::WalError;
use super::frame::{self, ATTEST_BYTES};
use super::header::Identity;
use super::recovery::{self, Files, Survey};
use super::segment::{DATA_START, SECTOR, Segment};
use super::snapshot::{self, SnapshotJob};
use super::space::{self, Space};
use crate::base::ids::{Lsn, NodeId};

/// The smallest segment; smaller wishes are raised to it.
const SEGMENT_BYTES_MIN: u64 = 4096;
/// The room for gathered frames that is kept between appends.
const FRAMES_BYTES_KEPT: usize = 1 << 20;
/// Zeros written by one call.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// How a log is opened.
#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    /// Whose log it is; another node's data is refused.
    pub node: NodeId,
    /// The id of the data folder if it is new: random, so that files of two folders are never mixed up.
    pub data_id: DataId,
    /// The length of a segment in bytes, taken as at least 4,096 and a multiple of 512. A record that needs more gets a
    /// segment of its own length.
    pub segment_bytes: u64,
}

impl WalOptions {
    /// A length of segments that suits a real disk: long enough that a change of segments is rare, short enough that
    /// zeroing one when the log is opened is not noticed.
    pub const SEGMENT_BYTES: u64 = 16 << 20;
}

/// The write-ahead log of a node.
///
/// ```text
/// append ──> readable ──sync──> durable ──store_snapshot, twice──> recycled
/// ```
/// After a failed call to the disk nothing is known of what is on it: every later call fails with the same error, and
/// the log is to be opened again.
#[derive(Debug)]
pub struct Wal<D> {
    disk: D,
    space: Space,
    /// Where the next frame goes in the last segment, in bytes.
    end: usize,
    last: Lsn,
    durable: Lsn,
    /// The highest statement of durability that is itself on disk.
    attested: Lsn,
    /// The snapshots that are kept, oldest first; at most two.
    snapshots: Vec<Lsn>,
    /// The number of the newest snapshot job; older ones are abandoned.
    snapshot_job: u64,
    failed: Option<DiskError>,
    frames: Vec<u8>,
    report: RecoveryReport,
}

impl<D: Disk> Wal<D> {
    /// Opens the log in `disk`, or begins one if there is none.
    ///
    /// Discards what a crash left torn at the end ([`Wal::report`] tells), and makes durable whatever it hands out.
    ///
    /// # Errors
    /// If what is there cannot be trusted, is another node's or a newer program's: nothing was changed then. If a call
    /// to the disk fails.
    pub fn open(mut disk: D, options: WalOptions) -> Result<(Wal<D>, Recovered), WalError> {
        let files = Files::list(&mut disk)?;
        let segment_bytes = options.segment_bytes.max(SEGMENT_BYTES_MIN).next_multiple_of(SECTOR);
        if files.is_new() {
            let wal = Self::begin(disk, options, segment_bytes, files)?;
            return Ok((wal, Recovered::default()));
        }
        let survey = recovery::survey(&mut disk, options.node, files)?;
        Self::resume(disk, options, segment_bytes, survey)
    }

    /// Writes `records` behind the last one. They are readable at once and durable after [`Wal::sync`].
    ///
    /// # Errors
    /// If a call to the disk fails; some of the records may then be found when the log is opened again.
    ///
    /// # Panics
    /// If the records are not numbered on from [`Wal::last_lsn`].
    pub fn append(&mut self, records: &[Record]) -> Result<(), WalError> {
        self.guard(|wal| wal.append_frames(records))
    }

    /// Makes all records durable.
    ///
    /// # Errors
    /// If a call to the disk fails; the records may then be found or not when the log is opened again.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.guard(Self::sync_frames)
    }

    /// Syncs, and writes down that everything is durable, so that damage to the last records is never taken for a torn
    /// tail. To be called when the log becomes idle, and before it is closed. Does nothing if it is written already.
    ///
    /// # Errors
    /// If a call to the disk fails.
    pub fn attest(&mut self) -> Result<(), WalError> {
        self.guard(Self::write_attest)
    }

    /// Creates the segment that will be needed next, if no old one can be used again: creating it takes time, which an
    /// append would have to wait for. To be called when the log is idle.
    ///
    /// # Errors
    /// If a call to the disk fails.
    pub fn prepare(&mut self) -> Result<(), WalError> {
        self.guard(|wal| wal.space.prepare(&mut wal.disk))
    }

    /// Stores `snapshot`, which takes the place of all records up to `snapshot.upto`. The last two snapshots are kept,
    /// and the records after the older one. Does nothing if a snapshot that is as new is stored.
    ///
    /// # Errors
    /// If a call to the disk fails. What was stored before is not touched.
    ///
    /// # Panics
    /// If `snapshot.upto` is above [`Wal::last_lsn`].
    pub fn store_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), WalError> {
        let mut job = self.begin_snapshot(snapshot.clone())?;
        while !self.step_snapshot(&mut job)? {}
        Ok(())
    }

    /// As [`Wal::store_snapshot`], in steps of [`Wal::step_snapshot`] between which records can be appended.
    /// Beginning another one abandons one that is not done.
    ///
    /// # Errors
    /// If a call to the disk fails.
    ///
    /// # Panics
    /// If `snapshot.upto` is above [`Wal::last_lsn`].
    pub fn begin_snapshot(&mut self, snapshot: Snapshot) -> Result<SnapshotJob, WalError> {
        assert!(
            snapshot.upto <= self.last,
            "a snapshot of records that were not appended: {}",
            snapshot.upto
        );
        self.snapshot_job += 1;
        self.guard(|wal| SnapshotJob::begin(&mut wal.disk, wal.space.identity, snapshot, wal.snapshot_job))
    }

    /// Writes the next part of a snapshot, about a megabyte. True when the snapshot is stored.
    ///
    /// # Errors
    /// If a call to the disk fails.
    ///
    /// # Panics
    /// If another snapshot was begun since.
    pub fn step_snapshot(&mut self, job: &mut SnapshotJob) -> Result<bool, WalError> {
        assert_eq!(job.number(), self.snapshot_job, "this snapshot was abandoned for another one");
        self.guard(|wal| {
            let written = job.step(&mut wal.disk)?;
            if written {
                wal.keep_snapshot(job.upto())?;
            }
            Ok(written)
        })
    }

    /// The number of the last record; 0 if there was never one.
    pub fn last_lsn(&self) -> Lsn {
        self.last
    }

    /// The number of the last record that is on disk.
    pub fn durable_lsn(&self) -> Lsn {
        self.durable
    }

    /// Which data folder this is.
    pub fn data_id(&self) -> DataId {
        self.space.identity.data
    }

    /// What recovery met on its way.
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// The disk.
    pub fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// Gives the disk back. What was not synced stays so.
    pub fn into_disk(self) -> D {
        self.disk
    }

    fn begin(mut disk: D, options: WalOptions, segment_bytes: u64, files: Files) -> Result<Self, WalError> {
        let identity = Identity { data: options.data_id, node: options.node };
        let mut space = clean(&mut disk, identity, segment_bytes, files)?;
        space.add_segment(&mut disk, Lsn(1), 0)?;
        let report = RecoveryReport { segments: 1, ..RecoveryReport::default() };
        Ok(Wal {
            disk,
            space,
            end: DATA_START,
            last: Lsn(0),
            durable: Lsn(0),
            attested: Lsn(0),
            snapshots: Vec::new(),
            snapshot_job: 0,
            failed: None,
            frames: Vec::new(),
            report,
        })
    }

    fn resume(
        mut disk: D,
        options: WalOptions,
        segment_bytes: u64,
        survey: Survey,
    ) -> Result<(Self, Recovered), WalError> {
        let identity = Identity { data: survey.data, node: options.node };
        let mut space = clean(&mut disk, identity, segment_bytes, survey.files)?;
        space.segments.extend(survey.segments);
        let end = survey.tail.unproven_at + survey.tail.unproven.len();
        let mut wal = Wal {
            disk,
            space,
            end,
            last: survey.last,
            durable: survey.last,
            attested: survey.proven,
            snapshots: survey.kept,
            snapshot_job: 0,
            failed: None,
            frames: Vec::new(),
            report: survey.report,
        };
        wal.settle(survey.tail.unproven_at, &survey.tail.unproven)?;
        wal.write_attest()?;
        Ok((wal, survey.recovered))
    }

    /// Makes what was read durable, and what was discarded impossible to come back.
    ///
    /// A process that was killed leaves writes in the system's cache: they can be read, and yet be lost with the next
    /// power loss. After a failed fsync the system may even count them as clean, so that a sync alone would not write
    /// them. Hence the frames that are not proven to be on disk are written again, and the rest of the segment is
    /// zeroed, always: whatever un-synced or recycled bytes it holds must not follow a new record.
    fn settle(&mut self, at: usize, unproven: &[u8]) -> Result<(), DiskError> {
        let Segment { name, bytes, .. } = self.space.active();
        if !unproven.is_empty() {
            self.disk.write_at(name, at as u64, unproven)?;
        }
        let mut zero_at = self.end as u64;
        while zero_at < *bytes {
            let len = (*bytes - zero_at).min(ZEROS.len() as u64);
            let zeros = &ZEROS[..usize::try_from(len).expect("at most the array's length")];
            self.disk.write_at(name, zero_at, zeros)?;
            zero_at += len;
        }
        self.disk.sync(name)?;
        self.disk.sync_dir()
    }

    fn guard<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T, DiskError>) -> Result<T, WalError> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        call(self).map_err(|error| {
            self.failed = Some(error.clone());
            error.into()
        })
    }

    fn append_frames(&mut self, records: &[Record]) -> Result<(), DiskError> {
        for record in records {
            assert_eq!(record.lsn, self.last.next(), "records are numbered on");
            let frame = frame::frame_bytes(record.body.len());
            if self.room() < self.frames.len() + frame {
                self.write_frames()?;
                self.sync_frames()?;
                self.space.add_segment(&mut self.disk, record.lsn, frame)?;
                self.end = DATA_START;
                self.attested = self.durable;
            }
            let salt = self.space.active().salt;
            frame::put_record(&mut self.frames, salt, record.lsn, self.durable, &record.body);
            self.last = record.lsn;
        }
        self.write_frames()
    }

    /// Writes the gathered frames with one call.
    fn write_frames(&mut self) -> Result<(), DiskError> {
        if !self.frames.is_empty() {
            let name = &self.space.active().name;
            self.disk.write_at(name, self.end as u64, &self.frames)?;
            self.end += self.frames.len();
            self.frames.clear();
            // One huge record must not hold its size in memory for ever.
            self.frames.shrink_to(FRAMES_BYTES_KEPT);
        }
        Ok(())
    }

    fn sync_frames(&mut self) -> Result<(), DiskError> {
        if self.durable < self.last {
            self.disk.sync(&self.space.active().name)?;
            self.durable = self.last;
        }
        Ok(())
    }

    fn write_attest(&mut self) -> Result<(), DiskError> {
        self.sync_frames()?;
        // Where there is no room, the next segment will attest by being there.
        if self.attested < self.durable && self.room() >= ATTEST_BYTES {
            let salt = self.space.active().salt;
            frame::put_attest(&mut self.frames, salt, self.durable);
            self.write_frames()?;
            self.disk.sync(&self.space.active().name)?;
            self.attested = self.durable;
        }
        Ok(())
    }

    /// Gives a snapshot that is on disk its name, and lets go what it makes superfluous.
    fn keep_snapshot(&mut self, upto: Lsn) -> Result<(), DiskError> {
        if self.snapshots.last().is_some_and(|newest| *newest >= upto) {
            return self.disk.remove(snapshot::TEMPORARY);
        }
        // Its name says that all records up to it were on disk.
        if self.durable < upto {
            self.sync_frames()?;
        }
        self.disk.rename(snapshot::TEMPORARY, &snapshot::name(upto))?;
        self.disk.sync_dir()?;
        self.snapshots.push(upto);
        if self.snapshots.len() > 2 {
            self.snapshots.remove(0);
        }
        for name in self.disk.list()? {
            if snapshot::upto(&name).is_some_and(|upto| !self.snapshots.contains(&upto)) {
                self.disk.remove(&name)?;
            }
        }
        if let [older, _] = self.snapshots[..] {
            self.space.recycle(&mut self.disk, older)?;
        }
        self.disk.sync_dir()
    }

    /// The bytes left in the last segment.
    fn room(&self) -> usize {
        usize::try_from(self.space.active().bytes).expect("a segment fits into memory") - self.end
    }
}

/// Removes what a crash left unfinished, and finds the spares.
fn clean<D: Disk>(
    disk: &mut D,
    identity: Identity,
    segment_bytes: u64,
    files: Files,
) -> Result<Space, DiskError> {
    if files.temporary {
        disk.remove(snapshot::TEMPORARY)?;
    }
    let spare_next =
        files.spares.iter().filter_map(|name| space::spare_number(name)).max().map_or(1, |n| n + 1);
    let mut spares = Vec::new();
    for spare in files.spares {
        if disk.len(&spare)? == segment_bytes {
            spares.push(spare);
        } else {
            disk.remove(&spare)?;
        }
    }
    Ok(Space { identity, segment_bytes, segments: Default::default(), spares, spare_next })
}
