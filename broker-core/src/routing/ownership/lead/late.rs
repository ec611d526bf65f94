//! QoS 0 for a session whose connection this shard has not heard of yet.
//!
//! CONNACK waits for the session's shard only. Until the others have applied the attach too, what they have for the session without keeping it on
//! record has nowhere to go; it is kept for as long as that may take where nothing is at fault.

use super::super::frame::{Addressed, Frame, VolatileTarget};
use super::Lead;
use crate::base::ids::Incarnation;
use crate::base::time::{Duration, Instant, WallTime};
use crate::message::Message;
use crate::shard::{Attachment, Machine};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// How long a message is kept.
const KEPT: Duration = Duration::from_secs(1);
/// How many are kept for a session, and how many for all: most sessions without a connection are not about to have one.
const OF_SESSION_MAX: usize = 256;
const OF_ALL_MAX: usize = 4_096;

/// A message that waits.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// The shard time then, to which its expiry refers.
    at: WallTime,
    message: Rc<Message>,
    target: VolatileTarget,
}

/// Messages that wait for their sessions' connections.
#[derive(Debug, Default)]
pub(super) struct Late {
    waiting: BTreeMap<Incarnation, VecDeque<Waiting>>,
    count: usize,
}

impl Late {
    /// Keeps a message, if there is room: nobody was promised it. Of those for one session the newest are kept: they are most likely to have been
    /// published after its CONNACK.
    pub(super) fn keep(
        &mut self,
        message: Rc<Message>,
        target: VolatileTarget,
        (at, now): (WallTime, Instant),
    ) {
        if self.count >= OF_ALL_MAX {
            self.forget_old(now);
        }
        let waiting = self.waiting.entry(target.session.incarnation).or_default();
        if waiting.len() >= OF_SESSION_MAX || (self.count >= OF_ALL_MAX && !waiting.is_empty()) {
            waiting.pop_front();
            self.count -= 1;
        }
        if self.count < OF_ALL_MAX {
            waiting.push_back(Waiting { since: now, at, message, target });
            self.count += 1;
        }
    }

    fn take(&mut self, session: Incarnation, now: Instant) -> impl Iterator<Item = Waiting> + use<> {
        let waiting = self.waiting.remove(&session).unwrap_or_default();
        self.count -= waiting.len();
        waiting.into_iter().filter(move |waiting| now.saturating_since(waiting.since) < KEPT)
    }

    /// Forgets what was not asked for in time.
    pub(super) fn forget_old(&mut self, now: Instant) {
        let young = |waiting: &Waiting| now.saturating_since(waiting.since) < KEPT;
        self.waiting.values_mut().for_each(|waiting| waiting.retain(young));
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        self.count = self.waiting.values().map(VecDeque::len).sum();
    }
}

impl Lead {
    /// A session has a connection, as far as this shard is concerned: hands on what waits for it.
    pub(super) fn push_late(
        &mut self,
        attachment: Attachment,
        machine: &Machine,
        now: Instant,
        out: &mut Vec<Addressed>,
    ) {
        let Some(bound) = machine.participant(attachment.incarnation).and_then(|held| held.bound) else {
            return;
        };
        for Waiting { since, at, message, target } in self.late.take(attachment.incarnation, now) {
            let targets = vec![VolatileTarget { session: attachment, ..target }];
            let (shard, wall) = (self.shard, at + now.saturating_since(since));
            let frame = Frame::VolatilePush { shard, wall, message, live: false, targets };
            out.push(Addressed { to: bound.gateway.node, frame });
        }
    }
}
