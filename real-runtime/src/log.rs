//! Log lines on standard error, and the core's events as log lines.

use crate::config::{LogFormat, LogLevel, LogOptions};
use broker_core::event::Event;
use broker_core::ids::NodeId;
use broker_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::io;
use tracing::{debug, error, info, trace, warn};
use tracing_subscriber::filter::LevelFilter;

/// What happens again and again is logged once in this time.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// What only an operator can end is logged once in this time.
const MISTAKE_EVERY: Duration = Duration::from_secs(10);

/// Sends log lines to standard error, for the rest of the process.
pub fn start(options: &LogOptions) {
    let level = match options.level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // A line that nobody takes any more is lost. To say so on the same stream would end the process.
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    match options.format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
    }
}

/// Writes the core's events. What one client can cause as often as it likes is either below the default level or
/// written once in a while. What a client chose (its identifier, topics) is written as a string with quotes and escapes,
/// so that it cannot pass for a line of ours.
#[derive(Debug)]
pub struct EventLog {
    limits: Seldom<&'static str>,
    refusals: Seldom<u8>,
    peers: Seldom<NodeId>,
    other_shape: Seldom<()>,
}

/// Lets a line of each kind through once in a while.
#[derive(Debug)]
pub(crate) struct Seldom<K> {
    every: Duration,
    /// When the last line was written, and how many were not since.
    lines: BTreeMap<K, (Instant, u64)>,
}

impl Default for EventLog {
    fn default() -> Self {
        let (limits, refusals, peers) = Default::default();
        EventLog { limits, refusals, peers, other_shape: Seldom::every(MISTAKE_EVERY) }
    }
}

impl EventLog {
    /// Writes `event`, which happened at `now`.
    pub fn write(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Recovered { entries, last, sessions, messages } => {
                info!(entries, last = last.0, sessions, messages, "recovered");
            }
            Event::Connected { conn, client_id, protocol, session_present } => {
                debug!(conn = conn.0, client = &**client_id, protocol, session_present, "connected");
            }
            Event::Refused { conn, peer, code, why } => {
                let (conn, code_text) = (conn.0, format_args!("{code:#04x}"));
                match self.refusals.admit(now, *code) {
                    Some(unwritten) => info!(conn, peer, code = code_text, why, unwritten, "refused"),
                    None => debug!(conn, peer, code = code_text, why, "refused"),
                }
            }
            Event::Disconnected { conn, client_id, code, why } => {
                let client = client_id.as_deref().unwrap_or_default();
                debug!(conn = conn.0, client, code = format_args!("{code:#04x}"), why, "disconnected");
            }
            Event::Dropped { client_id, topic, payload, reason } => {
                let client = client_id.as_deref().unwrap_or_default();
                debug!(client, topic = &**topic, bytes = payload.len(), reason = ?reason, "not delivered");
            }
            Event::LimitReached { limit, client_id } => {
                self.limit_reached(now, limit, client_id.as_deref().unwrap_or_default());
            }
            Event::SessionEnded { client_id, why } => {
                debug!(client = &**client_id, why = ?why, "session ended");
            }
            Event::WillSent { client_id } => debug!(client = &**client_id, "will sent"),
            Event::Leading { shard, term } => debug!(shard = shard.0, term, "leading"),
            Event::HandingOver { shard, to } => debug!(shard = shard.0, to = to.0, "handing over"),
            Event::LeaderKnown { shard, leader, term } => {
                debug!(shard = shard.0, leader = leader.0, term, "leader known");
            }
            Event::GatewayDropped { shard, node } => {
                debug!(
                    shard = shard.0,
                    gateway = node.0,
                    "gateway dropped: not heard of for the length of its lease"
                );
            }
            Event::ReplicaBegun { shard } => info!(shard = shard.0, "holds a replica from now on"),
            Event::ReplicaGivenUp { shard } => info!(shard = shard.0, "gave its replica up"),
            Event::OtherShape { cluster, own } => {
                if let Some(unwritten) = self.other_shape.admit(now, ()) {
                    let ((shards, replicas), (own_shards, own_replicas)) = (cluster, own);
                    error!(
                        unwritten,
                        "the cluster has {shards} shards of {replicas} replicas, and this node is configured for {own_shards} of \
                         {own_replicas}, so it cannot be a member: set `cluster.shards = {shards}` and `cluster.replicas = {replicas}`, \
                         and start it on an empty data folder"
                    );
                }
            }
            Event::PeerFrameRefused { peer } => {
                if let Some(unwritten) = self.peers.admit(now, *peer) {
                    warn!(
                        peer = peer.0,
                        unwritten,
                        "another member said something that cannot be; does it run the same version?"
                    );
                }
            }
            Event::StrangerRefused { peer, why } => {
                error!(
                    peer = peer.0,
                    "the node that says it is this member is refused: {why}; replace it with `quorate members replace` by one with another number \
                     and an empty data folder"
                );
            }
            Event::TakenForStranger { peer, why } => {
                error!(
                    peer = peer.0,
                    "the member refuses this node, saying: {why}; bring the data folder back, or replace this node with `quorate members replace` by \
                     one with another number and an empty data folder"
                );
            }
            Event::Durable { write } => trace!(write = write.0, "durable"),
            Event::Snapshot { upto } => debug!(upto = upto.0, "snapshot"),
        }
    }

    /// Writes that `limit` was reached at `now` by `client`: its identifier, or where it comes from.
    pub fn limit_reached(&mut self, now: Instant, limit: &'static str, client: &str) {
        if let Some(unwritten) = self.limits.admit(now, limit) {
            warn!(limit, client, unwritten, "limit reached");
        }
    }
}

impl<K: Ord> Seldom<K> {
    /// One line of each kind in `every`.
    pub(crate) fn every(every: Duration) -> Self {
        Seldom { every, lines: BTreeMap::new() }
    }

    /// Whether a line of this kind is to be written; how many were not since the last one.
    pub(crate) fn admit(&mut self, now: Instant, kind: K) -> Option<u64> {
        match self.lines.get_mut(&kind) {
            Some((at, unwritten)) if now.saturating_since(*at) < self.every => {
                *unwritten += 1;
                None
            }
            last => {
                let unwritten = last.map_or(0, |(_, unwritten)| *unwritten);
                self.lines.insert(kind, (now, 0));
                Some(unwritten)
            }
        }
    }
}

impl<K: Ord> Default for Seldom<K> {
    fn default() -> Self {
        Seldom::every(LINE_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::{Instant, Seldom};

    #[test]
    fn a_flood_is_a_line_a_second_that_counts_the_others() {
        let mut lines = Seldom::default();
        let at = Instant::from_millis;
        assert_eq!(lines.admit(at(0), "a"), Some(0));
        assert_eq!(lines.admit(at(1), "b"), Some(0), "of another kind");
        for ms in 1..1_000 {
            assert_eq!(lines.admit(at(ms), "a"), None);
        }
        assert_eq!(lines.admit(at(1_000), "a"), Some(999));
        assert_eq!(lines.admit(at(2_000), "a"), Some(0));
    }
}
