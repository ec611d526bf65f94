//! Dials every other member, again and again, and lets in those that dial.

use super::incoming::{Incoming, IncomingTask};
use super::outgoing::{Outgoing, OutgoingTask};
use super::{Member, Peers};
use crate::net::{Listener, Net, Stream};
use crate::node::{Node, SharedNode};
use crate::peers::handshake::{HandshakeError, Identity, Nonce, answer, dial};
use broker_core::ids::{NodeId, ShardId};
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
use tokio::time::{Instant, sleep, timeout};

/// A handshake takes no longer, connecting included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// The first wait before a member is dialled again; doubled each time.
const WAIT_LEAST: Duration = Duration::from_millis(50);
/// The longest.
const WAIT_MOST: Duration = Duration::from_secs(1);
/// A connection that stood for so long was good: the next wait is the first again.
const STEADY: Duration = Duration::from_secs(1);
/// Connections whose handshake is not over; one more is closed at once.
const GREETINGS_MAX: usize = 64;
/// How long to leave the system alone when it cannot give another connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What a node is told of the cluster that it is a member of.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Who it is.
    pub identity: Identity,
    /// Where all members listen for each other; its own address is not used.
    pub addresses: BTreeMap<NodeId, SocketAddr>,
    /// How many shards the cluster has.
    pub shards: u16,
    /// Bytes that wait to be sent to one member, above which its link is closed.
    pub queue_bytes_max: u64,
    /// Of the waits between attempts to connect.
    pub seed: u64,
}

impl<S: Stream> Node<S> {
    /// Connects this node with the other members, over `net` and through `listener`, from now on, for as long as its thread runs: also while
    /// it stops, for what its clients were promised may need the others.
    pub fn join<N>(shared: &SharedNode<S>, net: &N, listener: N::Listener, membership: Membership)
    where
        N: Net<Stream = S> + Clone + 'static,
    {
        let Membership { identity, addresses, shards, queue_bytes_max, seed } = membership;
        let rng = Rng::from_seed(seed);
        let others: Vec<_> = addresses.into_iter().filter(|(node, _)| *node != identity.node).collect();
        shared.borrow_mut().peers = Peers {
            members: others.iter().map(|(node, _)| (*node, Member::default())).collect(),
            queue_bytes_max: usize::try_from(queue_bytes_max).unwrap_or(usize::MAX),
            leaderless: (0..shards).map(ShardId).collect(),
            ..Peers::default()
        };
        let us = Rc::new(identity);
        spawn_local(let_in(listener, shared.clone(), us.clone()));
        for (peer, address) in others {
            let rng = rng.fork(&peer.to_string());
            let dialler =
                Dialler { net: net.clone(), node: shared.clone(), us: us.clone(), peer, address, rng };
            spawn_local(dialler.run());
        }
    }
}

/// Dials one member.
struct Dialler<N: Net> {
    net: N,
    node: SharedNode<N::Stream>,
    us: Rc<Identity>,
    peer: NodeId,
    address: SocketAddr,
    rng: Rng,
}

impl<N: Net> Dialler<N> {
    async fn run(mut self) {
        let mut wait = WAIT_LEAST;
        loop {
            let begun = Instant::now();
            match self.connect().await {
                Ok(None) => {}
                Ok(Some(link)) => {
                    OutgoingTask::new(link, self.node.clone()).await;
                    if begun.elapsed() >= STEADY {
                        wait = WAIT_LEAST;
                    }
                }
                Err(error) => self.node.borrow_mut().cannot_reach(self.peer, self.address, &error),
            }
            self.pause(wait).await;
            wait = (2 * wait).min(WAIT_MOST);
        }
    }

    /// `None` if the connection was of no use any more when it stood.
    async fn connect(&self) -> Result<Option<Rc<Outgoing<N::Stream>>>, HandshakeError> {
        let handshake = async {
            let mut stream = self.net.connect(self.address).await?;
            let life_least = self.node.borrow().peers.life(self.peer);
            let peer = dial(&mut stream, &self.us, self.peer, nonce()?, life_least).await?;
            Ok((stream, peer))
        };
        let (stream, peer) = in_time(handshake).await?;
        let mut node = self.node.borrow_mut();
        let link = Rc::new(Outgoing::new(node.peers.next_link(self.peer), stream));
        Ok(node.outgoing_opened(peer, &link).then_some(link))
    }

    /// Waits, but no longer than until the member dials.
    async fn pause(&mut self, wait: Duration) {
        let mut sleep = pin!(sleep(self.jittered(wait)));
        poll_fn(|context| {
            let mut node = self.node.borrow_mut();
            let Some(member) = node.peers.members.get_mut(&self.peer) else { return Poll::Ready(()) };
            if std::mem::take(&mut member.is_there) {
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

/// Lets in those that prove to be members, for ever.
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

async fn in_time<T>(handshake: impl Future<Output = Result<T, HandshakeError>>) -> Result<T, HandshakeError> {
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(outcome) => outcome,
        Err(_) => Err(HandshakeError::Lost(io::ErrorKind::TimedOut.into())),
    }
}

fn nonce() -> io::Result<Nonce> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(nonce)
}
