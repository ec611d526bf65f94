//! Retained messages: 27, 28.

use super::{Because, Checker, Verdict, unless_forgetful};
use crate::model::{Copy, Delivery, Life, Model, Place, Published, Sub, Write};
use broker_core::auth::Action;
use broker_core::time::Duration;
use broker_core::topic::TopicName;
use sim::history::{Qos, Tag};
use std::collections::BTreeMap;

pub(super) const RETAINED_LATEST: Checker = Checker {
    number: 27,
    name: "RetainedLatest",
    statement: "a new subscription is given the last retained message that was acknowledged, and none after a delete",
    clause: "MQTT-3.3.1-5, MQTT-3.3.1-6, MQTT-3.3.1-7",
    check: |model| {
        unless_forgetful(model, || {
            model.lives.iter().find_map(|life| stale(model, life).or_else(|| absent(model, life)))
        })
    },
};

pub(super) const RETAIN_HANDLING: Checker = Checker {
    number: 28,
    name: "RetainHandling",
    statement: "Retain Handling 0, 1 and 2 and Retain As Published are respected; around SUBACK there is neither gap nor duplicate between retained and live",
    clause: "MQTT-3.3.1-9, MQTT-3.3.1-10, MQTT-3.3.1-11, MQTT-3.3.1-12, MQTT-3.3.1-13",
    check: |model| {
        if let Some(because) = model.lives.iter().find_map(|life| flags_and_counts(model, life)) {
            return Verdict::Violated(because);
        }
        unless_forgetful(model, || model.lives.iter().find_map(|life| gap(model, life)))
    },
};

/// The first retained message that had been replaced or deleted for sure before anything asked for it.
fn stale(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    let subs = model.subs_of(life.no);
    let retained = model.deliveries_of(life.no).iter().filter(|delivery| delivery.retained);
    for delivery in retained {
        let (Some(tag), Ok(topic)) = (delivery.tag, TopicName::parse(delivery.publish.topic.clone())) else {
            continue;
        };
        let asking: Vec<&Sub<'_>> = asking(subs, &topic, delivery.place).collect();
        let as_published = subs.iter().any(|sub| sub.options.retain_as_published && sub.matches(&topic));
        let Some(writes) = model.writes.get(topic.as_str()).filter(|_| !as_published && !asking.is_empty())
        else {
            continue;
        };
        let Some(write) = writes.iter().find(|write| write.tag == Some(tag)) else { continue };
        let replaced =
            |by: Place| writes.iter().find(|other| write.surely_before(other) && other.surely_done(by));
        let newer = asking.iter().map(|sub| replaced(sub.requested)).collect::<Option<Vec<_>>>();
        if let Some(newer) = newer.as_ref().and_then(|newer| newer.first())
            && delivery.copy == Copy::First
        {
            let how = newer.tag.map_or("deleted".to_owned(), |newer| format!("replaced by {newer}"));
            let what =
                format!("{tag} on '{topic}' was given as the retained message after it had been {how}");
            return Some(
                Because::at(model, delivery.place, what)
                    .about(tag)
                    .after([asking[0].requested, newer.first()]),
            );
        }
    }
    None
}

/// The subscriptions that may have asked for retained messages of `topic` before `until`.
fn asking<'s, 'a>(subs: &'s [Sub<'a>], topic: &TopicName, until: Place) -> impl Iterator<Item = &'s Sub<'a>> {
    let matching = subs.iter().filter(move |sub| sub.matches(topic) && sub.requested < until);
    matching.filter(|sub| !sub.is_shared() && sub.options.retain_handling != 2)
}

/// The first retained message that must have been given to a new subscription, and was not.
fn absent(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    for sub in model.subs_of(life.no) {
        let Some((answered, granted)) = sub.granted().filter(|_| must_be_given(model, life, sub)) else {
            continue;
        };
        for (topic, writes) in &model.writes {
            let Ok(name) = TopicName::parse((*topic).into()) else { continue };
            if !sub.matches(&name) || !may_receive(model, life, topic) {
                continue;
            }
            let Some((write, later)) = surely_held(writes, sub.requested, answered) else { continue };
            if is_kept_back(model, life, sub, write) {
                continue;
            }
            // Any of those that came later may have been the one to give.
            let qos = later.iter().map(|later| later.qos).fold(write.qos.min(granted), Qos::min);
            let exact = qos != Qos::AtMostOnce && life.at_rest;
            if !exact && !calm_around(model, life, sub, answered) {
                continue;
            }
            if !was_given(model, life, writes, sub, answered) {
                let tag = write.tag;
                let name = tag.map_or("a retained message".to_owned(), |tag| tag.to_string());
                let what = format!(
                    "{name} was retained on '{topic}' when '{}' subscribed to '{}', which was given nothing",
                    life.client_id, sub.options.filter
                );
                let because = Because::at(model, answered, what).about(tag);
                return Some(because.after([sub.requested, write.first()]).after(write.acknowledged));
            }
        }
    }
    None
}

fn must_be_given(model: &Model<'_>, life: &Life<'_>, sub: &Sub<'_>) -> bool {
    let before = model.subs_of(life.no).iter().filter(|other| other.requested < sub.requested);
    let fresh = !before.into_iter().any(|other| other.options.filter == sub.options.filter);
    let asks = sub.options.retain_handling == 0 || (sub.options.retain_handling == 1 && fresh);
    let limited =
        model.conns[&sub.conn].connect.is_some_and(|(_, _, connect)| connect.packet_bytes_max.is_some());
    asks && !sub.is_shared() && !sub.carried && sub.unsubscribing.is_none() && !limited
}

fn may_receive(model: &Model<'_>, life: &Life<'_>, topic: &str) -> bool {
    life.conns.iter().all(|conn| model.allowed(&model.conns[conn], Action::Subscribe, topic) == Some(true))
}

/// Whether No Local keeps a session's own message from it. \[MQTT-3.8.3-3\]
fn is_kept_back(model: &Model<'_>, life: &Life<'_>, sub: &Sub<'_>, write: &Write) -> bool {
    let own = |conn| model.conns[conn].client_id() == Some(life.client_id);
    sub.options.no_local && write.sent.iter().any(|(_, conn)| own(conn))
}

/// A write that was surely done before `asked`, and those that may have come after it and before `answered`, if every one of them also leaves a
/// message, for ever.
fn surely_held(writes: &[Write], asked: Place, answered: Place) -> Option<(&Write, Vec<&Write>)> {
    let leaves = |write: &Write| write.tag.is_some() && write.expiry_s.is_none();
    let done = writes.iter().rev().filter(|write| leaves(write) && write.surely_done(asked));
    done.into_iter().find_map(|write| {
        let later: Vec<&Write> =
            writes.iter().filter(|other| !other.surely_before(write) && other.first() < answered).collect();
        later.iter().all(|other| leaves(other)).then_some((write, later))
    })
}

/// Whether the life received any message that was written to the topic before `answered`, after it asked.
fn was_given(model: &Model<'_>, life: &Life<'_>, writes: &[Write], sub: &Sub<'_>, answered: Place) -> bool {
    let early = |tag: Tag| writes.iter().any(|write| write.tag == Some(tag) && write.first() < answered);
    let since = model.deliveries_of(life.no).iter().filter(|delivery| delivery.place > sub.requested);
    let given = since.filter_map(|delivery| delivery.tag).any(early);
    let excused = || {
        let tags = writes.iter().filter_map(|write| write.tag);
        tags.into_iter().any(|tag| model.reasons(life.client_id, tag).next().is_some())
    };
    given || excused()
}

/// Whether nothing was at fault around a SUBSCRIBE, and its connection stayed.
fn calm_around(model: &Model<'_>, life: &Life<'_>, sub: &Sub<'_>, answered: Place) -> bool {
    let conn = &model.conns[&sub.conn];
    let until = model.at(answered) + Duration::from_secs(2);
    let open_until = conn.kept_until;
    let heard = !model.ground.half_open(conn.client, conn.opened_at, until);
    heard
        && life.conns.contains(&conn.id)
        && open_until >= until
        && model.ground.calm(model.at(sub.requested), until)
}

fn flags_and_counts(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    let subs = model.subs_of(life.no);
    let mut given: BTreeMap<Tag, usize> = BTreeMap::new();
    for delivery in
        model.deliveries_of(life.no).iter().filter(|delivery| delivery.retained && delivery.begins())
    {
        let (Some(tag), Ok(topic)) = (delivery.tag, TopicName::parse(delivery.publish.topic.clone())) else {
            continue;
        };
        let Some(message) = model.published.get(&tag) else { continue };
        if !message.retain {
            let what = format!("{tag} came with RETAIN, and was published without");
            return Some(Because::at(model, delivery.place, what).about(tag).after([message.first().place]));
        }
        let count = given.entry(tag).or_insert(0);
        *count += 1;
        let allowed = retained_copies_allowed(model, subs, &topic, message, delivery.place);
        if *count > allowed {
            let what = format!(
                "{tag} on '{topic}' was given as a retained message {count} times, {allowed} at most were asked for"
            );
            let asked = subs.iter().filter(|sub| sub.matches(&topic)).map(|sub| sub.requested);
            return Some(Because::at(model, delivery.place, what).about(tag).after(asked));
        }
    }
    both_ways(model, life)
}

/// How often a message may come with RETAIN: once for each SUBSCRIBE that may ask for it, and live as it was published.
fn retained_copies_allowed(
    model: &Model<'_>,
    subs: &[Sub<'_>],
    topic: &TopicName,
    message: &Published<'_>,
    until: Place,
) -> usize {
    let known = |sub: &Sub<'_>| {
        subs.iter().any(|other| {
            let granted = other.granted().is_some_and(|(place, _)| place < sub.requested);
            let kept = other.unsubscribing.is_none_or(|place| place > sub.requested);
            !other.carried && other.options.filter == sub.options.filter && granted && kept
        })
    };
    let triggers =
        asking(subs, topic, until).filter(|sub| sub.options.retain_handling == 0 || !known(sub)).count();
    let as_published =
        subs.iter().any(|sub| sub.options.retain_as_published && sub.matches(topic) && sub.requested < until);
    // QoS 1 may come live more than once, if its publisher sent it more than once.
    let live = if model.sent_in_one_life(message) && message.qos == Qos::ExactlyOnce {
        1
    } else {
        message.sent.len()
    };
    let groups = subs.iter().filter(|sub| sub.is_shared() && sub.matches(topic)).count();
    triggers + if as_published { live * (1 + groups) } else { 0 }
}

/// The first message that came both live and retained, although the life subscribed to it once only.
fn both_ways(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    let subs = model.subs_of(life.no);
    let mut live: BTreeMap<Tag, &Delivery<'_>> = BTreeMap::new();
    let mut retained: BTreeMap<Tag, &Delivery<'_>> = BTreeMap::new();
    for delivery in model.deliveries_of(life.no) {
        if let Some(tag) = delivery.tag {
            let copies = if delivery.retained { &mut retained } else { &mut live };
            copies.entry(tag).or_insert(delivery);
        }
    }
    retained.into_iter().find_map(|(tag, retained)| {
        let (live, message) = (live.get(&tag)?, model.published.get(&tag)?);
        let mut matching = subs.iter().filter(|sub| sub.matches(&message.topic));
        let only = matching.next().filter(|_| matching.next().is_none())?;
        let plain = !only.is_shared() && !only.options.retain_as_published && !only.carried;
        if !plain || message.was_resent() {
            return None;
        }
        let what = format!("{tag} came both as the retained message and live, by one SUBSCRIBE");
        Some(Because::at(model, retained.place, what).about(tag).after([live.place, only.requested]))
    })
}

/// The first retained message, sent around a SUBSCRIBE, that came neither as retained nor live.
fn gap(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    if !life.at_rest {
        return None;
    }
    for sub in model.subs_of(life.no).iter().filter(|sub| must_be_given(model, life, sub)) {
        let Some((answered, granted)) = sub.granted() else { continue };
        for (topic, writes) in &model.writes {
            let Ok(name) = TopicName::parse((*topic).into()) else { continue };
            if !sub.matches(&name) || !may_receive(model, life, topic) {
                continue;
            }
            for write in writes {
                let (Some(tag), Some(done)) = (write.tag, write.acknowledged) else { continue };
                // What replaced the subscription before the write took effect counts as well.
                let replaced_by = model.subs_of(life.no).iter().filter(|other| {
                    other.options.filter == sub.options.filter
                        && (sub.requested..done).contains(&other.requested)
                });
                if replaced_by.into_iter().any(|other| is_kept_back(model, life, other, write)) {
                    continue;
                }
                let around = write.first() < answered && done > sub.requested && !write.refused;
                let alone = writes.iter().all(|other| {
                    other.tag == write.tag || other.surely_before(write) || other.first() > answered
                });
                let exact = write.qos.min(granted) != Qos::AtMostOnce && write.expiry_s.is_none();
                if around
                    && alone
                    && exact
                    && !was_given(model, life, std::slice::from_ref(write), sub, usize::MAX)
                {
                    let publisher = &model.conns[&write.sent[0].1];
                    if model.allowed(publisher, Action::Publish, topic) != Some(true) {
                        continue;
                    }
                    let what = format!(
                        "{tag} was retained while '{}' subscribed, and came neither retained nor live",
                        life.client_id
                    );
                    let because = Because::at(model, answered, what).about(tag);
                    return Some(because.after([sub.requested, write.first(), done]));
                }
            }
        }
    }
    None
}
