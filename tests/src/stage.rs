//! The nodes that clients can go to, and where each client is: clients go from one to the other until their work is done.

use crate::cluster::Cluster;
use crate::link::Link;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// How long a node to go to may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a client waits before it connects again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Which nodes clients can go to, and where they are.
#[derive(Debug)]
pub struct Stage {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    nodes: BTreeMap<u8, SocketAddr>,
    /// The node of each client.
    places: Vec<u8>,
    goes_on: bool,
    abandoned: bool,
}

impl Stage {
    /// A stage with all nodes of `cluster`, and one client for each of `places`, the node it begins with.
    pub fn new(cluster: &Cluster, places: &[u8]) -> Self {
        let nodes = cluster.nodes().map(|node| (node, cluster.address(node))).collect();
        let state = State { nodes, places: places.to_vec(), goes_on: true, abandoned: false };
        Stage { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Clients can go to this node from now on.
    pub fn open(&self, node: u8, address: SocketAddr) {
        self.change(|state| state.nodes.extend([(node, address)]));
    }

    /// Clients do not go to this node any more.
    pub fn close(&self, node: u8) {
        self.change(|state| state.nodes.retain(|open, _| *open != node));
    }

    /// The node of a client.
    pub fn node_of(&self, client: usize) -> u8 {
        self.state().places[client]
    }

    /// Whether publishers are to go on.
    pub fn goes_on(&self) -> bool {
        self.state().goes_on
    }

    /// Lets publishers come to their end.
    pub fn finish(&self) {
        self.change(|state| state.goes_on = false);
    }

    /// Calls `run` with the address of one node after the other until it ends in peace.
    ///
    /// # Panics
    /// If it ends with an error that is not that of a node which does not serve, if there is no node to go to for long, or when the test has failed.
    pub fn persist(&self, client: usize, mut run: impl FnMut(SocketAddr) -> io::Result<()>) {
        let mut moves = false;
        loop {
            let address = self.go(client, moves);
            match run(address) {
                Ok(()) => return,
                Err(error) if Link::was_lost(&error) || Link::was_sent_away(&error) => {}
                Err(error) => panic!("client {client} at {address}: {error}"),
            }
            moves = true;
            thread::sleep(AGAIN_AFTER);
        }
    }

    /// Waits until `client` has a node to go to: its own, or, if it is to move, the next one.
    fn go(&self, client: usize, moves: bool) -> SocketAddr {
        let waits = |state: &mut State| !state.abandoned && state.nodes.is_empty();
        let waited = self.changed.wait_timeout_while(self.state(), LIMIT, waits);
        let (mut state, timeout) = waited.expect("nobody panics with it");
        assert!(!state.abandoned && !timeout.timed_out(), "client {client} has no node to go to");
        let first = state.places[client] + u8::from(moves);
        let in_turn = state.nodes.range(first..).chain(state.nodes.range(..first));
        let (node, address) = in_turn.map(|(node, address)| (*node, *address)).next().expect("there is one");
        state.places[client] = node;
        address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

/// Lets the clients end when the test has failed.
#[derive(Debug)]
pub struct AbandonOnPanic<'a>(pub &'a Stage);

impl Drop for AbandonOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.change(|state| state.abandoned = true);
        }
    }
}
