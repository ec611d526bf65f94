//! A message finds the sessions that want it.

use super::{Machine, Publish};
use crate::base::ids::{Incarnation, Offset};
use crate::codec::packet::{QoS, SubscriptionOptions};
use crate::event::DropReason;
use crate::message::Message;
use crate::shard::entry::Attachment;
use crate::shard::groups::Member;
use crate::shard::queue::Queued;
use crate::shard::session::Subscription;
use crate::shard::verdict::{Effect, Verdict};
use crate::topic::{TopicFilter, TopicName};
use std::rc::Rc;

/// One session that is to get a message, and how: of overlapping subscriptions the highest QoS and every identifier.
/// \[MQTT-3.3.4-2, -3\]
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) session: Incarnation,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) subscription_ids: Vec<u32>,
    pub(super) group: Option<Rc<TopicFilter>>,
}

impl Target {
    fn of(message: &Message, session: Incarnation, subscription: &Subscription) -> Self {
        Target {
            session,
            qos: message.qos.min(subscription.options.qos),
            retain: message.retain && subscription.options.retain_as_published,
            subscription_ids: subscription.id.into_iter().collect(),
            group: None,
        }
    }

    pub(super) fn of_member(message: &Message, group: &TopicFilter, member: &Member) -> Self {
        let target = Target::of(message, member.session, &member.subscription);
        Target { group: Some(Rc::new(group.clone())), ..target }
    }

    fn merge(&mut self, other: Target) {
        self.qos = self.qos.max(other.qos);
        self.retain |= other.retain;
        self.subscription_ids.extend(other.subscription_ids);
    }

    pub(super) fn volatile(self, message: &Rc<Message>) -> Effect {
        Effect::Volatile {
            session: self.session,
            message: message.clone(),
            retain: self.retain,
            subscription_ids: self.subscription_ids,
        }
    }
}

impl Machine {
    pub(super) fn publish(&mut self, publish: &Publish, effects: &mut Vec<Effect>) -> Verdict {
        if let Some(verdict) = self.refuse_publish(publish.session, publish.inbound) {
            return verdict;
        }
        let message = &publish.message;
        if message.retain && self.retained_is_full(message) {
            let reason = DropReason::RetainedFull;
            effects.push(Effect::Dropped { client_id: None, message: message.clone(), reason });
            return Verdict::RetainedFull;
        }
        if let (Some(id), Some(record)) = (publish.inbound, self.current(publish.session)) {
            record.inbound.insert(id);
        }
        Verdict::Accepted { matched: self.take_effect(message, effects) }
    }

    /// Fencing and duplicates: what came by a connection that was taken over is refused, a resend has no effect.
    /// \[MQTT-4.3.3-10\]
    fn refuse_publish(
        &mut self,
        session: Attachment,
        inbound: Option<crate::ids::PacketId>,
    ) -> Option<Verdict> {
        match self.current(session) {
            None => Some(Verdict::Fenced),
            Some(record) if inbound.is_some_and(|id| record.inbound.contains(&id)) => {
                Some(Verdict::Duplicate)
            }
            Some(_) => None,
        }
    }

    /// A will that cannot be retained for want of room is still delivered.
    pub(super) fn publish_will(&mut self, mut message: Message, effects: &mut Vec<Effect>) {
        if message.retain && self.retained_is_full(&message) {
            message.retain = false;
            let dropped = Rc::new(message.clone());
            effects.push(Effect::Dropped {
                client_id: None,
                message: dropped,
                reason: DropReason::RetainedFull,
            });
        }
        self.take_effect(&Rc::new(message), effects);
    }

    /// Retains, queues and hands out one message; says whether a session of the machine gets it.
    fn take_effect(&mut self, message: &Rc<Message>, effects: &mut Vec<Effect>) -> bool {
        if message.retain {
            self.retain(message);
        }
        effects.push(Effect::Live(message.clone()));
        let targets = self.targets(message);
        let matched = !targets.is_empty();
        let mut offset = None;
        for target in targets {
            if target.qos == QoS::AtMostOnce {
                effects.push(target.volatile(message));
                continue;
            }
            let at = *offset.get_or_insert_with(|| self.log.append(message.clone()));
            self.enqueue(target, at, effects);
        }
        if let Some(offset) = offset {
            self.log.release(offset);
        }
        matched
    }

    /// Every session of the machine that is to get the message; picks the members of shared subscriptions.
    fn targets(&mut self, message: &Message) -> Vec<Target> {
        let mut targets = self.ordinary_targets(message);
        for filter in self.matching_groups(&message.topic) {
            if let Some(member) = self.pick_member(&filter) {
                targets.push(Target::of_member(message, &filter, &member));
            }
        }
        targets
    }

    pub(super) fn ordinary_targets(&self, message: &Message) -> Vec<Target> {
        let mut targets = Vec::new();
        self.routes.for_each_match(&message.topic, |session, subscription| {
            if !(subscription.options.no_local && self.sessions[session].client_id == message.publisher) {
                targets.push(Target::of(message, *session, subscription));
            }
        });
        targets.sort_by_key(|target| target.session);
        targets.dedup_by(|later, kept| {
            let same = later.session == kept.session;
            if same {
                kept.merge(later.clone());
            }
            same
        });
        targets
    }

    pub(super) fn matching_groups(&self, topic: &TopicName) -> Vec<TopicFilter> {
        let mut filters = Vec::new();
        self.group_routes.for_each_match(topic, |filter, ()| filters.push(filter.clone()));
        filters
    }

    pub(super) fn pick_member(&mut self, group: &TopicFilter) -> Option<Member> {
        let sessions = &self.sessions;
        let connected = |session: Incarnation| sessions.get(&session).is_some_and(|record| record.attached);
        self.groups.pick(group, connected)
    }

    /// Queues a message for one session, or drops it there with a recorded reason if the queue is full.
    pub(super) fn enqueue(&mut self, target: Target, offset: Offset, effects: &mut Vec<Effect>) -> bool {
        let message = self.log.get(offset).clone();
        let Some(record) = self.sessions.get_mut(&target.session) else { return false };
        let (waiting, bytes) = record.queue.backlog();
        if waiting >= self.limits.queue_messages_max || bytes + message.size() > self.limits.queue_bytes_max {
            let client_id = Some(record.client_id.clone());
            effects.push(Effect::Dropped { client_id, message, reason: DropReason::QueueFull });
            return true;
        }
        let Target { session, qos, retain, subscription_ids, group } = target;
        record.queue.push(Queued { offset, qos, retain, subscription_ids, group }, message.size());
        self.log.retain(offset);
        effects.push(Effect::Ready(session));
        true
    }

    /// Stores the message as the last one of its topic, or deletes that if the payload is empty. \[MQTT-3.3.1-5, -6, -7\]
    fn retain(&mut self, message: &Rc<Message>) {
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

    fn retained_is_full(&self, message: &Message) -> bool {
        if message.payload.is_empty() {
            return false;
        }
        let replaced = self.retained.get(&message.topic).map(|offset| self.log.get(*offset).size());
        let bytes = self.retained_bytes - replaced.unwrap_or(0) + message.size();
        let count = self.retained.len() + usize::from(replaced.is_none());
        count > self.limits.retained_messages_max as usize || bytes > self.limits.retained_bytes_max
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
