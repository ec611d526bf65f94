//! What clients are to see of a committed entry, in every architecture.

use super::ticket::{AskedFilter, GivenUpFilter};
use crate::codec::ReasonCode;
use crate::codec::packet::{QoS, RetainHandling};
use crate::event::Event;
use crate::replication::{Committed, Receipt};
use crate::session::Gateway;
use crate::session::confirm::Answer;
use crate::session::outbound::{drop_event, limit_behind};
use crate::shard::{Effect, Machine, Verdict};

/// Shows connected clients what came of an entry. True if a connected clean session heard a message.
pub(super) fn carry_out(effects: &mut Vec<Effect>, gateway: &mut Gateway) -> bool {
    let mut heard = false;
    for effect in effects.drain(..) {
        match effect {
            Effect::Live { message, .. } => heard |= gateway.deliver_live(&message, true),
            Effect::Ready(session) => gateway.set_ready(session, super::centralized::SHARD),
            Effect::Volatile { session, message, retain, subscription_ids } => {
                gateway.deliver_volatile(session, &message, retain, &subscription_ids);
            }
            Effect::Bound(session) => gateway.set_ready(session.incarnation, super::centralized::SHARD),
            // Those who lost their connection were told before. A single shard has no hub and nobody to forward to.
            Effect::Evicted { .. }
            | Effect::Unbound { .. }
            | Effect::HubReady(_)
            | Effect::Forward { .. } => {}
            Effect::Ended { client_id, why, .. } => gateway.event(Event::SessionEnded { client_id, why }),
            Effect::WillSent { client_id } => gateway.event(Event::WillSent { client_id }),
            Effect::Dropped { client_id, message, reason } => {
                if let Some(limit) = limit_behind(reason) {
                    let client_id = client_id.clone().or(Some(message.publisher.clone()));
                    gateway.event(Event::LimitReached { limit, client_id });
                }
                gateway.event(drop_event(client_id, &message, reason));
            }
        }
    }
    heard
}

/// PUBACK or PUBREC. A QoS 0 publish has neither, and what was refused of it has its recorded reason.
pub(super) fn confirm_publish(
    receipt: Option<Receipt>,
    committed: Committed,
    verdict: &Verdict,
    live: bool,
    gateway: &mut Gateway,
) {
    let reason = match verdict {
        Verdict::Accepted { matched } => accepted(*matched || live),
        Verdict::Duplicate => ReasonCode::Success,
        Verdict::RetainedFull => ReasonCode::QuotaExceeded,
        // Fenced: the connection that asked has lost its session, and was told so.
        _ => return,
    };
    if let Some(receipt) = receipt {
        gateway.confirm(receipt, committed, Answer::Reason(reason));
    }
}

/// The filters of a SUBSCRIBE, and the identifier of all of them.
pub(super) struct Asked {
    pub(super) subscription_id: Option<u32>,
    pub(super) filters: Vec<AskedFilter>,
}

/// SUBACK, then the retained messages for what the hub took.
pub(super) fn confirm_subscribe(
    machine: &Machine,
    receipt: Receipt,
    committed: Committed,
    asked: Asked,
    answers: Vec<Result<QoS, ReasonCode>>,
    gateway: &mut Gateway,
) {
    let conn = receipt.conn();
    if answers.contains(&Err(ReasonCode::QuotaExceeded)) {
        gateway.limit_reached("subscriptions_max", conn);
    }
    let mut answers = answers.into_iter();
    let mut retained = Vec::new();
    let reasons = asked.filters.into_iter().map(|filter| {
        let answer = match filter {
            AskedFilter::Refused(reason) => Err(reason),
            AskedFilter::Machine => answers.next().expect("the machine answers every filter"),
            AskedFilter::Hub(filter, options) => {
                gateway.hub_subscribe(conn, &filter, options, asked.subscription_id).map(|(qos, new)| {
                    let wanted = match options.retain_handling {
                        RetainHandling::Always => true,
                        RetainHandling::IfNew => new,
                        RetainHandling::Never => false,
                    };
                    if wanted {
                        retained.push((filter, qos));
                    }
                    qos
                })
            }
        };
        answer.map_or_else(|reason| reason, granted)
    });
    let reasons = reasons.collect();
    gateway.confirm(receipt, committed, Answer::Reasons(reasons));
    for (filter, qos) in retained {
        machine.retained(&filter, gateway.wall(), |message| {
            gateway.deliver_retained(conn, message, qos, asked.subscription_id);
        });
    }
}

/// UNSUBACK.
pub(super) fn confirm_unsubscribe(
    receipt: Receipt,
    committed: Committed,
    filters: Vec<GivenUpFilter>,
    existed: Vec<bool>,
    gateway: &mut Gateway,
) {
    let conn = receipt.conn();
    let mut existed = existed.into_iter();
    let reasons = filters.into_iter().map(|filter| {
        let existed = match filter {
            GivenUpFilter::Refused(reason) => return reason,
            GivenUpFilter::Machine => existed.next().expect("the machine answers every filter"),
            GivenUpFilter::Hub(filter) => gateway.hub_unsubscribe(conn, &filter),
        };
        unsubscribed(existed)
    });
    let reasons = reasons.collect();
    gateway.confirm(receipt, committed, Answer::Reasons(reasons));
}

/// What a client is told of a subscription that it gives up.
pub(super) fn unsubscribed(existed: bool) -> ReasonCode {
    if existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted }
}

/// What a publisher is told of a message that was taken.
pub(super) fn accepted(matched: bool) -> ReasonCode {
    if matched { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers }
}

pub(super) fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::GRANTED_QOS_0,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}
