//! Who the other members are: those of the configuration, until the core knows better; then those that it tells.
//!
//! One that is a member no more is not dialled and not let in again, but its links are left to it for a moment: what it is told last, over them,
//! is that it has left.

use super::{Ending, Member, Peers};
use crate::net::Stream;
use crate::node::Node;
use broker_core::face::Input;
use broker_core::ids::{NodeId, ShardId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

/// What is to be done by whoever has the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Dial this member, from now on.
    Dial {
        /// Whom.
        peer: NodeId,
        /// Where.
        address: SocketAddr,
        /// The number of the dialler.
        dialler: u64,
    },
    /// Close what is left of the links with a former member, in a moment.
    Part(NodeId),
}

impl<S> Peers<S> {
    /// The members of the configuration; `own` is this node.
    pub(super) fn configured(own: NodeId, mut addresses: BTreeMap<NodeId, SocketAddr>, shards: u16) -> Self {
        addresses.remove(&own);
        Peers {
            own,
            members: addresses.iter().map(|(node, address)| (*node, Member::at(*address))).collect(),
            configured: addresses,
            leaderless: (0..shards).map(ShardId).collect(),
            ..Peers::default()
        }
    }

    /// What is to be done next; waits for it.
    pub(super) fn poll_errand(&mut self, context: &mut Context<'_>) -> Poll<Errand> {
        for (peer, member) in &mut self.members {
            if member.is_former && !member.is_parting {
                member.is_parting = true;
                return Poll::Ready(Errand::Part(*peer));
            }
            if !member.is_former && member.dialler.is_none() {
                self.last_dialler += 1;
                member.dialler = Some(self.last_dialler);
                let (address, dialler) = (member.address, self.last_dialler);
                return Poll::Ready(Errand::Dial { peer: *peer, address, dialler });
            }
        }
        self.waits_for_errands.clone_from(context.waker());
        Poll::Pending
    }

    /// Whether this dialler is still the one of that member.
    pub(super) fn is_dialled_by(&self, peer: NodeId, dialler: u64) -> bool {
        self.members.get(&peer).is_some_and(|member| !member.is_former && member.dialler == Some(dialler))
    }

    /// The highest life that was seen of a member; `None` of who is none.
    pub(super) fn life(&self, peer: NodeId) -> Option<u64> {
        self.members.get(&peer).filter(|member| !member.is_former).map(|member| member.life)
    }

    /// Where to dial the members that the core has told. An address of the configuration is what an operator has corrected since.
    fn addresses(&self, told: &BTreeMap<NodeId, String>) -> BTreeMap<NodeId, SocketAddr> {
        let mut addresses = BTreeMap::new();
        for (node, address) in told.iter().filter(|(node, _)| **node != self.own) {
            match self.configured.get(node).copied().map_or_else(|| address.parse(), Ok) {
                Ok(address) => addresses.extend([(*node, address)]),
                Err(_) => tracing::error!(
                    peer = node.0,
                    address,
                    "a member's address is none that this version can dial; run the same version on all members"
                ),
            }
        }
        addresses
    }
}

impl<S> Member<S> {
    /// A member that is not connected.
    pub(super) fn at(address: SocketAddr) -> Self {
        Member {
            address,
            dialler: None,
            is_former: false,
            is_parting: false,
            life: 0,
            outgoing: None,
            incoming: None,
            is_there: false,
            waits_to_dial: Waker::noop().clone(),
        }
    }
}

impl<S: Stream> Node<S> {
    /// The core tells who the members are. As long as it knows nothing of them (version 0), they are those of the configuration.
    pub(in crate::node) fn set_members(&mut self, version: u64, told: &BTreeMap<NodeId, String>) {
        if version == 0 {
            return;
        }
        let has_left = !told.contains_key(&self.peers.own);
        if has_left && !std::mem::replace(&mut self.peers.has_left, true) {
            tracing::info!(
                "this node is no member of the cluster any more, and holds nothing: it may be switched off"
            );
        }
        let wanted = if has_left { BTreeMap::new() } else { self.peers.addresses(told) };
        let known: Vec<NodeId> = self.peers.members.keys().copied().collect();
        for peer in known.into_iter().filter(|peer| !wanted.contains_key(peer)) {
            let member = self.peers.members.get_mut(&peer).expect("just seen");
            member.is_former = true;
            member.waits_to_dial.wake_by_ref();
        }
        for (peer, address) in wanted {
            let member = self.peers.members.entry(peer).or_insert_with(|| Member::at(address));
            if member.address != address {
                let was_up = member.close();
                (member.address, member.dialler) = (address, None);
                member.waits_to_dial.wake_by_ref();
                if was_up {
                    self.down(peer, &Ending::Moved);
                }
            }
        }
        self.peers.waits_for_errands.wake_by_ref();
    }

    /// The moment is over that was left to a former member.
    pub(super) fn part(&mut self, peer: NodeId) {
        let Some(mut member) = self.peers.members.remove(&peer) else { return };
        if member.close() {
            self.down(peer, &Ending::Left);
        }
    }

    pub(super) fn down(&mut self, peer: NodeId, ending: &Ending) {
        self.peers.log.down(self.clock.now(), peer, ending);
        self.handle(Input::PeerDown { peer });
    }
}
