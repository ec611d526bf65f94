//! Decides what a folder holds. Reads only: whatever is wrong, nothing is lost by looking.
//!
//! The log ends at the first bad frame of the last segment. Whether the record expected there was never written, was
//! written but not synced when the power went (its *later* siblings may have survived: sectors reach the disk in any
//! order), or was durable and is damaged, is decided by what is *proven* to have been durable:
//! - all records of a segment are synced before the next segment exists;
//! - each frame states up to where everything was on disk when it was written;
//! - a snapshot is named only when all records it covers are on disk.
//!
//! A bad frame at or below the highest proven record is damage; above it, a torn tail. No statement is ever false, so a
//! torn tail is never called damage; damage to the very last sync, which nothing was written after, looks like a torn
//! tail. `Wal::attest` exists to close that gap when the log is idle.

use super::data::{DataId, Record, Recovered, RecoveryReport, Snapshot, TornTail, UnreadableSnapshot};
use super::disk::Disk;
use super::error::WalError;
use super::frame::{self, Scan};
use super::header::Identity;
use super::segment::{self, DATA_START, Segment};
use super::{snapshot, space};
use crate::base::ids::{Lsn, NodeId};
use bytes::Bytes;

/// What a folder holds.
#[derive(Debug)]
pub(super) struct Survey {
    /// Whose data it is.
    pub(super) data: DataId,
    /// All segments, in order; at least one.
    pub(super) segments: Vec<Segment>,
    /// Snapshots that are kept: the one that was read, and the one before it (if any).
    pub(super) kept: Vec<Lsn>,
    /// Other files of ours.
    pub(super) files: Files,
    /// What the core gets.
    pub(super) recovered: Recovered,
    /// The last record of the log.
    pub(super) last: Lsn,
    /// The highest record that is proven to be on disk.
    pub(super) proven: Lsn,
    /// The end of the log.
    pub(super) tail: Tail,
    /// For the node's log.
    pub(super) report: RecoveryReport,
}

/// The end of the last segment.
#[derive(Debug)]
pub(super) struct Tail {
    /// Where the frames begin that are not proven to be on disk.
    pub(super) unproven_at: usize,
    /// These frames.
    pub(super) unproven: Bytes,
}

/// The names in a folder, sorted by kind.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// In order.
    pub(super) segments: Vec<String>,
    /// In order.
    pub(super) snapshots: Vec<String>,
    /// In order.
    pub(super) spares: Vec<String>,
    /// Whether a snapshot was being written.
    pub(super) temporary: bool,
}

impl Files {
    pub(super) fn list<D: Disk>(disk: &mut D) -> Result<Files, WalError> {
        let mut files = Files::default();
        for name in disk.list()? {
            if segment::number(&name).is_some() {
                files.segments.push(name);
            } else if snapshot::upto(&name).is_some() {
                files.snapshots.push(name);
            } else if space::spare_number(&name).is_some() {
                files.spares.push(name);
            } else if name == snapshot::TEMPORARY {
                files.temporary = true;
            }
        }
        Ok(files)
    }

    /// Whether the folder was never used, or only until its first segment was to get its name.
    pub(super) fn is_new(&self) -> bool {
        self.segments.is_empty() && self.snapshots.is_empty()
    }
}

/// Reads the folder of `node`, which is not new.
pub(super) fn survey<D: Disk>(disk: &mut D, node: NodeId, files: Files) -> Result<Survey, WalError> {
    let mut owner = Owner { node, data: None };
    let segments = read_headers(disk, &mut owner, &files.segments)?;
    let (base, unreadable) = read_snapshot(disk, &mut owner, &files.snapshots)?;
    let base_upto = base.as_ref().map_or(Lsn(0), |snapshot| snapshot.upto);
    let named: Vec<Lsn> = files.snapshots.iter().filter_map(|name| snapshot::upto(name)).collect();
    let needed = first_needed(&segments, base_upto, &named, unreadable.first())?;

    let (active, sealed) = segments.split_last().expect("the needed segment exists");
    let mut records = Vec::new();
    for (one, next) in sealed[needed.min(sealed.len())..].iter().zip(&segments[needed + 1..]) {
        records.extend(read_sealed(disk, one, next)?);
    }
    let bytes = Bytes::from(disk.read_at(&active.name, 0, to_usize(active.bytes))?);
    let scan = frame::scan(&bytes, DATA_START, active.salt, active.first, None);
    let beyond = frame::beyond(&bytes, scan.end, active.salt, scan.next);
    let known = Lsn(active.first.0 - 1).max(named.last().copied().unwrap_or_default());
    let proven = known.max(scan.durable).max(beyond.durable);
    if scan.next <= proven {
        let (file, offset) = (active.name.clone(), scan.end as u64);
        return Err(WalError::Damaged { file, offset, lsn: scan.next, proven });
    }
    let torn = (beyond.end > scan.end).then(|| TornTail {
        file: active.name.clone(),
        offset: scan.end as u64,
        bytes: (beyond.end - scan.end) as u64,
        lsn: scan.next,
    });
    let (last, tail) = (Lsn(scan.next.0 - 1), Tail::of(&bytes, &scan, proven));
    records.extend(scan.records.into_iter().map(|(_, record)| record));
    records.retain(|record| record.lsn > base_upto);

    let report = RecoveryReport { segments: segments.len(), records: records.len(), torn, unreadable };
    let kept: Vec<Lsn> = named.into_iter().filter(|upto| *upto <= base_upto).collect();
    let kept = kept[kept.len().saturating_sub(2)..].to_vec();
    let recovered = Recovered { snapshot: base, records };
    let data = owner.data.expect("the headers were read");
    Ok(Survey { data, segments, kept, files, recovered, last, proven, tail, report })
}

impl Tail {
    fn of(bytes: &Bytes, scan: &Scan, proven: Lsn) -> Tail {
        let first_unproven = scan.records.iter().find(|(_, record)| record.lsn > proven);
        let unproven_at = first_unproven.map_or(scan.end, |(at, _)| *at);
        Tail { unproven_at, unproven: bytes.slice(unproven_at..scan.end) }
    }
}

/// Whose data the folder holds: all files must agree.
struct Owner {
    node: NodeId,
    data: Option<DataId>,
}

impl Owner {
    fn agree(&mut self, file: &str, identity: Identity) -> Result<(), WalError> {
        let expected = *self.data.get_or_insert(identity.data);
        if expected == identity.data {
            Ok(())
        } else {
            Err(WalError::OtherData { file: file.into(), found: identity.data, expected })
        }
    }
}

fn read_headers<D: Disk>(
    disk: &mut D,
    owner: &mut Owner,
    names: &[String],
) -> Result<Vec<Segment>, WalError> {
    let mut segments = Vec::with_capacity(names.len());
    for name in names {
        let first_sector = disk.read_at(name, 0, DATA_START)?;
        let (segment, identity) = Segment::decode(owner.node, name, &first_sector, disk.len(name)?)?;
        owner.agree(name, identity)?;
        segments.push(segment);
    }
    Ok(segments)
}

type Unreadable = Vec<UnreadableSnapshot>;

/// The newest snapshot that can be read, and those that cannot.
fn read_snapshot<D: Disk>(
    disk: &mut D,
    owner: &mut Owner,
    names: &[String],
) -> Result<(Option<Snapshot>, Unreadable), WalError> {
    let mut unreadable = Vec::new();
    for name in names.iter().rev() {
        let bytes = disk.len(name)?;
        let bytes = Bytes::from(disk.read_at(name, 0, to_usize(bytes))?);
        match snapshot::decode(owner.node, name, &bytes) {
            Ok((snapshot, identity)) => {
                owner.agree(name, identity)?;
                return Ok((Some(snapshot), unreadable));
            }
            Err(WalError::Unreadable { file, reason }) => {
                unreadable.push(UnreadableSnapshot { file, reason: reason.into() });
            }
            Err(WalError::NotOurs { file }) => {
                unreadable
                    .push(UnreadableSnapshot { file, reason: "its first bytes are not a snapshot's".into() });
            }
            Err(fatal) => return Err(fatal),
        }
    }
    Ok((None, unreadable))
}

/// The position of the segment that holds the first record after `base`; from there on none may be missing. Gaps
/// before it are harmless: a power loss in the middle of recycling leaves them.
fn first_needed(
    segments: &[Segment],
    base: Lsn,
    named: &[Lsn],
    unreadable: Option<&UnreadableSnapshot>,
) -> Result<usize, WalError> {
    let from = base.next();
    let unreadable = unreadable.map(|snapshot| snapshot.file.clone());
    let Some(first) = segments.first() else {
        return Err(WalError::NoSegments { newest: named.last().copied().unwrap_or_default() });
    };
    let Some(needed) = segments.iter().rposition(|segment| segment.first <= from) else {
        let (upto, before) = (Lsn(first.first.0 - 1), first.name.clone());
        return Err(WalError::Missing { from, upto, before, unreadable });
    };
    for pair in segments[needed..].windows(2) {
        let [one, next] = pair else { continue };
        if one.seq + 1 != next.seq {
            // How many records the segments before the gap hold is not known without reading them.
            let (from, upto) = (one.first.max(from), Lsn(next.first.0 - 1));
            return Err(WalError::Missing { from, upto, before: next.name.clone(), unreadable });
        }
    }
    Ok(needed)
}

/// The records of a segment that has a successor: all were synced before the successor existed.
fn read_sealed<D: Disk>(disk: &mut D, one: &Segment, next: &Segment) -> Result<Vec<Record>, WalError> {
    let bytes = Bytes::from(disk.read_at(&one.name, 0, to_usize(one.bytes))?);
    let scan = frame::scan(&bytes, DATA_START, one.salt, one.first, Some(next.first));
    if scan.next != next.first {
        let (file, offset, proven) = (one.name.clone(), scan.end as u64, Lsn(next.first.0 - 1));
        return Err(WalError::Damaged { file, offset, lsn: scan.next, proven });
    }
    Ok(scan.records.into_iter().map(|(_, record)| record).collect())
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("files of this program fit into its address space")
}
