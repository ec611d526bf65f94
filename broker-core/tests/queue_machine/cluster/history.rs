//! What clients were told, and whether the queues bear it out.

use super::shards::Seen;
use broker_core::cluster::Placement;
use broker_core::ids::{Incarnation, Position, ShardId};
use broker_core::shard::GatewayId;
use broker_core::topic::{TopicFilter, TopicName};
use std::collections::BTreeMap;

/// A publish with QoS 1 or 2.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) number: u64,
    pub(super) topic: TopicName,
    pub(super) exactly_once: bool,
    pub(super) retain: bool,
    pub(super) sent: Option<u64>,
    pub(super) acked: Option<u64>,
    pub(super) sends: u64,
}

/// A subscription, by the moments at which it was asked for and answered, and its end.
#[derive(Debug)]
pub(super) struct Subscribed {
    pub(super) client: usize,
    pub(super) filter: TopicFilter,
    pub(super) with_retained: bool,
    pub(super) asked: u64,
    pub(super) answered: Option<u64>,
    /// UNSUBSCRIBE, or something else that may end it, was sent.
    pub(super) end_asked: Option<u64>,
    /// UNSUBACK came.
    pub(super) ended: Option<u64>,
    pub(super) holder: Holder,
}

/// Whose queues the messages of a subscription are in.
#[derive(Debug)]
pub(super) enum Holder {
    Session(Incarnation),
    /// A gateway's hub: from which position on in each shard, and the tag of the retained messages.
    Hub(GatewayId, BTreeMap<ShardId, Position>, u64),
}

#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) published: Vec<Published>,
    pub(super) subscribed: Vec<Subscribed>,
}

impl History {
    /// Judges everything, at the end.
    pub(super) fn judge(&self, seen: &Seen, placement: &Placement) {
        for message in &self.published {
            for subscribed in &self.subscribed {
                self.judge_delivery(message, subscribed, seen, placement.topic_shard(&message.topic));
            }
            if message.exactly_once {
                judge_once(message, seen);
            }
        }
        for subscribed in &self.subscribed {
            self.judge_retained(subscribed, seen, placement);
        }
    }

    fn judge_delivery(&self, message: &Published, subscribed: &Subscribed, seen: &Seen, shard: ShardId) {
        let (Some(sent), Some(answered)) = (message.sent, subscribed.answered) else { return };
        if !subscribed.filter.matches(&message.topic) {
            return;
        }
        let got = match &subscribed.holder {
            Holder::Session(session) => seen
                .queued
                .get(&(*session, shard))
                .map_or(0, |queue| queue.iter().filter(|number| **number == message.number).count()),
            Holder::Hub(gateway, from, _) => seen.hubs.get(&(*gateway, shard)).map_or(0, |queue| {
                let from = usize::try_from(from[&shard].0).expect("small");
                queue[from..].iter().filter(|entry| **entry == (message.number, None)).count()
            }),
        } as u64;
        let still = |acked| subscribed.end_asked.is_none_or(|end| end > acked);
        if answered < sent && message.acked.is_some_and(still) {
            let most = if message.exactly_once && !message.retain { 1 } else { u64::MAX };
            assert!(
                got >= 1 && got <= most,
                "{message:?} was acknowledged, and is in the queue of {subscribed:?} {got} times"
            );
        }
        let others = self
            .subscribed
            .iter()
            .filter(|other| other.client == subscribed.client && other.filter.matches(&message.topic));
        let all_ended = others.map(|other| other.ended).all(|ended| ended.is_some_and(|ended| ended < sent));
        if all_ended && matches!(subscribed.holder, Holder::Session(_)) {
            assert_eq!(got, 0, "{message:?} was sent when {subscribed:?} had ended");
        }
    }

    /// The retained message that was the last one all the while comes with the subscription, once.
    fn judge_retained(&self, subscribed: &Subscribed, seen: &Seen, placement: &Placement) {
        let Some(answered) = subscribed.answered.filter(|_| subscribed.with_retained) else { return };
        let mut topics: BTreeMap<&TopicName, Vec<&Published>> = BTreeMap::new();
        for message in self.published.iter().filter(|message| message.retain && message.sent.is_some()) {
            topics.entry(&message.topic).or_default().push(message);
        }
        for (topic, messages) in topics {
            let newest = messages.iter().rfind(|message| message.sent < Some(answered));
            let Some(newest) =
                newest.filter(|newest| newest.acked.is_some_and(|acked| acked < subscribed.asked))
            else {
                continue;
            };
            // The wills' topics have more than one writer.
            if !subscribed.filter.matches(topic) || topic.as_str().starts_with("will/") {
                continue;
            }
            let shard = placement.topic_shard(topic);
            match &subscribed.holder {
                Holder::Session(session) => {
                    let queue = &seen.queued[&(*session, shard)];
                    assert!(queue.contains(&newest.number), "{newest:?} is retained for {subscribed:?}");
                }
                Holder::Hub(gateway, _, tag) => {
                    let queue = &seen.hubs[&(*gateway, shard)];
                    let got = queue.iter().filter(|entry| **entry == (newest.number, Some(*tag))).count();
                    assert_eq!(got, 1, "{newest:?} is retained for {subscribed:?}");
                }
            }
        }
    }
}

/// A QoS 2 message is in no queue twice, whoever sent it again and where.
fn judge_once(message: &Published, seen: &Seen) {
    let sessions =
        seen.queued.values().map(|queue| queue.iter().filter(|number| **number == message.number).count());
    let hubs =
        seen.hubs.values().map(|queue| queue.iter().filter(|(number, _)| *number == message.number).count());
    for times in sessions.chain(hubs) {
        assert!(times <= 1, "{message:?} is in a queue {times} times");
    }
}
