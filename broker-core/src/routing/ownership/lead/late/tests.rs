use super::{Late, OF_ALL_MAX, OF_SESSION_MAX, Place, VolatileTarget};
use crate::base::ids::{Epoch, Incarnation, NodeId};
use crate::base::time::{Instant, WallTime};
use crate::codec::packet::{PublishProperties, QoS};
use crate::message::Message;
use crate::shard::{Attachment, GatewayId};
use crate::topic::TopicName;
use std::rc::Rc;

const SESSION: Incarnation = Incarnation(1);
const ALL: [NodeId; 2] = [NodeId(1), NodeId(2)];

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn attachment(epoch: u64) -> Attachment {
    Attachment { incarnation: SESSION, epoch: Epoch(epoch) }
}

fn gateway(node: u32) -> GatewayId {
    GatewayId { node: NodeId(node), life: 1, generation: 0 }
}

impl Late {
    fn keep_number(&mut self, number: u64, epoch: u64, now: Instant) {
        self.keep_at(attachment(epoch), number, now);
    }

    fn keep_for(&mut self, incarnation: Incarnation, number: u64, now: Instant) {
        self.keep_at(Attachment { incarnation, epoch: Epoch(1) }, number, now);
    }

    fn keep_at(&mut self, session: Attachment, number: u64, now: Instant) {
        let message = Message {
            topic: TopicName::parse("t".into()).expect("valid"),
            payload: "m".into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: PublishProperties::default(),
            publisher: "p".into(),
            expires_at: None,
        };
        let target = VolatileTarget { session, retain: false, subscription_ids: Vec::new() };
        self.keep(Place { term: 2, number }, Rc::new(message), target, (WallTime::default(), now));
    }

    fn take_numbers(&mut self, now: Instant) -> Vec<u64> {
        self.take(SESSION, now).map(|waiting| waiting.place.number).collect()
    }
}

#[test]
fn what_comes_back_goes_before_what_was_published_later() {
    let mut late = Late::default();
    late.keep_number(7, 2, at(0));
    late.keep_number(5, 1, at(1));
    late.keep_number(8, 2, at(2));
    late.keep_number(6, 1, at(3));
    assert_eq!(late.take_numbers(at(4)), [5, 6, 7, 8]);
    assert_eq!(late.take_numbers(at(4)), []);
    assert_eq!(late.count, 0);
}

#[test]
fn nobody_waits_for_more_than_a_second() {
    let mut late = Late::default();
    late.keep_number(1, 1, at(0));
    late.keep_number(2, 1, at(600));
    assert_eq!(late.take_numbers(at(1_000)), [2]);
    late.note_left(attachment(1), gateway(1), at(1_000));
    assert!(late.recall(SESSION, &ALL, at(1_999)).is_some());
    assert_eq!(late.on_timer(at(2_998)), []);
    assert_eq!(late.on_timer(at(2_999)), [SESSION]);
    assert!(!late.is_recalling(SESSION));
    late.note_left(attachment(2), gateway(1), at(3_000));
    assert!(late.recall(SESSION, &ALL, at(4_000)).is_none(), "what it was not handed is too old");
}

#[test]
fn the_gateway_that_was_asked_answers_for_its_connection() {
    let mut late = Late::default();
    late.note_left(attachment(3), gateway(1), at(0));
    assert!(late.recall(SESSION, &ALL, at(1)).is_some());
    assert!(!late.on_recalled(NodeId(2), attachment(3)));
    assert!(!late.on_recalled(NodeId(1), attachment(2)));
    assert!(late.is_recalling(SESSION));
    assert!(late.on_recalled(NodeId(1), attachment(3)));
    assert!(!late.is_recalling(SESSION));
    // One whose node is gone is not waited for.
    late.note_left(attachment(4), gateway(1), at(2));
    assert!(late.recall(SESSION, &ALL, at(3)).is_some());
    assert_eq!(late.on_peer_down(NodeId(2)), []);
    assert_eq!(late.on_peer_down(NodeId(1)), [SESSION]);
}

#[test]
fn a_connection_that_was_handed_nothing_leaves_nothing() {
    let mut late = Late::default();
    late.note_left(attachment(1), gateway(1), at(0));
    assert!(late.recall(SESSION, &ALL, at(1)).is_some());
    // Taken over again before the first gateway has answered.
    late.note_left(attachment(2), gateway(2), at(2));
    assert!(late.on_recalled(NodeId(1), attachment(1)));
    assert!(late.recall(SESSION, &ALL, at(3)).is_none());
    // Taken over again before the second gateway has asked for anything.
    late.note_left(attachment(3), gateway(1), at(4));
    late.note_left(attachment(4), gateway(2), at(5));
    assert_eq!(late.recall(SESSION, &ALL, at(6)).map(|earlier| earlier.session), Some(attachment(3)));
}

#[test]
fn a_gateway_that_cannot_be_reached_is_not_asked() {
    let mut late = Late::default();
    late.note_left(attachment(1), gateway(1), at(0));
    assert!(late.recall(SESSION, &ALL[1..], at(1)).is_none());
    assert!(!late.is_recalling(SESSION) && !late.goes_first(SESSION));
}

#[test]
fn of_many_sessions_the_latest_are_kept_and_nothing_is_left_of_others() {
    let mut late = Late::default();
    let sessions = OF_ALL_MAX as u64 + 10;
    for number in 0..sessions {
        late.keep_for(Incarnation(number), number, at(number / 100));
    }
    assert_eq!((late.count, late.waiting.len()), (OF_ALL_MAX, OF_ALL_MAX));
    assert!(!late.goes_first(Incarnation(9)) && late.goes_first(Incarnation(10)));
    assert_eq!(late.on_timer(at(2_000)), []);
    assert_eq!((late.count, late.waiting.len(), late.order.len()), (0, 0, 0));
}

#[test]
fn what_comes_back_too_late_stays_away() {
    let mut late = Late::default();
    let (first, second, third) = (attachment(1), attachment(2), attachment(3));
    // Its end is not known here yet.
    assert!(late.is_in_time(first, Some(first)));
    late.note_left(first, gateway(1), at(0));
    assert!(late.is_in_time(first, None));
    assert!(late.recall(SESSION, &ALL, at(1)).is_some());
    assert!(late.is_in_time(first, Some(second)));
    assert_eq!(late.on_timer(at(2_000)), [SESSION]);
    assert!(!late.is_in_time(first, Some(second)), "the second connection was handed what waited");
    late.note_left(second, gateway(2), at(2_001));
    assert!(late.recall(SESSION, &ALL, at(2_002)).is_some());
    assert!(!late.is_in_time(first, Some(third)));
}

#[test]
fn the_latest_are_kept() {
    let mut late = Late::default();
    for number in 10..10 + OF_SESSION_MAX as u64 {
        late.keep_number(number, 1, at(0));
    }
    late.keep_number(9, 1, at(0));
    late.keep_number(1_000, 1, at(0));
    let kept = late.take_numbers(at(0));
    assert_eq!((kept.len(), kept.first(), kept.last()), (OF_SESSION_MAX, Some(&11), Some(&1_000)));
}
