//! The faults that are active, and what they add up to for a link, a node, a client.

use crate::client::Mood;
use crate::history::{ClientNo, FaultId};
use crate::link::Weather;
use crate::node::Ground;
use crate::peers::PeerWeather;
use crate::scenario::{Direction, FaultKind};
use broker_core::ids::NodeId;
use broker_core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// The faults that have begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Active {
    kinds: BTreeMap<FaultId, FaultKind>,
    /// Flapping links that are free at present.
    free: BTreeSet<FaultId>,
}

impl Active {
    pub(super) fn begin(&mut self, id: FaultId, kind: FaultKind) {
        self.kinds.insert(id, kind);
    }

    /// Ends a fault; `None` if it was not active.
    pub(super) fn end(&mut self, fault: FaultId) -> Option<FaultKind> {
        self.free.remove(&fault);
        self.kinds.remove(&fault)
    }

    /// Whether a fault that is active has this name, and what it is.
    pub(super) fn get(&self, fault: FaultId) -> Option<&FaultKind> {
        self.kinds.get(&fault)
    }

    /// A flapping link that is cut becomes free, one that is free is cut; whether it is cut now.
    pub(super) fn flap(&mut self, fault: FaultId) -> bool {
        let was_free = self.free.remove(&fault);
        if !was_free {
            self.free.insert(fault);
        }
        was_free
    }

    /// The network from one node to another.
    pub(super) fn peer_weather(&self, from: NodeId, to: NodeId) -> PeerWeather {
        let mut weather = PeerWeather::default();
        for (id, kind) in &self.kinds {
            weather.blocked |= kind.cuts(from, to) && !self.free.contains(id);
            match kind {
                FaultKind::PeerLatency { from: one, to: other, extra_ms } if (*one, *other) == (from, to) => {
                    weather.extra += Duration::from_millis(*extra_ms);
                }
                FaultKind::PeerBandwidth { from: one, to: other, bytes_per_ms }
                    if (*one, *other) == (from, to) =>
                {
                    weather.bytes_per_ms =
                        Some(weather.bytes_per_ms.map_or(*bytes_per_ms, |known| known.min(*bytes_per_ms)));
                }
                FaultKind::Clog { node } => weather.clogged |= *node == from || *node == to,
                _ => {}
            }
        }
        weather
    }

    /// Those that are active, by name.
    pub(super) fn names(&self) -> Vec<FaultId> {
        self.kinds.keys().copied().collect()
    }

    /// The network between `client` and its node.
    pub(super) fn weather(&self, client: ClientNo) -> Weather {
        let mut weather = Weather::default();
        for kind in self.kinds.values().filter(|kind| kind.client() == Some(client)) {
            match kind {
                FaultKind::Latency { extra_ms, .. } => weather.extra += Duration::from_millis(*extra_ms),
                FaultKind::HalfOpen { .. } => weather.black_hole = true,
                FaultKind::Stall { direction, .. } => {
                    weather.stalled_to_broker |= *direction != Direction::ToClient;
                    weather.stalled_to_client |= *direction != Direction::ToBroker;
                }
                FaultKind::ClientStall { .. } => weather.stalled_to_client = true,
                FaultKind::SlowReader { bytes_per_10ms, .. } => {
                    weather.sip_bytes = Some(lower(weather.sip_bytes, *bytes_per_10ms));
                }
                FaultKind::Fragment { bytes_max, .. } => {
                    weather.fragment = Some(lower(weather.fragment, *bytes_max));
                }
                _ => {}
            }
        }
        weather
    }

    /// The ground under `node`.
    pub(super) fn ground(&self, node: NodeId) -> Ground {
        let mut ground = Ground::default();
        for kind in self.kinds.values().filter(|kind| kind.node() == Some(node)) {
            match kind {
                FaultKind::Pause { .. } => ground.paused = true,
                FaultKind::SlowSync { extra_ms, .. } => {
                    ground.slow_sync += Duration::from_millis(*extra_ms);
                }
                FaultKind::ClockRate { ppm, .. } => ground.ppm = ground.ppm.saturating_add(*ppm),
                _ => {}
            }
        }
        ground
    }

    /// The circumstances of `client`.
    pub(super) fn mood(&self, client: ClientNo) -> Mood {
        let mut mood = Mood::default();
        for kind in self.kinds.values().filter(|kind| kind.client() == Some(client)) {
            match kind {
                FaultKind::ClientStall { .. } => mood.stalled = true,
                FaultKind::LateAck { extra_ms, .. } => mood.late += Duration::from_millis(*extra_ms),
                FaultKind::NoAck { .. } => mood.mute = true,
                _ => {}
            }
        }
        mood
    }

    /// Whether a fault that is active keeps `client` down.
    pub(super) fn keeps_down(&self, client: ClientNo) -> bool {
        self.kinds.values().any(|kind| *kind == FaultKind::ClientCrash { client })
    }

    /// Whether a fault that is active starts `node` again at its end.
    pub(super) fn keeps_stopped(&self, node: NodeId) -> bool {
        self.kinds.values().any(|kind| *kind == FaultKind::Stop { node })
    }

    /// Whether the disk of `node` is full.
    pub(super) fn is_full(&self, node: NodeId) -> bool {
        self.kinds.values().any(|kind| *kind == FaultKind::DiskFull { node })
    }
}

fn lower(known: Option<u32>, other: u32) -> u32 {
    known.map_or(other, |known| known.min(other))
}
