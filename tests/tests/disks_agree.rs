//! The simulated disk stands for the real one: the same life of a log leaves the same bytes on both.

use broker_core::ids::{Lsn, NodeId};
use broker_core::rng::Rng;
use broker_core::storage::disk::Disk;
use broker_core::storage::{DataId, Record, Recovered, Snapshot, Wal, WalOptions};
use bytes::Bytes;
use real_runtime::disk::FileDisk;
use sim::disk::SimDisk;
use std::collections::BTreeMap;

const OPTIONS: WalOptions = WalOptions { node: NodeId(1), data_id: DataId(1), segment_bytes: 8192 };

/// Opens the log, appends, syncs and snapshots as `rng` says, and closes it.
fn live<D: Disk>(disk: D, mut rng: Rng) -> (Recovered, String, BTreeMap<String, Vec<u8>>) {
    let (mut wal, recovered) = Wal::open(disk, OPTIONS).unwrap();
    let report = wal.report().to_string();
    for _ in 0..30 {
        let len = usize::try_from(rng.below(1500)).unwrap();
        let record = Record { lsn: wal.last_lsn().next(), body: Bytes::from(vec![7; len]) };
        wal.append(&[record]).unwrap();
        match rng.below(8) {
            0..4 => wal.sync().unwrap(),
            4 => {
                let upto = Lsn(wal.last_lsn().0 - rng.below(2));
                wal.store_snapshot(&Snapshot { upto, chunks: vec![Bytes::from(vec![9; 3000])] }).unwrap();
            }
            5 => wal.attest().unwrap(),
            6 => wal.prepare().unwrap(),
            _ => {}
        }
    }
    let mut disk = wal.into_disk();
    let mut image = BTreeMap::new();
    for name in disk.list().unwrap() {
        let len = usize::try_from(disk.len(&name).unwrap()).unwrap();
        image.insert(name.clone(), disk.read_at(&name, 0, len).unwrap());
    }
    (recovered, report, image)
}

#[test]
fn the_same_life_leaves_the_same_bytes_on_the_real_and_the_simulated_disk() {
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let simulated = SimDisk::new(Rng::from_seed(seed));
        for life in ["first", "second", "third"] {
            let rng = Rng::from_seed(seed).fork(life);
            let real = live(FileDisk::open(folder.path()).unwrap(), rng.clone());
            assert!(real == live(simulated.clone(), rng), "seed {seed}, {life} life");
        }
    }
}
