//! The ground a run stood on: which faults were active when, when nodes were down, how far clocks may have strayed.

use super::Place;
use broker_core::event::Event;
use broker_core::face::Durability;
use broker_core::ids::NodeId;
use broker_core::time::{Duration, Instant};
use sim::history::{ClientNo, History, NodeDown, What};
use sim::scenario::{Architecture, FaultKind, Scenario};

/// After a crash a session counts as detached up to this much later than it was: the moment of the crash is known by the
/// last entry on disk only (`docs/architecture.md`, Time).
pub const LATE_DETACH: Duration = Duration::from_secs(10);

/// How long the nodes of a cluster must have been left in peace until all of them know what any of them knew: longer than a
/// gateway's lease and an election together.
pub const SETTLING: Duration = Duration::from_secs(12);

/// How long a cluster that nothing disturbs takes to tell every shard what one has decided, elections included.
const CATCHING_UP: Duration = Duration::from_secs(3);

/// How long nodes take to agree anew on who leads, after what disturbed them.
const ELECTION: Duration = Duration::from_secs(5);

/// What the world did to the run, as far as a judge may know it.
#[derive(Debug)]
pub struct Ground<'a> {
    scenario: &'a Scenario,
    /// Faults with the time during which they were active.
    pub windows: Vec<Window<'a>>,
    /// When nodes went down, in order.
    pub downs: Vec<Down<'a>>,
    /// When nodes came up, in order.
    pub ups: Vec<(Place, NodeId)>,
    /// When nodes of a cluster were disturbed: faults, nodes that were down, links that came and went, leaders that changed. In
    /// no order; empty for a node alone.
    unrest: Vec<(Instant, Instant)>,
    /// When everything healed.
    pub healed: Option<Place>,
    /// The end of the run, if it has one.
    pub end: Option<Place>,
    /// When the last record was made.
    pub last_at: Instant,
}

/// A fault and the time during which it was active.
#[derive(Debug)]
pub struct Window<'a> {
    /// What it was.
    pub kind: &'a FaultKind,
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
}

/// A node that went down.
#[derive(Debug)]
pub struct Down<'a> {
    /// Where in the history.
    pub place: Place,
    /// When.
    pub at: Instant,
    /// Which.
    pub node: NodeId,
    /// Why.
    pub why: &'a NodeDown,
}

impl<'a> Ground<'a> {
    pub(super) fn new(scenario: &'a Scenario, history: &'a History) -> Self {
        let last_at = history.records.last().map_or(Instant::ZERO, |record| record.at);
        let mut ground = Ground {
            scenario,
            windows: Vec::new(),
            downs: Vec::new(),
            ups: Vec::new(),
            unrest: Vec::new(),
            healed: None,
            end: None,
            last_at,
        };
        for (place, record) in history.records.iter().enumerate() {
            match &record.what {
                What::FaultStarted { fault } => {
                    let until = history.records[place..].iter().find_map(|later| match later.what {
                        What::FaultEnded { fault: ended } if ended == *fault => Some(later.at),
                        _ => None,
                    });
                    if let Some(kind) = scenario.faults.iter().find(|known| known.id == *fault) {
                        let until = moves_end(history, &kind.kind).or(until).unwrap_or(last_at);
                        let from = record.at;
                        ground.windows.push(Window { kind: &kind.kind, from, until });
                    }
                }
                What::NodeDown { node, why } => {
                    ground.downs.push(Down { place, at: record.at, node: *node, why });
                }
                What::NodeUp { node } => ground.ups.push((place, *node)),
                What::Healed => ground.healed = Some(place),
                What::End { .. } => ground.end = Some(place),
                _ => {}
            }
        }
        if ground.is_cluster() {
            ground.unrest = unrest(&ground, history);
        }
        ground
    }

    /// Whether the nodes are members of one cluster.
    pub fn is_cluster(&self) -> bool {
        self.scenario.architecture != Architecture::Centralized
    }

    /// When everything that any node had taken in or noticed by `at` had surely taken effect: at once on a node alone, and in
    /// a cluster when it had been left in peace for long enough. `None` if it never was.
    pub fn settles_at(&self, at: Instant) -> Option<Instant> {
        self.in_peace_for(at, SETTLING)
    }

    /// When every shard had surely learned what any had decided by `at`; `None` if that may never have been.
    pub fn caught_up_at(&self, at: Instant) -> Option<Instant> {
        self.in_peace_for(at, CATCHING_UP)
    }

    /// Whether nodes of a cluster were disturbed between the two times, or shortly before; never on a node alone.
    pub fn disturbed(&self, from: Instant, until: Instant) -> bool {
        let from = Instant::from_nanos(from.as_nanos().saturating_sub(ELECTION.as_nanos() as u64));
        self.unrest.iter().any(|(begin, end)| *begin <= until && from <= *end)
    }

    fn in_peace_for(&self, at: Instant, span: Duration) -> Option<Instant> {
        if !self.is_cluster() {
            return Some(at);
        }
        let mut from = at;
        loop {
            let until = from + span;
            let disturbing = self.unrest.iter().filter(|(begin, end)| *begin <= until && from < *end);
            match disturbing.map(|(_, end)| *end).max() {
                Some(end) => from = end,
                None => return (until <= self.last_at).then_some(until),
            }
        }
    }

    /// Why the disk is not held to what was acknowledged, if it is not: writes in the background and a crash, or bits
    /// that flipped at the end of the log of a node alone, where damage cannot be told from a torn write.
    pub fn forgetful(&self) -> Option<&'static str> {
        let background = self.scenario.topology.nodes.iter().any(|node| node.durability == Durability::Async);
        if background && self.crashes().next().is_some() {
            return Some("writes are made in the background and a node crashed");
        }
        let rot = self.windows.iter().any(|window| matches!(window.kind, FaultKind::BitRot { .. }));
        (rot && !self.is_cluster())
            .then_some("bits flipped on the disk, which may look like a torn last write")
    }

    /// The times nodes went down other than in order.
    pub fn crashes(&self) -> impl Iterator<Item = &Down<'a>> {
        self.downs.iter().filter(|down| *down.why != NodeDown::Stopped)
    }

    /// Whether a node went down (in order or not) between two places.
    pub fn went_down(&self, from: Place, until: Place) -> bool {
        self.downs.iter().any(|down| (from..until).contains(&down.place))
    }

    /// Whether nothing at all was wrong from `from` to `until`.
    pub fn calm(&self, from: Instant, until: Instant) -> bool {
        let faulty = self.windows.iter().any(|window| window.from <= until && from <= window.until);
        let down = self.downs.iter().any(|down| from <= down.at && down.at <= until);
        !faulty && !down && !self.disturbed(from, until)
    }

    /// Whether a node is switched off by its operator, or lost, and another has taken its place or is to do without it.
    pub fn is_gone_for_good(&self, node: NodeId) -> bool {
        self.windows.iter().any(|window| match window.kind {
            FaultKind::Leave { node: gone } | FaultKind::Replace { old: gone, .. } => *gone == node,
            _ => false,
        })
    }

    /// Whether a half-open link of `client` began or lasted between the two times.
    pub fn half_open(&self, client: ClientNo, from: Instant, until: Instant) -> bool {
        self.windows.iter().any(|window| {
            *window.kind == FaultKind::HalfOpen { client } && window.from <= until && from <= window.until
        })
    }

    /// The latest end of a fault that delays what `client` and `node` say to each other and that was active between the
    /// two times.
    pub fn delayed_until(
        &self,
        client: ClientNo,
        node: NodeId,
        from: Instant,
        until: Instant,
    ) -> Option<Instant> {
        let active = self.windows.iter().filter(|window| window.from <= until && from <= window.until);
        let delaying = active.filter(|window| match window.kind {
            FaultKind::Latency { client: whom, .. }
            | FaultKind::Stall { client: whom, .. }
            | FaultKind::SlowReader { client: whom, .. }
            | FaultKind::Fragment { client: whom, .. }
            | FaultKind::ClientStall { client: whom } => *whom == client,
            FaultKind::Pause { node: which }
            | FaultKind::SlowSync { node: which, .. }
            | FaultKind::ClockRate { node: which, .. } => *which == node,
            _ => false,
        });
        delaying.map(|window| window.until).max()
    }

    /// How long a healthy link, authentication and sync may take at most, with a margin.
    pub fn healthy_delay(&self) -> Duration {
        let node = self.scenario.topology.nodes.first();
        let node_us = node.map_or(0, |node| node.auth_us.max + 4 * node.sync_us.max);
        let peers = self.scenario.topology.peers.latency_us.max;
        let peers = if self.is_cluster() { Duration::from_micros(16 * peers) } else { Duration::ZERO };
        Duration::from_micros(4 * self.scenario.topology.latency_us.max + node_us)
            + Duration::from_millis(200)
            + peers
    }

    /// By how much the nodes' clocks may be wrong over the whole run.
    pub fn clock_slack(&self) -> Duration {
        let slack_ms = self.windows.iter().map(|window| match window.kind {
            FaultKind::WallJump { by_ms, .. } => by_ms.unsigned_abs(),
            FaultKind::ClockRate { ppm, .. } => {
                let lasted_ms = window.until.as_millis().saturating_sub(window.from.as_millis());
                lasted_ms * u64::from(ppm.unsigned_abs()) / 1_000_000 + 1
            }
            FaultKind::Pause { .. } => window.until.as_millis().saturating_sub(window.from.as_millis()),
            _ => 0,
        });
        // A shard that was down as a whole goes by the wall clock of whoever leads it next.
        let walls = self.scenario.topology.nodes.iter().map(|node| node.wall_ms);
        let apart_ms = walls.clone().max().unwrap_or(0) - walls.min().unwrap_or(0);
        Duration::from_millis(slack_ms.sum::<u64>() + apart_ms)
    }
}

/// When the nodes of a cluster were disturbed.
fn unrest(ground: &Ground<'_>, history: &History) -> Vec<(Instant, Instant)> {
    let faults = ground.windows.iter().map(|window| (window.from, window.until));
    let downs = ground.downs.iter().map(|down| {
        let up = ground.ups.iter().find(|(place, node)| *place > down.place && *node == down.node);
        (down.at, up.map_or(ground.last_at, |(place, _)| history.records[*place].at))
    });
    let moments = history.records.iter().filter_map(|record| match record.what {
        What::NodeUp { .. }
        | What::PeerUp { .. }
        | What::PeerDown { .. }
        | What::Broker { event: Event::Leading { .. }, .. } => Some((record.at, record.at)),
        _ => None,
    });
    faults.chain(downs).chain(moments).collect()
}

/// When the last replica had moved because of a change of the members: leaders change meanwhile, as at a fault.
fn moves_end(history: &History, kind: &FaultKind) -> Option<Instant> {
    let changes = matches!(
        kind,
        FaultKind::Join { .. }
            | FaultKind::Leave { .. }
            | FaultKind::Drain { .. }
            | FaultKind::Replace { .. }
    );
    let moves = |(_, _, event): &(Instant, NodeId, &Event)| {
        matches!(event, Event::ReplicaBegun { .. } | Event::ReplicaGivenUp { .. } | Event::Leading { .. })
    };
    history.events().filter(moves).map(|(at, ..)| at).last().filter(|_| changes)
}
