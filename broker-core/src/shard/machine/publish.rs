//! A message finds the sessions that want it.

use super::due::RETIRED_KEPT;
use super::{Machine, Publish};
use crate::base::ids::{Incarnation, Offset};
use crate::codec::packet::QoS;
use crate::event::DropReason;
use crate::message::{self, Message};
use crate::shard::entry::Attachment;
use crate::shard::groups::Member;
use crate::shard::participant::Participant;
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
    pub(super) fn of(message: &Message, session: Incarnation, subscription: &Subscription) -> Self {
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
        if let Some(verdict) = self.refuse_publish(publish) {
            return verdict;
        }
        if let Some(verdict) = self.refuse_retained(&publish.message, effects) {
            return verdict;
        }
        if publish.inbound.is_some() {
            self.remember_publisher(publish);
        }
        Verdict::Accepted { matched: self.take_effect(&publish.message, effects) }
    }

    /// What a node tells of itself: nothing can fence it, and its stream keeps it from coming twice.
    pub(super) fn report(&mut self, message: &Rc<Message>, effects: &mut Vec<Effect>) -> Verdict {
        if let Some(verdict) = self.refuse_retained(message, effects) {
            return verdict;
        }
        Verdict::Accepted { matched: self.take_effect(message, effects) }
    }

    fn refuse_retained(&self, message: &Rc<Message>, effects: &mut Vec<Effect>) -> Option<Verdict> {
        if !message.retain || !self.retained_is_full(message) {
            return None;
        }
        let reason = DropReason::RetainedFull;
        effects.push(Effect::Dropped { client_id: None, message: message.clone(), reason });
        Some(Verdict::RetainedFull)
    }

    /// Fencing and duplicates: what came by a connection that was taken over is refused, a resend has no effect.
    /// \[MQTT-4.3.3-10\]
    fn refuse_publish(&mut self, publish: &Publish) -> Option<Verdict> {
        let session = publish.session;
        if !self.admit(session) {
            return Some(Verdict::Fenced);
        }
        // The session's own shard knows which is the latest.
        let elsewhere = session.incarnation.shard() != self.shard;
        let publisher = &publish.message.publisher;
        if elsewhere && !self.authors.admit(publisher, session, self.time, RETIRED_KEPT) {
            return Some(Verdict::Fenced);
        }
        let id = publish.inbound?;
        let held = self.participants.get(&session.incarnation)?;
        held.inbound.contains(&id).then_some(Verdict::Duplicate)
    }

    /// Keeps the epoch, and the identifier until PUBREL. The session's shard was told before that this one may have them; if it is
    /// this one, it is told now.
    fn remember_publisher(&mut self, publish: &Publish) {
        let Attachment { incarnation, epoch } = publish.session;
        let new = || Participant::new(publish.message.publisher.clone(), epoch);
        self.participants.entry(incarnation).or_insert_with(new).inbound.extend(publish.inbound);
        if let Some(record) = self.sessions.get_mut(&incarnation) {
            record.touched.insert(self.shard);
        }
    }

    /// A will that cannot be retained for want of room is still delivered.
    pub(super) fn publish_will(
        &mut self,
        will: &Rc<Message>,
        expiry_s: Option<u32>,
        effects: &mut Vec<Effect>,
    ) {
        let mut message = Message::clone(will);
        message.expires_at = message::expires_at(self.time, expiry_s);
        let is_full = message.retain && self.retained_is_full(&message);
        message.retain &= !is_full;
        let message = Rc::new(message);
        if is_full {
            let reason = DropReason::RetainedFull;
            effects.push(Effect::Dropped { client_id: None, message: message.clone(), reason });
        }
        self.take_effect(&message, effects);
    }

    /// Retains, queues and hands out one message; says whether a session of the machine gets it.
    fn take_effect(&mut self, message: &Rc<Message>, effects: &mut Vec<Effect>) -> bool {
        if message.retain {
            self.retain(message);
        }
        let (mut volatile, mut hearers) = (self.hearers(&message.topic), Vec::new());
        if message.qos > QoS::AtMostOnce {
            std::mem::swap(&mut volatile, &mut hearers);
        }
        effects.push(Effect::Live { message: message.clone(), hearers: volatile });
        let targets = self.targets(message);
        let matched = !targets.is_empty() || !hearers.is_empty();
        let mut offset = None;
        for target in targets {
            if target.qos == QoS::AtMostOnce {
                effects.push(target.volatile(message));
                continue;
            }
            let at = *offset.get_or_insert_with(|| self.log.append(message.clone()));
            self.enqueue(target, at, effects);
        }
        if !hearers.is_empty() {
            let at = *offset.get_or_insert_with(|| self.log.append(message.clone()));
            self.enqueue_for_hubs(&hearers, at, effects);
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
            if !(subscription.options.no_local && self.participants[session].client_id == message.publisher) {
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
        let held = &self.participants;
        let connected = |session: Incarnation| held.get(&session).is_some_and(|held| held.bound.is_some());
        self.groups.pick(group, connected)
    }

    /// Queues a message for one session, or drops it there with a recorded reason if the queue is full.
    pub(super) fn enqueue(&mut self, target: Target, offset: Offset, effects: &mut Vec<Effect>) -> bool {
        let message = self.log.get(offset).clone();
        let Some(held) = self.participants.get_mut(&target.session) else { return false };
        let (waiting, bytes) = held.queue.backlog();
        if waiting >= self.limits.queue_messages_max || bytes + message.size() > self.limits.queue_bytes_max {
            let client_id = Some(held.client_id.clone());
            effects.push(Effect::Dropped { client_id, message, reason: DropReason::QueueFull });
            return true;
        }
        let Target { session, qos, retain, subscription_ids, group } = target;
        held.queue.push(Queued { offset, qos, retain, subscription_ids, group }, message.size());
        self.log.retain(offset);
        effects.push(Effect::Ready(session));
        true
    }
}
