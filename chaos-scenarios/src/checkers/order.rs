//! Order: 15.

use super::{Because, Checker, unless_forgetful};
use crate::model::{Copy, Delivery, Model, Published};
use sim::history::{ClientNo, Qos};
use std::collections::BTreeMap;

pub(super) const ORDER: Checker = Checker {
    number: 15,
    name: "Order",
    statement: "first deliveries keep the order of sending per publisher, topic and quality of service, and no retained message comes behind a later one",
    clause: "MQTT-4.6.0-5, MQTT-4.6.0-6",
    check: |model| unless_forgetful(model, || order(model)),
};

fn order(model: &Model<'_>) -> Option<Because> {
    for (_, subs, deliveries) in model.sessions() {
        let mut last: BTreeMap<Ordered<'_>, (&Delivery<'_>, &Published<'_>)> = BTreeMap::new();
        for delivery in deliveries.iter().filter(|delivery| delivery.copy == Copy::First) {
            let Some(message) = delivery.tag.and_then(|tag| model.published.get(&tag)) else { continue };
            // A shared message may come to this member after another one gave it back.
            let shared = subs.iter().any(|sub| sub.is_shared() && sub.matches(&message.topic));
            if shared || message.will_of.is_some() {
                continue;
            }
            let topic = message.topic.as_str();
            let qos = (message.qos, delivery.publish.qos);
            let all = Ordered { publisher: message.tag.publisher, topic, qos, only_retained: false };
            let retained = Ordered { only_retained: true, ..all };
            // What is given because of a SUBSCRIBE may be older than what is not to be retained.
            let (key, keys) = match (delivery.retained, message.retain) {
                (true, _) => (retained, &[][..]),
                (false, true) => (all, &[all, retained][..]),
                (false, false) => (all, &[all][..]),
            };
            match last.get(&key) {
                // Only what was sent for the last time before the other was sent at all is surely earlier.
                Some((other, later))
                    if message.tag.number < later.tag.number && entirely_before(message, later) =>
                {
                    let what = format!(
                        "{} on '{topic}' was delivered after {}, which was sent later",
                        message.tag, later.tag
                    );
                    let because = Because::at(model, delivery.place, what).about(message.tag);
                    return Some(because.after([other.place, message.first().place, later.first().place]));
                }
                Some((_, later)) if message.tag.number < later.tag.number => {}
                _ => last.extend(keys.iter().map(|key| (*key, (delivery, message)))),
            }
        }
    }
    None
}

/// What is delivered in order. \[MQTT-4.6.0-5\]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ordered<'a> {
    publisher: ClientNo,
    topic: &'a str,
    /// As published, and as delivered.
    qos: (Qos, Qos),
    /// Of these only the messages that were published to be retained.
    only_retained: bool,
}

fn entirely_before(message: &Published<'_>, later: &Published<'_>) -> bool {
    message.sent.last().is_some_and(|sending| sending.place < later.first().place)
}
