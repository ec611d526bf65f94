//! A scripted life of a log, and what it must find when it opens again.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use broker_core::ids::{Lsn, NodeId};
use broker_core::rng::Rng;
use broker_core::storage::disk::Disk as _;
use broker_core::storage::{DataId, Record, Recovered, Snapshot, Wal, WalError, WalOptions};
use bytes::Bytes;
use sim::disk::SimDisk;
use std::collections::BTreeMap;

pub const OPTIONS: WalOptions = WalOptions { node: NodeId(1), data_id: DataId(0xda7a), segment_bytes: 4096 };

/// What was given to the log, and what was promised of it.
#[derive(Clone, Default)]
pub struct Ledger {
    /// Raised at each opening: a record of an earlier life that comes back under a used number is told by its body.
    pub life: u8,
    /// The body of record 1, 2, ...
    pub bodies: Vec<Bytes>,
    /// The log said that everything up to here is on disk.
    pub durable: u64,
}

impl Ledger {
    pub fn last(&self) -> u64 {
        self.bodies.len() as u64
    }

    /// The next record, with a body of `len` bytes that only this record of this life has.
    pub fn record(&mut self, len: usize) -> Record {
        let lsn = self.last() + 1;
        let mut body = vec![self.life];
        body.extend_from_slice(&lsn.to_le_bytes());
        body.extend((0..len).map(|i| u8::try_from((lsn + i as u64) % 251).unwrap()));
        let body = if len == 0 { Bytes::new() } else { Bytes::from(body) };
        self.bodies.push(body.clone());
        Record { lsn: Lsn(lsn), body }
    }

    /// A snapshot that can be checked: the checksum of all bodies it covers, and some bulk.
    pub fn snapshot(&self, upto: u64) -> Snapshot {
        let covered = &self.bodies[..usize::try_from(upto).unwrap()];
        let sum = covered.iter().fold(0_u64, |sum, body| broker_core::rng::mix(sum ^ fingerprint(body)));
        let bulk = Bytes::from(vec![0xb5; 1500]);
        Snapshot {
            upto: Lsn(upto),
            chunks: vec![Bytes::from(sum.to_le_bytes().to_vec()), Bytes::new(), bulk],
        }
    }

    /// Everything synced is there, in order; nothing is there that was not written; what was not synced may be gone
    /// from the end, and then is forgotten here too.
    pub fn check(&mut self, recovered: &Recovered, last: Lsn) {
        let upto = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.upto.0);
        if let Some(snapshot) = &recovered.snapshot {
            assert_eq!(*snapshot, self.snapshot(upto), "the snapshot is another one");
        }
        for (lsn, record) in (upto + 1..).zip(&recovered.records) {
            assert_eq!(record.lsn.0, lsn, "records are not in order");
            let expected = self.bodies.get(usize::try_from(lsn - 1).unwrap());
            assert_eq!(Some(&record.body), expected, "record {lsn} was never written so");
        }
        let end = upto.max(recovered.records.last().map_or(0, |record| record.lsn.0));
        assert_eq!(last.0, end, "the log ends elsewhere than its records");
        assert!(end >= self.durable, "durable up to {}, found up to {end}", self.durable);
        self.bodies.truncate(usize::try_from(end).unwrap());
        self.durable = end;
        self.life += 1;
    }
}

fn fingerprint(body: &[u8]) -> u64 {
    body.iter().fold(body.len() as u64, |sum, byte| broker_core::rng::mix(sum ^ u64::from(*byte)))
}

/// Opens the log in `disk` and checks what it finds.
pub fn open(disk: &SimDisk, ledger: &mut Ledger) -> Result<Wal<SimDisk>, WalError> {
    let (wal, recovered) = Wal::open(disk.clone(), OPTIONS)?;
    ledger.check(&recovered, wal.last_lsn());
    assert_eq!(wal.durable_lsn(), wal.last_lsn(), "what was handed out is durable");
    Ok(wal)
}

/// A life with everything in it: batches, records of all sizes, one longer than a segment, syncs, snapshots in one go
/// and in steps, idleness.
pub fn live(wal: &mut Wal<SimDisk>, ledger: &mut Ledger, rng: &mut Rng, rounds: u64) -> Result<(), WalError> {
    for _ in 0..rounds {
        let batch: Vec<Record> = (0..rng.between(1, 4))
            .map(|_| {
                let len = match rng.below(20) {
                    0..3 => 0,
                    3..14 => rng.below(120),
                    14..18 => rng.below(600),
                    18 => rng.below(1800),
                    _ => rng.between(3500, 6000),
                };
                ledger.record(usize::try_from(len).unwrap())
            })
            .collect();
        wal.append(&batch)?;
        if rng.chance(2, 3) {
            wal.sync()?;
            ledger.durable = ledger.last();
        }
        match rng.below(12) {
            0 => {
                let upto = rng.between(ledger.last().saturating_sub(2), ledger.last());
                wal.store_snapshot(&ledger.snapshot(upto))?;
            }
            1 => {
                let mut job = wal.begin_snapshot(ledger.snapshot(ledger.last()))?;
                wal.append(&[ledger.record(50)])?;
                while !wal.step_snapshot(&mut job)? {}
            }
            2 => wal.attest()?,
            3 => wal.prepare()?,
            _ => {}
        }
        assert_eq!(wal.last_lsn().0, ledger.last());
        ledger.durable = ledger.durable.max(wal.durable_lsn().0);
    }
    Ok(())
}

/// All files and their contents.
pub fn image(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let mut disk = disk.clone();
    let names = disk.list().unwrap();
    let read = |name: String| {
        let len = usize::try_from(disk.len(&name).unwrap()).unwrap();
        let content = disk.read_at(&name, 0, len).unwrap();
        (name, content)
    };
    names.into_iter().map(read).collect()
}

/// Puts a file on the disk, durably.
pub fn put(disk: &SimDisk, name: &str, content: &[u8]) {
    let mut disk = disk.clone();
    if disk.list().unwrap().iter().any(|known| known == name) {
        disk.remove(name).unwrap();
    }
    disk.create(name, 0).unwrap();
    disk.write_at(name, 0, content).unwrap();
    disk.sync(name).unwrap();
    disk.sync_dir().unwrap();
}

/// Appends `count` records with bodies of about `len` bytes, without a sync.
pub fn append(wal: &mut Wal<SimDisk>, ledger: &mut Ledger, count: usize, len: usize) {
    for _ in 0..count {
        wal.append(&[ledger.record(len)]).unwrap();
    }
}

/// Syncs.
pub fn sync(wal: &mut Wal<SimDisk>, ledger: &mut Ledger) {
    wal.sync().unwrap();
    ledger.durable = ledger.last();
}

/// Opens a log that must be refused, and checks that the refusal changes nothing.
pub fn refused(disk: &SimDisk) -> WalError {
    let before = image(disk);
    let error = Wal::open(disk.clone(), OPTIONS).expect_err("a log that must be refused");
    assert_eq!(image(disk), before, "a refusal changed something");
    error
}
