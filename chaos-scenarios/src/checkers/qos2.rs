//! Exactly once: 3, 6, 7.

use super::{Because, Checker, unless_forgetful};
use crate::model::{Delivery, Life, Model, Place, Published, Sub};
use broker_core::ids::ConnId;
use sim::history::{Packet, Qos, Tag, What};
use std::collections::BTreeMap;

pub(super) const QOS2_NO_DUPLICATE: Checker = Checker {
    number: 3,
    name: "Qos2NoDuplicate",
    statement: "a QoS 2 message is not delivered twice to a session, however often it was replayed",
    clause: "MQTT-4.3.3-10",
    check: |model| unless_forgetful(model, || no_duplicate(model)),
};

pub(super) const NO_PUBLISH_AFTER_REL: Checker = Checker {
    number: 6,
    name: "NoPublishAfterRel",
    statement: "once PUBREL was sent for an identifier, its PUBLISH is not sent again",
    clause: "MQTT-4.3.3-6",
    check: |model| unless_forgetful(model, || no_publish_after_rel(model)),
};

pub(super) const OWED_PUBREL: Checker = Checker {
    number: 7,
    name: "OwedPubrel",
    statement: "a PUBREL that is owed after a reconnect is sent with its identifier",
    clause: "MQTT-4.4.0-1",
    check: |model| unless_forgetful(model, || unfinished(model, |_| true)),
};

fn no_duplicate(model: &Model<'_>) -> Option<Because> {
    for (life, subs, deliveries) in model.sessions() {
        let mut live: BTreeMap<Tag, Vec<&Delivery<'_>>> = BTreeMap::new();
        for delivery in deliveries.iter().filter(|delivery| delivery.begins() && !delivery.retained) {
            if let Some(tag) = delivery.tag {
                live.entry(tag).or_default().push(delivery);
            }
        }
        for (tag, copies) in live {
            let Some(message) = model.published.get(&tag) else { continue };
            let exact = message.qos == Qos::ExactlyOnce && model.sent_in_one_life(message);
            let (Some(first), Some(last)) = (copies.first(), copies.last()) else { continue };
            if exact && copies.len() > routes(subs, message, last.place) {
                let what = format!(
                    "{tag} on '{}', published with QoS 2, was delivered {} times to '{}'",
                    message.topic,
                    copies.len(),
                    life.client_id
                );
                return Some(
                    Because::at(model, last.place, what)
                        .about(tag)
                        .after([first.place])
                        .after(message.sent.iter().map(|sending| sending.place))
                        .after(message.acknowledged),
                );
            }
        }
    }
    None
}

/// By how many ways a live message may reach a session: by its own subscriptions (once), and by each of its groups.
fn routes(subs: &[Sub<'_>], message: &Published<'_>, until: Place) -> usize {
    let matching = subs.iter().filter(|sub| sub.matches(&message.topic) && sub.requested < until);
    let (shared, own): (Vec<_>, Vec<_>) = matching.partition(|sub| sub.is_shared());
    let mut groups: Vec<&str> = shared.iter().map(|sub| &sub.options.filter[..]).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.len() + usize::from(!own.is_empty())
}

fn no_publish_after_rel(model: &Model<'_>) -> Option<Because> {
    for (life, _, _) in model.sessions() {
        // The last PUBLISH of an identifier, and its PUBREL.
        let mut published: BTreeMap<u16, (Option<Tag>, Place)> = BTreeMap::new();
        let mut released: BTreeMap<u16, Place> = BTreeMap::new();
        for (place, packet) in received_in(model, life) {
            match packet {
                Packet::PubRel(rel) => {
                    released.insert(rel.id, place);
                }
                Packet::Publish(publish) if publish.qos == Qos::ExactlyOnce => {
                    let (before, rel) = (published.get(&publish.id), released.remove(&publish.id));
                    if let (Some((tag, sent)), Some(rel)) = (before, rel)
                        && *tag == publish.tag()
                        && tag.is_some()
                        && publish.dup
                    {
                        let what = format!("PUBLISH {} was sent again after its PUBREL", publish.id);
                        let because = Because::at(model, place, what).about(publish.tag());
                        return Some(because.after([*sent, rel]));
                    }
                    published.insert(publish.id, (publish.tag(), place));
                }
                _ => {}
            }
        }
    }
    None
}

/// Packets that the connections of a life processed, in order.
fn received_in<'a>(model: &Model<'a>, life: &Life<'_>) -> Vec<(Place, &'a Packet)> {
    packets(model, life)
        .into_iter()
        .filter_map(|(place, sent, _, packet)| (!sent).then_some((place, packet)))
        .collect()
}

/// Packets of a life in order: place, whether the client sent it, connection, packet.
fn packets<'a>(model: &Model<'a>, life: &Life<'_>) -> Vec<(Place, bool, ConnId, &'a Packet)> {
    let mut places: Vec<Place> =
        life.conns.iter().flat_map(|conn| model.conns[conn].places.iter().copied()).collect();
    places.sort_unstable();
    let packets = places.into_iter().filter_map(|place| match &model.record(place).what {
        What::Sent { conn, packet, .. } => Some((place, true, *conn, packet)),
        What::Received { conn, packet, .. } => Some((place, false, *conn, packet)),
        _ => None,
    });
    packets.collect()
}

/// A QoS 2 exchange that a client takes part in.
#[derive(Clone, Copy)]
struct Exchange {
    tag: Option<Tag>,
    published: Place,
    /// Where the client said PUBREC.
    received: Option<Place>,
    /// Where, and on which connection, PUBREL came.
    released: Option<(Place, ConnId)>,
    /// Whether the client said PUBCOMP.
    completed: bool,
}

/// The first QoS 2 exchange (among the messages that `concerned` picks) that a client at rest was left alone with.
pub(super) fn unfinished(model: &Model<'_>, concerned: impl Fn(Tag) -> bool) -> Option<Because> {
    for life in model.lives.iter().filter(|life| life.at_rest) {
        let last = &model.conns[life.conns.last().expect("a life has a connection")];
        let accepted = last.accepted().expect("a connection of a life is accepted");
        for (id, exchange) in exchanges(model, life) {
            let silent = exchange.received.is_some() && exchange.released.is_none();
            let again = exchange.released.is_some_and(|(_, conn)| conn != last.id) && !exchange.completed;
            if (silent || again) && exchange.tag.is_none_or(&concerned) {
                let what = match silent {
                    true => format!("PUBREC {id} was sent and PUBREL never came"),
                    false => format!(
                        "PUBREL {id} was not sent again after the reconnect, its PUBCOMP was never sent"
                    ),
                };
                let mut because = Because::at(model, exchange.published, what).about(exchange.tag);
                because = because.after(exchange.received).after(exchange.released.map(|(place, _)| place));
                return Some(because.after([accepted]));
            }
        }
    }
    None
}

fn exchanges(model: &Model<'_>, life: &Life<'_>) -> BTreeMap<u16, Exchange> {
    let mut open: BTreeMap<u16, Exchange> = BTreeMap::new();
    for (place, sent, conn, packet) in packets(model, life) {
        match (sent, packet) {
            (false, Packet::Publish(publish)) if publish.qos == Qos::ExactlyOnce => {
                let tag = publish.tag();
                if open.get(&publish.id).is_none_or(|exchange| exchange.tag != tag) {
                    let fresh =
                        Exchange { tag, published: place, received: None, released: None, completed: false };
                    open.insert(publish.id, fresh);
                }
            }
            (true, Packet::PubRec(ack)) if ack.is_error() => {
                open.remove(&ack.id);
            }
            (true, Packet::PubRec(ack)) => {
                if let Some(exchange) = open.get_mut(&ack.id) {
                    exchange.received.get_or_insert(place);
                }
            }
            (false, Packet::PubRel(ack)) => {
                if let Some(exchange) = open.get_mut(&ack.id) {
                    exchange.released = Some((place, conn));
                }
            }
            (true, Packet::PubComp(ack)) => {
                if let Some(exchange) = open.get_mut(&ack.id) {
                    exchange.completed = true;
                }
            }
            _ => {}
        }
    }
    open
}
