//! What must have arrived: for each acknowledged message, the sessions that were surely subscribed and came to rest.

use super::publishes::Published;
use super::subscriptions::Sub;
use super::{LifeNo, Model, Place};
use broker_core::auth::Action;
use broker_core::event::DropReason;
use broker_core::ids::ConnId;
use sim::history::{Qos, Tag};
use std::collections::{BTreeMap, BTreeSet};

/// A message that a session, or one of a shared group, must have.
#[derive(Clone, Debug)]
pub struct Owed {
    /// The message.
    pub tag: Tag,
    /// To whom.
    pub life: LifeNo,
    /// Because of which of its subscriptions (a place in `Model::subs_of(life)`).
    pub sub: usize,
    /// The share group, if the subscription is shared: any member will do.
    pub group: Option<String>,
    /// Where the message was sent first.
    pub sent: Place,
    /// Where it was acknowledged.
    pub acknowledged: Place,
    /// Whether it may lawfully not arrive: it may expire, or the client may lack the right to it or be unable to take it.
    pub excusable: bool,
    /// How it ended.
    pub missing: Missing,
}

/// Whether a message that was owed is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It arrived.
    No,
    /// It did not, and the broker recorded why.
    Excused(Place, DropReason),
    /// It did not, and nobody said why.
    Silently,
}

pub(super) fn read(model: &Model<'_>) -> Vec<Owed> {
    let mut received: BTreeMap<Tag, BTreeSet<LifeNo>> = BTreeMap::new();
    for (life, _, deliveries) in model.sessions() {
        for tag in deliveries.iter().filter_map(|delivery| delivery.tag) {
            received.entry(tag).or_default().insert(life.no);
        }
    }
    let nobody = BTreeSet::new();
    let mut owed = Vec::new();
    let binding = model.published.values().filter(|message| is_binding(model, message));
    for message in binding {
        let receivers = received.get(&message.tag).unwrap_or(&nobody);
        for life in model.lives.iter().filter(|life| life.at_rest) {
            for (place, sub) in model.subs_of(life.no).iter().enumerate() {
                if let Some(debt) = debt(model, message, receivers, life.no, place, sub) {
                    owed.push(debt);
                }
            }
        }
    }
    owed
}

/// Whether a message binds the broker to deliver it: acknowledged, and not a will (see `WillSent`).
fn is_binding(model: &Model<'_>, message: &Published<'_>) -> bool {
    // In 3.1.1 a publish that is not allowed is acknowledged like any other. [MQTT-3.3.5-2 of 3.1.1]
    let allowed = message.sent.iter().all(|sending| may(model, sending.conn, Action::Publish, message));
    message.qos != Qos::AtMostOnce
        && message.acknowledged.is_some()
        && message.refused.is_none()
        && message.will_of.is_none()
        && allowed
}

fn may(model: &Model<'_>, conn: ConnId, action: Action, message: &Published<'_>) -> bool {
    model.allowed(&model.conns[&conn], action, message.topic.as_str()) == Some(true)
}

fn debt(
    model: &Model<'_>,
    message: &Published<'_>,
    receivers: &BTreeSet<LifeNo>,
    no: LifeNo,
    place: usize,
    sub: &Sub<'_>,
) -> Option<Owed> {
    let life = model.life(no);
    let acknowledged = message.acknowledged?;
    let sent = message.first().place;
    if !sub.matches(&message.topic) || may_be_kept_from_its_publisher(model, message, no, sub) {
        return None;
    }
    if model.surely(no, sub, sent, acknowledged)? == Qos::AtMostOnce {
        return None;
    }
    // A member that takes QoS 0 may have been given the message, and have lost it.
    let wants_less = |other: &Sub<'_>| other.filter == sub.filter && other.options.qos == Qos::AtMostOnce;
    if sub.is_shared() && model.subs.iter().flatten().any(wants_less) {
        return None;
    }
    let limited = |conn: &ConnId| {
        let conn = &model.conns[conn];
        conn.connect.is_some_and(|(_, _, connect)| connect.packet_bytes_max.is_some())
    };
    let excusable = message.expiry_s.is_some()
        || !life.conns.iter().all(|conn| may(model, *conn, Action::Subscribe, message))
        || life.conns.iter().any(limited);
    let arrived = if sub.is_shared() {
        receivers.iter().any(|other| model.subs_of(*other).iter().any(|theirs| theirs.filter == sub.filter))
    } else {
        receivers.contains(&no)
    };
    let excuse = || {
        let own = model.reasons(life.client_id, message.tag).next();
        // A member of the group may have had it and lost it for a reason of its own.
        own.or_else(|| if sub.is_shared() { any_reason(model, message, sub) } else { None })
    };
    let missing = match arrived {
        true => Missing::No,
        false => excuse().map_or(Missing::Silently, |(place, reason)| Missing::Excused(place, reason)),
    };
    let group = sub.is_shared().then(|| sub.filter.to_string());
    Some(Owed { tag: message.tag, life: no, sub: place, group, sent, acknowledged, excusable, missing })
}

/// Whether the message is the session's own, and the filter was ever subscribed to with No Local.
fn may_be_kept_from_its_publisher(
    model: &Model<'_>,
    message: &Published<'_>,
    life: LifeNo,
    sub: &Sub<'_>,
) -> bool {
    let mut same = model.subs_of(life).iter().filter(|other| other.filter == sub.filter);
    message.client_id == Some(model.life(life).client_id) && same.any(|other| other.options.no_local)
}

/// A reason recorded for any client. That a session ended is one only for QoS 2, which stays with its member: QoS 1 is
/// given to another. \[MQTT-4.8.2-5\]
fn any_reason(model: &Model<'_>, message: &Published<'_>, sub: &Sub<'_>) -> Option<(Place, DropReason)> {
    let with_qos2 = |other: &Sub<'_>| other.filter == sub.filter && other.options.qos == Qos::ExactlyOnce;
    let stays = message.qos == Qos::ExactlyOnce && model.subs.iter().flatten().any(with_qos2);
    let recorded = model.drops.iter().filter(|((_, dropped), _)| *dropped == message.tag);
    let mut recorded = recorded.flat_map(|(_, list)| list.iter().copied());
    recorded.find(|(_, reason)| *reason != DropReason::SessionEnded || stays)
}
