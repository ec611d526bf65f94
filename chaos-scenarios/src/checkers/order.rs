//! Order: 15.

use super::{Because, Checker, unless_forgetful};
use crate::model::{Copy, Delivery, Model, Published};
use sim::history::{ClientNo, Qos};
use std::collections::BTreeMap;

pub(super) const ORDER: Checker = Checker {
    number: 15,
    name: "Order",
    statement: "first deliveries keep the order of sending per publisher, topic and quality of service",
    clause: "MQTT-4.6.0-5, MQTT-4.6.0-6",
    check: |model| unless_forgetful(model, || order(model)),
};

fn order(model: &Model<'_>) -> Option<Because> {
    for (_, subs, deliveries) in model.sessions() {
        let mut last: BTreeMap<(ClientNo, &str, Qos, Qos), (&Delivery<'_>, &Published<'_>)> = BTreeMap::new();
        let live = deliveries.iter().filter(|delivery| delivery.copy == Copy::First && !delivery.retained);
        for delivery in live {
            let Some(message) = delivery.tag.and_then(|tag| model.published.get(&tag)) else { continue };
            // A shared message may come to this member after another one gave it back.
            let shared = subs.iter().any(|sub| sub.is_shared() && sub.matches(&message.topic));
            if shared || message.will_of.is_some() {
                continue;
            }
            let topic = message.topic.as_str();
            let key = (message.tag.publisher, topic, message.qos, delivery.publish.qos);
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
                _ => {
                    last.insert(key, (delivery, message));
                }
            }
        }
    }
    None
}

fn entirely_before(message: &Published<'_>, later: &Published<'_>) -> bool {
    message.sent.last().is_some_and(|sending| sending.place < later.first().place)
}
