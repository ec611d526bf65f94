//! How long clients wait when the leader of a shard dies, or stops in order, in simulated time.

use crate::model::{Model, Published};
use broker_core::cluster::Placement;
use broker_core::event::Event;
use broker_core::ids::{NodeId, ShardId};
use broker_core::time::{Duration, Instant};
use sim::history::{FaultId, NodeDown, Qos, What};
use sim::scenario::{Architecture, FaultKind};
use std::collections::{BTreeMap, BTreeSet};

/// What the end of a leader was to the clients of its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Until a publish to one of its shards, sent after the crash or after it was told to stop, was acknowledged.
    pub acknowledged: Option<Duration>,
    /// Until such a publish reached a subscriber.
    pub delivered: Option<Duration>,
}

/// The crashes of nodes that led shards, and what came of each.
pub fn failovers(model: &Model<'_>) -> Vec<Failover> {
    let ends = ends_of_leaders(model, |what| match what {
        What::NodeDown { node, why: NodeDown::Killed | NodeDown::PowerLost } => Some(*node),
        _ => None,
    });
    ends.into_iter().map(|(at, led)| failover(model, at, &led)).collect()
}

/// The shards whose leaders were told to stop, and what that was to the clients of each, at every stop.
pub fn planned_stops(model: &Model<'_>) -> Vec<Failover> {
    let stops = model.scenario.faults.iter().filter_map(|fault| match fault.kind {
        FaultKind::Stop { node } => Some((fault.id, node)),
        _ => None,
    });
    let stops: BTreeMap<FaultId, NodeId> = stops.collect();
    let ends = ends_of_leaders(model, |what| match what {
        What::FaultStarted { fault } => stops.get(fault).copied(),
        _ => None,
    });
    let one_by_one = |(at, led): (Instant, BTreeSet<ShardId>)| {
        led.into_iter().map(move |shard| (at, BTreeSet::from([shard])))
    };
    ends.into_iter().flat_map(one_by_one).map(|(at, led)| failover(model, at, &led)).collect()
}

/// When the leaders of which shards met the end that `ends` sees.
fn ends_of_leaders(
    model: &Model<'_>,
    ends: impl Fn(&What) -> Option<NodeId>,
) -> Vec<(Instant, BTreeSet<ShardId>)> {
    let Architecture::Ownership { shards, .. } = model.scenario.architecture else { return Vec::new() };
    let mut leaders: BTreeMap<ShardId, NodeId> = BTreeMap::new();
    let mut found = Vec::new();
    for record in &model.history.records {
        if let What::Broker { node, event: Event::Leading { shard, .. } } = &record.what
            && shard.0 < shards
        {
            leaders.insert(*shard, *node);
        }
        let Some(node) = ends(&record.what) else { continue };
        let led: BTreeSet<ShardId> =
            leaders.iter().filter(|(_, leader)| **leader == node).map(|(shard, _)| *shard).collect();
        if !led.is_empty() {
            found.push((record.at, led));
        }
    }
    found
}

fn failover(model: &Model<'_>, down: Instant, led: &BTreeSet<ShardId>) -> Failover {
    let placement = Placement::new(u16::try_from(model.scenario.shards()).expect("few shards"));
    let after = |message: &&Published<'_>| {
        message.qos != Qos::AtMostOnce
            && message.will_of.is_none()
            && model.at(message.first().place) > down
            && led.contains(&placement.topic_shard(&message.topic))
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
    use super::{Duration, Failover, Model, failovers, percentile, planned_stops};
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

    #[test]
    fn a_leader_that_stops_in_order_is_hardly_missed() {
        let story = stories::find("rolling-restart").expect("it is told");
        let stops = (0..12).flat_map(|seed| {
            let scenario = story.scenario(seed);
            let outcome = trial::perform(&scenario);
            planned_stops(&Model::new(&scenario, &outcome.history))
        });
        let stops: Vec<Failover> = stops.collect();
        let waited: Vec<Duration> = stops.iter().filter_map(|stop| stop.acknowledged).collect();
        let longest = waited.iter().max().expect("publishes were acknowledged");
        assert!(waited.len() >= 10, "{} stops of leaders under traffic", waited.len());
        assert!(*longest < Duration::from_millis(500), "an election was waited for: {waited:?}");
    }
}
