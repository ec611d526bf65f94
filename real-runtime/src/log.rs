//! Log lines on standard error, and the core's events as log lines.

use crate::config::{LogFormat, LogLevel, LogOptions};
use broker_core::event::Event;
use broker_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::io;
use tracing::{debug, info, trace, warn};
use tracing_subscriber::filter::LevelFilter;

/// A limit that is reached again and again is logged once in this time.
const LIMIT_LINE_EVERY: Duration = Duration::from_secs(1);

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
    let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_target(false);
    match options.format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
    }
}

/// Writes the core's events. What one client can cause as often as it likes is either below the default level or
/// written once in a while.
#[derive(Debug, Default)]
pub struct EventLog {
    limits: BTreeMap<&'static str, LimitLine>,
}

/// The last line about a limit.
#[derive(Debug)]
struct LimitLine {
    at: Instant,
    /// Times the limit was reached since.
    unwritten: u64,
}

impl EventLog {
    /// Writes `event`, which happened at `now`.
    pub fn write(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Recovered { entries, last, sessions, messages } => {
                info!(entries, last = last.0, sessions, messages, "recovered");
            }
            Event::Connected { conn, client_id, protocol, session_present } => {
                debug!(conn = conn.0, client = %client_id, protocol, session_present, "connected");
            }
            Event::Refused { conn, code, why } => {
                info!(conn = conn.0, code = format_args!("{code:#04x}"), why, "refused");
            }
            Event::Disconnected { conn, client_id, code, why } => {
                let client = client_id.as_deref().unwrap_or_default();
                debug!(conn = conn.0, client, code = format_args!("{code:#04x}"), why, "disconnected");
            }
            Event::Dropped { client_id, topic, payload, reason } => {
                let client = client_id.as_deref().unwrap_or_default();
                debug!(client, topic = %topic, bytes = payload.len(), reason = ?reason, "not delivered");
            }
            Event::LimitReached { limit, client_id } => {
                self.limit_reached(now, limit, client_id.as_deref().unwrap_or_default());
            }
            Event::SessionEnded { client_id, why } => {
                debug!(client = %client_id, why = ?why, "session ended");
            }
            Event::WillSent { client_id } => debug!(client = %client_id, "will sent"),
            Event::Leading { shard, term } => debug!(shard = shard.0, term, "leading"),
            Event::Durable { write } => trace!(write = write.0, "durable"),
            Event::Snapshot { upto } => debug!(upto = upto.0, "snapshot"),
        }
    }

    fn limit_reached(&mut self, now: Instant, limit: &'static str, client: &str) {
        match self.limits.get_mut(limit) {
            Some(line) if now.saturating_since(line.at) < LIMIT_LINE_EVERY => line.unwritten += 1,
            line => {
                let unwritten = line.map_or(0, |line| line.unwritten);
                warn!(limit, client, unwritten, "limit reached");
                self.limits.insert(limit, LimitLine { at: now, unwritten: 0 });
            }
        }
    }
}
