//! What the simulated disk forgets, tears and rots, and when.

use super::*;
use broker_core::storage::conformance;

fn disk() -> SimDisk {
    SimDisk::new(Rng::from_seed(1))
}

/// What the power losses of many seeds leave of `disk`, each thing once, sorted.
fn outcomes<T: Ord>(disk: &SimDisk, look: impl Fn(&mut SimDisk) -> T) -> Vec<T> {
    let left = (0..300).map(|seed| {
        let mut disk = disk.copy();
        disk.power_loss(&mut Rng::from_seed(seed));
        look(&mut disk)
    });
    left.collect::<std::collections::BTreeSet<T>>().into_iter().collect()
}

#[test]
fn the_simulated_disk_does_what_every_disk_must() {
    conformance::check(&mut disk()).unwrap();
}

#[test]
fn what_is_synced_survives_every_power_loss() {
    let mut disk = disk();
    disk.create("a", 2000).unwrap();
    disk.write_at("a", 100, &[7; 1500]).unwrap();
    disk.sync("a").unwrap();
    disk.sync_dir().unwrap();
    let whole = disk.read_at("a", 0, 2000).unwrap();
    assert_eq!(outcomes(&disk, |disk| disk.read_at("a", 0, 2000).unwrap()), [whole]);
}

#[test]
fn sectors_that_are_not_synced_survive_in_any_combination_and_tear() {
    let mut disk = disk();
    disk.create("a", 1024).unwrap();
    disk.write_at("a", 0, &[1; 1024]).unwrap();
    disk.sync("a").unwrap();
    disk.sync_dir().unwrap();
    disk.write_at("a", 0, &[2; 1024]).unwrap();
    let left = outcomes(&disk, |disk| disk.read_at("a", 0, 1024).unwrap());
    for (first, second) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let whole = [[first; 512], [second; 512]].concat();
        assert!(left.contains(&whole), "never seen: {first} {second}");
    }
    for sector in left.iter().flat_map(|content| content.chunks(512)) {
        let new = sector.iter().take_while(|byte| **byte == 2).count();
        assert!(sector[new..].iter().all(|byte| *byte == 1), "a tear leaves new bytes, then old ones");
    }
    assert!(left.iter().any(|content| content[0] == 2 && content[511] == 1), "no sector was ever torn");
}

#[test]
fn names_that_are_not_synced_survive_independently_but_in_order() {
    let mut disk = disk();
    for name in ["a", "x"] {
        disk.create(name, 0).unwrap();
    }
    disk.sync_dir().unwrap();
    disk.rename("a", "b").unwrap();
    disk.rename("b", "c").unwrap();
    disk.remove("x").unwrap();
    let left = outcomes(&disk, |disk| disk.list().unwrap().concat());
    assert_eq!(left, ["a", "ax", "b", "bx", "c", "cx"]);
}

#[test]
fn a_killed_process_loses_nothing() {
    let mut disk = disk();
    disk.create("a", 10).unwrap();
    disk.write_at("a", 0, b"abc").unwrap();
    disk.crash_after_ops(0);
    assert_eq!(disk.sync("a").unwrap_err().kind, DiskErrorKind::Crashed);
    assert_eq!(disk.list().unwrap_err().kind, DiskErrorKind::Crashed);
    assert!(disk.is_crashed());
    disk.process_crash();
    assert_eq!(disk.read_at("a", 0, 3).unwrap(), b"abc");
}

#[test]
fn a_crash_comes_after_the_counted_calls_and_cuts_a_write() {
    let mut cuts = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let mut disk = SimDisk::new(Rng::from_seed(seed));
        disk.create("a", 4).unwrap();
        disk.crash_after_ops(1);
        disk.sync("a").unwrap();
        assert_eq!(disk.write_at("a", 0, &[9; 4]).unwrap_err().kind, DiskErrorKind::Crashed);
        disk.process_crash();
        cuts.insert(disk.read_at("a", 0, 4).unwrap());
    }
    assert_eq!(cuts.len(), 5, "0 to 4 bytes: {cuts:?}");
}

#[test]
fn a_failed_sync_may_forget_what_it_was_to_write() {
    let mut disk = disk();
    disk.create("a", 512 * 64).unwrap();
    disk.sync("a").unwrap();
    disk.sync_dir().unwrap();
    disk.write_at("a", 0, &[1; 512 * 64]).unwrap();
    disk.set_syncs_fail(true);
    assert_eq!(disk.sync("a").unwrap_err().kind, DiskErrorKind::Other);
    disk.set_syncs_fail(false);
    disk.sync("a").unwrap();
    assert_eq!(disk.read_at("a", 0, 512 * 64).unwrap(), vec![1; 512 * 64], "all of it can be read");
    disk.power_loss(&mut Rng::from_seed(3));
    let left = disk.read_at("a", 0, 512 * 64).unwrap();
    let lost = left.chunks(512).filter(|sector| sector[0] == 0).count();
    assert!((5..60).contains(&lost), "lost {lost} of 64 sectors");
}

#[test]
fn a_write_makes_forgotten_sectors_durable_again() {
    let mut disk = disk();
    disk.create("a", 512 * 64).unwrap();
    disk.write_at("a", 0, &[1; 512 * 64]).unwrap();
    disk.sync_dir().unwrap();
    disk.set_syncs_fail(true);
    disk.sync("a").unwrap_err();
    disk.set_syncs_fail(false);
    disk.write_at("a", 0, &[1; 512 * 64]).unwrap();
    disk.sync("a").unwrap();
    assert_eq!(outcomes(&disk, |disk| disk.read_at("a", 0, 512 * 64).unwrap()), [vec![1; 512 * 64]]);
}

#[test]
fn a_full_disk_refuses_growth_and_nothing_else() {
    let mut disk = disk();
    disk.set_capacity(Some(1000));
    disk.create("a", 600).unwrap();
    assert_eq!(disk.create("b", 401).unwrap_err().kind, DiskErrorKind::Full);
    assert_eq!(disk.write_at("a", 900, &[1; 200]).unwrap_err().kind, DiskErrorKind::Full);
    disk.write_at("a", 0, &[1; 600]).unwrap();
    disk.write_at("a", 900, &[1; 100]).unwrap();
    assert_eq!(disk.used_bytes(), 1000);
    disk.set_capacity(None);
    disk.create("b", 401).unwrap();
}

#[test]
fn rot_flips_what_was_asked_for_and_outlives_a_restart() {
    let mut disk = disk();
    disk.create("a", 100).unwrap();
    disk.write_at("a", 0, &[0xf0; 100]).unwrap();
    disk.sync("a").unwrap();
    disk.sync_dir().unwrap();
    assert!(disk.rot("a", 10, 0x01));
    assert!(!disk.rot("a", 100, 0x01), "behind the end");
    assert!(!disk.rot("b", 0, 0x01), "no such file");
    disk.power_loss(&mut Rng::from_seed(1));
    assert_eq!(disk.read_at("a", 9, 3).unwrap(), [0xf0, 0xf1, 0xf0]);

    let (name, offset) = disk.rot_random("", &mut Rng::from_seed(1)).unwrap();
    let rotten = disk.read_at(&name, offset, 1).unwrap()[0];
    assert_eq!((rotten ^ if offset == 10 { 0xf1 } else { 0xf0 }).count_ones(), 1);
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = || {
        let mut disk = disk();
        disk.create("a", 4096).unwrap();
        disk.sync_dir().unwrap();
        disk.write_at("a", 100, &[3; 3000]).unwrap();
        disk.power_loss(&mut Rng::from_seed(5));
        (disk.read_at("a", 0, 4096).unwrap(), disk.counters())
    };
    assert_eq!(run(), run());
}
