//! Who members are. Before anything else is said over a link, each side introduces itself, and looks up on its own record whether the other is the one
//! that it has met before.
//!
//! A member that has lost its data would vote again where it has voted, and has not what it has acknowledged. What relies on a member's word
//! is recorded behind its introduction, in one log: who has forgotten the introduction has forgotten that too.

use super::Ownership;
use super::frame::Frame;
use crate::base::ids::NodeId;
use crate::cluster::Introduction;
use crate::event::Event;
use crate::face::Output;
use crate::session::Gateway;

/// A link over which not both sides are known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meeting {
    /// Whether this node has introduced itself.
    said: bool,
    /// Whether the other one has, and is who it should be.
    met: bool,
}

impl Ownership {
    /// Introduces this node over new links, when the life that it names is on record: the next one must not have the same number.
    pub(super) fn introduce(&mut self, gateway: &mut Gateway) {
        if !self.edge.alive {
            return;
        }
        let unsaid = self.meetings.iter().filter(|(_, meeting)| !meeting.said).map(|(peer, _)| *peer);
        for peer in unsaid.collect::<Vec<_>>() {
            let frame = Frame::Introduction(self.introduction).encode();
            gateway.output(Output::SendPeer { peer, frame });
            self.meetings.entry(peer).or_default().said = true;
            self.end_meeting(peer, gateway);
        }
    }

    /// The other side says who it is.
    pub(super) fn on_introduction(&mut self, peer: NodeId, as_whom: Introduction, gateway: &mut Gateway) {
        if !self.meetings.contains_key(&peer) {
            gateway.event(Event::PeerFrameRefused { peer });
            return;
        }
        match self.log.meet(peer, as_whom) {
            Ok(()) => {
                self.meetings.entry(peer).or_default().met = true;
                self.end_meeting(peer, gateway);
            }
            Err(why) => {
                gateway.event(Event::StrangerRefused { peer, why });
                gateway.output(Output::SendPeer { peer, frame: Frame::Stranger(why).encode() });
            }
        }
    }

    fn end_meeting(&mut self, peer: NodeId, gateway: &mut Gateway) {
        if self.meetings.get(&peer).is_some_and(|meeting| meeting.said && meeting.met) {
            self.meetings.remove(&peer);
            self.on_met(peer, gateway);
        }
    }
}
