//! Leadership moves to where it should be, and away from who stops.

mod nodes;

use broker_core::face::Input;
use broker_core::ids::{NodeId, ShardId};
use broker_core::time::{Duration, Instant};
use nodes::{Nodes, SHARDS};
use std::collections::BTreeMap;

const TICK: Duration = Duration::from_millis(100);
const STEADY: Duration = Duration::from_secs(10);
const SEEDS: u64 = 8;

/// Nodes of which one leads something that another one should lead, just elected.
fn elected(seed: u64) -> Nodes {
    let mut nodes = Nodes::new(3, 100 * seed);
    nodes.pass(Duration::from_secs(3));
    assert_eq!(nodes.leaders().len(), usize::from(SHARDS) + 1, "every group has a leader");
    assert!(nodes.asked_since(Instant::ZERO).is_empty(), "nobody has led for long enough");
    nodes
}

#[test]
fn every_group_comes_to_be_led_by_who_should_and_stays_there() {
    let mut moved = 0;
    for seed in 0..SEEDS {
        let mut nodes = elected(seed);
        let elected_at: BTreeMap<_, _> = nodes.said.iter().map(|said| (said.shard, said.at)).collect();
        nodes.pass(STEADY + Duration::from_secs(3));
        assert_eq!(nodes.leaders(), nodes.preferred(), "seed {seed}");
        let asked = nodes.asked_since(Instant::ZERO);
        for said in &asked {
            assert!(said.at >= elected_at[&said.shard] + STEADY, "{said:?} is too early");
            let others = asked.iter().filter(|other| other.node == said.node && other.at == said.at);
            assert_eq!(others.count(), 1, "one at a time");
        }
        moved += asked.len();
        let (now, before) = (nodes.now, nodes.said.len());
        nodes.pass(Duration::from_secs(60));
        assert_eq!(nodes.said.len(), before, "and nothing moves from {now:?} on");
    }
    assert!(moved >= 20, "{moved} groups moved");
}

#[test]
fn a_link_counts_from_its_beginning() {
    let mut nodes = elected(1);
    nodes.pass(Duration::from_secs(8));
    let all = [1, 2, 3].map(NodeId);
    for (one, other) in [(0, 1), (0, 2), (1, 2)].map(|(one, other)| (all[one], all[other])) {
        nodes.unlink(one, other);
        nodes.link(one, other);
    }
    let linked_at = nodes.now;
    nodes.pass(STEADY + Duration::from_secs(3));
    assert_eq!(nodes.leaders(), nodes.preferred());
    assert!(nodes.asked_since(Instant::ZERO).iter().all(|said| said.at >= linked_at + STEADY));
}

#[test]
fn who_was_asked_in_vain_is_asked_again_after_as_long() {
    let mut nodes = elected(2);
    let (shard, leader, to) = misled(&nodes);
    // From now on it declines.
    nodes.input(to, Input::Shutdown);
    nodes.settle();
    nodes.pass(STEADY + Duration::from_secs(25));
    let asked = nodes.asked_since(Instant::ZERO).into_iter();
    let asked = asked.filter(|said| (said.node, said.shard, said.asks) == (leader, shard, Some(to)));
    let asked: Vec<Instant> = asked.map(|said| said.at).collect();
    assert!(asked.len() >= 2, "it is asked again: {asked:?}");
    assert!(asked.windows(2).all(|pair| pair[0] + STEADY <= pair[1]), "{asked:?}");
    assert_eq!(nodes.leaders()[&shard], leader);
}

/// A shard, who leads it, and who should.
fn misled(nodes: &Nodes) -> (ShardId, NodeId, NodeId) {
    let (leaders, preferred) = (nodes.leaders(), nodes.preferred());
    let shards = (0..SHARDS).map(ShardId).map(|shard| (shard, leaders[&shard], preferred[&shard]));
    shards.into_iter().find(|(_, leader, to)| leader != to).expect("one is led by another")
}

#[test]
fn what_is_asked_during_a_hand_over_that_comes_to_nothing_is_done_right_after_it() {
    let connected = || {
        let mut nodes = elected(5);
        let (shard, leader, to) = misled(&nodes);
        let gateway = NodeId(6 - leader.0 - to.0);
        nodes.connect(gateway);
        (nodes, shard, leader, to, gateway)
    };
    let (mut nodes, shard, ..) = connected();
    nodes.pass(STEADY + Duration::from_secs(3));
    let asked = nodes.asked_since(Instant::ZERO);
    let asked = asked.iter().find(|said| said.shard == shard).expect("it is handed over");
    // The same again, but it is not heard.
    let (mut nodes, shard, leader, to, gateway) = connected();
    let before = asked.at.saturating_since(nodes.now).saturating_sub(TICK);
    nodes.pass(before);
    nodes.deaf.insert((leader, to));
    nodes.pass(TICK);
    assert_eq!(nodes.asked_since(asked.at), [*asked]);
    nodes.publish(gateway, shard);
    nodes.settle();
    nodes.pass(Duration::from_millis(800));
    assert_eq!(nodes.acknowledged, 0);
    nodes.deaf.clear();
    nodes.pass(Duration::from_millis(300));
    assert_eq!((nodes.leaders()[&shard], nodes.acknowledged), (leader, 1));
}

#[test]
fn who_stops_is_not_missed() {
    for seed in 0..SEEDS {
        let mut nodes = elected(seed);
        let stops = nodes.leaders().into_values().next().expect("somebody leads");
        let (led, now) = (nodes.leaders(), nodes.now);
        nodes.input(stops, Input::Shutdown);
        assert!(!nodes.may_stop(stops.0), "others have to be asked first");
        nodes.settle();
        assert_eq!(nodes.now, now, "no time was needed");
        if !nodes.may_stop(stops.0) {
            // Who had not answered in this second counts as lagging until it is heard.
            nodes.pass(Duration::from_millis(300));
        }
        assert!(nodes.may_stop(stops.0), "seed {seed}: {:?}", nodes.asked_since(now));
        let after = nodes.leaders();
        assert!(after.values().all(|leader| *leader != stops), "seed {seed}");
        assert!(led.iter().all(|(shard, leader)| *leader == stops || after[shard] == *leader));
        nodes.end(stops);
        let before = nodes.said.len();
        nodes.pass(Duration::from_secs(5));
        assert_eq!(nodes.said.len(), before, "seed {seed}: nobody was elected");
    }
}

#[test]
fn who_stops_last_or_together_with_all_others_does_not_wait() {
    let mut nodes = elected(3);
    for node in [1, 2, 3].map(NodeId) {
        nodes.input(node, Input::Shutdown);
    }
    nodes.settle();
    nodes.pass(Duration::from_millis(300));
    assert!([1, 2, 3].iter().all(|node| nodes.may_stop(*node)), "all have declined");

    let mut alone = Nodes::new(1, 1);
    alone.pass(Duration::from_secs(3));
    assert_eq!(alone.leaders().len(), usize::from(SHARDS) + 1);
    alone.input(NodeId(1), Input::Shutdown);
    assert!(alone.may_stop(1));
}

#[test]
fn who_stops_does_not_wait_for_ever() {
    let mut nodes = elected(4);
    let stops = nodes.leaders().into_values().next().expect("somebody leads");
    for other in [1, 2, 3].map(NodeId).into_iter().filter(|other| *other != stops) {
        nodes.deaf.insert((stops, other));
    }
    nodes.input(stops, Input::Shutdown);
    nodes.settle();
    nodes.pass(Duration::from_millis(900));
    assert!(!nodes.may_stop(stops.0), "they may answer yet");
    nodes.pass(Duration::from_millis(1_200));
    assert!(nodes.may_stop(stops.0));
}
