//! Messages that expire: 31, 32.

use super::{Because, Checker, Verdict, unless_forgetful};
use crate::model::{Conn, Copy, Delivery, Life, Model, Published};
use broker_core::time::{Duration, Instant};
use sim::history::Qos;

pub(super) const MESSAGE_EXPIRY: Checker = Checker {
    number: 31,
    name: "MessageExpiry",
    statement: "an expired message that was not sent yet is dropped, and the interval shrinks by the time it waited",
    clause: "MQTT-3.3.2-5, MQTT-3.3.2-6",
    check: |model| Verdict::first(model.lives.iter().find_map(|life| message_expiry(model, life))),
};

pub(super) const NO_EXPIRY_INFLIGHT: Checker = Checker {
    number: 32,
    name: "NoExpiryInflight",
    statement: "a delivery that was begun is finished, even if its message expires meanwhile",
    clause: "MQTT-4.3.3-7, MQTT-4.3.3-13",
    check: |model| {
        let expires = |tag| model.published.get(&tag).is_some_and(|message| message.expiry_s.is_some());
        unless_forgetful(model, || {
            super::qos2::unfinished(model, expires).or_else(|| super::resend::resend_unacked(model, expires))
        })
    },
};

fn message_expiry(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    for delivery in model.deliveries_of(life.no) {
        let Some(message) = delivery.tag.and_then(|tag| model.published.get(&tag)) else { continue };
        let Some(expiry_s) = message.expiry_s else { continue };
        let conn = &model.conns[&delivery.conn];
        let because = |what: String| {
            let sent = message.sent.iter().map(|sending| sending.place);
            let because = Because::at(model, delivery.place, what).about(message.tag);
            because.after(sent).after(message.acknowledged).after(conn.accepted())
        };
        // 3.1.1 has no word for it.
        if conn.is_v5() {
            match delivery.publish.expiry_s {
                None => return Some(because(format!("{} lost its expiry interval", message.tag))),
                Some(left_s) if left_s > expiry_s => {
                    return Some(because(format!(
                        "{} had {expiry_s} s to live and was sent with {left_s} s",
                        message.tag
                    )));
                }
                Some(_) => {}
            }
        }
        let Some(waited) = waited(model, life, message, delivery, conn) else { continue };
        let slack = model.ground.clock_slack() + Duration::from_secs(1);
        if waited > Duration::from_secs(expiry_s.into()) + slack {
            let waited_s = waited.as_secs_f64();
            return Some(because(format!(
                "{} had {expiry_s} s to live and was sent first after {waited_s:.1} s",
                message.tag
            )));
        }
        let left_s = delivery.publish.expiry_s.unwrap_or(0);
        let whole_s = waited.saturating_sub(slack).as_secs();
        if conn.is_v5() && u64::from(left_s) + whole_s > u64::from(expiry_s) {
            let waited_s = waited.as_secs_f64();
            return Some(because(format!(
                "{} waited {waited_s:.1} s of {expiry_s} s and was sent with {left_s} s left",
                message.tag
            )));
        }
    }
    None
}

/// How long a message surely waited in the broker before it was sent on the connection of `delivery`; `None` if it may
/// have been sent on an earlier one, after which it does not expire.
fn waited(
    model: &Model<'_>,
    life: &Life<'_>,
    message: &Published<'_>,
    delivery: &Delivery<'_>,
    conn: &Conn<'_>,
) -> Option<Duration> {
    let accepted_at = model.at(message.acknowledged?);
    let (asked, asked_at, _) = conn.connect?;
    // A share of a group may have been sent to another member; a retained message is judged like a queued one.
    let shared = model.subs_of(life.no).iter().any(|sub| sub.is_shared() && sub.matches(&message.topic));
    // One without an answer counts too: the broker may have taken it up and sent the message on it.
    let list = model.by_client_id.get(life.client_id).into_iter().flatten().map(|id| &model.conns[id]);
    let sent_at = model.at(message.first().place);
    let earlier_conn = list.filter(|other| other.id != conn.id).any(|other| {
        !ended_before(model, other, sent_at)
            && other.connect.is_some_and(|(place, _, _)| place < delivery.place)
    });
    let certain = delivery.copy == Copy::First && !shared && message.acknowledged? < asked;
    let pending = delivery.publish.qos != Qos::AtMostOnce || !earlier_conn;
    (certain && pending && !earlier_conn).then(|| asked_at.saturating_since(accepted_at))
}

/// Whether the broker had surely noticed the end of `conn` before `at`.
fn ended_before(model: &Model<'_>, conn: &Conn<'_>, at: Instant) -> bool {
    conn.settled_at(&model.ground).is_some_and(|settled_at| settled_at < at)
}
