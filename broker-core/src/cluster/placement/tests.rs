use super::{FilterShards, Placement, ShardId, TopicFilter, TopicName};
use bytestring::ByteString;

fn topic(text: &str) -> TopicName {
    TopicName::parse(ByteString::from(text)).expect("a valid name")
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(&ByteString::from(text)).expect("a valid filter")
}

#[test]
fn a_filter_reaches_the_shards_of_the_topics_it_matches() {
    let placement = Placement::new(16);
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
    let placement = Placement::new(16);
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
    let placement = Placement::new(16);
    let topics = ["a", "a/b", "sensors/1/temperature", "$SYS/uptime", "é"];
    let topics = topics.map(|text| placement.topic_shard(&topic(text)).0);
    let clients = ["", "a", "client-1", "é"].map(|text| placement.session_shard(text).0);
    assert_eq!(topics, [13, 2, 6, 0, 9]);
    assert_eq!(clients, [5, 0, 3, 15]);
}
