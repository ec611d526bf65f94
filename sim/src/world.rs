//! The world: dispatches what happens to the parts it concerns. The parts decide.

mod faults;
mod healing;
mod network;
mod operator;
mod peering;
mod weather;

use crate::client::{Ask, Client, Desk, Store};
use crate::history::{ClientNo, Packet, What};
use crate::link::{Link, Road};
use crate::node::{Failure, Node, Start};
use crate::peers::{Pair, Wire};
use crate::run::{Opener, Outcome, RunOptions, Stats};
use crate::scenario::Scenario;
use crate::script::Script;
use crate::stage::{Happening, NodeIx, Stage};
use crate::trace::Trace;
use broker_core::face::Output;
use broker_core::ids::{ConnId, NodeId};
use broker_core::time::{Duration, Instant};
use faults::Active;
use operator::Operator;
use std::collections::BTreeMap;

/// How often it is asked whether all have come to rest.
const REST_CHECK: Duration = Duration::from_millis(250);

/// Everything in a run.
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    opener: &'a dyn Opener,
    options: RunOptions,
    stage: Stage,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    /// When each client's next timer is scheduled.
    timers: Vec<Option<Instant>>,
    stores: Vec<Store>,
    /// Which store each client uses: those with the same client identifier use the same.
    store_of: Vec<usize>,
    roads: Vec<Road>,
    links: BTreeMap<ConnId, Link>,
    wires: BTreeMap<Pair, Wire>,
    script: Script,
    active: Active,
    operator: Operator,
    healed: bool,
    rested: bool,
    crash: Option<String>,
    asks: Vec<Ask>,
    outputs: Vec<Output>,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, opener: &'a dyn Opener, options: RunOptions) -> Self {
        let numbers = (0..scenario.clients.len()).map(|place| ClientNo(place as u32));
        let store_of: Vec<usize> = numbers.clone().map(|number| store_of(scenario, number)).collect();
        let latency = scenario.topology.latency_us;
        let nodes = (0..scenario.topology.nodes.len()).map(|place| Node::new(scenario, NodeIx(place)));
        let mut stage = Stage::new(Trace::new(options.lines));
        World {
            scenario,
            opener,
            options,
            nodes: nodes.collect(),
            clients: numbers.clone().map(|number| Client::new(scenario, number)).collect(),
            timers: vec![None; scenario.clients.len()],
            stores: store_of.iter().map(|_| Store::default()).collect(),
            store_of,
            roads: numbers.map(|number| Road::new(scenario.seed, number, latency)).collect(),
            links: BTreeMap::new(),
            wires: peering::wires(scenario),
            script: Script::begin(scenario, &mut stage),
            active: Active::default(),
            operator: Operator::default(),
            healed: false,
            rested: false,
            crash: None,
            asks: Vec::new(),
            outputs: Vec::new(),
            stage,
        }
    }

    pub(crate) fn run(mut self) -> Outcome {
        self.begin();
        let end = self.scenario.phases.end_at();
        let end = self.options.until.map_or(end, |until| until.min(end));
        while self.crash.is_none() && !self.rested {
            let Some(happening) = self.stage.next(end) else {
                break;
            };
            self.happen(happening);
            if self.stage.trace.events() > self.options.events_max {
                self.crash =
                    Some("time does not pass: the broker and its driver keep each other busy".to_owned());
            }
        }
        self.finish()
    }

    fn begin(&mut self) {
        for place in 0..self.nodes.len() {
            self.stage.schedule(Instant::ZERO, Happening::Start(NodeIx(place)));
        }
        let heal_at = self.scenario.phases.heal_at();
        for fault in self.scenario.faults.iter().filter(|fault| fault.from < heal_at) {
            self.stage.schedule(fault.from, Happening::FaultStart(fault.id));
            self.stage.schedule(fault.until.max(fault.from), Happening::FaultEnd(fault.id));
        }
        self.stage.schedule(heal_at, Happening::Heal);
        for place in 0..self.clients.len() {
            self.plan_timer(ClientNo(place as u32));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start(ix) => self.start(ix),
            Happening::Turn(ix, _)
            | Happening::Wake(ix, _)
            | Happening::SyncDone(ix, _)
            | Happening::SyncDue(ix, _)
            | Happening::SnapshotDone(ix, _)
            | Happening::Checked(ix, _, _) => self.node_happens(ix, happening),
            Happening::StopCheck(ix, life) => self.stop_check(ix, life),
            Happening::Arrive(conn, direction) => self.arrive(conn, direction),
            Happening::Dial(pair) => self.peer_dial(pair),
            Happening::Join(pair, attempt) => self.peer_join(pair, attempt),
            Happening::ArriveAtPeer(pair, side) => self.peer_arrive(pair, side),
            Happening::Silence(pair, side) => self.peer_silence(pair, side),
            Happening::Flap(fault) => self.flap(fault),
            Happening::Operate(request) => self.operate(request),
            Happening::ClientTimer(client) => {
                if self.timers[client.index()] == Some(self.stage.now) {
                    self.timers[client.index()] = None;
                }
                self.with_client(client, |client, desk| client.on_time(desk));
            }
            Happening::Step(step) => {
                let step = Script::step(self.scenario, step).filter(|_| !self.healed);
                if let Some(step) = step {
                    self.with_client(step.client, |client, desk| client.act(desk, step.id, &step.action));
                }
            }
            Happening::FaultStart(fault) => self.fault_start(fault),
            Happening::FaultEnd(fault) => self.fault_end(fault),
            Happening::Heal => self.heal(),
            Happening::RestCheck => self.rest_check(),
        }
    }

    /// Lets a client do something, and does what it asks for.
    fn with_client(&mut self, number: ClientNo, action: impl FnOnce(&mut Client, &mut Desk<'_>)) {
        let place = number.index();
        let store = &mut self.stores[self.store_of[place]];
        let mut desk = Desk { stage: &mut self.stage, store, asks: &mut self.asks };
        action(&mut self.clients[place], &mut desk);
        self.stage.note("client", &[u64::from(number.0), self.clients[place].draws()], b"");
        for ask in std::mem::take(&mut self.asks) {
            self.serve(number, ask);
        }
        self.plan_timer(number);
    }

    fn plan_timer(&mut self, number: ClientNo) {
        let Some(at) = self.clients[number.index()].deadline() else {
            return;
        };
        let at = at.max(self.stage.now);
        let planned = &mut self.timers[number.index()];
        if planned.is_none_or(|planned| at < planned) {
            *planned = Some(at);
            self.stage.schedule(at, Happening::ClientTimer(number));
        }
    }

    fn node_happens(&mut self, ix: NodeIx, happening: Happening) {
        let mut outputs = std::mem::take(&mut self.outputs);
        let done = self.nodes[ix.0].happen(&mut self.stage, happening, self.scenario, &mut outputs);
        for output in outputs.drain(..) {
            self.carry_out(ix, output);
        }
        self.outputs = outputs;
        if let Err(failure) = done {
            self.node_failed(ix, failure);
        }
    }

    fn start(&mut self, ix: NodeIx) {
        match self.nodes[ix.0].start(&mut self.stage, self.opener) {
            Start::Up => {
                self.cut_off_strangers(ix);
                self.peer_starts(ix);
            }
            Start::Failed(failure) => self.node_failed(ix, failure),
            Start::Refused(why) => {
                let node = self.nodes[ix.0].spec.node;
                self.stage.record(What::NodeRefused { node, why });
            }
            Start::Nothing => {}
        }
    }

    fn node_failed(&mut self, ix: NodeIx, failure: Failure) {
        if let Failure::Panic(words) = &failure {
            self.crash = Some(words.clone());
        }
        let node = &mut self.nodes[ix.0];
        let (why, supervised) = node.failed(failure);
        let restart = Duration::from_millis(node.spec.restart_ms);
        self.node_down(ix, why);
        if supervised {
            self.stage.after(restart, Happening::Start(ix));
        }
    }

    fn node_ix(&self, node: NodeId) -> NodeIx {
        let place = self.nodes.iter().position(|one| one.spec.node == node);
        NodeIx(place.unwrap_or_else(|| panic!("the scenario has no node {node}")))
    }

    fn finish(mut self) -> Outcome {
        let restless = self.clients.iter().filter(|client| {
            let store = &self.stores[self.store_of[client.number.index()]];
            !client.is_at_rest(store)
        });
        let restless = restless.map(|client| client.number).collect();
        self.stage.record(What::End { restless });
        for node in &self.nodes {
            self.stage.trace.event(self.stage.now, "end", &[node.draws()], b"");
        }
        for wire in self.wires.values() {
            self.stage.trace.event(self.stage.now, "wire", &[wire.draws()], b"");
        }
        let history = self.stage.history;
        let mut stats = Stats {
            events: self.stage.trace.events(),
            simulated_ms: self.stage.now.as_millis(),
            ..Stats::default()
        };
        for record in &history.records {
            match &record.what {
                What::Opened { .. } => stats.connections += 1,
                What::Sent { packet: Packet::Publish(_), .. } => stats.published += 1,
                What::Received { packet: Packet::Publish(_), .. } => stats.delivered += 1,
                _ => {}
            }
        }
        let (trace, lines) = self.stage.trace.finish();
        Outcome { history, trace, lines, stats, crash: self.crash }
    }
}

/// The first client with the same client identifier; clients without one have stores of their own.
fn store_of(scenario: &Scenario, number: ClientNo) -> usize {
    let client_id = &scenario.clients[number.index()].client_id;
    let first = scenario.clients.iter().position(|other| other.client_id == *client_id);
    first.filter(|_| !client_id.is_empty()).unwrap_or(number.index())
}
