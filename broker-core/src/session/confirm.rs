//! Answers that routing lets go: what they depended on is committed.

use super::client::Client;
use super::gateway::{Conn, Gateway, State};
use super::hub::{Heard, Way};
use super::outbound::{Live, Wish};
use super::refuse::Refusal;
use crate::base::ids::{ConnId, PacketId, Position, ShardId};
use crate::codec::ReasonCode;
use crate::codec::packet::{Ack, AckProperties, Packet, QoS, SubAck, SubscriptionOptions, UnsubAck};
use crate::event::Event;
use crate::face::{Output, TimerKind};
use crate::message::Message;
use crate::replication::{Committed, Owed, Receipt};
use crate::shard::session::Subscription;
use crate::topic::TopicFilter;
use bytestring::ByteString;
use std::rc::Rc;

/// What an answer says.
#[derive(Debug)]
pub enum Answer {
    /// One reason code.
    Reason(ReasonCode),
    /// One for each filter.
    Reasons(Vec<ReasonCode>),
}

impl Gateway {
    /// Sends an answer whose time has come. If the connection is gone, nobody is told.
    pub fn confirm(&mut self, receipt: Receipt, committed: Committed, answer: Answer) {
        let id = receipt.conn();
        let result = match (receipt.spend(committed), answer) {
            (Owed::Close, _) => return self.close_after_disconnect(id),
            (Owed::ConnAck, Answer::Reason(reason)) => {
                Err(Refusal::connect(reason, "the attach was refused"))
            }
            (owed, answer) => match self.client(id) {
                Some(mut client) => client.send_answer(&owed, answer),
                None => Ok(()),
            },
        };
        if let Err(refusal) = result {
            self.refuse(id, refusal);
        }
    }

    /// What DISCONNECT depended on is committed.
    fn close_after_disconnect(&mut self, id: ConnId) {
        self.hand_out(id);
        if self.conns.remove(&id).is_some() {
            self.timers.clear(TimerKind::KeepAlive(id));
            self.out.push(Output::CloseClient { conn: id });
        }
    }

    /// Adds a subscription of a clean session, to which this node's messages count at once. Says the granted QoS and whether the
    /// subscription is new.
    pub fn hub_subscribe(
        &mut self,
        id: ConnId,
        filter: &TopicFilter,
        options: SubscriptionOptions,
        subscription_id: Option<u32>,
    ) -> Result<(QoS, bool), ReasonCode> {
        let new = self.hub_prepare(id, filter, options, subscription_id)?;
        self.hub_hear(id, filter, ShardId(0), Way::Passing);
        Ok((options.qos, new))
    }

    /// Messages of `shard` that come by `way` count for a subscription of a clean session from now on.
    pub fn hub_hear(&mut self, id: ConnId, filter: &TopicFilter, shard: ShardId, way: Way) {
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return };
        if let Some(heard) = link.subscriptions.get_mut(filter)
            && heard.begin(shard, way)
        {
            self.hub.subscribe(id, filter, *heard);
        }
    }

    /// Adds a subscription of a clean session, or replaces what one asks for. Says whether it is new: no messages count for it then
    /// before [`Gateway::hub_hear`].
    pub fn hub_prepare(
        &mut self,
        id: ConnId,
        filter: &TopicFilter,
        options: SubscriptionOptions,
        subscription_id: Option<u32>,
    ) -> Result<bool, ReasonCode> {
        let subscriptions_max = self.limits.subscriptions_max as usize;
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else {
            return Err(ReasonCode::UnspecifiedError);
        };
        let known = link.subscriptions.get(filter).copied();
        let new = known.is_none();
        if new && link.subscriptions.len() >= subscriptions_max {
            let client_id = Some(link.client_id.clone());
            self.event(Event::LimitReached { limit: "subscriptions_max", client_id });
            return Err(ReasonCode::QuotaExceeded);
        }
        let subscription = Subscription { options, id: subscription_id };
        let heard = known.map_or_else(|| Heard::new(subscription), |known| Heard { subscription, ..known });
        link.subscriptions.insert(filter.clone(), heard);
        self.hub.subscribe(id, filter, heard);
        Ok(new)
    }

    /// Removes a subscription of a clean session. Says whether it existed.
    pub fn hub_unsubscribe(&mut self, id: ConnId, filter: &TopicFilter) -> bool {
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return false };
        let existed = link.subscriptions.remove(filter).is_some();
        if existed {
            self.hub.unsubscribe(id, filter);
        }
        existed
    }

    /// Hands a retained message to a clean session that subscribed. \[MQTT-3.3.1-8\]
    pub fn deliver_retained(
        &mut self,
        id: ConnId,
        message: &Rc<Message>,
        qos: QoS,
        subscription_id: Option<u32>,
    ) {
        let Some(mut client) = self.client(id) else { return };
        let wish = Wish { qos: message.qos.min(qos), retain: true, ids: subscription_id.as_slice() };
        client.deliver(&mut Live::kept(message), wish);
    }
}

impl Client<'_> {
    fn send_answer(&mut self, owed: &Owed, answer: Answer) -> Result<(), Refusal> {
        let (reason, reasons) = match answer {
            Answer::Reason(reason) => (reason, Vec::new()),
            Answer::Reasons(reasons) => (ReasonCode::Success, reasons),
        };
        match *owed {
            Owed::PubAck(id) => {
                self.answered();
                let properties = self.explain(&[reason]);
                self.send(Packet::PubAck(Ack { id, reason, properties }))
            }
            Owed::PubRec(id) => {
                if reason.is_error() {
                    self.refused(id);
                }
                let properties = self.explain(&[reason]);
                self.send(Packet::PubRec(Ack { id, reason, properties }))
            }
            Owed::PubComp(id) => {
                // An identifier that was not in use was not counted.
                if reason == ReasonCode::Success {
                    self.answered();
                }
                self.send(Packet::PubComp(Ack::new(id, reason)))
            }
            Owed::PubRel(shard, position) => self.release(shard, position),
            Owed::Next(shard) => {
                if let Some(feed) = self.conn.link_mut().and_then(|link| link.feeds.get_mut(shard))
                    && let Some(mirror) = &mut feed.mirror
                {
                    mirror.drop_below(feed.dropped);
                }
                self.note_ready();
                Ok(())
            }
            Owed::SubAck(id) => {
                let properties = self.explain(&reasons);
                self.send(Packet::SubAck(SubAck { id, properties, reasons }))
            }
            Owed::UnsubAck(id) => {
                let properties = self.explain(&reasons);
                self.send(Packet::UnsubAck(UnsubAck { id, properties, reasons }))
            }
            Owed::ConnAck | Owed::Close => unreachable!("these answer no packet of an open connection"),
        }
    }

    /// The reason string of an answer that says no, for a client that wants one. \[MQTT-3.1.2-29\]
    fn explain(&self, reasons: &[ReasonCode]) -> AckProperties {
        let Some(at) = reasons.iter().position(|reason| reason.is_error()) else {
            return AckProperties::default();
        };
        let State::Open(link) = &self.conn.state else { return AckProperties::default() };
        let text = match reasons {
            _ if !link.limits.problem_information => None,
            [only] => Some(ByteString::from_static(only.words())),
            _ => Some(ByteString::from(format!("filter {}: {}", at + 1, reasons[at].words()))),
        };
        AckProperties { reason_string: text, ..AckProperties::default() }
    }

    fn answered(&mut self) {
        if let Some(link) = self.conn.link_mut() {
            link.unanswered = link.unanswered.saturating_sub(1);
        }
    }

    /// A QoS 2 publish was refused: that ends it, and frees its identifier. \[MQTT-4.3.3-9\]
    fn refused(&mut self, id: PacketId) {
        if let Some(link) = self.conn.link_mut() {
            link.unanswered = link.unanswered.saturating_sub(1);
            link.inbound.remove(&id);
        }
    }

    /// The receipt of a QoS 2 message is on disk: PUBREL may go.
    fn release(&mut self, shard: ShardId, position: Position) -> Result<(), Refusal> {
        let feed = self.conn.link_mut().and_then(|link| link.feeds.get_mut(shard));
        let packet = feed.and_then(|feed| feed.window.on_received_committed(position));
        match packet {
            Some(packet) => self.send(Packet::PubRel(Ack::new(packet, ReasonCode::Success))),
            None => Ok(()),
        }
    }
}
