//! The log on a disk that rots, fills up, fails, or holds what it should not: what is told, and what is left alone.

mod support;

use broker_core::ids::{Lsn, NodeId};
use broker_core::rng::Rng;
use broker_core::storage::disk::{Disk as _, DiskErrorKind};
use broker_core::storage::{DataId, Wal, WalError, WalOptions};
use sim::disk::SimDisk;
use support::{Ledger, OPTIONS, append, image, live, open, put, refused, sync};

fn disk() -> SimDisk {
    SimDisk::new(Rng::from_seed(1))
}

/// A log of three segments that was closed in order.
fn three_segments(disk: &SimDisk) -> Ledger {
    let mut ledger = Ledger::default();
    let mut wal = open(disk, &mut ledger).unwrap();
    for _ in 0..5 {
        append(&mut wal, &mut ledger, 5, 300);
        sync(&mut wal, &mut ledger);
    }
    wal.attest().unwrap();
    assert_eq!(image(disk).len(), 3);
    ledger
}

#[test]
fn rot_anywhere_in_a_closed_log_is_refused_or_harmless() {
    let disk = disk();
    let ledger = three_segments(&disk);
    let mut refusals = 0;
    for (name, content) in image(&disk) {
        for offset in (0..content.len()).step_by(3) {
            let (rotten, mut ledger) = (disk.copy(), ledger.clone());
            assert!(rotten.rot(&name, offset as u64, 1 << (offset % 8)));
            // Padding and unused space may rot; nothing else, and the check sees to it that it was nothing else.
            if open(&rotten.copy(), &mut ledger).is_err() {
                refused(&rotten);
                refusals += 1;
            }
        }
    }
    assert!(refusals > 2500, "only {refusals} refusals: most of these bytes matter");
}

#[test]
fn rot_in_the_last_sync_alone_looks_like_a_torn_tail_and_loses_no_more_than_it() {
    let disk = disk();
    let mut ledger = Ledger::default();
    let mut wal = open(&disk, &mut ledger).unwrap();
    append(&mut wal, &mut ledger, 3, 100);
    sync(&mut wal, &mut ledger);
    let before_last_sync = ledger.durable;
    let end = image(&disk)["wal-0000000000000001"].iter().rposition(|byte| *byte != 0).unwrap();
    append(&mut wal, &mut ledger, 2, 100);
    sync(&mut wal, &mut ledger);

    assert!(disk.rot("wal-0000000000000001", end as u64 + 60, 1));
    ledger.durable = before_last_sync;
    let wal = open(&disk, &mut ledger).unwrap();
    let torn = wal.report().torn.clone().expect("told");
    assert_eq!((torn.lsn, ledger.last()), (Lsn(4), 3));
}

#[test]
fn a_later_record_that_survived_an_earlier_one_is_no_damage_when_neither_was_synced() {
    let disk = disk();
    let mut ledger = Ledger::default();
    let mut wal = open(&disk, &mut ledger).unwrap();
    append(&mut wal, &mut ledger, 1, 400);
    sync(&mut wal, &mut ledger);
    append(&mut wal, &mut ledger, 4, 600);
    // The sector of the first un-synced record never reached the disk, those behind it did.
    assert!(disk.rot("wal-0000000000000001", 1030, 0xff));
    let mut wal = open(&disk, &mut ledger).unwrap();
    let told = wal.report().to_string();
    assert_eq!(
        told,
        "1 records in 1 segments; discarded 2560 bytes of un-synced writes in wal-0000000000000001 at 952, from record 2 on"
    );

    // None of the discarded records follows a new one, whatever its length.
    append(&mut wal, &mut ledger, 1, 600);
    sync(&mut wal, &mut ledger);
    drop(wal);
    let wal = open(&disk, &mut ledger).unwrap();
    assert_eq!((wal.last_lsn(), &wal.report().torn), (Lsn(2), &None));
}

#[test]
fn the_same_gap_is_damage_when_a_later_record_proves_that_it_was_synced() {
    let disk = disk();
    let mut ledger = Ledger::default();
    let mut wal = open(&disk, &mut ledger).unwrap();
    append(&mut wal, &mut ledger, 1, 400);
    append(&mut wal, &mut ledger, 1, 600);
    sync(&mut wal, &mut ledger);
    append(&mut wal, &mut ledger, 1, 600);
    assert!(disk.rot("wal-0000000000000001", 1030, 0xff));
    let error = refused(&disk).to_string();
    assert_eq!(
        error,
        "wal-0000000000000001 is damaged: record 2 at byte 952 is unreadable, although all records up to 2 were on \
         disk; nothing was changed; restore the data folder from a backup, or move it away and start with an empty \
         one (a member of a cluster then joins as a new member)",
    );
}

#[test]
fn an_unreadable_snapshot_is_replaced_by_the_one_before_and_the_records_after_it() {
    let disk = disk();
    let mut ledger = Ledger::default();
    let mut wal = open(&disk, &mut ledger).unwrap();
    for _ in 0..4 {
        append(&mut wal, &mut ledger, 10, 500);
        sync(&mut wal, &mut ledger);
        wal.store_snapshot(&ledger.snapshot(ledger.last() - 1)).unwrap();
    }
    let names: Vec<String> = image(&disk).into_keys().filter(|name| name.starts_with("snapshot-")).collect();
    assert_eq!(names, ["snapshot-000000000000001d", "snapshot-0000000000000027"]);

    for rotten in [0, 13, 40, 70, 100] {
        let (disk, mut ledger) = (disk.copy(), ledger.clone());
        assert!(disk.rot(&names[1], rotten, 2));
        let mut wal = open(&disk, &mut ledger).unwrap();
        assert_eq!(wal.report().unreadable[0].file, names[1]);
        assert_eq!(wal.report().records, 11);
        // The next one takes its place, and the good one is kept beside it.
        append(&mut wal, &mut ledger, 10, 500);
        wal.store_snapshot(&ledger.snapshot(ledger.last())).unwrap();
        let left: Vec<String> =
            image(&disk).into_keys().filter(|name| name.starts_with("snapshot-")).collect();
        assert_eq!(left, ["snapshot-000000000000001d", "snapshot-0000000000000032"]);
        ledger.durable = ledger.last();
        assert_eq!(open(&disk, &mut ledger).unwrap().report().unreadable, []);
    }

    assert!(disk.rot(&names[0], 70, 2) && disk.rot(&names[1], 70, 2));
    let error = refused(&disk).to_string();
    assert!(error.starts_with("records 1 to "), "{error}");
    assert!(
        error.contains("and snapshot-0000000000000027, which holds their effect, is unreadable"),
        "{error}"
    );
}

#[test]
fn a_snapshot_proves_that_the_records_it_covers_were_synced() {
    let disk = disk();
    let mut ledger = Ledger::default();
    let mut wal = open(&disk, &mut ledger).unwrap();
    append(&mut wal, &mut ledger, 3, 100);
    wal.store_snapshot(&ledger.snapshot(3)).unwrap();
    assert_eq!(wal.durable_lsn(), Lsn(3), "the records came first");
    // The last record: nothing in the log itself was written after it was synced.
    assert!(disk.rot("wal-0000000000000001", 512 + 2 * 136 + 100, 1));
    let error = refused(&disk).to_string();
    assert!(error.contains("record 3 at byte 784 is unreadable, although all records up to 3"), "{error}");
}

#[test]
fn a_snapshot_that_is_begun_anew_leaves_nothing_of_the_one_before() {
    let disk = disk();
    let mut ledger = Ledger::default();
    let mut wal = open(&disk, &mut ledger).unwrap();
    append(&mut wal, &mut ledger, 3, 100);
    sync(&mut wal, &mut ledger);
    drop(wal.begin_snapshot(ledger.snapshot(2)).unwrap());
    wal.store_snapshot(&ledger.snapshot(3)).unwrap();
    drop(wal.begin_snapshot(ledger.snapshot(3)).unwrap());
    drop(wal);
    open(&disk, &mut ledger).unwrap();
    assert_eq!(
        Vec::from_iter(image(&disk).into_keys()),
        ["snapshot-0000000000000003", "wal-0000000000000001"]
    );
}

#[test]
fn a_spare_may_hold_another_logs_records() {
    let (one, other) = (disk(), disk());
    three_segments(&one);
    put(&other, "spare-0000000000000005", &image(&one)["wal-0000000000000001"]);
    let options = WalOptions { data_id: DataId(2), ..OPTIONS };
    drop(Wal::open(other.clone(), options).unwrap());
    assert_eq!(Vec::from_iter(image(&other).into_keys()), ["wal-0000000000000001"], "the spare was used");
    let (wal, recovered) = Wal::open(other, options).unwrap();
    assert_eq!((recovered.records.len(), wal.last_lsn(), &wal.report().torn), (0, Lsn(0), &None));
}

#[test]
fn what_is_missing_or_not_ours_is_told_by_name() {
    let origin = disk();
    three_segments(&origin);

    let disk = origin.copy();
    disk.clone().remove("wal-0000000000000002").unwrap();
    let error = refused(&disk).to_string();
    assert!(error.contains("are missing: the segment before wal-0000000000000003 is gone"), "{error}");

    let disk = origin.copy();
    disk.clone().remove("wal-0000000000000001").unwrap();
    let error = refused(&disk).to_string();
    assert!(
        error.starts_with("records 1 to 10 are missing: the segment before wal-0000000000000002"),
        "{error}"
    );

    let disk = origin.copy();
    put(
        &disk,
        "wal-0000000000000002",
        b"#!/bin/sh\necho this was never a log, whatever it is called by some\n",
    );
    let error = refused(&disk).to_string();
    assert!(error.starts_with("wal-0000000000000002 is not a file of Quorate"), "{error}");

    let disk = origin.copy();
    put(&disk, "wal-0000000000000002", b"");
    let error = refused(&disk).to_string();
    assert!(error.starts_with("wal-0000000000000002 is damaged: it is shorter than its header"), "{error}");

    let disk = origin.copy();
    let swapped = image(&disk)["wal-0000000000000001"].clone();
    put(&disk, "wal-0000000000000002", &swapped);
    let error = refused(&disk).to_string();
    assert!(error.contains("its name is that of another segment"), "{error}");

    let disk = origin.copy();
    let other = WalOptions { node: NodeId(9), ..OPTIONS };
    let error = Wal::open(disk, other).unwrap_err().to_string();
    assert!(error.contains("holds the data of node 1, but this is node 9"), "{error}");
}

#[test]
fn files_of_two_folders_are_not_mixed() {
    let (one, other) = (disk(), disk());
    three_segments(&one);
    let (mut wal, _) = Wal::open(other.clone(), WalOptions { data_id: DataId(2), ..OPTIONS }).unwrap();
    append(&mut wal, &mut Ledger::default(), 30, 300);
    put(&one, "wal-0000000000000003", &image(&other)["wal-0000000000000003"]);
    let error = refused(&one).to_string();
    let expected = "wal-0000000000000003 belongs to data folder 0000000000000002, but the other files to 000000000000da7a";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_newer_format_is_refused_even_where_an_older_snapshot_could_take_its_place() {
    let disk = disk();
    let mut ledger = three_segments(&disk);
    let mut wal = open(&disk, &mut ledger).unwrap();
    wal.store_snapshot(&ledger.snapshot(10)).unwrap();
    let mut content = image(&disk)["snapshot-000000000000000a"].clone();
    content[8] = 2;
    content[12..16].fill(0);
    let crc = crc32c::crc32c(&content[..64]);
    content[12..16].copy_from_slice(&crc.to_le_bytes());
    put(&disk, "snapshot-000000000000000a", &content);
    let error = refused(&disk).to_string();
    assert!(error.contains("has format 2, but this program knows formats up to 1"), "{error}");
}

#[test]
fn snapshots_without_a_log_are_refused() {
    let disk = disk();
    let mut ledger = three_segments(&disk);
    open(&disk, &mut ledger).unwrap().store_snapshot(&ledger.snapshot(20)).unwrap();
    for name in image(&disk).into_keys().filter(|name| name.starts_with("wal-")) {
        disk.clone().remove(&name).unwrap();
    }
    let error = refused(&disk).to_string();
    assert!(error.starts_with("the log is missing: there is a snapshot up to record 20"), "{error}");
}

#[test]
fn a_full_disk_stops_the_log_and_loses_nothing() {
    let disk = disk();
    let mut ledger = Ledger::default();
    let mut wal = open(&disk, &mut ledger).unwrap();
    append(&mut wal, &mut ledger, 10, 300);
    sync(&mut wal, &mut ledger);
    disk.set_capacity(Some(disk.used_bytes() + 1000));
    let error = wal.append(&[ledger.record(300), ledger.record(300), ledger.record(300)]).unwrap_err();
    let WalError::Disk(full) = &error else { panic!("{error}") };
    assert_eq!(full.kind, DiskErrorKind::Full);
    assert!(error.to_string().ends_with("free some space and start the node again"), "{error}");
    assert_eq!(wal.sync().unwrap_err(), error, "after a failed call nothing works");
    drop(wal);

    // It opens while the disk is still full, and goes on once it is not.
    drop(open(&disk, &mut ledger).unwrap());
    disk.set_capacity(None);
    let mut wal = open(&disk, &mut ledger).unwrap();
    append(&mut wal, &mut ledger, 10, 300);
    sync(&mut wal, &mut ledger);
    drop(wal);
    open(&disk, &mut ledger).unwrap();
}

#[test]
fn what_is_found_after_a_failed_sync_is_durable_from_then_on() {
    let mut forgotten = 0;
    for seed in 0..300 {
        let mut rng = Rng::from_seed(seed);
        let disk = SimDisk::new(rng.fork("disk"));
        let mut ledger = Ledger::default();
        let mut wal = open(&disk, &mut ledger).unwrap();
        live(&mut wal, &mut ledger, &mut rng, 10).unwrap();
        disk.set_syncs_fail(true);
        let error = live(&mut wal, &mut ledger, &mut rng, 10).unwrap_err();
        assert!(error.to_string().contains("input/output error"), "{error}");
        drop(wal);
        disk.set_syncs_fail(false);
        disk.process_crash();
        // The system still shows what it will never write. Once handed out, it must stay.
        let wal = open(&disk, &mut ledger).unwrap();
        forgotten += u64::from(wal.report().records > 0);
        drop(wal);
        disk.power_loss(&mut rng);
        open(&disk, &mut ledger).unwrap();
    }
    assert!(forgotten > 100);
}

#[test]
fn failing_syncs_during_recovery_do_no_harm() {
    for seed in 0..300 {
        let mut rng = Rng::from_seed(seed);
        let disk = SimDisk::new(rng.fork("disk"));
        let mut ledger = Ledger::default();
        let mut wal = open(&disk, &mut ledger).unwrap();
        live(&mut wal, &mut ledger, &mut rng, 10).unwrap();
        wal.append(&[ledger.record(800), ledger.record(700)]).unwrap();
        drop(wal);
        disk.power_loss(&mut rng);
        disk.set_syncs_fail(true);
        Wal::open(disk.clone(), OPTIONS).unwrap_err();
        disk.set_syncs_fail(false);
        disk.process_crash();
        let mut wal = open(&disk, &mut ledger).unwrap();
        append(&mut wal, &mut ledger, 1, 800);
        sync(&mut wal, &mut ledger);
        drop(wal);
        disk.power_loss(&mut rng);
        open(&disk, &mut ledger).unwrap();
    }
}

#[test]
fn segments_are_recycled_and_their_old_records_never_return() {
    for seed in 0..100 {
        let mut rng = Rng::from_seed(seed);
        let disk = SimDisk::new(rng.fork("disk"));
        let mut ledger = Ledger::default();
        for _ in 0..4 {
            let mut wal = open(&disk, &mut ledger).unwrap();
            for _ in 0..6 {
                append(&mut wal, &mut ledger, 12, 300);
                sync(&mut wal, &mut ledger);
                wal.store_snapshot(&ledger.snapshot(ledger.last())).unwrap();
            }
            append(&mut wal, &mut ledger, usize::try_from(rng.below(30)).unwrap(), 300);
            assert!(disk.used_bytes() < 12 * 4096, "the folder grows: {} bytes", disk.used_bytes());
            drop(wal);
            disk.power_loss(&mut rng);
        }
        open(&disk, &mut ledger).unwrap();
    }
}
