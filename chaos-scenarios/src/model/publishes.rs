//! Messages by name: where they were sent, resent, acknowledged, refused; wills are messages of the broker's.

use super::{Model, Place};
use broker_core::ids::ConnId;
use broker_core::topic::TopicName;
use sim::history::{Ack, ClientNo, Packet, Publish, Qos, Tag, What};
use std::collections::BTreeMap;

/// One message.
#[derive(Debug)]
pub struct Published<'a> {
    /// Its name.
    pub tag: Tag,
    /// Its topic.
    pub topic: TopicName,
    /// The quality of service it was published with.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// Message Expiry Interval in seconds.
    pub expiry_s: Option<u32>,
    /// The MQTT client identifier of its publisher, if known.
    pub client_id: Option<&'a str>,
    /// The connection that left it as a will, if it is one.
    pub will_of: Option<ConnId>,
    /// Where it was sent, in order (for a will: the CONNECT). At least one.
    pub sent: Vec<Sending>,
    /// Where PUBACK or PUBREC with a reason below 0x80 was processed first.
    pub acknowledged: Option<Place>,
    /// Where PUBACK or PUBREC with a reason of 0x80 or more was processed, and the reason.
    pub refused: Option<(Place, u8)>,
    /// Where PUBACK or PUBCOMP ended the exchange.
    pub completed: Option<Place>,
    /// The exchange that had used its packet identifier before, if one was completed.
    pub reuses_id_of: Option<Tag>,
}

/// One sending of a message.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// Where.
    pub place: Place,
    /// On which connection.
    pub conn: ConnId,
    /// With which packet identifier; 0 with QoS 0.
    pub id: u16,
    /// With which DUP.
    pub dup: bool,
}

impl Published<'_> {
    /// Where it was sent first.
    pub fn first(&self) -> &Sending {
        self.sent.first().expect("a message is named when it is sent first")
    }

    /// Whether it was sent again, on another connection.
    pub fn was_resent(&self) -> bool {
        self.sent.iter().any(|sending| sending.conn != self.first().conn)
    }
}

impl Model<'_> {
    /// Whether all sendings of `message` were made in one life of its publisher's session, so that the broker could know
    /// a resend from a new message.
    pub fn sent_in_one_life(&self, message: &Published<'_>) -> bool {
        let mut lives = message.sent.iter().map(|sending| self.life_of.get(&sending.conn));
        let first = lives.next().flatten();
        first.is_some() && lives.all(|life| life == first)
    }
}

pub(super) fn read<'a>(model: &Model<'a>) -> BTreeMap<Tag, Published<'a>> {
    let mut reader =
        Reader { model, messages: BTreeMap::new(), open: BTreeMap::new(), done: BTreeMap::new() };
    for (place, record) in model.history.records.iter().enumerate() {
        match &record.what {
            What::Sent { client, conn, packet } => reader.sent(place, *client, *conn, packet),
            What::Received { client, packet, .. } => reader.received(place, *client, packet),
            _ => {}
        }
    }
    reader.messages
}

struct Reader<'m, 'a> {
    model: &'m Model<'a>,
    messages: BTreeMap<Tag, Published<'a>>,
    /// The message a client's packet identifier means now.
    open: BTreeMap<(ClientNo, u16), Tag>,
    /// The message a client's packet identifier meant last, once its exchange was complete.
    done: BTreeMap<(ClientNo, u16), Tag>,
}

impl<'a> Reader<'_, 'a> {
    fn sent(&mut self, place: Place, client: ClientNo, conn: ConnId, packet: &'a Packet) {
        match packet {
            Packet::Publish(publish) => self.publish(place, client, conn, publish),
            Packet::Connect(connect) => {
                let Some(will) = &connect.will else { return };
                let Some(tag) = Tag::parse(&will.payload) else { return };
                let Ok(topic) = TopicName::parse(will.topic.clone()) else { return };
                let message = Published {
                    qos: will.qos,
                    retain: will.retain,
                    expiry_s: will.expiry_s,
                    will_of: Some(conn),
                    sent: vec![Sending { place, conn, id: 0, dup: false }],
                    ..self.message(tag, topic, conn)
                };
                self.messages.insert(tag, message);
            }
            _ => {}
        }
    }

    fn publish(&mut self, place: Place, client: ClientNo, conn: ConnId, publish: &'a Publish) {
        let Some(tag) = publish.tag() else {
            // A message without a name takes the identifier all the same: its answers are not an earlier message's.
            self.open.remove(&(client, publish.id));
            self.done.remove(&(client, publish.id));
            return;
        };
        let Ok(topic) = TopicName::parse(publish.topic.clone()) else { return };
        let before = self.done.remove(&(client, publish.id));
        if !self.messages.contains_key(&tag) {
            let message = Published {
                qos: publish.qos,
                retain: publish.retain,
                expiry_s: publish.expiry_s,
                reuses_id_of: before.filter(|_| publish.id != 0),
                ..self.message(tag, topic, conn)
            };
            self.messages.insert(tag, message);
        }
        let message = self.messages.get_mut(&tag).expect("inserted above");
        message.sent.push(Sending { place, conn, id: publish.id, dup: publish.dup });
        if publish.qos != Qos::AtMostOnce {
            self.open.insert((client, publish.id), tag);
        }
    }

    fn message(&self, tag: Tag, topic: TopicName, conn: ConnId) -> Published<'a> {
        Published {
            tag,
            topic,
            qos: Qos::AtMostOnce,
            retain: false,
            expiry_s: None,
            client_id: self.model.conns.get(&conn).and_then(|conn| conn.client_id()),
            will_of: None,
            sent: Vec::new(),
            acknowledged: None,
            refused: None,
            completed: None,
            reuses_id_of: None,
        }
    }

    fn received(&mut self, place: Place, client: ClientNo, packet: &Packet) {
        match packet {
            Packet::PubAck(ack) => self.answered(place, client, *ack, true),
            Packet::PubRec(ack) => self.answered(place, client, *ack, ack.is_error()),
            Packet::PubComp(ack) => {
                if let Some(tag) = self.open.remove(&(client, ack.id)) {
                    self.done.insert((client, ack.id), tag);
                    let message = self.messages.get_mut(&tag).expect("open messages are known");
                    message.completed.get_or_insert(place);
                }
            }
            _ => {}
        }
    }

    fn answered(&mut self, place: Place, client: ClientNo, ack: Ack, ends: bool) {
        let Some(tag) = self.open.get(&(client, ack.id)).copied() else { return };
        let message = self.messages.get_mut(&tag).expect("open messages are known");
        if ack.is_error() {
            message.refused.get_or_insert((place, ack.reason));
        } else {
            message.acknowledged.get_or_insert(place);
        }
        if ends {
            message.completed.get_or_insert(place);
            self.open.remove(&(client, ack.id));
            self.done.insert((client, ack.id), tag);
        }
    }
}
