//! Packets of a connected client become intents; PUBLISH has a [file of its own](super::publishing).

use super::client::Client;
use super::gateway::{Gateway, State};
use super::intent::Intent;
use super::publishing::TOPIC_LIMITS;
use super::refuse::Refusal;
use super::window::{PubRec, Window};
use crate::base::ids::{ConnId, PacketId, Position};
use crate::codec::packet::{Ack, Disconnect, Packet, Subscribe, Unsubscribe};
use crate::codec::{self, Frame, ReasonCode};
use crate::event::Event;
use crate::replication::{Owed, Receipt};
use crate::shard::Step;
use crate::topic::TopicFilter;
use bytestring::ByteString;

/// How far a run of packets was taken.
pub(super) enum Taken {
    /// As far as the connection's state and the bytes that have come allow.
    All,
    /// Up to its first packet, which is to be a CONNECT.
    First(Frame),
    /// Up to DISCONNECT; nothing after it counts.
    Disconnect(Disconnect),
}

impl Client<'_> {
    /// Takes complete packets off what has arrived.
    pub(super) fn take_packets(&mut self) -> Result<Taken, Refusal> {
        loop {
            if !matches!(self.conn.state, State::AwaitingConnect | State::Open(_)) {
                return Ok(Taken::All);
            }
            let Some(frame) = self.conn.framer.next_frame()? else { return Ok(Taken::All) };
            let State::Open(link) = &mut self.conn.state else { return Ok(Taken::First(frame)) };
            link.last_heard = self.now;
            let packet = codec::decode(link.version, frame)?;
            codec::check_from_client(&packet)?;
            match packet {
                Packet::Disconnect(disconnect) => {
                    self.check_disconnect(&disconnect)?;
                    return Ok(Taken::Disconnect(disconnect));
                }
                packet => self.on_packet(packet)?,
            }
        }
    }

    fn on_packet(&mut self, packet: Packet) -> Result<(), Refusal> {
        match packet {
            Packet::Publish(publish) => self.on_publish(publish)?,
            Packet::PubAck(ack) => self.on_puback(&ack),
            Packet::PubRec(ack) => self.on_pubrec(&ack)?,
            Packet::PubRel(ack) => self.on_pubrel(ack.id),
            Packet::PubComp(ack) => self.on_pubcomp(ack.id),
            Packet::Subscribe(subscribe) => self.on_subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(&unsubscribe),
            Packet::PingReq => self.send(Packet::PingResp)?,
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => return Err(violation("a second CONNECT")),
            Packet::Auth(_) => return Err(violation("AUTH without an authentication method")),
            Packet::Disconnect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => unreachable!("it was looked at before, or is sent by servers only"),
        }
        Ok(())
    }

    fn on_puback(&mut self, ack: &Ack) {
        self.complete(ack.id, |window| window.on_puback(ack.id));
    }

    fn on_pubrec(&mut self, ack: &Ack) -> Result<(), Refusal> {
        if ack.reason.is_error() {
            self.on_pubrec_error(ack.id);
            return Ok(());
        }
        let (id, parts) = (self.id, self.parts);
        let link = self.link();
        let session = link.session;
        if let Some(feed) = link.feeds.of_id(ack.id) {
            match feed.window.on_pubrec(ack.id) {
                PubRec::Received(position) => {
                    let (shard, mut steps) = (feed.shard, std::mem::take(&mut feed.progress));
                    steps.push((position, Step::Received));
                    let receipt = Some(Receipt::new(id, Owed::PubRel(shard, position)));
                    self.intents.push_back(Intent::Progress { session, shard, receipt, steps });
                    return Ok(());
                }
                PubRec::Repeated => return Ok(()),
                PubRec::Unknown => {}
            }
        }
        // It answers what an earlier connection sent, and is asked for again when the shard's leader has said what that is.
        if link.feeds.awaits_id(parts, ack.id) {
            return Ok(());
        }
        match link.local.on_pubrec(ack.id) {
            PubRec::Received(position) => {
                // The window of a clean session dies with the connection: nothing is to be written down.
                link.local.on_received_committed(position);
                self.send(Packet::PubRel(Ack::new(ack.id, ReasonCode::Success)))
            }
            PubRec::Repeated => Ok(()),
            PubRec::Unknown => {
                self.send(Packet::PubRel(Ack::new(ack.id, ReasonCode::PacketIdentifierNotFound)))
            }
        }
    }

    /// The client refused a QoS 2 message: that ends it. \[MQTT-4.4.0-2\]
    fn on_pubrec_error(&mut self, packet: PacketId) {
        self.complete(packet, |window| window.on_pubrec_error(packet));
    }

    fn on_pubrel(&mut self, packet: PacketId) {
        let receipt = Receipt::new(self.id, Owed::PubComp(packet));
        let link = self.link();
        let intent = if link.durable {
            Intent::Release { session: link.session, receipt, id: packet }
        } else {
            let known = link.inbound.remove(&packet);
            let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
            Intent::Answer { receipt, reason, unless_taken: None }
        };
        self.intents.push_back(intent);
    }

    fn on_pubcomp(&mut self, packet: PacketId) {
        self.complete(packet, |window| window.on_pubcomp(packet));
    }

    fn on_subscribe(&mut self, subscribe: Subscribe) {
        let mut filters = Vec::with_capacity(subscribe.filters.len());
        for asked in subscribe.filters {
            let filter = self.judge_filter(&asked.filter);
            filters.push(filter.map(|filter| (filter, asked.options)));
        }
        let link = self.link();
        let intent = Intent::Subscribe {
            session: link.session,
            durable: link.durable,
            receipt: Receipt::new(self.id, Owed::SubAck(subscribe.id)),
            subscription_id: subscribe.properties.subscription_id,
            filters,
        };
        self.intents.push_back(intent);
    }

    fn judge_filter(&mut self, text: &ByteString) -> Result<TopicFilter, ReasonCode> {
        let filter = TopicFilter::parse(text).map_err(|_| ReasonCode::TopicFilterInvalid)?;
        // With the share name, which is kept too.
        if !self.limits.allow_topic(text) {
            self.limit_reached(TOPIC_LIMITS);
            return Err(ReasonCode::TopicFilterInvalid);
        }
        if !self.link().permissions.allows_filter(&filter) {
            return Err(ReasonCode::NotAuthorized);
        }
        Ok(filter.owned())
    }

    fn on_unsubscribe(&mut self, unsubscribe: &Unsubscribe) {
        let parse = |text: &ByteString| TopicFilter::parse(text).map_err(|_| ReasonCode::TopicFilterInvalid);
        let filters = unsubscribe.filters.iter().map(parse).collect();
        let link = self.link();
        let intent = Intent::Unsubscribe {
            session: link.session,
            durable: link.durable,
            receipt: Receipt::new(self.id, Owed::UnsubAck(unsubscribe.id)),
            filters,
        };
        self.intents.push_back(intent);
    }

    fn check_disconnect(&mut self, disconnect: &Disconnect) -> Result<(), Refusal> {
        let expiry_s = disconnect.properties.session_expiry_s;
        if expiry_s.is_some_and(|seconds| seconds > 0) && self.link().expiry_s == 0 {
            // [MQTT-3.14.2-2]
            return Err(violation("DISCONNECT gives an expiry to a session without one"));
        }
        Ok(())
    }

    /// An acknowledgement that may complete a message: what is complete of a shard's queue is noted, to be proposed soon.
    fn complete(&mut self, packet: PacketId, mut acknowledge: impl FnMut(&mut Window) -> Option<Position>) {
        let link = self.link();
        let progress_max = link.progress_max();
        let feed = match link.feeds.of_id(packet) {
            Some(feed) => feed,
            None => {
                if acknowledge(&mut link.local).is_some() {
                    self.note_ready();
                }
                return;
            }
        };
        let Some(position) = acknowledge(&mut feed.window) else { return };
        feed.progress.push((position, Step::Done));
        match feed.progress.len() {
            1 => self.note_progress(),
            gathered if gathered > progress_max => self.propose_progress(),
            _ => {}
        }
        self.note_ready();
    }
}

impl Gateway {
    /// DISCONNECT, which [`Client::take_packets`] has checked.
    pub(super) fn on_disconnect(&mut self, id: ConnId, disconnect: &Disconnect) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let State::Open(link) = std::mem::replace(&mut conn.state, State::Closing) else { return };
        self.event(Event::Disconnected {
            conn: id,
            client_id: Some(link.client_id.clone()),
            code: disconnect.reason.code(),
            why: "the client said DISCONNECT".to_owned(),
        });
        // [MQTT-3.14.4-3]: only the normal end deletes the will.
        let discard_will = disconnect.reason == ReasonCode::NORMAL_DISCONNECTION;
        let asked = disconnect.properties.session_expiry_s;
        let expiry_s = asked.map(|seconds| seconds.min(self.limits.session_expiry_max_s));
        self.detach(id, *link, Some(Receipt::new(id, Owed::Close)), (expiry_s, 0), discard_will);
    }
}

fn violation(why: &str) -> Refusal {
    Refusal::violation(ReasonCode::ProtocolError, why)
}
