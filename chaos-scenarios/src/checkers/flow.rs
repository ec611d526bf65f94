//! Identifiers and quotas of deliveries: 13, 33.

use super::{Because, Checker, Verdict, unless_forgetful};
use crate::model::{Conn, Life, Model, Place};
use bytestring::ByteString;
use sim::history::{Packet, Qos, Tag, What};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ID_UNIQUE: Checker = Checker {
    number: 13,
    name: "IdUnique",
    statement: "a packet identifier in flight means one message, across reconnects and wraps",
    clause: "MQTT-2.2.1-4",
    check: |model| unless_forgetful(model, || model.lives.iter().find_map(|life| id_unique(model, life))),
};

pub(super) const RECEIVE_MAXIMUM: Checker = Checker {
    number: 33,
    name: "ReceiveMaximum",
    statement: "never more unacknowledged QoS 1 and 2 messages than the client's Receive Maximum, after a resume either",
    clause: "MQTT-3.3.4-9, MQTT-4.9.0-2",
    check: |model| Verdict::first(model.conns.values().find_map(|conn| receive_maximum(model, conn))),
};

fn id_unique(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    // What an identifier in flight means: the message, or for one without a name its topic.
    let mut open: BTreeMap<u16, (Option<Tag>, &ByteString, Place)> = BTreeMap::new();
    let mut places: Vec<Place> =
        life.conns.iter().flat_map(|conn| model.conns[conn].places.iter().copied()).collect();
    places.sort_unstable();
    for place in places {
        match &model.record(place).what {
            What::Received { packet: Packet::Publish(publish), .. } if publish.qos != Qos::AtMostOnce => {
                if publish.id == 0 {
                    let what = "a PUBLISH with QoS 1 or 2 has identifier 0".to_owned();
                    return Some(Because::at(model, place, what).about(publish.tag()));
                }
                let same = |known: &(Option<Tag>, &ByteString, Place)| {
                    known.0 == publish.tag() && *known.1 == publish.topic
                };
                if let Some(known) = open.get(&publish.id).filter(|known| !same(known)) {
                    let what = format!("PUBLISH {} was sent for another message while in flight", publish.id);
                    return Some(Because::at(model, place, what).about(publish.tag()).after([known.2]));
                }
                open.entry(publish.id).or_insert((publish.tag(), &publish.topic, place));
            }
            What::Sent { packet: Packet::PubAck(ack) | Packet::PubComp(ack), .. } => {
                open.remove(&ack.id);
            }
            What::Sent { packet: Packet::PubRec(ack), .. } if ack.is_error() => {
                open.remove(&ack.id);
            }
            _ => {}
        }
    }
    None
}

fn receive_maximum(model: &Model<'_>, conn: &Conn<'_>) -> Option<Because> {
    let mut in_flight: BTreeSet<u16> = BTreeSet::new();
    for &place in &conn.places {
        match &model.record(place).what {
            What::Received { packet: Packet::Publish(publish), .. } if publish.qos != Qos::AtMostOnce => {
                in_flight.insert(publish.id);
                if in_flight.len() > usize::from(conn.receive_max()) {
                    let what = format!(
                        "{} messages are in flight, the client's Receive Maximum is {}",
                        in_flight.len(),
                        conn.receive_max()
                    );
                    let because = Because::at(model, place, what).about(publish.tag());
                    return Some(because.after(conn.connect.map(|(place, _, _)| place)));
                }
            }
            What::Sent { packet: Packet::PubAck(ack) | Packet::PubComp(ack), .. } => {
                in_flight.remove(&ack.id);
            }
            What::Sent { packet: Packet::PubRec(ack), .. } if ack.is_error() => {
                in_flight.remove(&ack.id);
            }
            _ => {}
        }
    }
    None
}
