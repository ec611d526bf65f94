//! What is sent again, and what is not: 8, 9, 10, 11.

use super::{Because, Checker, Verdict, unless_forgetful};
use crate::model::{Conn, Copy, Delivery, Life, Model, Place, Published};
use broker_core::ids::ConnId;
use sim::history::{Packet, Publish, Qos, Tag, What};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const RESEND_UNACKED: Checker = Checker {
    number: 8,
    name: "ResendUnacked",
    statement: "after a reconnect what was not acknowledged is sent again: same identifier, DUP=1, in the original order",
    clause: "MQTT-4.4.0-1, MQTT-3.3.1-1",
    check: |model| unless_forgetful(model, || resend_unacked(model, |_| true)),
};

pub(super) const NO_OTHER_RESEND: Checker = Checker {
    number: 9,
    name: "NoOtherResend",
    statement: "nothing is sent again while the connection stays up",
    clause: "MQTT-4.4.0-1",
    check: |model| Verdict::first(model.conns.values().find_map(|conn| no_other_resend(model, conn))),
};

pub(super) const DUP_NOT_PROPAGATED: Checker = Checker {
    number: 10,
    name: "DupNotPropagated",
    statement: "the publisher's DUP flag never reaches a subscriber",
    clause: "MQTT-3.3.1-3",
    check: |model| {
        Verdict::first(first_with_dup(model, |message| message.sent.iter().any(|sending| sending.dup)))
    },
};

pub(super) const FIRST_SEND_DUP0: Checker = Checker {
    number: 11,
    name: "FirstSendDup0",
    statement: "what is sent for the first time has DUP=0, and QoS 0 always",
    clause: "MQTT-4.3.2-2, MQTT-4.3.3-2, MQTT-3.3.1-2",
    check: |model| Verdict::first(dup_at_most_once(model).or_else(|| first_with_dup(model, |_| true))),
};

/// A delivery that the client has not answered.
#[derive(Clone, Copy)]
struct Unanswered<'a> {
    /// Where it was received last.
    place: Place,
    /// Where it was received first: an answer that was lost does not change its place in the order.
    first: Place,
    publish: &'a Publish,
    tag: Tag,
}

/// The first message (among those that `concerned` picks) that was not sent again as it must be.
pub(super) fn resend_unacked(model: &Model<'_>, concerned: impl Fn(Tag) -> bool) -> Option<Because> {
    model.lives.iter().find_map(|life| {
        let mut unanswered: Vec<Unanswered<'_>> = Vec::new();
        let mut firsts: BTreeMap<(u16, Tag), Place> = BTreeMap::new();
        for (position, id) in life.conns.iter().enumerate() {
            let conn = &model.conns[id];
            if position > 0
                && let Some(because) = resends_on(model, life, conn, &unanswered, &concerned)
            {
                return Some(because);
            }
            note_deliveries(model, conn, &mut unanswered, &mut firsts);
        }
        None
    })
}

/// Adds what `conn` received, removes what its client answered.
fn note_deliveries<'a>(
    model: &Model<'a>,
    conn: &Conn<'a>,
    unanswered: &mut Vec<Unanswered<'a>>,
    firsts: &mut BTreeMap<(u16, Tag), Place>,
) {
    for &place in &conn.places {
        match &model.record(place).what {
            What::Received { packet: Packet::Publish(publish), .. } if publish.qos != Qos::AtMostOnce => {
                let known = unanswered
                    .iter()
                    .any(|open| open.publish.id == publish.id && Some(open.tag) == publish.tag());
                if let (Some(tag), false) = (publish.tag(), known) {
                    let first = *firsts.entry((publish.id, tag)).or_insert(place);
                    unanswered.push(Unanswered { place, first, publish, tag });
                }
            }
            What::Sent {
                packet: Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack), ..
            } => {
                unanswered.retain(|open| open.publish.id != ack.id);
            }
            _ => {}
        }
    }
}

/// Judges the resends on a connection that resumed a session with `unanswered` deliveries.
fn resends_on(
    model: &Model<'_>,
    life: &Life<'_>,
    conn: &Conn<'_>,
    unanswered: &[Unanswered<'_>],
    concerned: &impl Fn(Tag) -> bool,
) -> Option<Because> {
    let accepted = conn.accepted()?;
    let mut answered_blindly: BTreeSet<u16> = BTreeSet::new();
    let mut again: BTreeSet<Place> = BTreeSet::new();
    let mut last: BTreeMap<(&str, Qos), &Unanswered<'_>> = BTreeMap::new();
    for &place in &conn.places {
        let publish = match &model.record(place).what {
            What::Received { packet: Packet::Publish(publish), .. } => publish,
            What::Sent { packet: Packet::PubAck(ack) | Packet::PubRec(ack), .. } => {
                answered_blindly.insert(ack.id);
                continue;
            }
            _ => continue,
        };
        let fits = |open: &&Unanswered<'_>| {
            publish.tag() == Some(open.tag) && publish.retain == open.publish.retain && open.place < accepted
        };
        let Some(open) = unanswered.iter().filter(|open| concerned(open.tag)).find(fits) else { continue };
        if again.contains(&open.place)
            || (publish.id != open.publish.id && by_several_ways(model, life, open))
        {
            continue;
        }
        let wrong = if publish.id != open.publish.id {
            Some(format!(
                "was sent again as PUBLISH {}, after PUBLISH {} was not answered",
                publish.id, open.publish.id
            ))
        } else if !publish.dup {
            Some(format!("was sent again as PUBLISH {} without DUP", publish.id))
        } else {
            let key = (&open.publish.topic[..], open.publish.qos);
            let before = last.insert(key, open).filter(|before| before.first > open.first);
            before.map(|before| format!("was sent again after {}, which it preceded", before.tag))
        };
        if let Some(wrong) = wrong {
            let because = Because::at(model, place, format!("{} {wrong}", open.tag)).about(open.tag);
            return Some(because.after([open.place, accepted]));
        }
        again.insert(open.place);
    }
    if !life.at_rest || life.conns.last() != Some(&conn.id) {
        return None;
    }
    let forgotten =
        unanswered.iter().filter(|open| concerned(open.tag) && open.place < accepted).find(|open| {
            let excused = model.reasons(life.client_id, open.tag).next().is_some();
            !again.contains(&open.place) && !answered_blindly.contains(&open.publish.id) && !excused
        })?;
    let what = format!(
        "{} was not answered and, after the reconnect, PUBLISH {} was not sent again",
        forgotten.tag, forgotten.publish.id
    );
    Some(Because::at(model, forgotten.place, what).about(forgotten.tag).after([accepted]))
}

/// Whether a message may reach the life by several ways at once, each with an identifier of its own.
fn by_several_ways(model: &Model<'_>, life: &Life<'_>, open: &Unanswered<'_>) -> bool {
    let copies = model
        .deliveries_of(life.no)
        .iter()
        .filter(|delivery| delivery.tag == Some(open.tag) && delivery.begins());
    let shared = model.subs_of(life.no).iter().any(crate::model::Sub::is_shared);
    let republished = model.published.get(&open.tag).is_some_and(Published::was_resent);
    copies.count() > 1 || shared || republished
}

fn no_other_resend(model: &Model<'_>, conn: &Conn<'_>) -> Option<Because> {
    // By identifier: the message sent last with it, and whether the client has answered it on this connection.
    let mut sent: BTreeMap<u16, (Option<Tag>, Place, bool)> = BTreeMap::new();
    let mut released: BTreeMap<u16, Place> = BTreeMap::new();
    for &place in &conn.places {
        match &model.record(place).what {
            What::Received { packet: Packet::Publish(publish), .. } if publish.qos != Qos::AtMostOnce => {
                let tag = publish.tag();
                if let Some((before, first, answered)) = sent.get(&publish.id)
                    && *before == tag
                    && tag.is_some()
                    && (publish.dup || !answered)
                {
                    let what = format!("PUBLISH {} was sent twice on one connection", publish.id);
                    return Some(Because::at(model, place, what).about(tag).after([*first]));
                }
                sent.insert(publish.id, (tag, place, false));
                released.remove(&publish.id);
            }
            What::Received { packet: Packet::PubRel(ack), .. } => {
                if let Some(first) = released.insert(ack.id, place) {
                    let what = format!("PUBREL {} was sent twice on one connection", ack.id);
                    let tag = sent.get(&ack.id).and_then(|(tag, _, _)| *tag);
                    return Some(Because::at(model, place, what).about(tag).after([first]));
                }
            }
            What::Sent {
                packet: Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack), ..
            } => {
                // A PUBREC is answered as often as it is sent, even one for nothing (3.1.1 has no reason code to say so).
                if matches!(&model.record(place).what, What::Sent { packet: Packet::PubRec(_), .. }) {
                    released.remove(&ack.id);
                }
                if let Some((_, _, answered)) = sent.get_mut(&ack.id) {
                    *answered = true;
                }
            }
            _ => {}
        }
    }
    None
}

/// The first delivery with DUP of a message (that `concerned` picks) that was sent by its publisher only after the
/// connection had begun, so that no earlier connection can have carried it.
fn first_with_dup(model: &Model<'_>, concerned: impl Fn(&Published<'_>) -> bool) -> Option<Because> {
    let deliveries = model.deliveries.iter().flatten().filter(|delivery| delivery.copy == Copy::First);
    for delivery in deliveries.filter(|delivery| delivery.publish.dup) {
        let Some(message) = delivery.tag.and_then(|tag| model.published.get(&tag)) else { continue };
        let accepted = accepted(model, delivery.conn);
        // A shard that did not know of the connection yet may have sent it to the one before.
        let sent = message.first().place;
        let known = |accepted: Place| {
            accepted < sent
                && model.ground.caught_up_at(model.at(accepted)).is_some_and(|at| at <= model.at(sent))
        };
        if concerned(message) && accepted.is_some_and(known) {
            let what = format!(
                "{} was sent with DUP on the connection that was open when it was published, and never before",
                message.tag
            );
            let sent = message.sent.iter().map(|sending| sending.place);
            return Some(
                Because::at(model, delivery.place, what).about(message.tag).after(sent).after(accepted),
            );
        }
    }
    None
}

fn dup_at_most_once(model: &Model<'_>) -> Option<Because> {
    let wrong = |delivery: &&Delivery<'_>| delivery.publish.dup && delivery.publish.qos == Qos::AtMostOnce;
    let delivery = model.deliveries.iter().flatten().find(wrong)?;
    let what = "a PUBLISH with QoS 0 had DUP set".to_owned();
    Some(Because::at(model, delivery.place, what).about(delivery.tag))
}

fn accepted(model: &Model<'_>, conn: ConnId) -> Option<Place> {
    model.conns[&conn].accepted()
}
