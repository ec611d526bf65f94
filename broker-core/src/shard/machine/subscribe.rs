//! Subscriptions of durable sessions, and all shared ones: decided in the shard of the session, made in those of the topics.

use super::{Machine, PeerOp};
use crate::base::ids::Incarnation;
use crate::codec::ReasonCode;
use crate::codec::packet::{QoS, SubscriptionOptions};
use crate::shard::entry::Attachment;
use crate::shard::session::Subscription;
use crate::shard::verdict::{Effect, Verdict};
use crate::topic::TopicFilter;

impl Machine {
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
        let shards = self.shards_of(filter);
        let record = self.sessions.get_mut(&session).expect("checked to be current");
        let existed = record.subscriptions.contains_key(filter);
        if !existed && record.subscriptions.len() >= self.limits.subscriptions_max as usize {
            return Err(ReasonCode::QuotaExceeded);
        }
        record.subscriptions.insert(filter.clone(), subscription);
        let known = record.consuming;
        record.consuming = known.union(shards);
        let (attachment, bind) = (record.attachment(), record.bind());
        for shard in shards.iter() {
            if !known.contains(shard) {
                self.tell(shard, bind.clone(), effects);
            }
            let filter = filter.clone();
            self.tell(shard, PeerOp::Route { attachment, filter, subscription, existed }, effects);
        }
        Ok(subscription.options.qos)
    }

    pub(super) fn unsubscribe(
        &mut self,
        attachment: Attachment,
        filters: &[TopicFilter],
        effects: &mut Vec<Effect>,
    ) -> Verdict {
        if self.current(attachment).is_none() {
            return Verdict::Fenced;
        }
        let mut answers = Vec::with_capacity(filters.len());
        for filter in filters {
            let record = self.sessions.get_mut(&attachment.incarnation).expect("checked to be current");
            let existed = record.subscriptions.remove(filter).is_some();
            if existed {
                for shard in self.shards_of(filter).iter() {
                    self.tell(shard, PeerOp::Unroute { attachment, filter: filter.clone() }, effects);
                }
            }
            answers.push(existed);
        }
        Verdict::Unsubscribed(answers)
    }
}
