//! What lives and dies with one connection of a client.

use super::wire::Reader;
use crate::history::{ConnAck, Packet, Publish, Version};
use crate::scenario::StepId;
use broker_core::ids::ConnId;
use broker_core::time::{Duration, Instant};
use bytestring::ByteString;
use std::collections::BTreeMap;

use super::request::Request;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) conn: ConnId,
    pub(super) reader: Reader,
    /// CONNACK was received.
    pub(super) open: bool,
    /// The step that opened it.
    pub(super) step: Option<StepId>,
    /// What the broker takes at once.
    pub(super) receive_max: u16,
    /// The longest packet the broker takes.
    pub(super) packet_bytes_max: Option<u32>,
    /// SUBSCRIBEs and UNSUBSCRIBEs without an answer.
    pub(super) requests: BTreeMap<u16, Request>,
    /// When the client gives the connection up, unless an answer arrives.
    pub(super) patience: Option<Instant>,
    /// When the client gives the connection up, whatever arrives: the broker may wait for the rest of what it took for a packet.
    pub(super) garbled_until: Option<Instant>,
    ping_every: Option<Duration>,
    last_sent: Instant,
    last_received: Instant,
    /// A ping is not answered yet, or the broker will end the connection anyway.
    pub(super) no_ping: bool,
    aliases_in: BTreeMap<u16, ByteString>,
    aliases_out: BTreeMap<ByteString, u16>,
    aliases_out_max: u16,
    answers: BTreeMap<(Instant, u64), Packet>,
    answered: u64,
    last_answer: Instant,
}

impl Connection {
    pub(super) fn new(conn: ConnId, version: Version, step: Option<StepId>, patience: Instant) -> Self {
        Connection {
            conn,
            reader: Reader::new(version),
            open: false,
            step,
            receive_max: u16::MAX,
            packet_bytes_max: None,
            requests: BTreeMap::new(),
            patience: Some(patience),
            garbled_until: None,
            ping_every: None,
            last_sent: Instant::ZERO,
            last_received: Instant::ZERO,
            no_ping: false,
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            aliases_out_max: 0,
            answers: BTreeMap::new(),
            answered: 0,
            last_answer: Instant::ZERO,
        }
    }

    /// When the client gives the connection up as it stands.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        self.patience.into_iter().chain(self.garbled_until).min()
    }

    /// The broker accepted the connection.
    pub(super) fn accepted(
        &mut self,
        now: Instant,
        connack: &ConnAck,
        keep_alive_s: u16,
        uses_aliases: bool,
    ) {
        self.open = true;
        self.patience = None;
        self.receive_max = connack.receive_max;
        self.packet_bytes_max = connack.packet_bytes_max;
        self.aliases_out_max = if uses_aliases { connack.topic_alias_max } else { 0 };
        let keep_alive_s = connack.keep_alive_s.unwrap_or(keep_alive_s);
        self.ping_every = (keep_alive_s > 0).then(|| Duration::from_millis(u64::from(keep_alive_s) * 750));
        self.received(now);
    }

    /// The client sent something.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// The client received something.
    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// When the client pings: if one direction has been silent for long. What it sends itself keeps the broker content,
    /// but does not tell it whether anybody listens.
    pub(super) fn ping_at(&self) -> Option<Instant> {
        let every = self.ping_every.filter(|_| self.open && !self.no_ping)?;
        Some(self.last_sent.min(self.last_received) + every)
    }

    /// Gives an outgoing publish an alias, if aliases are used and one is free.
    pub(super) fn alias_out(&mut self, publish: &mut Publish) {
        publish.topic_on_wire = true;
        publish.alias = None;
        if self.aliases_out_max == 0 {
            return;
        }
        if let Some(alias) = self.aliases_out.get(&publish.topic) {
            publish.alias = Some(*alias);
            publish.topic_on_wire = false;
            return;
        }
        let next = u16::try_from(self.aliases_out.len() + 1).unwrap_or(u16::MAX);
        if next <= self.aliases_out_max {
            self.aliases_out.insert(publish.topic.clone(), next);
            publish.alias = Some(next);
        }
    }

    /// Puts the topic into an incoming publish that has an alias alone; an unknown alias leaves it empty.
    pub(super) fn alias_in(&mut self, publish: &mut Publish) {
        let Some(alias) = publish.alias else {
            return;
        };
        if publish.topic_on_wire {
            self.aliases_in.insert(alias, publish.topic.clone());
        } else if let Some(topic) = self.aliases_in.get(&alias) {
            publish.topic = topic.clone();
        }
    }

    /// Puts an answer on the list; `in_order` keeps it behind those already on it.
    pub(super) fn answer(&mut self, due: Instant, in_order: bool, packet: Packet) {
        let due = if in_order { due.max(self.last_answer) } else { due };
        self.last_answer = self.last_answer.max(due);
        self.answered += 1;
        self.answers.insert((due, self.answered), packet);
    }

    /// When the next answer is due.
    pub(super) fn answer_due(&self) -> Option<Instant> {
        self.answers.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next answer that is due at `now`.
    pub(super) fn take_answer(&mut self, now: Instant) -> Option<Packet> {
        let entry = self.answers.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// Whether nothing is to be sent or awaited on this connection.
    pub(super) fn is_quiet(&self) -> bool {
        self.open && self.answers.is_empty() && self.requests.is_empty()
    }
}
