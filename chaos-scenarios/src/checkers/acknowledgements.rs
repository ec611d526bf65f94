//! Every answer answers something: 12, 14, 40.

use super::{Because, Checker, Verdict};
use crate::model::{Conn, Life, Model, Place};
use sim::history::{Packet, Qos, What};
use std::collections::BTreeMap;

pub(super) const NACK_FINAL: Checker = Checker {
    number: 12,
    name: "NackFinal",
    statement: "a PUBACK or PUBREC with a reason of 0x80 or more ends the exchange",
    clause: "MQTT-4.4.0-2",
    check: |model| Verdict::first(model.lives.iter().find_map(|life| nack_final(model, life))),
};

pub(super) const ACK_ID_MATCHES: Checker = Checker {
    number: 14,
    name: "AckIdMatches",
    statement: "an acknowledgement is of the kind, and carries the identifier, of what it answers",
    clause: "MQTT-2.2.1-5, MQTT-2.2.1-6",
    check: |model| Verdict::first(model.conns.values().find_map(|conn| ack_id_matches(model, conn))),
};

pub(super) const WELL_FORMED: Checker = Checker {
    number: 40,
    name: "WellFormed",
    statement: "what the broker sends are packets, and their topics can be resolved",
    clause: "ours",
    check: well_formed,
};

/// The first PUBREL for an exchange that the client had refused.
fn nack_final(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    let mut refused: BTreeMap<u16, Place> = BTreeMap::new();
    let mut places: Vec<Place> =
        life.conns.iter().flat_map(|conn| model.conns[conn].places.iter().copied()).collect();
    places.sort_unstable();
    for place in places {
        match &model.record(place).what {
            What::Sent { packet: Packet::PubRec(ack), .. } if ack.is_error() => {
                refused.insert(ack.id, place);
            }
            What::Sent { packet: Packet::PubRec(ack), .. } => {
                refused.remove(&ack.id);
            }
            What::Received { packet: Packet::Publish(publish), .. } if publish.qos != Qos::AtMostOnce => {
                refused.remove(&publish.id);
            }
            What::Received { packet: Packet::PubRel(ack), .. } => {
                if let Some(refusal) = refused.get(&ack.id) {
                    let what = format!("PUBREL {} came although PUBREC had refused the message", ack.id);
                    return Some(Because::at(model, place, what).after([*refusal]));
                }
            }
            _ => {}
        }
    }
    None
}

/// What a client waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    PubAck,
    PubRec,
    PubComp,
    SubAck,
    UnsubAck,
}

fn ack_id_matches(model: &Model<'_>, conn: &Conn<'_>) -> Option<Because> {
    // By kind and identifier: how many answers may still come, and to how many filters.
    let mut awaited: BTreeMap<(Awaited, u16), (u32, usize)> = BTreeMap::new();
    for &place in &conn.places {
        match &model.record(place).what {
            What::Sent { packet, .. } => {
                let request = match packet {
                    Packet::Publish(publish) if publish.qos == Qos::AtLeastOnce => {
                        (Awaited::PubAck, publish.id, 0)
                    }
                    Packet::Publish(publish) if publish.qos == Qos::ExactlyOnce => {
                        (Awaited::PubRec, publish.id, 0)
                    }
                    Packet::PubRel(ack) => (Awaited::PubComp, ack.id, 0),
                    Packet::Subscribe(subscribe) => (Awaited::SubAck, subscribe.id, subscribe.filters.len()),
                    Packet::Unsubscribe(unsubscribe) => {
                        (Awaited::UnsubAck, unsubscribe.id, unsubscribe.filters.len())
                    }
                    _ => continue,
                };
                let (kind, id, filters) = request;
                let entry = awaited.entry((kind, id)).or_default();
                *entry = (entry.0 + 1, filters);
            }
            What::Received { packet, .. } => {
                let (name, kind, id, reasons) = match packet {
                    Packet::PubAck(ack) => ("PUBACK", Awaited::PubAck, ack.id, None),
                    Packet::PubRec(ack) => ("PUBREC", Awaited::PubRec, ack.id, None),
                    Packet::PubComp(ack) => ("PUBCOMP", Awaited::PubComp, ack.id, None),
                    Packet::SubAck(granted) => {
                        ("SUBACK", Awaited::SubAck, granted.id, Some(granted.reasons.len()))
                    }
                    Packet::UnsubAck(granted) => {
                        let reasons = conn.is_v5().then_some(granted.reasons.len());
                        ("UNSUBACK", Awaited::UnsubAck, granted.id, reasons)
                    }
                    _ => continue,
                };
                let Some((count, filters)) = awaited.get_mut(&(kind, id)).filter(|(count, _)| *count > 0)
                else {
                    let what =
                        format!("{name} {id} came, and nothing that was sent on the connection waits for it");
                    return Some(Because::at(model, place, what).after(conn.accepted()));
                };
                if reasons.is_some_and(|reasons| reasons != *filters) {
                    let what =
                        format!("{name} {id} has {} reasons for {filters} filters", reasons.unwrap_or(0));
                    return Some(Because::at(model, place, what));
                }
                *count -= 1;
            }
            _ => {}
        }
    }
    None
}

fn well_formed(model: &Model<'_>) -> Verdict {
    let found = model.history.records.iter().enumerate().find_map(|(place, record)| match &record.what {
        What::Undecodable { why, .. } => {
            Some(Because::at(model, place, format!("the broker sent bytes that are no packet: {why}")))
        }
        What::Received { packet: Packet::Publish(publish), .. } if publish.topic.is_empty() => Some(
            Because::at(model, place, "a PUBLISH has a topic alias that was never set".to_owned())
                .about(publish.tag()),
        ),
        _ => None,
    });
    Verdict::first(found)
}
