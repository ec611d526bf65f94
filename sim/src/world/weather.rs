//! Faults begin and end.

use super::World;
use crate::history::{ClientNo, FaultId, NodeDown, What};
use crate::node::Ambush;
use crate::scenario::FaultKind;
use crate::stage::{Happening, Life, NodeIx};
use broker_core::face::Input;
use broker_core::ids::NodeId;
use broker_core::time::Duration;

/// How often a node that was told to stop is asked whether it has.
const STOP_CHECK: Duration = Duration::from_millis(20);

impl World<'_> {
    pub(super) fn fault_start(&mut self, id: FaultId) {
        let Some(fault) = self.scenario.faults.iter().find(|fault| fault.id == id).filter(|_| !self.healed)
        else {
            return;
        };
        self.stage.note("fault", &[u64::from(id.0)], fault.kind.name().as_bytes());
        self.stage.record(What::FaultStarted { fault: id });
        let kind = self.resolved(&fault.kind);
        self.active.begin(id, kind.clone());
        self.apply(&kind);
        if let Some(node) = kind.node() {
            self.strike_node(node, &kind);
        }
        if let Some(client) = kind.client() {
            self.strike_client(client, &kind);
        }
        match kind {
            FaultKind::Join { .. }
            | FaultKind::Leave { .. }
            | FaultKind::Drain { .. }
            | FaultKind::Replace { .. } => self.members_begin(&kind),
            FaultKind::PeerReset { a, b } => self.peer_reset(a, b),
            FaultKind::Flap { a, b, period_ms } => {
                self.peer_reset(a, b);
                self.stage.after(Duration::from_millis((period_ms / 2).max(1)), Happening::Flap(id));
            }
            _ => {}
        }
    }

    pub(super) fn fault_end(&mut self, id: FaultId) {
        let Some(kind) = self.active.end(id) else {
            return;
        };
        self.stage.note("fault end", &[u64::from(id.0)], b"");
        self.stage.record(What::FaultEnded { fault: id });
        self.apply(&kind);
        self.members_end(&kind);
        if let Some(node) = kind.node() {
            self.relieve_node(node, &kind);
        }
        if let Some(client) = kind.client().filter(|client| !self.active.keeps_down(*client)) {
            self.with_client(client, |client, desk| client.restart(desk));
        }
    }

    /// A node that was told to stop: has it?
    pub(super) fn stop_check(&mut self, ix: NodeIx, life: Life) {
        if self.nodes[ix.0].life() != Some(life) {
            return;
        }
        if self.nodes[ix.0].is_idle() {
            self.node_down(ix, NodeDown::Stopped);
            // It may have taken longer than the fault lasted.
            if !self.active.keeps_stopped(self.nodes[ix.0].spec.node) {
                self.stage.schedule(self.stage.now, Happening::Start(ix));
            }
        } else {
            self.stage.after(STOP_CHECK, Happening::StopCheck(ix, life));
        }
    }

    /// Lets the lasting effects of all active faults be felt by whom `kind` is about.
    fn apply(&mut self, kind: &FaultKind) {
        if let Some(node) = kind.node() {
            let ix = self.node_ix(node);
            let ground = self.active.ground(node);
            self.nodes[ix.0].set_ground(&mut self.stage, ground);
            let disk = self.nodes[ix.0].disk();
            disk.set_capacity(self.active.is_full(node).then(|| disk.used_bytes()));
            self.listen();
        }
        if kind.is_between_nodes() {
            self.peer_weather_changes();
        }
        if let Some(number) = kind.client() {
            self.roads[number.index()].weather = self.active.weather(number);
            let mood = self.active.mood(number);
            self.clients[number.index()].set_mood(mood);
            for link in self.links.values_mut().filter(|link| link.client == number) {
                link.look_again(&mut self.stage);
            }
            self.plan_timer(number);
        }
    }

    /// What a fault is that depends on how far the run has got.
    fn resolved(&self, kind: &FaultKind) -> FaultKind {
        let leader = |shard, otherwise: &NodeId| self.stage.leaders.get(shard).copied().unwrap_or(*otherwise);
        match kind {
            FaultKind::IsolateLeader { shard, otherwise } => {
                FaultKind::Isolate { node: leader(shard, otherwise) }
            }
            FaultKind::CrashLeader { shard, otherwise, power: false } => {
                FaultKind::Kill { node: leader(shard, otherwise) }
            }
            FaultKind::CrashLeader { shard, otherwise, power: true } => {
                FaultKind::PowerLoss { node: leader(shard, otherwise) }
            }
            kind => kind.clone(),
        }
    }

    fn strike_node(&mut self, node: NodeId, kind: &FaultKind) {
        let ix = self.node_ix(node);
        let life = self.nodes[ix.0].life();
        match kind {
            FaultKind::Kill { .. } => self.bring_down(ix, NodeDown::Killed),
            FaultKind::PowerLoss { .. } => self.bring_down(ix, NodeDown::PowerLost),
            FaultKind::BitRot { bits, .. } => {
                self.bring_down(ix, NodeDown::Killed);
                self.nodes[ix.0].rot(*bits);
            }
            FaultKind::Wipe { .. } => {
                self.bring_down(ix, NodeDown::Killed);
                self.nodes[ix.0].disk().wipe();
            }
            FaultKind::Stop { .. } => {
                if let Some(life) = life {
                    self.nodes[ix.0].input(&mut self.stage, Input::Shutdown);
                    self.stage.after(5 * STOP_CHECK, Happening::StopCheck(ix, life));
                }
            }
            FaultKind::CrashAtDiskOp { ops, power, .. } => {
                let ambush = Ambush::Serving { power: *power };
                self.nodes[ix.0].lie_in_wait(ambush, u64::from(ops.saturating_sub(1)));
            }
            FaultKind::CrashInRecovery { ops, times, .. } => {
                self.bring_down(ix, NodeDown::PowerLost);
                let ops = u64::from(ops.saturating_sub(1));
                self.nodes[ix.0].lie_in_wait(Ambush::Recovering { ops, times: *times }, ops);
                let restart = Duration::from_millis(self.nodes[ix.0].spec.restart_ms);
                self.stage.after(restart, Happening::Start(ix));
            }
            FaultKind::FailSync { .. } => self.nodes[ix.0].disk().set_syncs_fail(true),
            FaultKind::FailWrite { .. } => self.nodes[ix.0].disk().set_writes_fail(true),
            FaultKind::WallJump { by_ms, .. } => self.nodes[ix.0].jump(*by_ms),
            _ => {}
        }
    }

    fn relieve_node(&mut self, node: NodeId, kind: &FaultKind) {
        let ix = self.node_ix(node);
        match kind {
            FaultKind::Kill { .. }
            | FaultKind::PowerLoss { .. }
            | FaultKind::BitRot { .. }
            | FaultKind::Wipe { .. }
            | FaultKind::Stop { .. } => self.stage.schedule(self.stage.now, Happening::Start(ix)),
            FaultKind::CrashAtDiskOp { .. } | FaultKind::CrashInRecovery { .. } => {
                self.nodes[ix.0].disarm();
                self.stage.schedule(self.stage.now, Happening::Start(ix));
            }
            FaultKind::FailSync { .. } => self.nodes[ix.0].disk().set_syncs_fail(false),
            FaultKind::FailWrite { .. } => self.nodes[ix.0].disk().set_writes_fail(false),
            _ => {}
        }
    }

    fn strike_client(&mut self, number: ClientNo, kind: &FaultKind) {
        let road = &mut self.roads[number.index()];
        let links = self.links.values_mut().filter(|link| link.client == number);
        match kind {
            FaultKind::Reset { .. } => links.for_each(|link| link.reset(&mut self.stage, road)),
            FaultKind::HalfOpen { .. } => links.for_each(crate::link::Link::forget),
            FaultKind::ClientCrash { .. } => self.with_client(number, |client, desk| client.crash(desk)),
            _ => {}
        }
    }

    pub(super) fn bring_down(&mut self, ix: NodeIx, why: NodeDown) {
        if self.nodes[ix.0].life().is_some() {
            self.node_down(ix, why);
        }
    }
}
