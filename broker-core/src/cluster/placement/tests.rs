use super::{FilterShards, NodeId, Placement, Ring, ShardId, TopicFilter, TopicName};
use crate::cluster::Weight;
use bytestring::ByteString;
use std::collections::{BTreeMap, BTreeSet};

fn nodes(count: u32) -> Vec<NodeId> {
    (1..=count).map(NodeId).collect()
}

fn placed(shards: u16, count: u32) -> Placement {
    Placement::new(shards, 3, &Ring::of_equals(&nodes(count)))
}

fn topic(text: &str) -> TopicName {
    TopicName::parse(ByteString::from(text)).expect("a valid name")
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(&ByteString::from(text)).expect("a valid filter")
}

fn leads(placement: &Placement) -> BTreeMap<NodeId, usize> {
    let mut leads = BTreeMap::new();
    for shard in placement.all() {
        *leads.entry(placement.replicas(shard)[0]).or_default() += 1;
    }
    leads
}

#[test]
fn leaders_and_replicas_are_spread() {
    for shards in [16, 64] {
        for count in [3, 5, 7] {
            let placement = placed(shards, count);
            for shard in placement.all() {
                let distinct: BTreeSet<_> = placement.replicas(shard).iter().collect();
                assert_eq!(distinct.len(), 3, "shard {shard} of {count} nodes");
            }
            let leads = leads(&placement);
            assert_eq!(leads.len(), count as usize, "everybody leads something: {leads:?}");
            let (least, most) = (leads.values().min(), leads.values().max());
            assert!(most <= least.map(|least| least + 2).as_ref(), "{shards} on {count}: {leads:?}");
            let even = usize::from(shards) * 3 / count as usize;
            for node in nodes(count) {
                let holds = placement.shards_of(node).count();
                assert!(
                    (even.div_ceil(2)..=even * 2).contains(&holds),
                    "{node} holds {holds}, even is {even}"
                );
            }
        }
    }
}

#[test]
fn a_heavier_node_leads_more() {
    let ring = Ring::new([(NodeId(1), Weight(2)), (NodeId(2), Weight(1)), (NodeId(3), Weight(1))]);
    let leads = leads(&Placement::new(16, 3, &ring));
    assert_eq!(leads.into_values().collect::<Vec<_>>(), [8, 4, 4]);
}

#[test]
fn a_node_that_joins_takes_its_part_and_nothing_moves_between_the_others() {
    for count in 3..=7 {
        let (before, after) = (placed(64, count), placed(64, count + 1));
        let newcomer = NodeId(count + 1);
        let mut moved = 0;
        for shard in before.all() {
            let old: BTreeSet<_> = before.replicas(shard).iter().copied().collect();
            let new: BTreeSet<_> = after.replicas(shard).iter().copied().collect();
            let came: Vec<_> = new.difference(&old).copied().collect();
            assert!(came.is_empty() || came == [newcomer], "shard {shard}: {came:?} came");
            moved += came.len();
        }
        let fair = 64 * 3 / (count as usize + 1);
        assert!((fair * 2 / 3..=fair * 3 / 2).contains(&moved), "{moved} replicas moved, fair is {fair}");
    }
}

#[test]
fn with_fewer_nodes_than_replicas_all_hold_everything() {
    let placement = placed(16, 2);
    assert!(placement.all().all(|shard| placement.replicas(shard).len() == 2));
}

#[test]
fn the_order_of_members_does_not_matter() {
    let (mut members, forwards) = (nodes(5), placed(16, 5));
    members.reverse();
    assert_eq!(Placement::new(16, 3, &Ring::of_equals(&members)), forwards);
}

#[test]
fn a_filter_reaches_the_shards_of_the_topics_it_matches() {
    let placement = placed(16, 3);
    for wildcard in ["#", "+", "a/+", "a/#", "$share/g/a/#", "+/b"] {
        assert_eq!(placement.filter_shards(&filter(wildcard)), FilterShards::All, "{wildcard}");
    }
    let shard = placement.topic_shard(&topic("a/b"));
    for exact in ["a/b", "$share/g/a/b"] {
        assert_eq!(placement.filter_shards(&filter(exact)), FilterShards::One(shard));
    }
    assert!(FilterShards::One(shard).contains(shard) && FilterShards::All.contains(shard));
    assert!(!FilterShards::One(shard).contains(ShardId(shard.0 ^ 1)));
}

#[test]
fn topics_and_clients_are_spread_over_all_shards() {
    let placement = placed(16, 3);
    let (mut topics, mut clients) = ([0; 16], [0; 16]);
    for n in 0..16_000 {
        topics[usize::from(placement.topic_shard(&topic(&format!("plant/{n}/temperature"))).0)] += 1;
        clients[usize::from(placement.session_shard(&format!("client-{n}")).0)] += 1;
    }
    for count in topics.into_iter().chain(clients) {
        assert!((850..1_150).contains(&count), "{count} of 1000 expected");
    }
}

/// What is on disk was put there by these numbers.
#[test]
#[rustfmt::skip]
fn the_placement_never_changes() {
    let placement = placed(16, 5);
    let topics = ["a", "a/b", "sensors/1/temperature", "$SYS/uptime", "é"];
    let topics = topics.map(|text| placement.topic_shard(&topic(text)).0);
    let clients = ["", "a", "client-1", "é"].map(|text| placement.session_shard(text).0);
    let replicas: Vec<Vec<u32>> = placement
        .all()
        .map(|shard| placement.replicas(shard).iter().map(|node| node.0).collect())
        .collect();
    assert_eq!(topics, [13, 2, 6, 0, 9]);
    assert_eq!(clients, [5, 0, 3, 15]);
    let expected = [
        [5, 4, 1], [1, 3, 2], [3, 1, 2], [4, 3, 2], [2, 4, 1], [5, 3, 4], [3, 4, 5], [4, 5, 1],
        [2, 5, 3], [3, 2, 4], [2, 3, 4], [1, 3, 5], [4, 1, 5], [1, 3, 5], [1, 2, 3], [2, 4, 3],
    ];
    assert_eq!(replicas, expected);
}
