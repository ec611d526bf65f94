//! What is delivered was asked for: 26, 35.

use super::{Because, Checker, Verdict};
use crate::model::{Began, Copy, Delivery, Grant, Life, Model, Place, Published, Sub};
use broker_core::topic::TopicName;
use sim::history::{Qos, Tag};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const UNSUBSCRIBE_STOPS: Checker = Checker {
    number: 26,
    name: "UnsubscribeStops",
    statement: "what is sent after UNSUBACK, or was never asked for, is not delivered",
    clause: "MQTT-3.10.4-2, MQTT-3.10.4-3",
    check: |model| Verdict::first(model.lives.iter().find_map(|life| unasked(model, life))),
};

pub(super) const OVERLAP_AND_IDS: Checker = Checker {
    number: 35,
    name: "OverlapAndIds",
    statement: "a message that several subscriptions match comes with their highest quality of service and all their identifiers, and not to a publisher that wants none of its own",
    clause: "MQTT-3.3.4-2, MQTT-3.3.4-3, MQTT-3.3.4-4, MQTT-3.8.3-3",
    check: |model| Verdict::first(model.lives.iter().find_map(|life| overlap(model, life))),
};

/// Why nothing explains a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsolicited {
    /// The session had unsubscribed; UNSUBACK was processed here.
    Unsubscribed(Place),
    /// An earlier session of the same client identifier had asked for it here.
    OfEarlierLife(Place),
    /// Nobody ever asked.
    NeverAsked,
}

/// The first delivery to `life` that none of its subscriptions explains.
pub(super) fn unsolicited(model: &Model<'_>, life: &Life<'_>) -> Option<(Because, Unsolicited)> {
    // A life that perhaps goes on with an earlier session than the one before may have any of its subscriptions.
    if life.began == Began::Perhaps && life.previous.is_none() {
        return None;
    }
    let subs = model.subs_of(life.no);
    model.deliveries_of(life.no).iter().find_map(|delivery| {
        let topic = TopicName::parse(delivery.publish.topic.clone()).ok()?;
        let message = delivery.tag.and_then(|tag| model.published.get(&tag));
        // A retained message is read at SUBSCRIBE and may arrive after UNSUBACK; so may what has no name.
        let sent = message.filter(|_| !delivery.retained).map_or(0, |message| message.first().place);
        let explained = subs.iter().any(|sub| sub.matches(&topic) && sub.perhaps(sent, delivery.place));
        if explained {
            return None;
        }
        let ended = subs.iter().filter(|sub| sub.matches(&topic)).filter_map(|sub| sub.unsubscribed).max();
        let earlier = || {
            let lives = model.lives[..life.no.0].iter().filter(|other| other.client_id == life.client_id);
            let mut theirs = lives.flat_map(|other| model.subs_of(other.no));
            theirs.find(|sub| sub.matches(&topic)).map(|sub| sub.requested)
        };
        let (why, cause) = match (ended, earlier()) {
            (Some(place), _) => (Unsolicited::Unsubscribed(place), Some(place)),
            (None, Some(place)) => (Unsolicited::OfEarlierLife(place), Some(place)),
            (None, None) => (Unsolicited::NeverAsked, None),
        };
        let because = match why {
            Unsolicited::Unsubscribed(_) => "it had unsubscribed before the message was sent",
            Unsolicited::OfEarlierLife(_) => "only an earlier session had subscribed to it",
            Unsolicited::NeverAsked => "it never subscribed to it",
        };
        let what = format!("a message on '{topic}' was delivered to '{}', but {because}", life.client_id);
        Some((Because::at(model, delivery.place, what).about(delivery.tag).after(cause), why))
    })
}

fn unasked(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    let (because, why) = unsolicited(model, life)?;
    (!matches!(why, Unsolicited::OfEarlierLife(_))).then_some(because)
}

fn overlap(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    let mut copies: BTreeMap<Tag, Vec<&Delivery<'_>>> = BTreeMap::new();
    for delivery in model.deliveries_of(life.no) {
        if let Some(tag) = delivery.tag.filter(|_| !delivery.retained) {
            copies.entry(tag).or_default().push(delivery);
        }
    }
    copies.into_iter().find_map(|(tag, copies)| {
        // What its publisher sent twice may have met other subscriptions the second time.
        let message = model.published.get(&tag).filter(|message| !message.was_resent())?;
        let first = copies.iter().find(|delivery| delivery.copy == Copy::First)?;
        let last = copies.last()?;
        let subs = settled(model, life, message, last.place)?;
        if subs.iter().all(|sub| sub.options.no_local) && message.client_id == Some(life.client_id) {
            let what =
                format!("{tag} came back to its publisher, which has only subscriptions with No Local to it");
            return Some(Because::at(model, first.place, what).about(tag));
        }
        let heard: Vec<&&Sub<'_>> = subs
            .iter()
            .filter(|sub| !(sub.options.no_local && message.client_id == Some(life.client_id)))
            .collect();
        let highest = heard.iter().filter_map(|sub| sub.granted()).map(|(_, qos)| qos).max()?;
        let got = copies.iter().map(|delivery| delivery.publish.qos).max()?;
        let due: Qos = highest.min(message.qos);
        let places = heard.iter().map(|sub| sub.requested);
        if got != due {
            let what = format!("{tag} was delivered with QoS {}, and not {}", got as u8, due as u8);
            return Some(Because::at(model, first.place, what).about(tag).after(places));
        }
        let ids: BTreeSet<u32> = heard.iter().filter_map(|sub| sub.id).collect();
        let seen: BTreeSet<u32> =
            copies.iter().flat_map(|delivery| delivery.publish.subscription_ids.iter().copied()).collect();
        if ids != seen && model.conns[&first.conn].is_v5() {
            let what = format!("{tag} came with subscription identifiers {seen:?}, and not {ids:?}");
            return Some(Because::at(model, first.place, what).about(tag).after(places));
        }
        None
    })
}

/// The subscriptions that match `message` if all of them were surely the same from its sending until it was delivered;
/// `None` if one was shared or about to change.
fn settled<'m, 'a>(
    model: &'m Model<'a>,
    life: &Life<'_>,
    message: &Published<'_>,
    delivered: Place,
) -> Option<Vec<&'m Sub<'a>>> {
    let sent = message.first().place;
    let matching = model.subs_of(life.no).iter().filter(|sub| sub.matches(&message.topic));
    let mut latest: BTreeMap<&str, &Sub<'a>> = BTreeMap::new();
    for sub in matching {
        if sub.requested >= delivered || sub.unsubscribed.is_some_and(|ended| ended < sent) {
            continue;
        }
        let changing = sub.answered.is_none_or(|(place, _)| place >= sent)
            || sub.unsubscribing.is_some_and(|asked| asked < delivered)
            || sub.carried
            || matches!(sub.answered, Some((_, Grant::Undone(_))))
            || sub.is_shared();
        if changing {
            return None;
        }
        if sub.granted().is_some() {
            latest.insert(&sub.options.filter, sub);
        }
    }
    (!latest.is_empty() && message.will_of.is_none()).then(|| latest.into_values().collect())
}
