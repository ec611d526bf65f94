//! What happens because time passed: sessions expire, wills are sent, retained messages expire.

use super::{Machine, PeerOp};
use crate::base::ids::{Incarnation, Offset};
use crate::base::time::{Duration, WallTime};
use crate::event::SessionEnd;
use crate::shard::session::SessionRecord;
use crate::shard::verdict::Effect;
use crate::topic::TopicName;
use std::rc::Rc;

/// While somebody's expiry depends on it, the last entry on a node's disk is at most so old, so that after a crash the moment
/// of the crash is known this well.
pub(crate) const ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// So long a shard knows that a session of another shard has ended. What was asked for it before comes later only if its gateway
/// was not heard of for longer than any lease, and then the gateway is dropped.
pub(crate) const RETIRED_KEPT: Duration = Duration::from_secs(60);

/// Something with a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A will is to be sent. Before `Session`: at the same time the will goes first.
    Will(Incarnation),
    /// A session ends.
    Session(Incarnation),
    /// A retained message expires.
    Retained(TopicName, Offset),
    /// A session of another shard that ended can be forgotten.
    Forget(Incarnation),
}

impl Machine {
    /// The shard time at which something is due next.
    pub fn next_due(&self) -> Option<WallTime> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Sessions with a connection from whose end an expiry or the delay of a will counts: if the node dies, the moment
    /// will matter.
    pub fn timed_sessions(&self) -> impl ExactSizeIterator<Item = Incarnation> {
        self.timed.iter().copied()
    }

    pub(super) fn carry_out_due(&mut self, effects: &mut Vec<Effect>) {
        while let Some((at, _)) = self.due.first() {
            if *at > self.time {
                return;
            }
            match self.due.pop_first().expect("just seen").1 {
                Due::Will(session) => self.send_will(session, effects),
                Due::Session(session) => self.end_session(session, SessionEnd::Expired, effects),
                Due::Retained(topic, offset) => {
                    if self.retained.get(&topic) == Some(&offset) {
                        self.forget_retained(&topic);
                    }
                }
                Due::Forget(session) => {
                    self.retired.remove(&session);
                }
            }
        }
    }

    pub(super) fn index_due(&mut self, record: &SessionRecord) {
        if let Some(at) = record.will_due {
            self.due.insert((at, Due::Will(record.incarnation)));
        }
        if let Some(at) = record.expires_at {
            self.due.insert((at, Due::Session(record.incarnation)));
        }
    }

    pub(super) fn forget_due(&mut self, session: Incarnation) {
        let Some(record) = self.sessions.get_mut(&session) else { return };
        let (will_due, expires_at) = (record.will_due.take(), record.expires_at.take());
        if let Some(at) = will_due {
            self.due.remove(&(at, Due::Will(session)));
        }
        if let Some(at) = expires_at {
            self.due.remove(&(at, Due::Session(session)));
        }
    }

    /// Sends the will to its topic's shard and forgets it, in one step: it is sent exactly once. \[MQTT-3.1.2-8, -10\]
    pub(super) fn send_will(&mut self, session: Incarnation, effects: &mut Vec<Effect>) {
        let Some(record) = self.sessions.get_mut(&session) else { return };
        record.will_due = None;
        let Some(will) = record.will.take() else { return };
        let client_id = record.client_id.clone();
        effects.push(Effect::WillSent { client_id });
        let shard = self.placement.topic_shard(&will.message.topic);
        let (message, expiry_s) = (Rc::new(will.message), will.expiry_s);
        self.tell(shard, PeerOp::Publish { message, expiry_s }, effects);
    }
}
