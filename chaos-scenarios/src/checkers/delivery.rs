//! What was acknowledged arrives: 1, 2, and the same promise seen from where it is easiest to break (4, 5, 21, 24, 25).

use super::{Because, Checker, Verdict, unless_forgetful};
use crate::model::{Conn, LifeNo, Missing, Model, Owed, Published, Sub};
use broker_core::auth::Action;
use broker_core::time::{Duration, Instant};
use sim::history::Qos;

pub(super) const ACK_OWNED: Checker = Checker {
    number: 1,
    name: "AckOwned",
    statement: "an acknowledged QoS 1 or 2 message reaches every session that was surely subscribed before it was sent, through any crash",
    clause: "MQTT-4.3.2-4, MQTT-4.3.3-8, MQTT-4.5.0-1",
    check: |model| unless_forgetful(model, || lost(model, |_| true)),
};

pub(super) const NO_SILENT_DROP: Checker = Checker {
    number: 2,
    name: "NoSilentDrop",
    statement: "an acknowledged message that a session never got has a recorded reason, and the reason is true",
    clause: "MQTT-4.5.0-1",
    check: no_silent_drop,
};

pub(super) const QOS2_NEW_AFTER_COMP: Checker = Checker {
    number: 4,
    name: "Qos2NewAfterComp",
    statement: "a packet identifier used again after PUBCOMP names a new message, which is not swallowed",
    clause: "MQTT-4.3.3-12",
    check: |model| unless_forgetful(model, || lost(model, |owed| reuses_id(model, owed, Qos::ExactlyOnce))),
};

pub(super) const QOS1_NEW_AFTER_ACK: Checker = Checker {
    number: 5,
    name: "Qos1NewAfterAck",
    statement: "a packet identifier used again after PUBACK names a new message, whatever DUP says",
    clause: "MQTT-4.3.2-5",
    check: |model| unless_forgetful(model, || lost(model, |owed| reuses_id(model, owed, Qos::AtLeastOnce))),
};

pub(super) const RESUMED_ROUTABLE: Checker = Checker {
    number: 21,
    name: "ResumedRoutable",
    statement: "the subscriptions of a resumed session are in force before CONNACK is sent",
    clause: "MQTT-3.1.2-5",
    check: |model| {
        unless_forgetful(model, || {
            lost(model, |owed| connected_since(model, owed, false))
                .or_else(|| lost_at_most_once(model, |conn, sub| sub.conn != conn.id && conn.resumed()))
        })
    },
};

pub(super) const SUBACK_EFFECTIVE: Checker = Checker {
    number: 24,
    name: "SubackEffective",
    statement: "from SUBACK on, matching messages are delivered (QoS 0 while nothing is at fault)",
    clause: "MQTT-3.8.4-1",
    check: |model| {
        unless_forgetful(model, || {
            lost(model, |owed| connected_since(model, owed, true))
                .or_else(|| lost_at_most_once(model, |conn, sub| sub.conn == conn.id))
        })
    },
};

pub(super) const RESUBSCRIBE_NO_LOSS: Checker = Checker {
    number: 25,
    name: "ResubscribeNoLoss",
    statement: "replacing a subscription loses no message",
    clause: "MQTT-3.8.4-3, MQTT-3.8.4-4",
    check: |model| unless_forgetful(model, || lost(model, |owed| while_resubscribing(model, owed))),
};

/// The first message owed (among those that `concerned` picks) that is missing and may not be.
fn lost(model: &Model<'_>, concerned: impl Fn(&Owed) -> bool) -> Option<Because> {
    let missing = model.owed.iter().filter(|owed| owed.missing == Missing::Silently && !owed.excusable);
    missing.into_iter().find(|owed| concerned(owed)).map(|owed| tell(model, owed))
}

fn tell(model: &Model<'_>, owed: &Owed) -> Because {
    let life = model.life(owed.life);
    let sub = &model.subs_of(owed.life)[owed.sub];
    let message = &model.published[&owed.tag];
    let whom = match &owed.group {
        Some(group) => format!("no member of {group}"),
        None => format!("not '{}'", life.client_id),
    };
    let what = format!(
        "{} on '{}' (QoS {}) was acknowledged and reached {whom}, whose subscription to '{}' was acknowledged before it was sent",
        owed.tag, message.topic, message.qos as u8, sub.options.filter,
    );
    let answered = sub.granted().map(|(place, _)| place);
    let conn = &model.conns[life.conns.last().expect("a life has a connection")];
    let mut because = Because::at(model, owed.acknowledged, what)
        .about(owed.tag)
        .after(message.sent.iter().map(|sending| sending.place))
        .after(answered)
        .after(conn.accepted());
    because.client = Some(conn.client);
    because.conn = Some(conn.id);
    because
}

fn reuses_id(model: &Model<'_>, owed: &Owed, qos: Qos) -> bool {
    let message = &model.published[&owed.tag];
    message.qos == qos && message.reuses_id_of.is_some()
}

/// Whether the message was sent while the session was connected, and the subscription is of that very connection (or, with
/// `own` false, of an earlier one).
fn connected_since(model: &Model<'_>, owed: &Owed, own: bool) -> bool {
    let sub = &model.subs_of(owed.life)[owed.sub];
    let conn = model.conn_before(model.life(owed.life), owed.sent);
    conn.is_some_and(|conn| conn.open_at(owed.sent) && (sub.conn == conn.id) == own)
}

fn while_resubscribing(model: &Model<'_>, owed: &Owed) -> bool {
    let subs = model.subs_of(owed.life);
    let sub = &subs[owed.sub];
    subs.iter().filter(|other| other.requested > sub.requested && other.filter == sub.filter).any(|other| {
        let answered = other.answered.map_or(usize::MAX, |(place, _)| place);
        owed.sent < answered && other.requested < owed.acknowledged
    })
}

/// How long a QoS 0 message may take where nothing is at fault.
const CALM: Duration = Duration::from_secs(2);

/// The first QoS 0 delivery that did not happen although nothing was at fault, to a subscription that `concerned` picks.
fn lost_at_most_once(model: &Model<'_>, concerned: impl Fn(&Conn<'_>, &Sub<'_>) -> bool) -> Option<Because> {
    let sent_once = |message: &&Published<'_>| message.will_of.is_none() && message.sent.len() == 1;
    for message in model.published.values().filter(sent_once) {
        let (first, sent_at) = (message.first(), model.at(message.first().place));
        let publisher = &model.conns[&first.conn];
        if !was_taken_in(model, message, publisher, sent_at) {
            continue;
        }
        for life in &model.lives {
            let Some(conn) = model.conn_before(life, first.place) else { continue };
            if !stays(model, conn, sent_at) || !reachable(model, message, conn) {
                continue;
            }
            let subs = model.subs_of(life.no);
            let sure = subs.iter().find(|sub| {
                let own = message.client_id == Some(life.client_id);
                let local = own && subs.iter().any(|other| other.options.no_local);
                concerned(conn, sub)
                    && sub.matches(&message.topic)
                    && !sub.is_shared()
                    && !local
                    && model
                        .surely(life.no, sub, first.place, usize::MAX)
                        .is_some_and(|granted| granted.min(message.qos) == Qos::AtMostOnce)
            });
            let Some(sub) = sure else { continue };
            if !arrived(model, life.no, message)
                && model.reasons(life.client_id, message.tag).next().is_none()
            {
                let what = format!(
                    "{} on '{}' did not reach '{}', subscribed to '{}' and connected, although nothing was at fault",
                    message.tag, message.topic, life.client_id, sub.options.filter
                );
                let mut because = Because::at(model, first.place, what).about(message.tag);
                because = because.after(sub.granted().map(|(place, _)| place)).after(conn.accepted());
                return Some(because);
            }
        }
    }
    None
}

/// Whether the broker surely took a message in: allowed, its connection stayed, and nothing was at fault.
fn was_taken_in(model: &Model<'_>, message: &Published<'_>, publisher: &Conn<'_>, sent_at: Instant) -> bool {
    let started_at = Instant::from_nanos(sent_at.as_nanos().saturating_sub(CALM.as_nanos() as u64));
    let taken = message.qos == Qos::AtMostOnce || message.acknowledged.is_some();
    taken
        && message.refused.is_none()
        && message.expiry_s.is_none()
        && stays(model, publisher, sent_at)
        && model.ground.calm(started_at, sent_at + CALM)
        && model.allowed(publisher, Action::Publish, message.topic.as_str()) == Some(true)
}

fn reachable(model: &Model<'_>, message: &Published<'_>, conn: &Conn<'_>) -> bool {
    let small = conn.connect.is_some_and(|(_, _, connect)| connect.packet_bytes_max.is_some());
    let heard = !model.ground.half_open(conn.client, conn.opened_at, model.ground.last_at);
    let drained = !conn.hears_until_the_end(&model.ground);
    heard && drained && !small && model.allowed(conn, Action::Subscribe, message.topic.as_str()) == Some(true)
}

/// Whether `conn` was open at `at` and long enough after.
fn stays(model: &Model<'_>, conn: &Conn<'_>, at: Instant) -> bool {
    model.ground.end.is_some() && conn.opened_at <= at && conn.kept_until >= at + CALM
}

fn arrived(model: &Model<'_>, life: LifeNo, message: &Published<'_>) -> bool {
    model.deliveries_of(life).iter().any(|delivery| delivery.tag == Some(message.tag))
}

fn no_silent_drop(model: &Model<'_>) -> Verdict {
    if !model.has_events() {
        return Verdict::Unknown("the broker's own account is not in the history".to_owned());
    }
    if let Some(because) = super::reasons::first_false(model) {
        return Verdict::Violated(because);
    }
    unless_forgetful(model, || {
        let silent = model.owed.iter().find(|owed| owed.missing == Missing::Silently);
        silent.map(|owed| tell(model, owed))
    })
}
