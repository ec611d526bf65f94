//! Lines about links. What a misconfigured member repeats for ever is written once in a while.

use super::Ending;
use crate::log::Seldom;
use crate::peers::handshake::HandshakeError;
use broker_core::ids::NodeId;
use broker_core::time::{Duration, Instant};
use std::net::SocketAddr;
use tracing::{info, warn};

/// What cannot be helped by trying again is written once in this time.
const REFUSAL_EVERY: Duration = Duration::from_secs(10);
/// A link that comes and goes is written so often.
const CHANGE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct PeerLog {
    refusals: Seldom<(Option<NodeId>, &'static str)>,
    changes: Seldom<(NodeId, &'static str)>,
}

impl Default for PeerLog {
    fn default() -> Self {
        PeerLog { refusals: Seldom::every(REFUSAL_EVERY), changes: Seldom::every(CHANGE_EVERY) }
    }
}

impl PeerLog {
    pub(super) fn up(&mut self, now: Instant, peer: NodeId) {
        if let Some(unwritten) = self.changes.admit(now, (peer, "up")) {
            info!(peer = peer.0, unwritten, "linked with a member");
        }
    }

    pub(super) fn down(&mut self, now: Instant, peer: NodeId, why: &Ending) {
        if let Some(unwritten) = self.changes.admit(now, (peer, "down")) {
            info!(peer = peer.0, unwritten, "lost the link with a member: {why}");
        }
    }

    pub(super) fn cannot_reach(
        &mut self,
        now: Instant,
        peer: NodeId,
        address: SocketAddr,
        error: &HandshakeError,
    ) {
        let kind = kind(error);
        let Some(unwritten) = self.refusals.admit(now, (Some(peer), kind)) else { return };
        let peer = peer.0;
        match error {
            // Members start one after the other.
            HandshakeError::Lost(error) => {
                info!(peer, %address, unwritten, "cannot reach a member: {error}; trying again");
            }
            error => warn!(peer, %address, unwritten, "no link with a member: {error}; trying again"),
        }
    }

    pub(super) fn turned_away(
        &mut self,
        now: Instant,
        who: Option<NodeId>,
        from: SocketAddr,
        error: &HandshakeError,
    ) {
        let Some(unwritten) = self.refusals.admit(now, (who, kind(error))) else { return };
        match error {
            // A member that is stopped in the middle, or somebody who looks which ports are open.
            HandshakeError::Lost(error) => {
                info!(%from, unwritten, "a connection for members ended early: {error}");
            }
            HandshakeError::Refused { who: Some(claimed), why } => {
                warn!(%from, claims_to_be = claimed.0, unwritten, "turned away who wants to be a member: {why}");
            }
            error => warn!(%from, unwritten, "turned away who connected as a member: {error}"),
        }
    }
}

/// What is written as often as if it were all there is.
fn kind(error: &HandshakeError) -> &'static str {
    match error {
        HandshakeError::Lost(_) => "lost",
        HandshakeError::Nonsense => "nonsense",
        HandshakeError::Refused { .. } => "refused",
        HandshakeError::RefusedByThem(_) => "refused by them",
    }
}
