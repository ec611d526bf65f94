//! After the safety phase: everything heals, and all must come to rest.

use super::{REST_CHECK, World};
use crate::history::{ClientNo, What};
use crate::link::Link;
use crate::stage::{Happening, NodeIx};
use broker_core::time::Duration;

/// Silence of all clients, apart from pings, after which a run is over.
const SILENCE: Duration = Duration::from_millis(1_500);
/// The same for nodes that have to find each other and agree on who leads before they can go on.
const SILENCE_OF_CLUSTER: Duration = Duration::from_secs(5);

impl World<'_> {
    /// Ends all faults, brings up what is down, lets one client of each session connect.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        for fault in self.active.names() {
            self.fault_end(fault);
        }
        self.stage.note("heal", &[], b"");
        self.stage.record(What::Healed);
        for place in 0..self.nodes.len() {
            self.stage.schedule(self.stage.now, Happening::Start(NodeIx(place)));
        }
        // Where a node is gone for good, somebody else says that nobody is there.
        let dead = |link: &Link| link.is_forgotten() || self.nodes[link.node.0].is_retired();
        for link in self.links.values_mut().filter(|link| dead(link)) {
            link.reset(&mut self.stage, &mut self.roads[link.client.index()]);
        }
        self.peer_heal();
        for place in 0..self.clients.len() {
            let number = ClientNo(place as u32);
            let keeper = self.keeper(self.store_of[place]) == number;
            self.with_client(number, |client, desk| {
                client.restart(desk);
                client.heal(desk, keeper);
            });
        }
        self.stage.last_traffic = self.stage.now;
        self.stage.after(REST_CHECK, Happening::RestCheck);
    }

    /// The run is over early if all clients have come to rest, nothing moves any more, and whoever should lead leads, if the scenario waits for that.
    pub(super) fn rest_check(&mut self) {
        let enough = if self.wires.is_empty() { SILENCE } else { SILENCE_OF_CLUSTER };
        let silent = self.stage.now.saturating_since(self.stage.last_traffic) >= enough;
        let mut clients = self.clients.iter();
        let led = !self.scenario.phases.until_led || self.stage.leaders == self.scenario.leaders();
        if silent
            && led
            && clients.all(|client| client.is_at_rest(&self.stores[self.store_of[client.number.index()]]))
        {
            self.rested = true;
        } else {
            self.stage.after(REST_CHECK, Happening::RestCheck);
        }
    }

    /// Of the clients that share a store: the one whose connection owns it, else the first.
    fn keeper(&self, store: usize) -> ClientNo {
        let mut sharing = self.clients.iter().filter(|client| self.store_of[client.number.index()] == store);
        let owner = sharing.clone().find(|client| client.owns(&self.stores[store]));
        let first = || sharing.next().expect("a store belongs to a client");
        owner.unwrap_or_else(first).number
    }
}
