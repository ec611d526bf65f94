//! What a client does with what it receives.

use super::store::Resend;
use super::{Ask, Client, Desk};
use crate::history::{Ack, Closer, ConnAck, Packet, Publish, Qos, Version, What};
use crate::scenario::Milestone;
use broker_core::ids::ConnId;
use broker_core::time::Duration;

/// Implementation specific error: what a client refuses a message with.
const REFUSED: u8 = 0x83;
/// Server busy, shutting down, use another server, server moved: the client goes elsewhere.
const ELSEWHERE: [u8; 4] = [0x89, 0x8b, 0x9c, 0x9d];
/// Packet Identifier not found.
const UNKNOWN_ID: u8 = 0x92;

impl Client {
    /// Bytes arrived on one of its connections.
    pub(crate) fn on_bytes(&mut self, desk: &mut Desk<'_>, conn: ConnId, bytes: &[u8]) {
        if let Some(old) = self.old.get_mut(&conn) {
            old.reader.push(bytes);
            return self.read_old(desk, conn);
        }
        match &mut self.connection {
            Some(connection) if connection.conn == conn => connection.reader.push(bytes),
            _ => return,
        }
        // Each packet may end the connection.
        while let Some(connection) = self.connection.as_mut().filter(|connection| connection.conn == conn) {
            match connection.reader.next() {
                Ok(Some(packet)) => self.on_packet(desk, conn, packet),
                Ok(None) => return,
                Err(why) => {
                    desk.stage.record(What::Undecodable { client: self.number, conn, why });
                    return self.lose(desk, false, Closer::Client);
                }
            }
        }
    }

    /// On a connection that was given up for a newer one, only the farewell matters.
    fn read_old(&mut self, desk: &mut Desk<'_>, conn: ConnId) {
        while let Some(old) = self.old.get_mut(&conn) {
            match old.reader.next() {
                Ok(Some(packet @ Packet::Disconnect(_))) => {
                    desk.stage.record(What::Received { client: self.number, conn, packet });
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(why) => {
                    desk.stage.record(What::Undecodable { client: self.number, conn, why });
                    self.old.remove(&conn);
                    desk.asks.push(Ask::Close(conn, false));
                    desk.stage.record(What::Closed { client: self.number, conn, by: Closer::Client });
                }
            }
        }
    }

    fn on_packet(&mut self, desk: &mut Desk<'_>, conn: ConnId, mut packet: Packet) {
        let owns = desk.store.owner == Some(conn);
        if !owns && !matches!(packet, Packet::Disconnect(_)) {
            return;
        }
        if let (Packet::Publish(publish), Some(connection)) = (&mut packet, &mut self.connection) {
            connection.alias_in(publish);
        }
        if let Some(connection) = &mut self.connection {
            connection.received(desk.stage.now);
        }
        let is_report = matches!(&packet, Packet::Publish(publish) if publish.is_report());
        if packet != Packet::PingResp && !is_report {
            desk.stage.last_traffic = desk.stage.now;
        }
        desk.stage.record(What::Received { client: self.number, conn, packet: packet.clone() });
        match packet {
            Packet::ConnAck(connack) => self.on_connack(desk, &connack),
            Packet::Publish(publish) => self.on_publish(desk, &publish),
            Packet::PubAck(ack) => self.on_end_of_publish(desk, ack),
            Packet::PubRec(ack) => self.on_pubrec(desk, ack),
            Packet::PubRel(ack) => self.on_pubrel(desk, ack),
            Packet::PubComp(ack) => {
                if let Some(done) = desk.store.completed(ack.id) {
                    desk.reached(done.step, Milestone::Done);
                }
                self.pump(desk);
            }
            Packet::SubAck(granted) | Packet::UnsubAck(granted) => self.on_granted(desk, granted.id),
            Packet::PingResp => {
                if let Some(connection) = &mut self.connection {
                    connection.patience = None;
                    connection.no_ping = false;
                }
            }
            Packet::Disconnect(disconnect) => {
                self.turned_away |= ELSEWHERE.contains(&disconnect.reason);
                self.lose(desk, true, Closer::Broker);
            }
            // Nothing a broker may send; the checkers see it in the history.
            _ => {}
        }
    }

    fn on_connack(&mut self, desk: &mut Desk<'_>, connack: &ConnAck) {
        if connack.reason != 0 {
            return self.lose(desk, true, Closer::Broker);
        }
        let Some(connection) = &mut self.connection else {
            return;
        };
        connection.accepted(desk.stage.now, connack, self.spec.keep_alive_s, self.spec.uses_aliases);
        let step = connection.step;
        self.attempts = 0;
        desk.store.connected();
        if connack.session_present {
            for resend in desk.store.resend() {
                match resend {
                    Resend::Publish(publish) => self.send_publish(desk, publish),
                    Resend::PubRel(id) => self.send(desk, Packet::PubRel(Ack::ok(id))),
                }
            }
        } else {
            desk.store.discard();
            self.subscribe_again();
        }
        desk.reached(step, Milestone::Done);
        self.pump(desk);
    }

    fn on_publish(&mut self, desk: &mut Desk<'_>, publish: &Publish) {
        self.received += 1;
        desk.asks.push(Ask::Received(self.received));
        if publish.qos == Qos::AtMostOnce {
            return;
        }
        let may_refuse = self.spec.version == Version::V5;
        let refuses = may_refuse && self.dice.percent(self.spec.conduct.refuse_percent);
        let reason = if refuses { REFUSED } else { 0 };
        let ack = Ack { id: publish.id, reason };
        if publish.qos == Qos::AtLeastOnce {
            return self.answer(desk, Packet::PubAck(ack));
        }
        let new = desk.store.arrived(publish.id);
        if new && refuses {
            desk.store.released(publish.id);
            return self.answer(desk, Packet::PubRec(ack));
        }
        self.answer(desk, Packet::PubRec(Ack::ok(publish.id)));
    }

    fn on_end_of_publish(&mut self, desk: &mut Desk<'_>, ack: Ack) {
        if let Some(done) = desk.store.ended(ack.id) {
            desk.reached(done.step, Milestone::Done);
        }
        self.pump(desk);
    }

    fn on_pubrec(&mut self, desk: &mut Desk<'_>, ack: Ack) {
        if ack.is_error() {
            return self.on_end_of_publish(desk, ack);
        }
        let v5 = self.spec.version == Version::V5;
        let step = desk.store.received(ack.id).map(|outgoing| outgoing.step);
        let reason = if step.is_none() && v5 { UNKNOWN_ID } else { 0 };
        desk.reached(step.flatten(), Milestone::Received);
        self.answer(desk, Packet::PubRel(Ack { id: ack.id, reason }));
    }

    fn on_pubrel(&mut self, desk: &mut Desk<'_>, ack: Ack) {
        let known = desk.store.released(ack.id);
        let reason = if known || self.spec.version == Version::V311 { 0 } else { UNKNOWN_ID };
        self.answer(desk, Packet::PubComp(Ack { id: ack.id, reason }));
    }

    fn on_granted(&mut self, desk: &mut Desk<'_>, id: u16) {
        let request = self.connection.as_mut().and_then(|connection| connection.requests.remove(&id));
        desk.store.answered(id);
        desk.reached(request.and_then(|request| request.step), Milestone::Done);
        self.pump(desk);
    }

    fn answer(&mut self, desk: &mut Desk<'_>, packet: Packet) {
        let delay: Duration = self.dice.millis(self.spec.conduct.ack_ms) + self.mood.late;
        let in_order = self.spec.conduct.answers_in_order;
        if let Some(connection) = &mut self.connection {
            connection.answer(desk.stage.now + delay, in_order, packet);
        }
        self.send_answers(desk);
    }
}
