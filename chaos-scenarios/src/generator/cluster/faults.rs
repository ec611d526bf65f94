//! Faults of nodes together and of what they say to each other, by families that are on or off.

use broker_core::ids::{NodeId, ShardId};
use broker_core::rng::Rng;
use sim::scenario::FaultKind;

/// Which families of faults a scenario has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Families {
    splits: bool,
    roads: bool,
    leaders: bool,
    blackouts: bool,
}

/// From when to when, and what.
type Timed = (u64, u64, FaultKind);

/// The kinds that a campaign must have met.
#[cfg(test)]
pub(super) const NAMES: [&str; 13] = [
    "partition",
    "isolated node",
    "block between nodes",
    "bridge",
    "ring of majorities",
    "latency between nodes",
    "narrow road between nodes",
    "reset between nodes",
    "flapping link between nodes",
    "clogged node",
    "isolated leader",
    "crash of a leader",
    "power loss",
];

impl Families {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Families {
            splits: rng.chance(1, 2),
            roads: rng.chance(1, 2),
            leaders: rng.chance(1, 2),
            blackouts: rng.chance(1, 5),
        }
    }

    /// One blow of one of the families, beginning at `from_ms`: one fault or several together; none if all families are
    /// off.
    pub(super) fn fault(self, rng: &mut Rng, nodes: &[NodeId], from_ms: u64) -> Vec<Timed> {
        let families =
            [(self.splits, Family::Split), (self.roads, Family::Road), (self.leaders, Family::Leader)];
        let families = families.into_iter().chain([(self.blackouts, Family::Blackout)]);
        let on: Vec<Family> = families.filter(|(on, _)| *on).map(|(_, family)| family).collect();
        if on.is_empty() {
            return Vec::new();
        }
        let kind = match rng.pick(&on) {
            Family::Blackout => return blackout(rng, nodes, from_ms),
            Family::Split => split(rng, nodes),
            Family::Road => road(rng, nodes),
            Family::Leader => leader(rng, nodes),
        };
        // For a moment, for about as long as an election, or longer than a silent link is kept.
        let lasts_ms = *rng.pick(&[20, 300, 1_500, 3_000, 5_000]);
        vec![(from_ms, from_ms + lasts_ms, kind)]
    }
}

enum Family {
    Split,
    Road,
    Leader,
    Blackout,
}

/// The network falls apart.
pub(crate) fn split(rng: &mut Rng, nodes: &[NodeId]) -> FaultKind {
    let order = shuffled(rng, nodes);
    let half = order.len() / 2;
    match rng.below(5) {
        0 => {
            let size = usize::try_from(rng.between(1, order.len() as u64 - 1)).expect("below a length");
            let groups = order.chunks(size);
            FaultKind::Partition { groups: groups.map(<[NodeId]>::to_vec).collect() }
        }
        1 => FaultKind::Isolate { node: order[0] },
        2 => FaultKind::PeerBlock { from: order[0], to: order[1] },
        3 => FaultKind::Bridge { bridge: order[half], half: order[..half].to_vec() },
        _ => FaultKind::MajoritiesRing { order },
    }
}

/// A road becomes slow, narrow, or unreliable.
fn road(rng: &mut Rng, nodes: &[NodeId]) -> FaultKind {
    let order = shuffled(rng, nodes);
    let (from, to) = (order[0], order[1]);
    match rng.below(5) {
        0 => FaultKind::PeerLatency { from, to, extra_ms: rng.between(5, 1_000) },
        1 => FaultKind::PeerBandwidth { from, to, bytes_per_ms: rng.between(1, 100) },
        2 => FaultKind::PeerReset { a: from, b: to },
        3 => FaultKind::Flap { a: from, b: to, period_ms: rng.between(50, 2_000) },
        _ => FaultKind::Clog { node: from },
    }
}

/// Whoever leads a shard is cut off or dies.
fn leader(rng: &mut Rng, nodes: &[NodeId]) -> FaultKind {
    let shard = ShardId(u16::try_from(rng.below(8)).expect("few shards"));
    let otherwise = *rng.pick(nodes);
    match rng.below(2) {
        0 => FaultKind::IsolateLeader { shard, otherwise },
        _ => FaultKind::CrashLeader { shard, otherwise, power: rng.chance(1, 2) },
    }
}

/// What takes a node away from the others, or from one of them.
pub(crate) fn outage(rng: &mut Rng, nodes: &[NodeId]) -> FaultKind {
    let order = shuffled(rng, nodes);
    let (node, other) = (order[0], order[1]);
    match rng.below(8) {
        0 | 1 => FaultKind::Pause { node },
        2 | 3 => FaultKind::Isolate { node },
        4 => FaultKind::Kill { node },
        5 => FaultKind::PowerLoss { node },
        6 => FaultKind::PeerBlock { from: node, to: other },
        _ => FaultKind::Clog { node },
    }
}

/// All machines lose power, almost at once, and are back one after another.
pub(crate) fn blackout(rng: &mut Rng, nodes: &[NodeId], from_ms: u64) -> Vec<Timed> {
    let spread_ms = *rng.pick(&[1, 30]);
    let lasts_ms = *rng.pick(&[100, 1_000, 3_000]);
    let strike = |node: &NodeId| {
        let at_ms = from_ms + rng.below(spread_ms);
        (at_ms, at_ms + 1 + rng.below(lasts_ms), FaultKind::PowerLoss { node: *node })
    };
    nodes.iter().map(strike).collect()
}

/// The nodes in any order.
pub(crate) fn shuffled(rng: &mut Rng, nodes: &[NodeId]) -> Vec<NodeId> {
    let mut order = nodes.to_vec();
    for place in (1..order.len()).rev() {
        let other = rng.below(place as u64 + 1);
        order.swap(place, usize::try_from(other).expect("below a length"));
    }
    order
}
