//! What the shard of a session tells, carried out in the shard of a topic.

use super::due::RETIRED_KEPT;
use super::{Due, Machine, PeerOp};
use crate::base::ids::{Incarnation, Offset};
use crate::codec::packet::{QoS, RetainHandling};
use crate::event::DropReason;
use crate::shard::entry::Attachment;
use crate::shard::groups::Member;
use crate::shard::participant::{Bound, Participant, send_span};
use crate::shard::peer::Sent;
use crate::shard::queue::Queued;
use crate::shard::session::Subscription;
use crate::shard::stream::GatewayId;
use crate::shard::verdict::Effect;
use crate::topic::TopicFilter;
use bytestring::ByteString;

impl Machine {
    pub(super) fn on_peer(&mut self, op: &PeerOp, effects: &mut Vec<Effect>) {
        match op {
            PeerOp::Bind { attachment, client_id, window, gateway } => {
                self.bind(*attachment, client_id, *window, *gateway, effects);
            }
            PeerOp::Unbind { attachment, sent } => self.unbind(*attachment, *sent, effects),
            PeerOp::Route { attachment, filter, subscription, existed } => {
                self.route(attachment.incarnation, filter, *subscription, *existed, effects);
            }
            PeerOp::Unroute { attachment, filter } => self.unroute(attachment.incarnation, filter),
            PeerOp::Retire { incarnation } => self.retire(*incarnation, effects),
            PeerOp::Publish { message, expiry_s } => self.publish_will(message, *expiry_s, effects),
        }
    }

    /// The session is attached, or begins to concern this shard.
    fn bind(
        &mut self,
        attachment: Attachment,
        client_id: &ByteString,
        window: u16,
        gateway: Option<GatewayId>,
        effects: &mut Vec<Effect>,
    ) {
        let new = || Participant::new(client_id.clone(), attachment.epoch);
        let held = self.participants.entry(attachment.incarnation).or_insert_with(new);
        held.epoch = held.epoch.max(attachment.epoch);
        held.span = send_span(window, self.placement.shards());
        let bound = gateway.map(|gateway| Bound { epoch: attachment.epoch, gateway });
        let earlier = std::mem::replace(&mut held.bound, bound);
        if let Some(Bound { epoch, gateway }) = earlier.filter(|earlier| earlier.epoch != attachment.epoch) {
            let session = Attachment { incarnation: attachment.incarnation, epoch };
            effects.push(Effect::Unbound { session, gateway });
        }
        if bound.is_some() {
            effects.push(Effect::Bound(attachment));
        }
    }

    /// The connection is gone. Only the session's shard says so, also when its gateway is lost: it alone knows the order of
    /// attaches and losses, and here a `Bind` may come late.
    fn unbind(&mut self, attachment: Attachment, sent: Sent, effects: &mut Vec<Effect>) {
        let Some(held) = self.participants.get_mut(&attachment.incarnation) else { return };
        if !held.is_bound(attachment) {
            return;
        }
        if let Some(Bound { gateway, .. }) = held.bound.take() {
            effects.push(Effect::Unbound { session: attachment, gateway });
        }
        match sent {
            Sent::Nothing => {}
            Sent::Below(position) => held.queue.mark_sent(position),
            Sent::Unknown => held.queue.mark_sent(held.send_end()),
        }
    }

    /// Makes the route and queues the retained messages in one step. The session's shard has decided it, so it is not fenced.
    /// \[MQTT-3.8.4-3, -4\]
    fn route(
        &mut self,
        session: Incarnation,
        filter: &TopicFilter,
        subscription: Subscription,
        existed: bool,
        effects: &mut Vec<Effect>,
    ) {
        // A route follows a `Bind`, which makes the participant.
        let Some(held) = self.participants.get_mut(&session) else { return };
        held.routes.insert(filter.clone(), subscription);
        if filter.share().is_some() {
            if self.groups.join(filter, Member { session, subscription }) {
                self.group_routes.insert(filter, filter.clone(), ());
            }
            return;
        }
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

    fn queue_retained(
        &mut self,
        session: Incarnation,
        filter: &TopicFilter,
        subscription: &Subscription,
        effects: &mut Vec<Effect>,
    ) {
        for offset in self.retained_offsets(filter) {
            let message = self.log.get(offset).clone();
            let target = Machine::retained_target(&message, session, subscription);
            if target.qos == QoS::AtMostOnce {
                effects.push(target.volatile(&message));
            } else {
                self.enqueue(target, offset, effects);
            }
        }
    }

    /// What is queued already is still delivered. \[MQTT-3.10.4-2, -3\]
    fn unroute(&mut self, session: Incarnation, filter: &TopicFilter) {
        let Some(held) = self.participants.get_mut(&session) else { return };
        if held.routes.remove(filter).is_some() {
            self.remove_route(filter, session);
        }
    }

    fn remove_route(&mut self, filter: &TopicFilter, session: Incarnation) {
        if filter.share().is_none() {
            self.routes.remove(filter, &session);
        } else if self.groups.leave(filter, session) {
            self.group_routes.remove(filter, filter);
        }
    }

    /// Forgets a session that ended: messages that other members of a shared subscription can take go to them, the rest is dropped
    /// with a recorded reason.
    fn retire(&mut self, session: Incarnation, effects: &mut Vec<Effect>) {
        if session.shard() != self.shard {
            let until = self.time + RETIRED_KEPT;
            self.retired.insert(session, until);
            self.due.insert((until, Due::Forget(session)));
        }
        let Some(mut held) = self.participants.remove(&session) else { return };
        for filter in held.routes.keys() {
            self.remove_route(filter, session);
        }
        for (queued, maybe_sent) in held.queue.drain() {
            // QoS 2 that may have been sent is not sent to another member. [MQTT-4.8.2-5]
            let group = queued.group.clone().filter(|_| !(maybe_sent && queued.qos == QoS::ExactlyOnce));
            let passed_on = group.is_some_and(|group| self.pass_on(&group, queued.offset, effects));
            if !passed_on {
                self.drop_queued(&held.client_id, &queued, effects);
            }
            self.log.release(queued.offset);
        }
    }

    /// Gives a message of a shared subscription to another member of the group.
    fn pass_on(&mut self, group: &TopicFilter, offset: Offset, effects: &mut Vec<Effect>) -> bool {
        let message = self.log.get(offset).clone();
        let Some(member) = self.pick_member(group) else { return false };
        let target = super::publish::Target::of_member(&message, group, &member);
        if target.qos == QoS::AtMostOnce {
            effects.push(target.volatile(&message));
            return true;
        }
        self.enqueue(target, offset, effects)
    }

    fn drop_queued(&self, client_id: &ByteString, queued: &Queued, effects: &mut Vec<Effect>) {
        effects.push(Effect::Dropped {
            client_id: Some(client_id.clone()),
            message: self.log.get(queued.offset).clone(),
            reason: DropReason::SessionEnded,
        });
    }
}
