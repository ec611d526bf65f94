//! The other members of the cluster, as this node is connected to them.
//!
//! ```text
//!            one direction opens           the other opens: PeerUp
//!   apart ─────────────────────► half ────────────────────────────► up
//!     ▲                            │ it ends                         │
//!     └────────────────────────────┴─────────────────────────────────┘
//!                                      either ends: both are closed, what is queued is dropped, PeerDown
//! ```
//!
//! What arrives is read only while both directions are open, so a frame never comes before its `PeerUp`, and a connection belongs to one
//! time of being up on both sides. Both directions are of the same life of the member: one of a later life ends those of
//! the earlier.

mod connect;
mod incoming;
mod log;
mod members;
mod outgoing;

pub use connect::Membership;

use super::{Node, SharedNode};
use crate::net::Stream;
use crate::peers::frames::TooLong;
use crate::peers::handshake::{HandshakeError, Peer};
use broker_core::face::Input;
use broker_core::ids::{NodeId, ShardId};
use bytes::Bytes;
use incoming::Incoming;
use log::PeerLog;
use outgoing::Outgoing;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// All other members.
pub(super) struct Peers<S> {
    /// This node.
    own: NodeId,
    members: BTreeMap<NodeId, Member<S>>,
    /// The members of the configuration, and where they are.
    configured: BTreeMap<NodeId, SocketAddr>,
    /// It was told that it is no member any more.
    has_left: bool,
    last_dialler: u64,
    waits_for_errands: Waker,
    queue_bytes_max: usize,
    last_link: u64,
    /// Connections that the current turn writes to.
    touched: Vec<Rc<Outgoing<S>>>,
    /// Tasks that do not read until the disk has caught up.
    stalled: Vec<Waker>,
    log: PeerLog,
    /// The shards whose leader is not known yet, until all are.
    leaderless: BTreeSet<ShardId>,
    waits_for_leaders: Waker,
}

/// One of them.
struct Member<S> {
    address: SocketAddr,
    /// The number of its dialler, if it has one.
    dialler: Option<u64>,
    /// It is a member no more; in a moment the links with it are closed, as somebody is about to see to.
    is_former: bool,
    is_parting: bool,
    /// The highest life that was seen of it.
    life: u64,
    outgoing: Option<Rc<Outgoing<S>>>,
    incoming: Option<Rc<Incoming<S>>>,
    /// It has dialled, so it can be dialled: whoever waits to do so need not.
    is_there: bool,
    waits_to_dial: Waker,
}

/// One connection to or from a member; no two have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LinkId {
    peer: NodeId,
    number: u64,
}

/// Why a connection ended.
#[derive(Debug)]
enum Ending {
    Closed,
    Failed(io::Error),
    Silent,
    QueueFull { bytes: usize },
    TooLong(TooLong),
    Spoke,
    Replaced,
    StartedAnew,
    Moved,
    Left,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Closed => f.write_str("it closed the connection"),
            Ending::Failed(error) => error.fmt(f),
            Ending::Silent => write!(f, "nothing came for {} ms", incoming::SILENCE_MAX.as_millis()),
            Ending::QueueFull { bytes } => write!(
                f,
                "it does not take what is sent as fast as it is made, and {bytes} bytes more do not fit \
                 `cluster.queue_bytes_max`"
            ),
            Ending::TooLong(error) => write!(f, "there was {error}"),
            Ending::Spoke => f.write_str("it said something where it is to listen"),
            Ending::Replaced => f.write_str("it has connected anew"),
            Ending::StartedAnew => f.write_str("it was started anew"),
            Ending::Moved => f.write_str("it has another address now"),
            Ending::Left => f.write_str("it is no member any more"),
        }
    }
}

impl<S> Default for Peers<S> {
    fn default() -> Self {
        Peers {
            own: NodeId(0),
            members: BTreeMap::new(),
            configured: BTreeMap::new(),
            has_left: false,
            last_dialler: 0,
            waits_for_errands: Waker::noop().clone(),
            queue_bytes_max: 0,
            last_link: 0,
            touched: Vec::new(),
            stalled: Vec::new(),
            log: PeerLog::default(),
            leaderless: BTreeSet::new(),
            waits_for_leaders: Waker::noop().clone(),
        }
    }
}

impl<S> Peers<S> {
    fn next_link(&mut self, peer: NodeId) -> LinkId {
        self.last_link += 1;
        LinkId { peer, number: self.last_link }
    }

    /// Goes on reading: the disk has caught up.
    pub(super) fn resume(&mut self) {
        self.stalled.drain(..).for_each(Waker::wake);
    }

    /// Somebody leads this shard, and this node knows who.
    pub(super) fn leader_known(&mut self, shard: ShardId) {
        if self.leaderless.remove(&shard) && self.leaderless.is_empty() {
            self.waits_for_leaders.wake_by_ref();
        }
    }
}

impl<S> Member<S> {
    fn is_up(&self) -> bool {
        self.outgoing.is_some() && self.incoming.is_some()
    }
}

impl<S: Stream> Member<S> {
    fn close_outgoing(&mut self) {
        if let Some(link) = self.outgoing.take() {
            link.close();
        }
    }

    fn close_incoming(&mut self) {
        if let Some(link) = self.incoming.take() {
            link.close();
        }
    }

    /// Closes both connections. True if both were open.
    fn close(&mut self) -> bool {
        let was_up = self.is_up();
        self.close_outgoing();
        self.close_incoming();
        was_up
    }

    /// Closes the connection with this number, and the other one with it if both were open. False if it is not there any more.
    fn end(&mut self, number: u64) -> bool {
        let is_outgoing = self.outgoing.as_ref().is_some_and(|link| link.id().number == number);
        let is_incoming = self.incoming.as_ref().is_some_and(|link| link.id().number == number);
        if is_outgoing || is_incoming {
            // If only one was open, closing the other does nothing.
            self.close();
        }
        is_outgoing || is_incoming
    }
}

impl<S: Stream> Node<S> {
    /// Ends when this member of a cluster has once known a leader for every shard.
    pub async fn leaders_known(shared: &SharedNode<S>) {
        poll_fn(|context| {
            let peers = &mut shared.borrow_mut().peers;
            if peers.leaderless.is_empty() {
                return Poll::Ready(());
            }
            peers.waits_for_leaders.clone_from(context.waker());
            Poll::Pending
        })
        .await;
    }

    /// Sends a frame at the end of the turn; lost if the member is not connected.
    pub(super) fn send_peer(&mut self, peer: NodeId, frame: Bytes) {
        let peers = &mut self.peers;
        // Of members that come and go the core may know a moment before the links do, or after.
        let Some(member) = peers.members.get(&peer) else { return };
        let Some(link) = member.outgoing.as_ref().filter(|_| member.is_up()) else { return };
        match link.push(frame, peers.queue_bytes_max) {
            Ok(true) => peers.touched.push(link.clone()),
            Ok(false) => {}
            Err(ending) => {
                let id = link.id();
                self.link_ended(id, &ending);
            }
        }
    }

    /// Writes to each member what the turn has for it.
    pub(super) fn flush_peers(&mut self) {
        let mut touched = std::mem::take(&mut self.peers.touched);
        for link in touched.drain(..) {
            if let Err(ending) = link.flush() {
                self.link_ended(link.id(), &ending);
            }
        }
        self.peers.touched = touched;
    }

    fn frame_arrived(&mut self, peer: NodeId, frame: Bytes) {
        self.handle(Input::PeerFrame { peer, frame });
    }

    /// This dialler dialled `peer`, and was let in. False if that came too late to be of use.
    fn outgoing_opened(&mut self, dialler: u64, peer: Peer, link: &Rc<Outgoing<S>>) -> bool {
        if !self.peers.is_dialled_by(peer.node, dialler) || !self.note_life(peer) {
            return false;
        }
        if let Some(member) = self.peers.members.get_mut(&peer.node) {
            debug_assert!(member.outgoing.is_none(), "one dials at a time");
            member.outgoing = Some(link.clone());
            member.is_there = false;
        }
        self.up_if_both(peer.node);
        true
    }

    /// `peer` dialled this node, and was let in. False if that came too late to be of use.
    fn incoming_opened(&mut self, peer: Peer, link: &Rc<Incoming<S>>) -> bool {
        if !self.note_life(peer) {
            return false;
        }
        // It would not dial if it had not given up the connection that it had.
        if let Some(old) = self.replaced(peer.node) {
            self.link_ended(old, &Ending::Replaced);
        }
        if let Some(member) = self.peers.members.get_mut(&peer.node) {
            member.incoming = Some(link.clone());
            member.is_there = member.outgoing.is_none();
            member.waits_to_dial.wake_by_ref();
        }
        self.up_if_both(peer.node);
        true
    }

    /// The connection from a member that a new one replaces; one over which nothing was read yet goes without a word.
    fn replaced(&mut self, peer: NodeId) -> Option<LinkId> {
        let member = self.peers.members.get_mut(&peer)?;
        if !member.is_up() {
            member.close_incoming();
        }
        member.incoming.as_ref().map(|link| link.id())
    }

    /// Sees to it that all connections with a member are of its latest life. False if this one is of an earlier.
    fn note_life(&mut self, peer: Peer) -> bool {
        let known = self.peers.members.get_mut(&peer.node);
        let Some(member) = known.filter(|member| !member.is_former) else { return false };
        if peer.life <= member.life {
            return peer.life == member.life;
        }
        member.life = peer.life;
        if member.close() {
            self.down(peer.node, &Ending::StartedAnew);
        }
        true
    }

    fn up_if_both(&mut self, peer: NodeId) {
        let Some(member) = self.peers.members.get(&peer).filter(|member| member.is_up()) else { return };
        if let Some(incoming) = &member.incoming {
            incoming.begin();
        }
        self.peers.log.up(self.clock.now(), peer);
        self.handle(Input::PeerUp { peer });
    }

    /// A connection is of no more use.
    fn link_ended(&mut self, link: LinkId, ending: &Ending) {
        let Some(member) = self.peers.members.get_mut(&link.peer) else { return };
        let was_up = member.is_up();
        if member.end(link.number) && was_up {
            self.down(link.peer, ending);
        }
    }

    fn cannot_reach(&mut self, peer: NodeId, address: SocketAddr, error: &HandshakeError) {
        self.peers.log.cannot_reach(self.clock.now(), peer, address, error);
    }

    fn turned_away(&mut self, from: SocketAddr, error: &HandshakeError) {
        let who = match error {
            // Whoever says that it is a member is one kind of line; the others are one kind together.
            HandshakeError::Refused { who, .. } => who.filter(|who| self.peers.members.contains_key(who)),
            _ => None,
        };
        self.peers.log.turned_away(self.clock.now(), who, from, error);
    }
}

#[cfg(test)]
mod tests;
