//! Bounds: 39.

use super::{Because, Checker, Verdict};
use crate::model::{Conn, Grant, Life, Model, Place};
use broker_core::limits::Limits;
use sim::history::{Packet, Qos, What};
use std::collections::BTreeSet;

pub(super) const BOUNDED: Checker = Checker {
    number: 39,
    name: "Bounded",
    statement: "what is held for a client never passes its limit: connections, subscriptions, queue, messages in flight, packet size",
    clause: "ours; MQTT-3.1.2-24",
    check: bounded,
};

fn bounded(model: &Model<'_>) -> Verdict {
    let Some(limits) = model.scenario.topology.nodes.first().map(|node| &node.limits) else {
        return Verdict::Unknown("the limits are not known".to_owned());
    };
    let by_conn = model
        .conns
        .values()
        .find_map(|conn| in_flight(model, conn, limits).or_else(|| packet_size(model, conn)));
    let by_life = || {
        model
            .lives
            .iter()
            .find_map(|life| subscriptions(model, life, limits).or_else(|| queue(model, life, limits)))
    };
    Verdict::first(by_conn.or_else(by_life).or_else(|| connections(model, limits)))
}

fn in_flight(model: &Model<'_>, conn: &Conn<'_>, limits: &Limits) -> Option<Because> {
    let mut open: BTreeSet<u16> = BTreeSet::new();
    for &place in &conn.places {
        match &model.record(place).what {
            What::Received { packet: Packet::Publish(publish), .. } if publish.qos != Qos::AtMostOnce => {
                open.insert(publish.id);
                if open.len() > usize::from(limits.inflight_max) {
                    let what = format!(
                        "{} messages are in flight, inflight_max is {}",
                        open.len(),
                        limits.inflight_max
                    );
                    return Some(Because::at(model, place, what));
                }
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

fn packet_size(model: &Model<'_>, conn: &Conn<'_>) -> Option<Because> {
    let (_, _, connect) = conn.connect?;
    let largest = connect.packet_bytes_max?;
    conn.places.iter().find_map(|place| match &model.record(*place).what {
        // Topic and payload alone are less than the packet.
        What::Received { packet: Packet::Publish(publish), .. } => {
            let topic = if publish.topic_on_wire { publish.topic.len() } else { 0 };
            let least = publish.payload.len() + topic;
            (least as u64 > u64::from(largest)).then(|| {
                let what = format!("a PUBLISH of more than {least} bytes came, the client takes {largest}");
                Because::at(model, *place, what).about(publish.tag())
            })
        }
        _ => None,
    })
}

fn subscriptions(model: &Model<'_>, life: &Life<'_>, limits: &Limits) -> Option<Because> {
    let subs = model.subs_of(life.no);
    let granted =
        subs.iter().filter(|sub| !sub.carried && matches!(sub.answered, Some((_, Grant::Granted(_)))));
    let kept: Vec<_> = granted.filter(|sub| sub.unsubscribing.is_none()).collect();
    let filters: BTreeSet<&str> = kept.iter().map(|sub| &sub.options.filter[..]).collect();
    let last = kept.last().filter(|_| filters.len() > limits.subscriptions_max as usize)?;
    let what = format!(
        "{} subscriptions were granted, subscriptions_max is {}",
        filters.len(),
        limits.subscriptions_max
    );
    Some(Because::at(model, last.requested, what))
}

/// Messages that were accepted while the client was away, and delivered after: all of them were queued at once.
fn queue(model: &Model<'_>, life: &Life<'_>, limits: &Limits) -> Option<Because> {
    life.conns.windows(2).find_map(|pair| {
        let (before, after) = (&model.conns[&pair[0]], &model.conns[&pair[1]]);
        let settled_at = before.settled_at(&model.ground)?;
        let (asked, _, _) = after.connect?;
        let waiting = model.deliveries_of(life.no).iter().filter(|delivery| {
            let message = delivery.tag.and_then(|tag| model.published.get(&tag));
            message.is_some_and(|message| {
                let sent_away = model.at(message.first().place) > settled_at;
                sent_away
                    && message.acknowledged.is_some_and(|place| place < asked)
                    && !delivery.retained
                    && delivery.begins()
            })
        });
        let places: Vec<Place> = waiting.map(|delivery| delivery.place).collect();
        // In a cluster a session has a queue in each shard.
        let most = limits.queue_messages_max as usize * model.scenario.shards();
        (places.len() > most).then(|| {
            let what = format!("{} messages were queued at once, {most} is the most", places.len(),);
            Because::at(model, places[places.len() - 1], what).after([asked])
        })
    })
}

fn connections(model: &Model<'_>, limits: &Limits) -> Option<Because> {
    let accepted: Vec<&Conn<'_>> = model.conns.values().filter(|conn| conn.accepted().is_some()).collect();
    accepted.iter().find_map(|conn| {
        let place = conn.accepted()?;
        // A connection is surely held at the time of the last request that was answered on it.
        let held = accepted.iter().filter(|other| {
            other.node == conn.node
                && other.accepted().is_some_and(|begun| begun <= place)
                && (other.id == conn.id || other.alive_at >= model.at(place))
        });
        let count = held.count();
        (count > limits.connections_max as usize).then(|| {
            let what =
                format!("{count} connections were open, connections_max is {}", limits.connections_max);
            Because::at(model, place, what)
        })
    })
}
