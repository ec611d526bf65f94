//! What happens on the links between nodes.

use super::World;
use crate::history::{FaultId, What};
use crate::peers::{Pair, Side, Tell, Wire};
use crate::scenario::{Architecture, FaultKind, Scenario};
use crate::stage::{Happening, NodeIx};
use broker_core::face::Input;
use broker_core::ids::NodeId;
use broker_core::time::Duration;
use bytes::Bytes;
use std::collections::BTreeMap;

/// The links of a scenario's nodes: none if each is alone.
pub(super) fn wires(scenario: &Scenario) -> BTreeMap<Pair, Wire> {
    let count = match scenario.architecture {
        Architecture::Centralized => 0,
        Architecture::Ownership { .. } => scenario.topology.nodes.len(),
    };
    let all = (0..count).flat_map(|one| (0..one).map(move |other| (NodeIx(one), NodeIx(other))));
    let pairs = all.filter_map(|(one, other)| Pair::of(one, other));
    pairs.map(|pair| (pair, Wire::new(scenario.seed, pair, scenario.topology.peers))).collect()
}

impl World<'_> {
    /// A process of `ix` serves: links are made to it.
    pub(super) fn peer_starts(&mut self, ix: NodeIx) {
        for (pair, wire) in &mut self.wires {
            if let Some(side) = pair.side(ix) {
                wire.process_up(&mut self.stage, side);
            }
        }
    }

    /// The process of `ix` is gone; a machine without power tells nobody.
    pub(super) fn peer_goes(&mut self, ix: NodeIx, silent: bool) {
        for (pair, wire) in &mut self.wires {
            if let Some(side) = pair.side(ix) {
                wire.process_down(&mut self.stage, side, silent);
            }
        }
        self.listen();
    }

    /// A node hands out a frame.
    pub(super) fn peer_sends(&mut self, ix: NodeIx, peer: NodeId, frame: Bytes) {
        self.stage.note("send frame", &[ix.0 as u64, peer.0.into()], &frame);
        let pair = Pair::of(ix, self.node_ix(peer)).expect("a node sends no frame to itself");
        let from = pair.side(ix).expect("it is one of the two");
        let wire = self.wires.get_mut(&pair).expect("the nodes of a cluster have links to each other");
        wire.send(&mut self.stage, from, frame);
    }

    /// An attempt to make a link is due. A process that stands still answers none; one that is down has links made to it
    /// when it starts.
    pub(super) fn peer_dial(&mut self, pair: Pair) {
        let [low, high] = Side::BOTH.map(|side| &self.nodes[pair.node(side).0]);
        let both_run = low.life().is_some() && high.life().is_some();
        let awake = !low.is_paused() && !high.is_paused();
        if let Some(wire) = self.wires.get_mut(&pair) {
            wire.dial(&mut self.stage, both_run, awake);
        }
    }

    /// An attempt to make a link has got through, if those who made it are still there.
    pub(super) fn peer_join(&mut self, pair: Pair, attempt: u64) {
        let [low, high] = Side::BOTH.map(|side| &self.nodes[pair.node(side).0]);
        let (Some(low_life), Some(high_life)) = (low.life(), high.life()) else {
            return;
        };
        if low.is_paused() || high.is_paused() {
            return;
        }
        let Some(wire) = self.wires.get_mut(&pair) else {
            return;
        };
        if let Some((side, told)) = wire.join(&mut self.stage, attempt, [low_life, high_life]) {
            self.tell(pair, side, told);
            self.listen();
        }
    }

    /// Something may have arrived at one end of a link.
    pub(super) fn peer_arrive(&mut self, pair: Pair, side: Side) {
        let life = self.nodes[pair.node(side).0].life();
        if let Some(wire) = self.wires.get_mut(&pair) {
            let told = wire.arrive(&mut self.stage, side, life);
            self.tell(pair, side, told);
        }
    }

    /// One end of a link may have heard nothing for too long; a process that stands still does not notice.
    pub(super) fn peer_silence(&mut self, pair: Pair, side: Side) {
        let paused = self.nodes[pair.node(side).0].is_paused();
        let Some(wire) = self.wires.get_mut(&pair).filter(|_| !paused) else {
            return;
        };
        if wire.is_silent(self.stage.now, side) {
            let told = wire.give_up(&mut self.stage, side);
            self.tell(pair, side, told);
        }
    }

    /// What the ends of all links can hear may have changed.
    pub(super) fn listen(&mut self) {
        for (pair, wire) in &mut self.wires {
            for side in Side::BOTH {
                let mute = self.nodes[pair.node(side.other()).0].is_paused();
                wire.listen(&mut self.stage, side, mute);
            }
        }
    }

    /// The network between nodes changes: what it is now follows from the faults that are active.
    pub(super) fn peer_weather_changes(&mut self) {
        for (pair, wire) in &mut self.wires {
            for to in Side::BOTH {
                let [from, to_node] = [to.other(), to].map(|side| self.nodes[pair.node(side).0].spec.node);
                wire.set_weather(&mut self.stage, to, self.active.peer_weather(from, to_node));
            }
        }
        self.listen();
    }

    /// The link between two nodes is reset.
    pub(super) fn peer_reset(&mut self, a: NodeId, b: NodeId) {
        let pair = Pair::of(self.node_ix(a), self.node_ix(b));
        if let Some(wire) = pair.and_then(|pair| self.wires.get_mut(&pair)) {
            wire.reset(&mut self.stage);
        }
    }

    /// A flapping link is cut, or free again.
    pub(super) fn flap(&mut self, fault: FaultId) {
        let Some(FaultKind::Flap { a, b, period_ms }) = self.active.get(fault).cloned() else {
            return;
        };
        if self.active.flap(fault) {
            self.peer_reset(a, b);
        }
        self.peer_weather_changes();
        self.stage.after(Duration::from_millis((period_ms / 2).max(1)), Happening::Flap(fault));
    }

    /// Links that are dead although nobody was told are reset.
    pub(super) fn peer_heal(&mut self) {
        for wire in self.wires.values_mut().filter(|wire| wire.is_forgotten()) {
            wire.reset(&mut self.stage);
        }
    }

    fn tell(&mut self, pair: Pair, side: Side, told: impl IntoIterator<Item = Tell>) {
        let ix = pair.node(side);
        let peer = self.nodes[pair.node(side.other()).0].spec.node;
        let node = self.nodes[ix.0].spec.node;
        let mut changed = false;
        for one in told {
            let input = match one {
                Tell::Up => {
                    self.stage.record(What::PeerUp { node, peer });
                    Input::PeerUp { peer }
                }
                Tell::Down => {
                    self.stage.record(What::PeerDown { node, peer });
                    Input::PeerDown { peer }
                }
                Tell::Frame(frame) => Input::PeerFrame { peer, frame },
            };
            changed |= !matches!(input, Input::PeerFrame { .. });
            self.nodes[ix.0].input(&mut self.stage, input);
        }
        if changed {
            self.listen();
        }
    }
}
