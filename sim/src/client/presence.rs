//! How a client comes, goes and comes back.

use super::connection::Connection;
use super::{Ask, Client, Desk, Store};
use crate::history::{Closer, Connect, Disconnect, Packet, Version, What, Will};
use crate::scenario::{CleanStart, Milestone, Roams, StepId};
use broker_core::ids::NodeId;
use broker_core::time::Duration;

impl Client {
    /// Opens a connection; one that is open already becomes an old one.
    pub(super) fn connect(
        &mut self,
        desk: &mut Desk<'_>,
        clean_start: Option<bool>,
        node: Option<NodeId>,
        step: Option<StepId>,
    ) {
        if let Some(mut old) = self.connection.take() {
            self.put_back(&mut old);
            self.old.insert(old.conn, old);
        }
        self.reconnect_at = None;
        self.choose_home(node);
        let clean_start = self.decide_clean_start(desk.store, clean_start);
        self.connects += 1;
        let packet = self.connect_packet(clean_start);
        let conn = desk.stage.new_conn();
        self.last_conn = Some(conn);
        desk.store.connects(desk.stage.now, conn, clean_start, packet.session_expiry_s);
        let patience = desk.stage.now + Duration::from_millis(self.spec.conduct.patience_ms);
        self.connection = Some(Connection::new(conn, self.spec.version, step, patience));
        desk.stage.record(What::Opened { client: self.number, conn, node: self.home });
        desk.asks.push(Ask::Open(conn));
        self.send(desk, Packet::Connect(packet));
        desk.reached(step, Milestone::Sent);
    }

    fn choose_home(&mut self, wish: Option<NodeId>) {
        let turned_away = std::mem::take(&mut self.turned_away);
        if let Some(node) = wish {
            self.home = node;
            return;
        }
        let nodes = &self.spec.nodes;
        if self.connects == 0 || nodes.len() == 1 {
            return;
        }
        let next = nodes.iter().position(|node| *node == self.home).map_or(0, |place| place + 1);
        self.home = match self.spec.roams {
            Roams::Stay if !turned_away => self.home,
            Roams::Stay | Roams::Next => nodes[next % nodes.len()],
            Roams::Random => nodes[self.dice.index(nodes.len())],
        };
    }

    fn decide_clean_start(&mut self, store: &Store, wish: Option<bool>) -> bool {
        if store.must_start_clean() || self.spec.client_id.is_empty() {
            return true;
        }
        wish.unwrap_or_else(|| match self.spec.clean_start {
            CleanStart::Always => true,
            CleanStart::First => self.connects == 0,
            CleanStart::Never => false,
            CleanStart::Sometimes { percent } => self.dice.percent(percent),
        })
    }

    pub(super) fn connect_packet(&mut self, clean_start: bool) -> Connect {
        let v5 = self.spec.version == Version::V5;
        let will = self.spec.will.clone().map(|will| Will {
            topic: will.topic.into(),
            payload: self.next_tag().payload(0),
            qos: will.qos,
            retain: will.retain,
            delay_s: if v5 { will.delay_s } else { 0 },
            expiry_s: will.expiry_s.filter(|_| v5),
        });
        let session_expiry_s = match self.spec.version {
            Version::V5 => self.spec.session_expiry_s,
            Version::V311 if clean_start => 0,
            Version::V311 => u32::MAX,
        };
        Connect {
            version: self.spec.version,
            client_id: self.spec.client_id.as_str().into(),
            clean_start,
            session_expiry_s,
            keep_alive_s: self.spec.keep_alive_s,
            receive_max: self.spec.receive_max.filter(|_| v5).unwrap_or(u16::MAX),
            packet_bytes_max: self.spec.packet_bytes_max.filter(|_| v5),
            topic_alias_max: if v5 { self.spec.topic_alias_max } else { 0 },
            will,
        }
    }

    /// Closes the connection on purpose and stays away.
    pub(super) fn leave(&mut self, desk: &mut Desk<'_>, disconnect: Option<Disconnect>) {
        self.wanted = false;
        self.reconnect_at = None;
        if self.connection.is_none() {
            return;
        }
        if let Some(disconnect) = disconnect {
            if let Some(seconds) = disconnect.session_expiry_s.filter(|_| self.owns(desk.store)) {
                desk.store.lives_for(seconds);
            }
            self.send(desk, Packet::Disconnect(disconnect));
        }
        self.lose(desk, disconnect.is_some(), Closer::Client);
        self.turned_away = false;
    }

    /// The connection is over; the client comes back if it wants to be connected.
    pub(super) fn lose(&mut self, desk: &mut Desk<'_>, in_order: bool, by: Closer) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        desk.asks.push(Ask::Close(connection.conn, in_order));
        desk.stage.record(What::Closed { client: self.number, conn: connection.conn, by });
        self.turned_away |= !connection.open;
        self.put_back(&mut connection);
        if desk.store.owner == Some(connection.conn) {
            desk.store.disconnected(desk.stage.now);
        } else {
            // Another client took the session over: coming back at once would only throw that one out again.
            self.wanted = false;
        }
        if self.wanted && self.up {
            self.reconnect_at = Some(desk.stage.now + self.backoff());
        }
    }

    /// Requests that were not answered are to be sent again.
    fn put_back(&mut self, connection: &mut Connection) {
        for (_, request) in std::mem::take(&mut connection.requests).into_iter().rev() {
            self.requests.push_front(request);
        }
    }

    pub(super) fn backoff(&mut self) -> Duration {
        let backoff = self.spec.conduct.backoff;
        let whole = backoff.first_ms.saturating_mul(1 << self.attempts.min(16)).min(backoff.max_ms).max(1);
        self.attempts += 1;
        Duration::from_millis(whole / 2 + self.dice.below(whole / 2 + 1))
    }
}
