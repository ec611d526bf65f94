//! What a client does by itself: operations at random intervals, drawn by weight.

use super::outbound::PENDING_MAX;
use super::request::{Kind, Request};
use super::{Client, Desk};
use crate::history::{Closer, Disconnect, Qos, Version};
use crate::scenario::{Misdeed, PublishSpec, Weights, Workload};
use broker_core::time::Instant;

/// A workload and how far it got.
#[derive(Debug)]
pub(super) struct Work {
    load: Workload,
    next: Option<Instant>,
    begun: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Publish(Qos),
    Retain,
    Clear,
    Subscribe,
    Unsubscribe,
    Disconnect,
    DisconnectWithWill,
    Drop,
    Takeover,
    Forget,
    Ping,
    Misdeed,
}

impl Work {
    pub(super) fn new(load: Workload) -> Self {
        Work { next: Some(load.from), load, begun: false }
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.next
    }
}

impl Client {
    /// Does the operation that is due, if one is.
    pub(super) fn work(&mut self, desk: &mut Desk<'_>) {
        let Some(mut work) = self.work.take() else {
            return;
        };
        if work.next.is_some_and(|next| next <= desk.stage.now) {
            if work.begun {
                if let Some(operation) = self.draw(&work.load.weights) {
                    self.operate(desk, &work.load, operation);
                }
            } else {
                work.begun = true;
                for place in 0..usize::from(work.load.initial).min(work.load.subscriptions.len()) {
                    self.subscribe_to(desk, &work.load, place);
                }
            }
            let next = desk.stage.now + self.dice.millis(work.load.pause_ms);
            // A pause of nothing would stop time.
            let next = next.max(Instant::from_nanos(desk.stage.now.as_nanos() + 100_000));
            work.next = (next < work.load.until).then_some(next);
        }
        self.work = Some(work);
    }

    fn draw(&mut self, weights: &Weights) -> Option<Operation> {
        let table = [
            (weights.publish_qos0, Operation::Publish(Qos::AtMostOnce)),
            (weights.publish_qos1, Operation::Publish(Qos::AtLeastOnce)),
            (weights.publish_qos2, Operation::Publish(Qos::ExactlyOnce)),
            (weights.retain, Operation::Retain),
            (weights.clear, Operation::Clear),
            (weights.subscribe, Operation::Subscribe),
            (weights.unsubscribe, Operation::Unsubscribe),
            (weights.disconnect, Operation::Disconnect),
            (weights.disconnect_with_will, Operation::DisconnectWithWill),
            (weights.drop, Operation::Drop),
            (weights.takeover, Operation::Takeover),
            (weights.forget, Operation::Forget),
            (weights.ping, Operation::Ping),
            (weights.misdeed, Operation::Misdeed),
        ];
        let place = self.dice.weighted(&table.map(|(weight, _)| weight))?;
        Some(table[place].1)
    }

    fn operate(&mut self, desk: &mut Desk<'_>, load: &Workload, operation: Operation) {
        match operation {
            Operation::Publish(qos) => self.publish_something(desk, load, qos, false),
            Operation::Retain => {
                let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][self.dice.index(3)];
                self.publish_something(desk, load, qos, true);
            }
            Operation::Clear => {
                if let Some(topic) = self.pick_topic(load) {
                    let spec = PublishSpec::new(&topic, Qos::AtLeastOnce).retained();
                    self.publish(desk, &PublishSpec { payload_bytes: None, ..spec }, None);
                }
            }
            Operation::Subscribe => {
                if !load.subscriptions.is_empty() {
                    let place = self.dice.index(load.subscriptions.len());
                    self.subscribe_to(desk, load, place);
                }
            }
            Operation::Unsubscribe => {
                if !load.subscriptions.is_empty() {
                    let place = self.dice.index(load.subscriptions.len());
                    let filters = vec![load.subscriptions[place].filter.clone()];
                    self.request(desk, Request { kind: Kind::Unsubscribe { filters }, step: None });
                }
            }
            Operation::Disconnect => self.leave_and_return(desk, Some(Disconnect::default())),
            Operation::DisconnectWithWill => {
                let reason = if self.spec.version == Version::V5 { 0x04 } else { 0 };
                self.leave_and_return(desk, Some(Disconnect { reason, session_expiry_s: None }));
            }
            Operation::Drop => self.leave_and_return(desk, None),
            Operation::Takeover => {
                self.wanted = true;
                self.connect(desk, None, None, None);
            }
            Operation::Forget => {
                if self.connection.is_some() {
                    self.lose(desk, false, Closer::Client);
                }
                desk.store.must_start_clean = true;
                self.wanted = true;
                self.reconnect_at.get_or_insert(desk.stage.now);
            }
            Operation::Ping => self.ping(desk),
            Operation::Misdeed => {
                let misdeed = self.pick_misdeed();
                self.misbehave(desk, &misdeed);
            }
        }
    }

    fn publish_something(&mut self, desk: &mut Desk<'_>, load: &Workload, qos: Qos, retain: bool) {
        if self.pending.len() >= PENDING_MAX {
            return;
        }
        let Some(topic) = self.pick_topic(load) else {
            return;
        };
        let bytes = u32::try_from(self.dice.span(load.payload_bytes)).unwrap_or(u32::MAX);
        let expires = self.dice.percent(load.expiry_percent);
        let expiry_s = if expires { u32::try_from(self.dice.span(load.expiry_s)).ok() } else { None };
        let spec =
            PublishSpec { retain, payload_bytes: Some(bytes), expiry_s, ..PublishSpec::new(&topic, qos) };
        self.publish(desk, &spec, None);
    }

    fn subscribe_to(&mut self, desk: &mut Desk<'_>, load: &Workload, place: usize) {
        let id = u32::try_from(place + 1).ok().filter(|_| load.subscription_ids);
        let kind = Kind::subscribe(self.spec.version, &load.subscriptions[place..=place], id);
        self.request(desk, Request { kind, step: None });
    }

    fn leave_and_return(&mut self, desk: &mut Desk<'_>, disconnect: Option<Disconnect>) {
        if self.connection.is_none() {
            return;
        }
        self.leave(desk, disconnect);
        self.wanted = true;
        self.reconnect_at = Some(desk.stage.now + self.backoff());
    }

    fn pick_topic(&mut self, load: &Workload) -> Option<String> {
        if load.topics.is_empty() {
            return None;
        }
        let place = self.dice.index(load.topics.len());
        Some(load.topics[place].clone())
    }

    fn pick_misdeed(&mut self) -> Misdeed {
        match self.dice.below(6) {
            0 => Misdeed::RandomBytes { count: 1 + self.dice.below(40) as u16 },
            1 => Misdeed::HalfPacket,
            2 => Misdeed::SecondConnect,
            3 => Misdeed::StrayAcks,
            4 => Misdeed::WildcardTopic,
            _ => Misdeed::Bytes(vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01]),
        }
    }
}
