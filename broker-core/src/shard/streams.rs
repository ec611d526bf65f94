//! The numbered streams by which requests come: what was applied of each, and the answers that may be asked for again.

use super::stream::{GatewayId, Producer, Stamp};
use super::verdict::{Answered, Verdict};
use crate::base::ids::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// All streams of a shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Streams {
    streams: BTreeMap<Producer, Stream>,
    /// Of each node the newest gateway ever seen or dropped: only a newer one begins a stream.
    newest: BTreeMap<NodeId, GatewayId>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stream {
    /// The last request applied.
    last: u64,
    /// The answers to the last ones, those included whose answer is not on its way yet.
    answers: VecDeque<Answered>,
}

/// What is to become of a request.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// It is the next one: apply it.
    Next,
    /// It is the first one of a gateway, whose older ones are gone: drop those, then apply it.
    First(GatewayId),
    /// It changes nothing, and this is the answer.
    Past(Verdict),
}

impl Streams {
    /// Whose turn it is.
    pub(super) fn turn(&self, stamp: Stamp) -> Turn {
        let Some(stream) = self.streams.get(&stamp.producer) else {
            return match stamp.producer {
                // Every shard of the cluster is known before it says anything.
                Producer::Shard(_) if stamp.sequence == 1 => Turn::Next,
                Producer::Shard(_) => Turn::Past(Verdict::OutOfTurn { expected: 1 }),
                Producer::Gateway(gateway) if stamp.sequence == 1 && self.is_newer(gateway) => {
                    Turn::First(gateway)
                }
                Producer::Gateway(_) => Turn::Past(Verdict::UnknownProducer),
            };
        };
        let next = stream.last + 1;
        if stamp.sequence > next {
            Turn::Past(Verdict::OutOfTurn { expected: next })
        } else if stamp.sequence == next {
            Turn::Next
        } else {
            let answer = stream.answer(stamp.sequence);
            Turn::Past(answer.map_or(Verdict::AnsweredBefore, |answered| answered.verdict.clone()))
        }
    }

    /// Notes that a request whose turn it was is applied, and its answer; forgets the answers that the producer has.
    pub(super) fn applied(&mut self, stamp: Stamp, answered: Answered) {
        if let Producer::Gateway(gateway) = stamp.producer {
            let newest = self.newest.entry(gateway.node).or_insert(gateway);
            *newest = gateway.max(*newest);
        }
        let stream = self.streams.entry(stamp.producer).or_default();
        stream.last = stamp.sequence;
        if matches!(stamp.producer, Producer::Shard(_)) {
            // A shard asks for no verdict: it is told how far its stream was applied.
            return;
        }
        stream.answers.push_back(answered);
        let kept_from = stamp.answered.min(stamp.sequence);
        while stream.first_kept() < kept_from {
            stream.answers.pop_front();
        }
    }

    /// Forgets this gateway and the older ones of its node, for ever.
    pub(super) fn drop_gateway(&mut self, lost: GatewayId) {
        let newest = self.newest.entry(lost.node).or_insert(lost);
        *newest = lost.max(*newest);
        self.streams
            .retain(|producer, _| producer.gateway().is_none_or(|gateway| !gateway.is_covered_by(lost)));
    }

    /// The last request of a producer that was applied, 0 if there is none.
    pub(super) fn last_of(&self, producer: Producer) -> u64 {
        self.streams.get(&producer).map_or(0, |stream| stream.last)
    }

    /// The answer to a request, if it is kept.
    pub(super) fn answer(&self, producer: Producer, sequence: u64) -> Option<&Answered> {
        self.streams.get(&producer)?.answer(sequence)
    }

    /// The gateways with a stream.
    pub(super) fn gateways(&self) -> impl Iterator<Item = GatewayId> {
        self.streams.keys().filter_map(|producer| producer.gateway())
    }

    fn is_newer(&self, gateway: GatewayId) -> bool {
        self.newest.get(&gateway.node).is_none_or(|newest| gateway > *newest)
    }
}

impl Stream {
    /// The first request whose answer is kept.
    fn first_kept(&self) -> u64 {
        self.last + 1 - self.answers.len() as u64
    }

    fn answer(&self, sequence: u64) -> Option<&Answered> {
        let index = sequence.checked_sub(self.first_kept())?;
        self.answers.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Answered, GatewayId, NodeId, Producer, Stamp, Streams, Turn, Verdict};

    fn gateway(life: u64, generation: u32) -> GatewayId {
        GatewayId { node: NodeId(7), life, generation }
    }

    fn stamp(gateway: GatewayId, sequence: u64, answered: u64) -> Stamp {
        Stamp { producer: Producer::Gateway(gateway), sequence, answered }
    }

    fn answered(expected: u64) -> Answered {
        // A verdict that can be told from others.
        Answered { verdict: Verdict::OutOfTurn { expected }, awaits: Vec::new() }
    }

    #[test]
    fn a_request_is_applied_once_and_in_its_turn() {
        let (mut streams, first) = (Streams::default(), gateway(1, 0));
        assert_eq!(streams.turn(stamp(first, 2, 0)), Turn::Past(Verdict::UnknownProducer));
        assert_eq!(streams.turn(stamp(first, 1, 0)), Turn::First(first));
        streams.applied(stamp(first, 1, 0), answered(101));
        assert_eq!(streams.turn(stamp(first, 3, 0)), Turn::Past(Verdict::OutOfTurn { expected: 2 }));
        assert_eq!(streams.turn(stamp(first, 1, 0)), Turn::Past(answered(101).verdict));
        assert_eq!(streams.turn(stamp(first, 2, 0)), Turn::Next);
        streams.applied(stamp(first, 2, 0), answered(102));
        streams.applied(stamp(first, 3, 2), answered(103));
        assert_eq!(streams.turn(stamp(first, 1, 0)), Turn::Past(Verdict::AnsweredBefore));
        assert_eq!(streams.turn(stamp(first, 2, 0)), Turn::Past(answered(102).verdict));
        assert_eq!(streams.last_of(Producer::Gateway(first)), 3);
    }

    #[test]
    fn a_claim_to_have_answers_that_were_not_given_is_not_believed() {
        let (mut streams, first) = (Streams::default(), gateway(1, 0));
        streams.applied(stamp(first, 1, u64::MAX), answered(101));
        assert!(streams.answer(Producer::Gateway(first), 1).is_some(), "its answer is only now known");
    }

    #[test]
    fn a_gateway_that_was_dropped_or_followed_by_a_newer_one_does_not_come_back() {
        let mut streams = Streams::default();
        streams.applied(stamp(gateway(2, 0), 1, 0), answered(1));
        assert_eq!(streams.turn(stamp(gateway(1, 9), 1, 0)), Turn::Past(Verdict::UnknownProducer));
        assert_eq!(streams.turn(stamp(gateway(2, 1), 1, 0)), Turn::First(gateway(2, 1)));
        streams.drop_gateway(gateway(2, 1));
        assert_eq!(streams.gateways().count(), 0);
        for gone in [gateway(2, 0), gateway(2, 1)] {
            assert_eq!(streams.turn(stamp(gone, 1, 0)), Turn::Past(Verdict::UnknownProducer));
            assert_eq!(streams.turn(stamp(gone, 2, 0)), Turn::Past(Verdict::UnknownProducer));
        }
        assert_eq!(streams.turn(stamp(gateway(3, 0), 1, 0)), Turn::First(gateway(3, 0)));
    }
}
