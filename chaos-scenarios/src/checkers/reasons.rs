//! Whether a recorded reason for not delivering a message can be true.

use super::Because;
use crate::model::{Grant, Model, Place, Published, Sub};
use broker_core::event::DropReason;
use broker_core::time::Duration;
use sim::history::{Packet, Qos, What};
use std::collections::BTreeSet;

/// The first recorded reason that cannot be true.
pub(super) fn first_false(model: &Model<'_>) -> Option<Because> {
    let sent = sent(model);
    for ((client_id, tag), list) in &model.drops {
        let (Some(client_id), Some(message)) = (*client_id, model.published.get(tag)) else { continue };
        for (place, reason) in list {
            if let Some(why) = contradiction(model, &sent, client_id, message, *place, *reason) {
                let what = format!("{tag} was dropped for '{client_id}' as {reason:?}, but {why}");
                return Some(Because::at(model, *place, what).about(*tag).after([message.first().place]));
            }
        }
    }
    None
}

fn contradiction(
    model: &Model<'_>,
    sent: &[Place],
    client_id: &str,
    message: &Published<'_>,
    place: usize,
    reason: DropReason,
) -> Option<String> {
    let limits = model.scenario.topology.nodes.first().map(|node| &node.limits)?;
    let earlier = || model.published.values().filter(move |other| other.first().place < place);
    let conns = || model.by_client_id.get(client_id).into_iter().flatten().map(|conn| &model.conns[conn]);
    match reason {
        DropReason::Expired => match message.expiry_s {
            None => Some("it has no expiry interval".to_owned()),
            Some(expiry_s) => {
                let lasted = model.at(place).saturating_since(model.at(message.first().place));
                let expires = Duration::from_secs(expiry_s.into());
                let early = lasted + model.ground.clock_slack() + Duration::from_secs(1) < expires;
                early.then(|| format!("only {:.1} s of {expiry_s} s had passed", lasted.as_secs_f64()))
            }
        },
        DropReason::QueueFull => {
            let most = most_queued(model, sent, client_id, place);
            let few = most < u64::from(limits.queue_messages_max);
            let small = most * (model.payload_bytes_max + LARGEST_TOPIC) <= limits.queue_bytes_max;
            (few && small).then(|| format!("at most {most} messages can have been queued"))
        }
        DropReason::SlowConsumer => {
            let certain = message.qos != Qos::AtMostOnce
                && conns().filter_map(|conn| model.life_of.get(&conn.id)).all(|life| {
                    let matching = model.subs_of(*life).iter().filter(|sub| sub.matches(&message.topic));
                    let granted = |sub: &Sub<'_>| matches!(sub.answered, Some((_, Grant::Granted(qos))) if qos != Qos::AtMostOnce);
                    matching.into_iter().all(granted)
                });
            certain.then(|| "it was to be delivered with QoS 1 or 2".to_owned())
        }
        DropReason::SessionEnded => {
            let endless = conns().all(|conn| {
                let clean = conn.connect.is_some_and(|(_, _, connect)| connect.clean_start);
                let (shortest_s, _) = conn.expiry_s();
                let expires_at = conn.alive_at + Duration::from_secs(shortest_s.into());
                let slack = model.ground.clock_slack() + Duration::from_secs(1);
                !clean && (shortest_s == u32::MAX || expires_at > model.at(place) + slack)
            });
            endless.then(|| "its session cannot have ended".to_owned())
        }
        DropReason::NotAuthorized => {
            model.scenario.acl.is_empty().then(|| "everything is allowed".to_owned())
        }
        DropReason::PacketTooLarge => {
            let limited = conns()
                .any(|conn| conn.connect.is_some_and(|(_, _, connect)| connect.packet_bytes_max.is_some()));
            (!limited).then(|| "the client takes packets of any size".to_owned())
        }
        DropReason::RetainedFull => {
            let topics: BTreeSet<&str> =
                earlier().filter(|other| other.retain).map(|other| other.topic.as_str()).collect();
            let few = (topics.len() as u64) < u64::from(limits.retained_messages_max);
            let small =
                model.payload_bytes_max * topics.len() as u64 + (1 << 16) <= limits.retained_bytes_max;
            (few && small).then(|| format!("only {} topics had a retained message", topics.len()))
        }
    }
}

/// How many messages can have been queued for a client by `place`: each that was sent, by each of its ways (its own
/// subscriptions, each of its groups), and for each SUBSCRIBE each retained message.
fn most_queued(model: &Model<'_>, sent: &[Place], client_id: &str, place: Place) -> u64 {
    let lives = model.lives.iter().filter(|life| life.client_id == client_id);
    let subs: Vec<&Sub<'_>> =
        lives.flat_map(|life| model.subs_of(life.no)).filter(|sub| sub.requested < place).collect();
    let groups: BTreeSet<&str> =
        subs.iter().filter(|sub| sub.is_shared()).map(|sub| &sub.options.filter[..]).collect();
    let sent = sent.partition_point(|sent| *sent < place);
    sent as u64 * (1 + groups.len() as u64) + (subs.len() * model.writes.len()) as u64
}

/// Where messages were sent, wills among them, in order.
fn sent(model: &Model<'_>) -> Vec<Place> {
    let sends = |what: &What| match what {
        What::Sent { packet: Packet::Connect(connect), .. } => connect.will.is_some(),
        What::Sent { packet: Packet::Publish(_), .. } => true,
        _ => false,
    };
    let records = model.history.records.iter().enumerate();
    records.filter(|(_, record)| sends(&record.what)).map(|(place, _)| place).collect()
}

/// Longer than any topic of a scenario, with what else is counted for a message.
const LARGEST_TOPIC: u64 = 100;
