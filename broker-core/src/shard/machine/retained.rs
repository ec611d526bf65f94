//! The last message of each topic.

use super::Machine;
use super::publish::Target;
use crate::base::ids::{Incarnation, Offset};
use crate::codec::packet::SubscriptionOptions;
use crate::message::Message;
use crate::shard::session::Subscription;
use crate::topic::{TopicFilter, TopicName};
use std::rc::Rc;

impl Machine {
    /// Stores the message as the last one of its topic, or deletes that if the payload is empty. \[MQTT-3.3.1-5, -6, -7\]
    pub(super) fn retain(&mut self, message: &Rc<Message>) {
        self.forget_retained(&message.topic);
        if !message.payload.is_empty() {
            let offset = self.log.append(message.clone());
            self.index_retained(message.topic.clone(), offset);
        }
    }

    pub(super) fn forget_retained(&mut self, topic: &TopicName) {
        let Some(offset) = self.retained.remove(topic) else { return };
        let message = self.log.get(offset);
        self.retained_bytes -= message.size();
        if let Some(at) = message.expires_at {
            self.due.remove(&(at, super::Due::Retained(topic.clone(), offset)));
        }
        self.log.release(offset);
    }

    pub(super) fn retained_is_full(&self, message: &Message) -> bool {
        if message.payload.is_empty() {
            return false;
        }
        let replaced = self.retained.get(&message.topic).map(|offset| self.log.get(*offset).size());
        let bytes = self.retained_bytes - replaced.unwrap_or(0) + message.size();
        let count = self.retained.len() + usize::from(replaced.is_none());
        count > self.limits.retained_messages_max as usize || bytes > self.limits.retained_bytes_max
    }

    /// The retained messages that match a filter.
    pub(super) fn retained_offsets(&self, filter: &TopicFilter) -> Vec<Offset> {
        let mut offsets = Vec::new();
        self.retained.for_each_match(filter, |_, offset| offsets.push(*offset));
        offsets
    }

    /// What a retained message looks like to a subscription that is made now. \[MQTT-3.3.1-8\]
    pub(super) fn retained_target(
        message: &Message,
        session: Incarnation,
        subscription: &Subscription,
    ) -> Target {
        let SubscriptionOptions { qos, .. } = subscription.options;
        Target { retain: true, qos: message.qos.min(qos), ..Target::of(message, session, subscription) }
    }
}
