//! One connection for one client identifier: 16, 17.

use super::{Because, Checker, Verdict};
use crate::model::{Conn, Model, Place, Published, TAKEN_OVER};
use sim::history::{Closer, Packet, What};

pub(super) const ONE_CONNECTION: Checker = Checker {
    number: 16,
    name: "OneConnection",
    statement: "one live connection for one client identifier; the older one is closed with 0x8E",
    clause: "MQTT-3.1.4-3",
    check: |model| {
        Verdict::first(pairs(model).into_iter().find_map(|(old, new)| one_connection(model, old, new)))
    },
};

pub(super) const FENCING: Checker = Checker {
    number: 17,
    name: "Fencing",
    statement: "a connection whose session was taken over gets nothing acknowledged and no new message",
    clause: "MQTT-3.1.4-3",
    check: |model| Verdict::first(pairs(model).into_iter().find_map(|(old, new)| fencing(model, old, new))),
};

/// Reason code 0x8D, Keep Alive timeout.
const KEEP_ALIVE_TIMEOUT: u8 = 0x8d;

/// Pairs of connections with one client identifier: the first was accepted before the second asked, and open when the
/// second was accepted.
fn pairs<'m, 'a>(model: &'m Model<'a>) -> Vec<(&'m Conn<'a>, &'m Conn<'a>)> {
    let mut pairs = Vec::new();
    for list in model.by_client_id.values() {
        let conns: Vec<&Conn<'a>> = list.iter().map(|id| &model.conns[id]).collect();
        for new in &conns {
            let (Some(taken), Some((asked, _, _))) = (new.accepted(), new.connect) else { continue };
            let older = conns.iter().filter(|old| old.accepted().is_some_and(|accepted| accepted < asked));
            pairs.extend(older.filter(|old| old.open_at(taken)).map(|old| (*old, *new)));
        }
    }
    pairs
}

fn one_connection(model: &Model<'_>, old: &Conn<'_>, new: &Conn<'_>) -> Option<Because> {
    let taken = new.accepted()?;
    let asked = new.connect.map_or(taken, |(place, _, _)| place);
    if let Some((place, dismissed)) = old.dismissed.filter(|(place, _)| *place > taken) {
        // A node of a cluster that lost its lease, or its link, closes its clients for that.
        let sooner =
            model.ground.went_down(asked, place) || model.ground.disturbed(model.at(asked), model.at(place));
        if dismissed.reason != TAKEN_OVER
            && old.is_v5()
            && !sooner
            && old.left.is_none()
            && behaved(model, old)
        {
            let what =
                format!("the older connection was closed with 0x{:02X} instead of 0x8E", dismissed.reason);
            return Some(Because::at(model, place, what).after([asked, taken]));
        }
    }
    let silent_link = model.ground.half_open(old.client, old.opened_at, model.ground.last_at);
    if old.closed.is_none() && !silent_link && model.ground.end.is_some() && model.ground.healed.is_some() {
        let what = "the older connection is still open at the end".to_owned();
        return Some(Because::at(model, taken, what).after(old.accepted()));
    }
    match old.closed {
        Some((place, _, Closer::Broker)) if old.is_v5() && old.dismissed.is_none() && old.left.is_none() => {
            let what = "the older connection was closed without a DISCONNECT".to_owned();
            Some(Because::at(model, place, what).after([asked, taken]))
        }
        _ => None,
    }
}

/// Whether a client did nothing on a connection that it may be closed for: it sent packets, one CONNECT, no more than the
/// broker's Receive Maximum, and was not told that it was silent for too long.
fn behaved(model: &Model<'_>, conn: &Conn<'_>) -> bool {
    let sent = |wanted: &dyn Fn(&Packet) -> bool| {
        let packets = conn.places.iter().filter_map(|place| match &model.record(*place).what {
            What::Sent { packet, .. } => Some(packet),
            _ => None,
        });
        packets.filter(|packet| wanted(packet)).count()
    };
    let in_flight = sent(&|packet| matches!(packet, Packet::Publish(publish) if publish.id != 0));
    let receive_max = conn.connack.map_or(u16::MAX, |(_, _, connack)| connack.receive_max);
    let silent = conn.dismissed.is_some_and(|(_, dismissed)| dismissed.reason == KEEP_ALIVE_TIMEOUT);
    sent(&|packet| matches!(packet, Packet::Garbage { .. })) == 0
        && sent(&|packet| matches!(packet, Packet::Connect(_))) == 1
        && in_flight <= usize::from(receive_max)
        && !silent
}

fn fencing(model: &Model<'_>, old: &Conn<'_>, new: &Conn<'_>) -> Option<Because> {
    let taken = new.accepted()?;
    // Only the session's shard has to know of the takeover by then; the others learn it from there.
    let fenced_at = model.ground.caught_up_at(model.at(taken))?;
    let later: Vec<Place> = old.places.iter().copied().filter(|place| *place > taken).collect();
    for &place in &later {
        let What::Received { packet, .. } = &model.record(place).what else { continue };
        if let Packet::Publish(publish) = packet {
            let message = publish.tag().and_then(|tag| model.published.get(&tag));
            let new = |message: &&Published<'_>| {
                message.first().place > taken && model.at(message.first().place) >= fenced_at
            };
            if let Some(message) = message.filter(new) {
                let what = format!(
                    "{} was delivered on a connection whose session had been taken over",
                    message.tag
                );
                return Some(
                    Because::at(model, place, what).about(message.tag).after([taken, message.first().place]),
                );
            }
            continue;
        }
        let mut earlier = old.places.iter().filter(|at| **at < taken || model.at(**at) < fenced_at);
        let earlier_request = earlier.any(|at| is_answered_by(model, *at, packet));
        let request = later.iter().find(|at| **at < place && is_answered_by(model, **at, packet));
        if let (false, Some(request)) = (earlier_request, request) {
            let what = "a request was answered on a connection whose session had been taken over".to_owned();
            return Some(Because::at(model, place, what).after([taken, *request]));
        }
    }
    None
}

fn is_answered_by(model: &Model<'_>, place: Place, answer: &Packet) -> bool {
    let What::Sent { packet, .. } = &model.record(place).what else { return false };
    match (packet, answer) {
        (Packet::Publish(request), Packet::PubAck(ack) | Packet::PubRec(ack)) => request.id == ack.id,
        (Packet::PubRel(request), Packet::PubComp(ack)) => request.id == ack.id,
        (Packet::Subscribe(request), Packet::SubAck(granted)) => request.id == granted.id,
        (Packet::Unsubscribe(request), Packet::UnsubAck(granted)) => request.id == granted.id,
        _ => false,
    }
}
