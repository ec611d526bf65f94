//! The faults that are active, and what they add up to for a link, a node, a client.

use crate::client::Mood;
use crate::history::{ClientNo, FaultId};
use crate::link::Weather;
use crate::node::Ground;
use crate::scenario::{Direction, Fault, FaultKind};
use broker_core::ids::NodeId;
use broker_core::time::Duration;
use std::collections::BTreeMap;

/// The faults that have begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Active(BTreeMap<FaultId, FaultKind>);

impl Active {
    pub(super) fn begin(&mut self, fault: &Fault) {
        self.0.insert(fault.id, fault.kind.clone());
    }

    /// Ends a fault; `None` if it was not active.
    pub(super) fn end(&mut self, fault: FaultId) -> Option<FaultKind> {
        self.0.remove(&fault)
    }

    /// Those that are active, by name.
    pub(super) fn names(&self) -> Vec<FaultId> {
        self.0.keys().copied().collect()
    }

    /// The network between `client` and its node.
    pub(super) fn weather(&self, client: ClientNo) -> Weather {
        let mut weather = Weather::default();
        for kind in self.0.values().filter(|kind| kind.client() == Some(client)) {
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
        for kind in self.0.values().filter(|kind| kind.node() == Some(node)) {
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
        for kind in self.0.values().filter(|kind| kind.client() == Some(client)) {
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
        self.0.values().any(|kind| *kind == FaultKind::ClientCrash { client })
    }

    /// Whether a fault that is active starts `node` again at its end.
    pub(super) fn keeps_stopped(&self, node: NodeId) -> bool {
        self.0.values().any(|kind| *kind == FaultKind::Stop { node })
    }

    /// Whether the disk of `node` is full.
    pub(super) fn is_full(&self, node: NodeId) -> bool {
        self.0.values().any(|kind| *kind == FaultKind::DiskFull { node })
    }
}

fn lower(known: Option<u32>, other: u32) -> u32 {
    known.map_or(other, |known| known.min(other))
}
