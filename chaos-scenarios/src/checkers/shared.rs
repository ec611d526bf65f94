//! Shared subscriptions: 34.

use super::{Because, Checker, unless_forgetful};
use crate::model::{Began, Delivery, Life, LifeNo, Model, Place, Published, Sub};
use broker_core::topic::TopicFilter;
use sim::history::{Packet, Qos, Tag, What};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const SHARED_ONCE: Checker = Checker {
    number: 34,
    name: "SharedOnce",
    statement: "one member of a group gets each message; another only if the first left without having acknowledged it, and never with QoS 2",
    clause: "MQTT-4.8.2-4, MQTT-4.8.2-5, MQTT-4.8.2-6",
    check: |model| {
        unless_forgetful(model, || {
            groups(model).into_iter().find_map(|(filter, members)| shared_once(model, filter, &members))
        })
    },
};

/// The groups, each with the lives that ever wanted to be a member.
fn groups<'m>(model: &'m Model<'_>) -> BTreeMap<&'m TopicFilter, BTreeSet<LifeNo>> {
    let mut groups: BTreeMap<&TopicFilter, BTreeSet<LifeNo>> = BTreeMap::new();
    for (life, subs, _) in model.sessions() {
        for sub in subs.iter().filter(|sub| sub.is_shared()) {
            groups.entry(&sub.filter).or_default().insert(life.no);
        }
    }
    groups
}

fn shared_once(model: &Model<'_>, filter: &TopicFilter, members: &BTreeSet<LifeNo>) -> Option<Because> {
    let mut had: BTreeMap<Tag, Vec<(LifeNo, &Delivery<'_>)>> = BTreeMap::new();
    for life in members {
        for delivery in model.deliveries_of(*life).iter().filter(|delivery| delivery.begins()) {
            let Some(tag) = delivery.tag else { continue };
            let Some(message) = model.published.get(&tag) else { continue };
            if only_by_group(model, *life, filter, message) {
                had.entry(tag).or_default().push((*life, delivery));
            }
        }
    }
    had.into_iter().find_map(|(tag, mut list)| {
        list.sort_by_key(|(_, delivery)| delivery.place);
        let message = &model.published[&tag];
        // A QoS 1 message that was sent twice may be two messages.
        if !model.sent_in_one_life(message) || (message.qos == Qos::AtLeastOnce && message.was_resent()) {
            return None;
        }
        list.windows(2).find_map(|pair| {
            let [(first_life, first), (second_life, second)] = pair else { return None };
            let (one, other) = (model.life(*first_life), model.life(*second_life));
            // Either may have been the first to be given it: a client that stands still reads it late.
            let legal = first_life == second_life
                || is_perhaps_the_same(one, other)
                || may_give_back(model, one, filter, first, second)
                || may_give_back(model, other, filter, second, first);
            (!legal).then(|| {
                let what = format!(
                    "{tag} went to '{}' and to '{}' of the group {filter}",
                    model.life(*first_life).client_id,
                    model.life(*second_life).client_id
                );
                Because::at(model, second.place, what).about(tag).after([first.place, message.first().place])
            })
        })
    })
}

/// Whether a life can have had a message by this group only.
fn only_by_group(model: &Model<'_>, life: LifeNo, filter: &TopicFilter, message: &Published<'_>) -> bool {
    let mut matching = model.subs_of(life).iter().filter(|sub| sub.matches(&message.topic)).peekable();
    matching.peek().is_some() && matching.all(|sub: &Sub<'_>| sub.filter == *filter)
}

/// Whether the second life may be the same session as the first.
fn is_perhaps_the_same(one: &Life<'_>, other: &Life<'_>) -> bool {
    one.client_id == other.client_id && other.began == Began::Perhaps
}

/// Whether a message that one member had may have gone to another: its session may have ended, or it may have left the
/// group, without having acknowledged a QoS 1 delivery. When the broker noticed its end, nobody but the broker knows.
fn may_give_back(
    model: &Model<'_>,
    life: &Life<'_>,
    filter: &TopicFilter,
    given: &Delivery<'_>,
    anew: &Delivery<'_>,
) -> bool {
    if given.publish.qos == Qos::ExactlyOnce && anew.publish.qos == Qos::ExactlyOnce {
        return false;
    }
    // QoS 0 is sent once and cannot be given back.
    if given.publish.qos == Qos::AtMostOnce {
        return false;
    }
    let ended = life.may_end.is_some() || model.lives.iter().any(|other| other.previous == Some(life.no));
    let left = model.subs_of(life.no).iter().any(|sub| sub.filter == *filter && sub.unsubscribing.is_some());
    let acknowledged = model.conns[&given.conn].places.iter().any(|place| {
        let acknowledges = matches!(&model.record(*place).what,
            What::Sent { packet: Packet::PubAck(ack), .. } if ack.id == given.publish.id && !ack.is_error());
        acknowledges && *place > given.place && stays_processed(model, given, *place)
    });
    (ended || left) && !acknowledged
}

/// Whether the broker surely processed what the client sent at `place`, as it answered something sent later, and did not
/// forget it in a crash: progress is written down lazily.
fn stays_processed(model: &Model<'_>, delivery: &Delivery<'_>, place: Place) -> bool {
    let answered = model.conns[&delivery.conn].alive_at > model.at(place);
    let crashed = model.ground.crashes().any(|down| down.place > delivery.place);
    answered && !crashed && !model.ground.disturbed(model.at(delivery.place), model.ground.last_at)
}
