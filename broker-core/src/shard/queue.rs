//! One session's queue: positions in the order of queueing, each with a message and how far its delivery got.
//!
//! ```text
//!      base            sent mark                tail
//!  ─────┼─────────────────┼──────────────────────┼────►  position
//!  done │ waiting, received or done,  │ waiting  │
//!       │ may have been sent (DUP=1)  │ never sent (DUP=0)
//! ```

use crate::base::ids::{Offset, Position};
use crate::codec::packet::QoS;
use crate::topic::TopicFilter;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::rc::Rc;

/// A message queued for one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queued {
    /// Where the message is.
    pub offset: Offset,
    /// The QoS to deliver with: the smaller of the publisher's and the granted one. \[MQTT-3.8.4-8\]
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// Subscription identifiers to send.
    pub subscription_ids: Vec<u32>,
    /// The shared subscription it came by, if another member could take it.
    pub group: Option<Rc<TopicFilter>>,
}

/// How far delivery of a position got, as committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Slot {
    /// Not acknowledged.
    Waiting(Queued),
    /// QoS 2: PUBREC was received, PUBREL is owed; the message itself is not needed any more.
    Received,
    /// Complete; kept only until all before it are.
    Done,
}

/// The queue of one session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    base: Position,
    slots: VecDeque<Slot>,
    sent: Position,
    waiting: u32,
    bytes: u64,
}

impl Queue {
    /// Everything below is done.
    pub fn base(&self) -> Position {
        self.base
    }

    /// The position that the next message will get.
    pub fn tail(&self) -> Position {
        Position(self.base.0 + self.slots.len() as u64)
    }

    /// What is below may have been sent.
    pub fn sent(&self) -> Position {
        self.sent
    }

    /// Messages that wait, and their bytes.
    pub fn backlog(&self) -> (u32, u64) {
        (self.waiting, self.bytes)
    }

    /// The slot of a position that is neither below the base nor at the tail or beyond.
    pub fn get(&self, position: Position) -> Option<&Slot> {
        let index = position.0.checked_sub(self.base.0)?;
        self.slots.get(usize::try_from(index).ok()?)
    }

    /// All slots with their positions.
    pub fn iter(&self) -> impl Iterator<Item = (Position, &Slot)> {
        (self.base.0..).map(Position).zip(&self.slots)
    }

    pub(super) fn push(&mut self, queued: Queued, bytes: u64) {
        self.waiting += 1;
        self.bytes += bytes;
        self.slots.push_back(Slot::Waiting(queued));
    }

    /// Takes the message out of a waiting slot and leaves `Received` or `Done`; moves the base over what is done.
    /// A slot that does not wait, or is not there, is a progress report that came twice: `Received` may become `Done`.
    pub(super) fn finish(
        &mut self,
        position: Position,
        received: bool,
        bytes: impl Fn(&Queued) -> u64,
    ) -> Option<Queued> {
        let index = usize::try_from(position.0.checked_sub(self.base.0)?).ok()?;
        let slot = self.slots.get_mut(index)?;
        let after = if received { Slot::Received } else { Slot::Done };
        let taken = match slot {
            Slot::Waiting(_) => match std::mem::replace(slot, after) {
                Slot::Waiting(queued) => {
                    self.waiting -= 1;
                    self.bytes -= bytes(&queued);
                    Some(queued)
                }
                Slot::Received | Slot::Done => None,
            },
            Slot::Received => {
                *slot = after;
                None
            }
            Slot::Done => None,
        };
        while matches!(self.slots.front(), Some(Slot::Done)) {
            self.slots.pop_front();
            self.base = self.base.next();
        }
        taken
    }

    /// Raises the sent mark to `mark`, not beyond the tail.
    pub(super) fn mark_sent(&mut self, mark: Position) {
        self.sent = self.sent.max(mark.min(self.tail()));
    }

    /// Takes every waiting message, in order, and says of each whether it may have been sent.
    pub(super) fn drain(&mut self) -> Vec<(Queued, bool)> {
        let (base, sent) = (self.base, self.sent);
        let slots = std::mem::take(&mut self.slots);
        (self.waiting, self.bytes) = (0, 0);
        let waiting = slots.into_iter().enumerate().filter_map(|(index, slot)| match slot {
            Slot::Waiting(queued) => Some((queued, Position(base.0 + index as u64) < sent)),
            Slot::Received | Slot::Done => None,
        });
        waiting.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Offset, Position, QoS, Queue, Queued};

    fn queued(offset: u64) -> Queued {
        Queued {
            offset: Offset(offset),
            qos: QoS::ExactlyOnce,
            retain: false,
            subscription_ids: vec![],
            group: None,
        }
    }

    #[test]
    fn the_base_moves_over_what_is_done_and_waits_for_what_is_owed() {
        let mut queue = Queue::default();
        for offset in 0..3 {
            queue.push(queued(offset), 10);
        }
        assert!(queue.finish(Position(1), false, |_| 10).is_some());
        assert!(queue.finish(Position(0), true, |_| 10).is_some());
        assert_eq!((queue.base(), queue.backlog()), (Position(0), (1, 10)));
        assert!(queue.finish(Position(0), false, |_| 10).is_none(), "the message went with PUBREC");
        assert_eq!((queue.base(), queue.tail()), (Position(2), Position(3)));
    }

    #[test]
    fn a_report_that_comes_twice_changes_nothing() {
        let mut queue = Queue::default();
        queue.push(queued(7), 10);
        assert!(queue.finish(Position(0), false, |_| 10).is_some());
        assert!(queue.finish(Position(0), false, |_| 10).is_none());
        assert!(queue.finish(Position(9), true, |_| 10).is_none());
        assert_eq!(queue.base(), Position(1));
    }

    #[test]
    fn the_sent_mark_does_not_pass_the_tail() {
        let mut queue = Queue::default();
        queue.push(queued(0), 1);
        queue.mark_sent(Position(5));
        queue.push(queued(1), 1);
        let sent: Vec<bool> = queue.drain().into_iter().map(|(_, sent)| sent).collect();
        assert_eq!(sent, [true, false]);
    }
}
