//! Wills: 29, 30.

use super::{Because, Checker, unless_forgetful};
use crate::model::{Conn, LATE_DETACH, Life, Model, Place, Published};
use broker_core::auth::Action;
use broker_core::time::{Duration, Instant};
use sim::history::{Disconnect, Qos};

pub(super) const WILL_SENT: Checker = Checker {
    number: 29,
    name: "WillSent",
    statement: "after an abnormal close, a crash of the node included, the will is published, and once only",
    clause: "MQTT-3.1.2-8",
    check: |model| {
        unless_forgetful(model, || {
            wills(model).find_map(|(will, conn)| twice(model, will).or_else(|| unsent(model, will, conn)))
        })
    },
};

pub(super) const WILL_SUPPRESSED: Checker = Checker {
    number: 30,
    name: "WillSuppressed",
    statement: "the will is not published after DISCONNECT 0x00, nor if the session goes on within the delay",
    clause: "MQTT-3.14.4-3, MQTT-3.1.3-9",
    check: |model| {
        unless_forgetful(model, || wills(model).find_map(|(will, conn)| wrongly_sent(model, will, conn)))
    },
};

/// DISCONNECT 0x04: Disconnect with Will Message.
const WITH_WILL: u8 = 0x04;

fn wills<'m, 'a>(model: &'m Model<'a>) -> impl Iterator<Item = (&'m Published<'a>, &'m Conn<'a>)> {
    model.published.values().filter_map(|message| Some((message, &model.conns[&message.will_of?])))
}

fn twice(model: &Model<'_>, will: &Published<'_>) -> Option<Because> {
    for (life, subs, deliveries) in model.sessions() {
        let copies: Vec<Place> = deliveries
            .iter()
            .filter(|delivery| delivery.tag == Some(will.tag) && delivery.begins() && !delivery.retained)
            .map(|delivery| delivery.place)
            .collect();
        let groups = subs.iter().filter(|sub| sub.is_shared() && sub.matches(&will.topic)).count();
        if copies.len() > 1 + groups {
            let what =
                format!("the will {} was delivered {} times to '{}'", will.tag, copies.len(), life.client_id);
            return Some(Because::at(model, copies[copies.len() - 1], what).about(will.tag).after(copies));
        }
    }
    None
}

/// Whether the broker must publish the will of `conn` before the run ends, and since when it must have.
fn due_at(model: &Model<'_>, will: &Published<'_>, conn: &Conn<'_>) -> Option<Instant> {
    let accepted = conn.accepted()?;
    let (_, _, connect) = conn.connect?;
    let delay_s = connect.will.as_ref()?.delay_s;
    if conn.left.is_some_and(|(_, left)| left.reason != WITH_WILL) {
        return None;
    }
    if model.allowed(conn, Action::Publish, will.topic.as_str()) != Some(true) {
        return None;
    }
    let settled_at = conn.settled_at(&model.ground)?;
    // A node that is down publishes nothing; one that came back publishes at once what became due meanwhile.
    let last_down = model.ground.downs.last().map(|down| down.place);
    let up_again =
        model.ground.ups.iter().rev().find(|(place, _)| last_down.is_none_or(|down| *place > down));
    let up_at = up_again.map(|(place, _)| model.at(*place))?;
    let came_back = || {
        let list = conn.client_id().and_then(|client_id| model.by_client_id.get(client_id));
        let later = list.into_iter().flatten().map(|id| &model.conns[id]);
        later
            .into_iter()
            .any(|other| other.id != conn.id && other.connect.is_some_and(|(sent, _, _)| sent > accepted))
    };
    if delay_s > 0 && came_back() {
        return None;
    }
    let margin = model.ground.clock_slack() + Duration::from_secs(1);
    let orderly = model.ground.downs.is_empty() && !model.ground.is_cluster();
    let crash = if orderly { Duration::ZERO } else { LATE_DETACH };
    let delay = if delay_s == 0 { Duration::ZERO } else { Duration::from_secs(delay_s.into()) + crash };
    Some(settled_at.max(up_at) + delay + margin)
}

fn unsent(model: &Model<'_>, will: &Published<'_>, conn: &Conn<'_>) -> Option<Because> {
    let due_at = due_at(model, will, conn).filter(|due_at| *due_at < model.ground.last_at)?;
    let sent = will.first().place;
    for life in model.lives.iter().filter(|life| life.at_rest) {
        let subs = model.subs_of(life.no);
        let sub = subs.iter().find(|sub| {
            let local = sub.options.no_local && conn.client_id() == Some(life.client_id);
            let surely = model.surely(life.no, sub, sent, usize::MAX);
            !sub.is_shared()
                && sub.matches(&will.topic)
                && !local
                && surely.is_some_and(|qos| qos != Qos::AtMostOnce)
        });
        let Some(sub) = sub.filter(|_| will.qos != Qos::AtMostOnce && will.expiry_s.is_none()) else {
            continue;
        };
        if !may_have(model, life, will) || got(model, life, will).is_some() {
            continue;
        }
        let what = format!(
            "the will {} on '{}' was due at {:.3} s and did not reach '{}', subscribed to '{}'",
            will.tag,
            will.topic,
            due_at.as_nanos() as f64 / 1e9,
            life.client_id,
            sub.options.filter
        );
        let closed = conn.closed.map(|(place, _, _)| place);
        let because = Because::at(model, closed.unwrap_or(sent), what).about(will.tag);
        return Some(because.after([sent]).after(sub.granted().map(|(place, _)| place)));
    }
    None
}

/// Whether nothing lawful keeps the will from the session.
fn may_have(model: &Model<'_>, life: &Life<'_>, will: &Published<'_>) -> bool {
    let allowed = life.conns.iter().all(|conn| {
        let conn = &model.conns[conn];
        let limited = conn.connect.is_some_and(|(_, _, connect)| connect.packet_bytes_max.is_some());
        !limited && model.allowed(conn, Action::Subscribe, will.topic.as_str()) == Some(true)
    });
    allowed && model.reasons(life.client_id, will.tag).next().is_none()
}

fn got(model: &Model<'_>, life: &Life<'_>, will: &Published<'_>) -> Option<Place> {
    let mut deliveries = model.deliveries_of(life.no).iter();
    deliveries.find(|delivery| delivery.tag == Some(will.tag)).map(|delivery| delivery.place)
}

fn wrongly_sent(model: &Model<'_>, will: &Published<'_>, conn: &Conn<'_>) -> Option<Because> {
    let (life, place) = model.lives.iter().find_map(|life| Some((life, got(model, life, will)?)))?;
    let (why, cause) = suppressed(model, conn, place)?;
    let what = format!(
        "the will {} on '{}' was delivered to '{}', although {why}",
        will.tag, will.topic, life.client_id
    );
    Some(Because::at(model, place, what).about(will.tag).after([will.first().place, cause]))
}

/// Why the will of `conn` must not have been published before `seen`, and the place that shows it.
fn suppressed(model: &Model<'_>, conn: &Conn<'_>, seen: Place) -> Option<(&'static str, Place)> {
    let accepted = conn.accepted()?;
    if let Some((place, Disconnect { reason: 0, .. })) = conn.left
        && was_heard(model, conn, place)
    {
        return Some(("its client had said DISCONNECT 0x00", place));
    }
    if seen < accepted {
        return None;
    }
    let (_, _, connect) = conn.connect?;
    let delay = Duration::from_secs(connect.will.as_ref()?.delay_s.into());
    let list = conn.client_id().and_then(|client_id| model.by_client_id.get(client_id))?;
    let next = list
        .iter()
        .map(|id| &model.conns[id])
        .filter(|other| other.accepted().is_some_and(|place| place > accepted));
    let next = next.min_by_key(|other| other.accepted())?;
    let (back, back_at, _) = next.connack?;
    // The session must have gone on: a session that ends takes its will with it, published.
    let goes_on = next.resumed() && model.life_of.get(&next.id) == model.life_of.get(&conn.id);
    let margin = model.ground.clock_slack() + Duration::from_secs(1);
    let in_time = conn.alive_at + delay > back_at + margin;
    let ended = conn.expiry_s().0;
    let kept = ended == u32::MAX || conn.alive_at + Duration::from_secs(ended.into()) > back_at + margin;
    (goes_on && in_time && kept && seen > back).then_some(("its session went on within the delay", back))
}

/// Whether the broker surely heard the DISCONNECT that was sent at `place`: nothing was at fault around it, and until
/// then the connection was in order.
fn was_heard(model: &Model<'_>, conn: &Conn<'_>, place: Place) -> bool {
    let at = model.at(place);
    let until = at + model.ground.healthy_delay();
    let unheard = model.ground.half_open(conn.client, conn.opened_at, until);
    let delayed =
        model.ground.delayed_until(conn.client, conn.node, conn.opened_at, until).is_some_and(|end| end > at);
    let dismissed = conn.dismissed.is_some_and(|(_, sent)| sent.reason != 0);
    // Another connection may have taken the session over while DISCONNECT was on its way.
    let taken =
        conn.client_id().and_then(|client_id| model.by_client_id.get(client_id)).is_some_and(|list| {
            list.iter().map(|id| &model.conns[id]).filter(|other| other.id != conn.id).any(|other| {
                other.connect.is_some_and(|(sent, sent_at, _)| {
                    sent_at <= until
                        && other.closed.is_none_or(|(closed, _, _)| closed > place || sent > place)
                })
            })
        });
    let closed_first = conn.closed.is_some_and(|(closed, _, _)| closed < place);
    model.ground.calm(at, until) && !unheard && !delayed && !dismissed && !taken && !closed_first
}
