//! The log on a disk that crashes: at every call, with and without power, again during recovery.

mod support;

use broker_core::rng::Rng;
use broker_core::storage::WalError;
use broker_core::storage::disk::DiskErrorKind;
use sim::disk::SimDisk;
use support::{Ledger, live, open};

fn is_crash(error: &WalError) -> bool {
    matches!(error, WalError::Disk(disk) if disk.kind == DiskErrorKind::Crashed)
}

/// Opens and lives until the end or the crash. False if it crashed.
fn live_until_crash(disk: &SimDisk, ledger: &mut Ledger, rng: &mut Rng, rounds: u64) -> bool {
    match open(disk, ledger).and_then(|mut wal| live(&mut wal, ledger, rng, rounds)) {
        Ok(()) => true,
        Err(error) => {
            assert!(is_crash(&error), "{error}");
            false
        }
    }
}

#[test]
fn a_crash_at_any_call_loses_nothing_that_was_synced() {
    let root = Rng::from_seed(1);
    let mut crash_at = 0;
    loop {
        let disk = SimDisk::new(root.fork("disk"));
        let mut ledger = Ledger::default();
        disk.crash_after_ops(crash_at);
        let finished = live_until_crash(&disk, &mut ledger, &mut root.fork("work"), 60);
        for survival in 0..8 {
            let (disk, mut ledger) = (disk.copy(), ledger.clone());
            let mut rng = root.fork(&format!("survival {crash_at} {survival}"));
            restart(&disk, &mut rng, survival < 3);
            // The second life crashes early, often during recovery, and the third, to see what that left.
            for _ in 0..2 {
                disk.crash_after_ops(rng.below(30));
                live_until_crash(&disk, &mut ledger, &mut rng, 8);
                let kill_only = rng.chance(1, 4);
                restart(&disk, &mut rng, kill_only);
            }
            assert!(live_until_crash(&disk, &mut ledger, &mut rng, 12));
            open(&disk, &mut ledger).unwrap();
        }
        if finished {
            break;
        }
        crash_at += 1;
    }
    assert!(crash_at > 150, "the script is too short to mean something: {crash_at} calls");
}

#[test]
fn a_log_survives_a_life_of_crashes() {
    let mut seen = Seen::default();
    for seed in 0..400 {
        let mut rng = Rng::from_seed(seed);
        let disk = SimDisk::new(rng.fork("disk"));
        let mut ledger = Ledger::default();
        for _ in 0..12 {
            disk.crash_after_ops(rng.below(90));
            let opened = open(&disk, &mut ledger);
            if let Err(error) = &opened {
                assert!(is_crash(error), "{error}");
            }
            if let Ok(mut wal) = opened {
                seen.torn_tails += u64::from(wal.report().torn.is_some());
                // The crash cuts it sooner or later; until then it works.
                if let Err(error) = live(&mut wal, &mut ledger, &mut rng, 40) {
                    assert!(is_crash(&error), "{error}");
                }
            }
            if rng.chance(1, 3) {
                disk.process_crash();
                seen.kills += 1;
            } else {
                let loss = disk.power_loss(&mut rng);
                seen.sectors_torn += loss.sectors_torn;
                seen.names_undone += loss.names_undone;
            }
        }
        open(&disk, &mut ledger).unwrap();
        seen.records += ledger.last();
    }
    // What this test is about did happen.
    assert!(seen.torn_tails > 100 && seen.kills > 100, "{seen:?}");
    assert!(seen.sectors_torn > 100 && seen.names_undone > 100 && seen.records > 10_000, "{seen:?}");
}

#[derive(Debug, Default)]
struct Seen {
    torn_tails: u64,
    sectors_torn: u64,
    names_undone: u64,
    kills: u64,
    records: u64,
}

fn restart(disk: &SimDisk, rng: &mut Rng, kill_only: bool) {
    if kill_only {
        disk.process_crash();
    } else {
        disk.power_loss(rng);
    }
}
