//! Subscriptions of durable sessions, and all shared ones.

use super::Machine;
use crate::base::ids::{Incarnation, Offset};
use crate::codec::ReasonCode;
use crate::codec::packet::{QoS, RetainHandling, SubscriptionOptions};
use crate::shard::entry::Attachment;
use crate::shard::groups::Member;
use crate::shard::session::Subscription;
use crate::shard::verdict::{Effect, Verdict};
use crate::topic::TopicFilter;

impl Machine {
    /// Makes the routes and queues the retained messages in one step. \[MQTT-3.8.4-3, -4\]
    pub(super) fn subscribe(
        &mut self,
        session: Attachment,
        id: Option<u32>,
        filters: &[(TopicFilter, SubscriptionOptions)],
        effects: &mut Vec<Effect>,
    ) -> Verdict {
        if self.current(session).is_none() {
            return Verdict::Fenced;
        }
        let mut answers = Vec::with_capacity(filters.len());
        for (filter, options) in filters {
            let subscription = Subscription { options: *options, id };
            answers.push(self.subscribe_one(session.incarnation, filter, subscription, effects));
        }
        Verdict::Subscribed(answers)
    }

    fn subscribe_one(
        &mut self,
        session: Incarnation,
        filter: &TopicFilter,
        subscription: Subscription,
        effects: &mut Vec<Effect>,
    ) -> Result<QoS, ReasonCode> {
        let record = self.sessions.get_mut(&session).expect("checked to be current");
        let existed = record.subscriptions.contains_key(filter);
        if !existed && record.subscriptions.len() >= self.limits.subscriptions_max as usize {
            return Err(ReasonCode::QuotaExceeded);
        }
        record.subscriptions.insert(filter.clone(), subscription);
        if filter.share().is_some() {
            if self.groups.join(filter, Member { session, subscription }) {
                self.group_routes.insert(filter, filter.clone(), ());
            }
        } else {
            self.routes.insert(filter, session, subscription);
            let wanted = match subscription.options.retain_handling {
                RetainHandling::Always => true,
                RetainHandling::IfNew => !existed,
                RetainHandling::Never => false,
            };
            if wanted {
                self.queue_retained(session, filter, &subscription, effects);
            }
        }
        Ok(subscription.options.qos)
    }

    fn queue_retained(
        &mut self,
        session: Incarnation,
        filter: &TopicFilter,
        subscription: &Subscription,
        effects: &mut Vec<Effect>,
    ) {
        let mut offsets: Vec<Offset> = Vec::new();
        self.retained.for_each_match(filter, |_, offset| offsets.push(*offset));
        for offset in offsets {
            let message = self.log.get(offset).clone();
            let target = Machine::retained_target(&message, session, subscription);
            if target.qos == QoS::AtMostOnce {
                effects.push(target.volatile(&message));
            } else {
                self.enqueue(target, offset, effects);
            }
        }
    }

    /// Removes subscriptions. What is queued already is still delivered. \[MQTT-3.10.4-2, -3\]
    pub(super) fn unsubscribe(&mut self, session: Attachment, filters: &[TopicFilter]) -> Verdict {
        if self.current(session).is_none() {
            return Verdict::Fenced;
        }
        let existed = filters.iter().map(|filter| {
            let record = self.sessions.get_mut(&session.incarnation).expect("checked to be current");
            let existed = record.subscriptions.remove(filter).is_some();
            if existed {
                self.remove_route(filter, session.incarnation);
            }
            existed
        });
        Verdict::Unsubscribed(existed.collect())
    }

    pub(super) fn remove_route(&mut self, filter: &TopicFilter, session: Incarnation) {
        if filter.share().is_none() {
            self.routes.remove(filter, &session);
        } else if self.groups.leave(filter, session) {
            self.group_routes.remove(filter, filter);
        }
    }
}
