//! How long clients wait when the leader of a shard dies, in simulated time.

use crate::model::{Model, Published};
use broker_core::cluster::Placement;
use broker_core::event::Event;
use broker_core::ids::{NodeId, ShardId};
use broker_core::time::{Duration, Instant};
use sim::history::{NodeDown, Qos, What};
use sim::scenario::Architecture;
use std::collections::{BTreeMap, BTreeSet};

/// What the crash of a leader was to the clients of its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Until a publish to one of its shards, sent after the crash, was acknowledged.
    pub acknowledged: Option<Duration>,
    /// Until such a publish reached a subscriber.
    pub delivered: Option<Duration>,
}

/// The crashes of nodes that led shards, and what came of each.
pub fn failovers(model: &Model<'_>) -> Vec<Failover> {
    let Architecture::Ownership { shards, .. } = model.scenario.architecture else { return Vec::new() };
    let placement = Placement::new(shards);
    let mut leaders: BTreeMap<ShardId, NodeId> = BTreeMap::new();
    let mut found = Vec::new();
    for record in &model.history.records {
        match &record.what {
            What::Broker { node, event: Event::Leading { shard, .. } } if shard.0 < shards => {
                leaders.insert(*shard, *node);
            }
            What::NodeDown { node, why: NodeDown::Killed | NodeDown::PowerLost } => {
                let led: BTreeSet<ShardId> =
                    leaders.iter().filter(|(_, leader)| *leader == node).map(|(shard, _)| *shard).collect();
                if !led.is_empty() {
                    found.push(failover(model, record.at, |message| {
                        led.contains(&placement.topic_shard(&message.topic))
                    }));
                }
            }
            _ => {}
        }
    }
    found
}

fn failover(model: &Model<'_>, down: Instant, is_affected: impl Fn(&Published<'_>) -> bool) -> Failover {
    let after = |message: &&Published<'_>| {
        message.qos != Qos::AtMostOnce
            && message.will_of.is_none()
            && model.at(message.first().place) > down
            && is_affected(message)
    };
    let since = |at: Instant| at.saturating_since(down);
    let messages: Vec<&Published<'_>> = model.published.values().filter(after).collect();
    let acknowledged = messages.iter().filter_map(|message| message.acknowledged).min();
    let tags: BTreeSet<_> = messages.iter().map(|message| message.tag).collect();
    let deliveries = model.deliveries.iter().flatten();
    let delivered = deliveries.filter(|delivery| delivery.tag.is_some_and(|tag| tags.contains(&tag)));
    Failover {
        acknowledged: acknowledged.map(|place| since(model.at(place))),
        delivered: delivered.map(|delivery| delivery.place).min().map(|place| since(model.at(place))),
    }
}

/// The smallest of `times` that is not exceeded by `percent` of them; `None` of nothing. `times` is sorted.
///
/// # Panics
/// If `percent` is not from 1 to 100.
pub fn percentile(times: &[Duration], percent: usize) -> Option<Duration> {
    assert!((1..=100).contains(&percent), "a share of all");
    let rank = (times.len() * percent).div_ceil(100);
    times.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::{Duration, Model, failovers, percentile};
    use crate::{stories, trial};

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let of = |percent| percentile(&times, percent);
        assert_eq!(
            [of(1), of(50), of(99), of(100)],
            [2, 100, 198, 200].map(|ms| Some(Duration::from_millis(ms)))
        );
        assert_eq!(percentile(&times[..1], 1), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_dead_leader_is_missed_for_as_long_as_an_election_takes() {
        let story = stories::find("leader-killed").expect("it is told");
        let scenario = story.scenario(1);
        let outcome = trial::perform(&scenario);
        let found = failovers(&Model::new(&scenario, &outcome.history));
        assert_eq!(found.len(), 1);
        let times = [found[0].acknowledged, found[0].delivered].map(|time| time.expect("it goes on"));
        assert!(
            times.iter().all(|time| *time > Duration::from_millis(500)),
            "nobody leads at once: {times:?}"
        );
    }
}
