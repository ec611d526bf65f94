//! Dials every other member, again and again, and lets in those that dial, operators among them.

use super::Peers;
use super::incoming::{Incoming, IncomingTask};
use super::members::Errand;
use super::outgoing::{Outgoing, OutgoingTask};
use crate::net::{Listener, Net, Stream};
use crate::node::operators::answer_operator;
use crate::node::{Node, SharedNode};
use crate::peers::handshake::{HandshakeError, Identity, OPERATOR, answer, dial, in_time, nonce};
use broker_core::ids::NodeId;
use broker_core::rng::Rng;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

/// The first wait before a member is dialled again; doubled each time.
const WAIT_LEAST: Duration = Duration::from_millis(50);
/// The longest.
const WAIT_MOST: Duration = Duration::from_secs(1);
/// A connection that stood for so long was good: the next wait is the first again.
const STEADY: Duration = Duration::from_secs(1);
/// How long a node that was a member may hear that it is none; less than a silence that is noticed.
const PARTING: Duration = Duration::from_secs(2);
/// Connections whose handshake is not over, and operators; one more is closed at once.
const GREETINGS_MAX: usize = 64;
/// How long to leave the system alone when it cannot give another connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What a node is told of the cluster that it is a member of.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Who it is.
    pub identity: Identity,
    /// Where members listen for each other, as far as the configuration says: those to begin with, until the core knows who the members are, and after that
    /// of these members the addresses. This node's own is not used.
    pub addresses: BTreeMap<NodeId, SocketAddr>,
    /// How many shards the cluster has.
    pub shards: u16,
    /// Bytes that wait to be sent to one member, above which its link is closed.
    pub queue_bytes_max: u64,
    /// Of the waits between attempts to connect.
    pub seed: u64,
}

impl<S: Stream> Node<S> {
    /// Connects this node with the other members, whoever they are at the time, over `net` and through `listener`, from now on, for as long as its thread runs: also while
    /// it stops, for what its clients were promised may need the others.
    pub fn join<N>(shared: &SharedNode<S>, net: &N, listener: N::Listener, membership: Membership)
    where
        N: Net<Stream = S> + Clone + 'static,
    {
        let Membership { identity, addresses, shards, queue_bytes_max, seed } = membership;
        shared.borrow_mut().peers = Peers {
            queue_bytes_max: usize::try_from(queue_bytes_max).unwrap_or(usize::MAX),
            ..Peers::configured(identity.node, addresses, shards)
        };
        let us = Rc::new(identity);
        spawn_local(let_in(listener, shared.clone(), us.clone()));
        spawn_local(follow_members(net.clone(), shared.clone(), us, Rng::from_seed(seed)));
    }
}

/// Dials whoever becomes a member, and parts from who is none any more, for ever.
async fn follow_members<N>(net: N, node: SharedNode<N::Stream>, us: Rc<Identity>, rng: Rng)
where
    N: Net + Clone + 'static,
{
    loop {
        match poll_fn(|context| node.borrow_mut().peers.poll_errand(context)).await {
            Errand::Dial { peer, address, dialler } => {
                let rng = rng.fork(&peer.to_string());
                let (net, node, us) = (net.clone(), node.clone(), us.clone());
                spawn_local(Dialler { net, node, us, peer, address, number: dialler, rng }.run());
            }
            Errand::Part(peer) => {
                let node = node.clone();
                spawn_local(async move {
                    sleep(PARTING).await;
                    node.borrow_mut().part(peer);
                });
            }
        }
    }
}

/// Dials one member, as long as it is one, at one address.
struct Dialler<N: Net> {
    net: N,
    node: SharedNode<N::Stream>,
    us: Rc<Identity>,
    peer: NodeId,
    address: SocketAddr,
    number: u64,
    rng: Rng,
}

impl<N: Net> Dialler<N> {
    async fn run(mut self) {
        let mut wait = WAIT_LEAST;
        while self.is_wanted() {
            let begun = Instant::now();
            match self.connect().await {
                Ok(None) => {}
                Ok(Some(link)) => {
                    OutgoingTask::new(link, self.node.clone()).await;
                    if begun.elapsed() >= STEADY {
                        wait = WAIT_LEAST;
                    }
                }
                Err(error) if self.is_wanted() => {
                    self.node.borrow_mut().cannot_reach(self.peer, self.address, &error);
                }
                Err(_) => {}
            }
            self.pause(wait).await;
            wait = (2 * wait).min(WAIT_MOST);
        }
    }

    fn is_wanted(&self) -> bool {
        self.node.borrow().peers.is_dialled_by(self.peer, self.number)
    }

    /// `None` if the connection was of no use any more when it stood.
    async fn connect(&self) -> Result<Option<Rc<Outgoing<N::Stream>>>, HandshakeError> {
        let handshake = async {
            let mut stream = self.net.connect(self.address).await?;
            let life_least = self.node.borrow().peers.life(self.peer).unwrap_or(0);
            let peer = dial(&mut stream, &self.us, self.peer, nonce()?, life_least).await?;
            Ok((stream, peer))
        };
        let (stream, peer) = in_time(handshake).await?;
        let mut node = self.node.borrow_mut();
        let link = Rc::new(Outgoing::new(node.peers.next_link(self.peer), stream));
        Ok(node.outgoing_opened(self.number, peer, &link).then_some(link))
    }

    /// Waits, but no longer than until the member dials, or is none any more.
    async fn pause(&mut self, wait: Duration) {
        let mut sleep = pin!(sleep(self.jittered(wait)));
        poll_fn(|context| {
            let mut node = self.node.borrow_mut();
            let is_wanted = node.peers.is_dialled_by(self.peer, self.number);
            let Some(member) = node.peers.members.get_mut(&self.peer) else { return Poll::Ready(()) };
            if !is_wanted || std::mem::take(&mut member.is_there) {
                return Poll::Ready(());
            }
            member.waits_to_dial.clone_from(context.waker());
            sleep.as_mut().poll(context)
        })
        .await;
    }

    /// Between half of `wait` and all of it, so that members that lost each other do not dial in step.
    fn jittered(&mut self, wait: Duration) -> Duration {
        let half = u64::try_from(wait.as_micros() / 2).expect("a second at most");
        Duration::from_micros(half + self.rng.below(half + 1))
    }
}

/// Lets in those that prove to be members or operators, for ever.
async fn let_in<L>(mut listener: L, node: SharedNode<L::Stream>, us: Rc<Identity>)
where
    L: Listener,
    L::Stream: Stream,
{
    let greetings = Rc::new(Cell::new(0));
    loop {
        match listener.accept().await {
            Ok((stream, from)) if greetings.get() < GREETINGS_MAX => {
                greetings.set(greetings.get() + 1);
                spawn_local(greet(stream, from, node.clone(), us.clone(), greetings.clone()));
            }
            // Closed: only members have something to do here, and they come again.
            Ok(_) => {}
            // The peer changed its mind before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                let ms = ACCEPT_AGAIN.as_millis();
                tracing::error!(%error, "cannot accept connections of members; trying again in {ms} ms");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn greet<S: Stream>(
    mut stream: S,
    from: SocketAddr,
    shared: SharedNode<S>,
    us: Rc<Identity>,
    greetings: Rc<Cell<usize>>,
) {
    let handshake = async {
        let life_least = |peer| shared.borrow().peers.life(peer);
        answer(&mut stream, &us, nonce()?, life_least).await
    };
    let outcome = in_time(handshake).await;
    if outcome.as_ref().is_ok_and(|peer| peer.node == OPERATOR) {
        answer_operator(stream, from, shared).await;
        greetings.set(greetings.get() - 1);
        return;
    }
    greetings.set(greetings.get() - 1);
    let link = {
        let mut node = shared.borrow_mut();
        match outcome {
            Err(error) => return node.turned_away(from, &error),
            Ok(peer) => {
                let link = Rc::new(Incoming::new(node.peers.next_link(peer.node), stream));
                if !node.incoming_opened(peer, &link) {
                    return;
                }
                link
            }
        }
    };
    IncomingTask::new(link, shared).await;
}
