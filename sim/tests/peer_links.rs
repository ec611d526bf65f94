//! The links between nodes, proven with a stand-in for the core: what is heard, in which order, and when a link ends.

#[path = "support/peers.rs"]
mod peers;

use broker_core::ids::{NodeId, ShardId};
use broker_core::rng::Rng;
use broker_core::time::{Duration, Instant};
use peers::{Entry, Heard, Log, Words, talkers};
use sim::history::{Record, What};
use sim::scenario::{FaultKind, Scenario, Span};
use sim::{Outcome, RunOptions, run};
use std::collections::BTreeMap;

/// A cluster of talkers, without clients.
fn cluster(seed: u64, nodes: u32) -> Scenario {
    let mut scenario = Scenario::cluster("talkers", seed, nodes, 4, 3);
    scenario.phases.safety_ms = 8_000;
    scenario.topology.peers.latency_us = Span { min: 100, max: 20_000 };
    scenario
}

fn perform(scenario: &Scenario) -> (Outcome, Log) {
    let (opener, log) = talkers();
    let outcome = run(scenario, &opener, RunOptions::default());
    drop(opener);
    assert_eq!(outcome.crash, None, "seed {}", scenario.seed);
    let log = std::rc::Rc::into_inner(log).expect("the run is over").into_inner();
    (outcome, log)
}

/// By process and peer: what it heard, in order.
fn by_link(log: &Log) -> BTreeMap<(NodeId, u32, NodeId), Vec<&Entry>> {
    let mut links: BTreeMap<_, Vec<&Entry>> = BTreeMap::new();
    for entry in &log.heard {
        links.entry((entry.0, entry.1, entry.3)).or_default().push(entry);
    }
    links
}

/// What must hold whatever happens: up and down take turns; frames come between them, those of one link of the sender,
/// from the first one on, without gaps; and no link of the sender is heard over two links.
fn assert_in_order(seed: u64, log: &Log) {
    for ((node, life, peer), entries) in by_link(log) {
        let about = format!("seed {seed}: node {node}, life {life}, from node {peer}");
        let mut up = false;
        let mut before: Option<Words> = None;
        let mut over: Option<Words> = None;
        for (_, _, _, _, heard) in entries {
            match heard {
                Heard::Up => {
                    assert!(!up, "{about}: up twice");
                    (up, over) = (true, None);
                }
                Heard::Down => {
                    assert!(up, "{about}: down without a link");
                    up = false;
                }
                Heard::Frame(words) => {
                    assert!(up, "{about}: {words:?} without a link");
                    let next = over.map_or(0, |last| last.number + 1);
                    assert_eq!(words.number, next, "{about}: a gap before {words:?}");
                    if let Some(last) = over {
                        assert_eq!((last.life, last.link), (words.life, words.link), "{about}");
                    } else if let Some(last) = before {
                        let later = (words.life, words.link) > (last.life, last.link);
                        assert!(later, "{about}: {words:?} after {last:?} of an earlier link");
                    }
                    (over, before) = (Some(*words), Some(*words));
                }
            }
        }
    }
}

/// When `node` was told that its link to `peer` is down, in the time of the world.
fn downs(outcome: &Outcome, node: u32, peer: u32) -> Vec<Instant> {
    let records = outcome.history.records.iter();
    let told = records.filter(|record| {
        matches!(record.what, What::PeerDown { node: who, peer: whom } if (who, whom) == (NodeId(node), NodeId(peer)))
    });
    told.map(|record| record.at).collect()
}

/// When `node` was told of a link to `peer`.
fn ups(outcome: &Outcome, node: u32, peer: u32) -> Vec<Instant> {
    let records = outcome.history.records.iter();
    let told = records.filter(|record| {
        matches!(record.what, What::PeerUp { node: who, peer: whom } if (who, whom) == (NodeId(node), NodeId(peer)))
    });
    told.map(|record| record.at).collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn every_pair_of_nodes_finds_each_other_and_frames_keep_their_order() {
    for seed in 0..20 {
        let scenario = cluster(seed, 5);
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        assert_eq!(by_link(&log).len(), 20, "seed {seed}: five nodes have twenty ends of links");
        for ((node, _, peer), entries) in by_link(&log) {
            assert_eq!(ups(&outcome, node.0, peer.0).len(), 1, "seed {seed}: a healthy link is made once");
            assert!(entries.len() > 300, "seed {seed}: node {node} heard {} from {peer}", entries.len());
        }
        assert!(log.setups.iter().all(|setup| setup.founders.len() == 5 && setup.shards == 4));
    }
}

#[test]
fn a_node_that_stands_alone_has_no_links() {
    let scenario = Scenario::single_node("alone", 1);
    let (opener, log) = talkers();
    let outcome = run(&scenario, &opener, RunOptions::default());
    let refused =
        outcome.history.records.iter().any(|record| matches!(record.what, What::NodeRefused { .. }));
    assert!(refused, "the stand-in refuses a setup without a cluster");
    assert!(log.borrow().heard.is_empty());
}

#[test]
fn a_killed_process_is_missed_at_once_and_found_again() {
    for seed in 0..50 {
        let mut scenario = cluster(seed, 3);
        scenario.fault(2_000, 4_000, FaultKind::Kill { node: NodeId(2) });
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        for peer in [1, 3] {
            let downs = downs(&outcome, peer, 2);
            assert_eq!(downs.len(), 1, "seed {seed}");
            let late = downs[0].saturating_since(Instant::from_millis(2_000));
            assert!(late <= 100 * MS, "seed {seed}: a reset takes {late:?}");
            let again = ups(&outcome, peer, 2)[1];
            assert!(again <= Instant::from_millis(4_200), "seed {seed}: found again at {again:?}");
        }
        assert!(downs(&outcome, 1, 3).is_empty(), "seed {seed}: the others keep their link");
    }
}

#[test]
fn a_machine_without_power_is_missed_by_its_silence() {
    for seed in 0..50 {
        let mut scenario = cluster(seed, 3);
        scenario.fault(2_000, 6_000, FaultKind::PowerLoss { node: NodeId(2) });
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        assert_eq!(downs(&outcome, 1, 2), [Instant::from_millis(5_000)], "seed {seed}");
        assert_eq!(ups(&outcome, 1, 2).len(), 2, "seed {seed}");
    }
}

#[test]
fn a_machine_that_is_back_before_it_was_missed_resets_the_old_link() {
    for seed in 0..50 {
        let mut scenario = cluster(seed, 3);
        scenario.fault(2_000, 2_500, FaultKind::PowerLoss { node: NodeId(2) });
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        let downs = downs(&outcome, 1, 2);
        assert_eq!(downs.len(), 1, "seed {seed}");
        assert!(
            (Instant::from_millis(2_500)..Instant::from_millis(2_700)).contains(&downs[0]),
            "seed {seed}"
        );
    }
}

#[test]
fn a_process_that_stands_still_is_given_up_by_its_peers_and_learns_it_when_it_goes_on() {
    for seed in 0..20 {
        let mut scenario = cluster(seed, 3);
        scenario.fault(1_000, 5_500, FaultKind::Pause { node: NodeId(2) });
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        assert_eq!(downs(&outcome, 1, 2), [Instant::from_millis(4_000)], "seed {seed}");
        let heard: Vec<&Entry> = by_link(&log)[&(NodeId(2), 1, NodeId(1))].clone();
        let down = heard.iter().find(|entry| entry.4 == Heard::Down).expect("it is told");
        assert!(down.2 >= Instant::from_millis(5_500), "seed {seed}: told while it stood still");
        let mut short = cluster(seed, 3);
        short.fault(1_000, 3_500, FaultKind::Pause { node: NodeId(2) });
        assert!(downs(&perform(&short).0, 1, 2).is_empty(), "seed {seed}: given up too early");
    }
}

/// Who has a link to whom after these records, by what was told. A node that goes down has none.
fn linked<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<(u32, u32)> {
    let mut links = Vec::new();
    for record in records {
        match record.what {
            What::PeerUp { node, peer } => links.push((node.0, peer.0)),
            What::PeerDown { node, peer } => links.retain(|link| *link != (node.0, peer.0)),
            What::NodeDown { node, .. } => links.retain(|(up, _)| *up != node.0),
            _ => {}
        }
    }
    links.sort_unstable();
    links
}

/// The links that are left when `kind` has lasted for long.
fn left_by(seed: u64, nodes: u32, kind: FaultKind) -> Vec<(u32, u32)> {
    let mut scenario = cluster(seed, nodes);
    scenario.fault(1_000, 8_000, kind);
    let (outcome, log) = perform(&scenario);
    assert_in_order(seed, &log);
    let healed: Vec<Instant> = (2..=nodes).flat_map(|peer| ups(&outcome, 1, peer).last().copied()).collect();
    assert_eq!(healed.len(), nodes as usize - 1, "seed {seed}: everybody finds each other again");
    linked(outcome.history.records.iter().take_while(|record| !matches!(record.what, What::Healed)))
}

#[test]
fn a_partition_ends_the_links_between_its_groups_and_no_others() {
    let ids = |names: &[u32]| names.iter().copied().map(NodeId).collect::<Vec<_>>();
    for seed in 0..10 {
        let groups = vec![ids(&[1, 2]), ids(&[3])];
        assert_eq!(left_by(seed, 3, FaultKind::Partition { groups }), [(1, 2), (2, 1)], "seed {seed}");
        let isolated = FaultKind::Isolate { node: NodeId(1) };
        assert_eq!(left_by(seed, 3, isolated), [(2, 3), (3, 2)], "seed {seed}");
        let leader = FaultKind::IsolateLeader { shard: ShardId(2), otherwise: NodeId(1) };
        assert_eq!(left_by(seed, 3, leader), [(1, 3), (3, 1)], "seed {seed}: node 2 said that it leads");
        let nobody = FaultKind::IsolateLeader { shard: ShardId(9), otherwise: NodeId(1) };
        assert_eq!(left_by(seed, 3, nobody), [(2, 3), (3, 2)], "seed {seed}");
        let bridge = FaultKind::Bridge { bridge: NodeId(2), half: ids(&[1]) };
        assert_eq!(left_by(seed, 3, bridge), [(1, 2), (2, 1), (2, 3), (3, 2)], "seed {seed}");
        let ring = left_by(seed, 5, FaultKind::MajoritiesRing { order: ids(&[1, 2, 3, 4, 5]) });
        assert_eq!(ring.len(), 10, "seed {seed}: {ring:?}");
    }
}

#[test]
fn a_block_of_one_direction_ends_the_whole_link() {
    for seed in 0..20 {
        let mut scenario = cluster(seed, 3);
        scenario.fault(1_000, 7_000, FaultKind::PeerBlock { from: NodeId(1), to: NodeId(2) });
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        assert_eq!(downs(&outcome, 2, 1), [Instant::from_millis(4_000)], "seed {seed}: it hears nothing");
        let told = downs(&outcome, 1, 2)[0];
        let late = told.saturating_since(Instant::from_millis(4_000));
        assert!(late > Duration::ZERO && late < 100 * MS, "seed {seed}: the other is told by a reset");
        assert!(ups(&outcome, 2, 1)[1] >= Instant::from_millis(7_000), "seed {seed}");
    }
}

#[test]
fn a_short_cut_ends_a_link_only_if_a_router_forgot_it() {
    let mut lost = 0;
    for seed in 0..60 {
        let mut scenario = cluster(seed, 2);
        scenario.fault(1_000, 2_000, FaultKind::Isolate { node: NodeId(1) });
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        let down = downs(&outcome, 1, 2);
        assert!(down.iter().all(|at| *at >= Instant::from_millis(4_000)), "seed {seed}: {down:?}");
        lost += usize::from(!down.is_empty());
    }
    assert!((20..60).contains(&lost), "{lost} of 60 links were forgotten one way or the other");
}

#[test]
fn a_clogged_node_hears_everything_later_and_loses_no_link() {
    for seed in 0..20 {
        let mut scenario = cluster(seed, 3);
        scenario.fault(1_000, 3_500, FaultKind::Clog { node: NodeId(2) });
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        assert!(downs(&outcome, 1, 2).is_empty() && downs(&outcome, 2, 3).is_empty(), "seed {seed}");
        let heard = by_link(&log)[&(NodeId(2), 1, NodeId(1))]
            .iter()
            .filter(|entry| entry.2 > Instant::from_millis(1_010) && entry.2 < Instant::from_millis(3_500))
            .count();
        assert_eq!(heard, 0, "seed {seed}: heard while it was clogged");
    }
}

#[test]
fn a_flapping_link_comes_and_goes() {
    for seed in 0..10 {
        let mut scenario = cluster(seed, 3);
        let flap = FaultKind::Flap { a: NodeId(1), b: NodeId(2), period_ms: 1_000 };
        scenario.fault(1_000, 6_000, flap);
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        assert!(downs(&outcome, 1, 2).len() >= 3, "seed {seed}: {:?}", downs(&outcome, 1, 2));
        assert!(downs(&outcome, 1, 3).is_empty(), "seed {seed}");
    }
}

#[test]
fn latency_and_a_narrow_road_delay_frames_in_one_direction() {
    let heard_until = |kind: FaultKind, from: u32, to: u32| {
        let mut scenario = cluster(3, 2);
        scenario.topology.peers.latency_us = Span { min: 100, max: 200 };
        scenario.fault(1_000, 8_000, kind);
        let (_, log) = perform(&scenario);
        let heard = &by_link(&log)[&(NodeId(to), 1, NodeId(from))];
        heard.iter().filter(|entry| entry.2 < Instant::from_millis(1_400)).count()
    };
    let late = |extra_ms| FaultKind::PeerLatency { from: NodeId(1), to: NodeId(2), extra_ms };
    let narrow = |bytes_per_ms| FaultKind::PeerBandwidth { from: NodeId(1), to: NodeId(2), bytes_per_ms };
    let (usual, slow) = (heard_until(late(0), 1, 2), heard_until(late(300), 1, 2));
    assert!(slow + 10 < usual, "{slow} of {usual} frames in time");
    let (wide, thin) = (heard_until(narrow(100_000), 1, 2), heard_until(narrow(1), 1, 2));
    assert!(thin + 10 < wide, "{thin} of {wide} frames of 60 bytes through a byte a millisecond");
}

/// Any faults of nodes and of the network between them.
fn storm(seed: u64) -> Scenario {
    let mut rng = Rng::from_seed(seed).fork("peers");
    let nodes = u32::try_from(rng.between(2, 5)).expect("few");
    let mut scenario = cluster(seed, nodes);
    for _ in 0..rng.between(1, 10) {
        let mut some = || NodeId(u32::try_from(rng.between(1, nodes.into())).expect("few"));
        let (node, a, b) = (some(), some(), some());
        let kind = match rng.below(12) {
            0 => FaultKind::Kill { node },
            1 => FaultKind::PowerLoss { node },
            2 => FaultKind::Pause { node },
            3 => FaultKind::Isolate { node },
            4 => FaultKind::Clog { node },
            5 => FaultKind::Partition { groups: vec![vec![a], vec![b]] },
            6 if a != b => FaultKind::PeerReset { a, b },
            7 if a != b => FaultKind::Flap { a, b, period_ms: rng.between(2, 900) },
            8 => FaultKind::PeerLatency { from: a, to: b, extra_ms: rng.between(1, 400) },
            9 => FaultKind::PeerBandwidth { from: a, to: b, bytes_per_ms: rng.between(1, 50) },
            10 => FaultKind::Stop { node },
            _ => FaultKind::PeerBlock { from: a, to: b },
        };
        let from = rng.between(0, 6_000);
        let lasts = *rng.pick(&[0, 50, 500, 2_000, 4_000]);
        scenario.fault(from, from + lasts, kind);
    }
    scenario
}

#[test]
fn whatever_happens_frames_keep_their_order_and_links_are_made_again() {
    for seed in 0..300 {
        let scenario = storm(seed);
        let (outcome, log) = perform(&scenario);
        assert_in_order(seed, &log);
        let nodes = scenario.topology.nodes.len();
        let up = linked(outcome.history.records.iter());
        assert_eq!(up.len(), nodes * (nodes - 1), "seed {seed}: all find each other after the heal");
    }
}

#[test]
fn the_same_storm_gives_the_same_trace() {
    for seed in 0..30 {
        let scenario = storm(seed);
        let (first, second) = (perform(&scenario), perform(&scenario));
        assert_eq!(first.0.trace, second.0.trace, "seed {seed}");
        assert_eq!(first.1.heard, second.1.heard, "seed {seed}");
    }
}
