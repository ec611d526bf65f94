//! What a node makes of a disk that tears, rots, fills up and fails: it notices, and says so.

#[path = "support/storm.rs"]
mod generator;

use broker_core::ids::NodeId;
use generator::storm;
use sim::history::{History, NodeDown, What};
use sim::scenario::{FaultKind, Scenario};
use sim::{Outcome, Production, RunOptions, run};

const NODE: NodeId = NodeId(1);

/// A storm's clients under one fault of the disk.
fn under(seed: u64, from_ms: u64, until_ms: u64, kind: FaultKind) -> (Scenario, Outcome) {
    under_all(seed, vec![(from_ms, until_ms, kind)])
}

/// A storm's clients under faults of the disk: from when, until when, what.
fn under_all(seed: u64, faults: Vec<(u64, u64, FaultKind)>) -> (Scenario, Outcome) {
    let mut scenario = storm(seed);
    scenario.faults.clear();
    for (from_ms, until_ms, kind) in faults {
        scenario.fault(from_ms, until_ms, kind);
    }
    let outcome = run(&scenario, &Production, RunOptions::default());
    assert_eq!(outcome.crash, None, "seed {seed}");
    (scenario, outcome)
}

fn count(history: &History, wanted: impl Fn(&What) -> bool) -> usize {
    history.records.iter().filter(|record| wanted(&record.what)).count()
}

fn rests(history: &History) -> bool {
    matches!(history.records.last().map(|record| &record.what), Some(What::End { restless }) if restless.is_empty())
}

#[test]
fn power_losses_leave_torn_tails_and_the_node_goes_on() {
    let mut torn = 0;
    for seed in 0..40 {
        // A record can be torn only while it is under way: on a slow disk many are, at any moment.
        let slow = (1_500, 2_000, FaultKind::SlowSync { node: NODE, extra_ms: 50 });
        let (_, outcome) = under_all(seed, vec![slow, (2_000, 2_300, FaultKind::PowerLoss { node: NODE })]);
        torn += count(&outcome.history, |what| matches!(what, What::LogRead { torn_tail: true, .. }));
        assert!(rests(&outcome.history), "seed {seed}");
    }
    assert!(torn > 0, "forty power losses under load tear something");
}

#[test]
fn a_rotten_disk_is_refused_or_does_no_harm() {
    let (mut refused, mut read_on) = (0, 0);
    for seed in 0..40 {
        let (_, outcome) = under(seed, 3_000, 3_200, FaultKind::BitRot { node: NODE, bits: 3 });
        match count(&outcome.history, |what| matches!(what, What::NodeRefused { .. })) {
            0 => {
                read_on += 1;
                assert!(rests(&outcome.history), "seed {seed}");
            }
            _ => refused += 1,
        }
    }
    assert!(refused > 0 && read_on > 0, "refused {refused}, read on {read_on}");
}

#[test]
fn a_failed_sync_or_write_takes_the_node_down_once_and_it_comes_back() {
    for seed in 0..20 {
        for kind in [FaultKind::FailSync { node: NODE }, FaultKind::FailWrite { node: NODE }] {
            let name = kind.name();
            let (_, outcome) = under(seed, 1_000, 4_000, kind);
            let failed = |what: &What| matches!(what, What::NodeDown { why: NodeDown::DiskFailed(_), .. });
            assert_eq!(count(&outcome.history, failed), 1, "seed {seed}: {name}");
            assert!(rests(&outcome.history), "seed {seed}: {name}");
        }
    }
}

#[test]
fn a_crash_waits_in_every_early_disk_call_of_a_recovery() {
    for ops in 1..=12 {
        let kind = FaultKind::CrashInRecovery { node: NODE, ops, times: 2 };
        let (_, outcome) = under(u64::from(ops), 2_000, 4_000, kind);
        let downs =
            count(&outcome.history, |what| matches!(what, What::NodeDown { why: NodeDown::PowerLost, .. }));
        assert!((1..=3).contains(&downs), "{ops}: {downs}");
        assert!(rests(&outcome.history), "{ops}");
    }
}
