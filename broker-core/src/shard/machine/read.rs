//! What a gateway reads of the applied state.

use super::Machine;
use super::publish::Target;
use crate::base::ids::{Incarnation, Offset, Position, ShardId};
use crate::base::time::WallTime;
use crate::codec::packet::QoS;
use crate::message::Message;
use crate::shard::entry::Attachment;
use crate::shard::participant::Participant;
use crate::shard::queue::{Queued, Slot};
use crate::shard::session::SessionRecord;
use crate::shard::verdict::Effect;
use crate::topic::{TopicFilter, TopicName};
use std::rc::Rc;

/// What is to be sent for a position.
#[derive(Clone, Debug)]
pub enum Pending<'a> {
    /// The message.
    Message {
        /// How.
        queued: &'a Queued,
        /// What.
        message: &'a Rc<Message>,
        /// Whether it may have been sent before.
        maybe_sent: bool,
    },
    /// PUBREL.
    Release,
    /// Nothing.
    Done,
}

impl Machine {
    /// Shard time: that of the last entry applied.
    pub fn time(&self) -> WallTime {
        self.time
    }

    /// A session.
    pub fn session(&self, session: Incarnation) -> Option<&SessionRecord> {
        self.sessions.get(&session)
    }

    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionRecord> {
        self.sessions.values()
    }

    /// What the shard holds of a session that concerns its topics.
    pub fn participant(&self, session: Incarnation) -> Option<&Participant> {
        self.participants.get(&session)
    }

    /// All sessions that concern the shard's topics.
    pub fn participants(&self) -> impl Iterator<Item = (Incarnation, &Participant)> {
        self.participants.iter().map(|(session, held)| (*session, held))
    }

    /// The message of something that is queued.
    ///
    /// # Panics
    /// If it is not queued any more.
    pub fn message(&self, offset: Offset) -> &Rc<Message> {
        self.log.get(offset)
    }

    /// Which shard it is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// How many sessions and messages are held.
    pub fn counts(&self) -> (usize, usize) {
        (self.sessions.len(), self.log.len())
    }

    /// The session of a client identifier.
    pub fn session_of(&self, client_id: &str) -> Option<&SessionRecord> {
        self.clients.get(client_id).map(|session| &self.sessions[session])
    }

    /// The last attachment of a client's session, if it has one.
    pub fn last_attachment(&self, client_id: &str) -> Option<Attachment> {
        self.session_of(client_id).map(SessionRecord::attachment)
    }

    /// What a position of a session's queue asks for; `None` at the tail.
    pub fn pending<'m>(&'m self, held: &'m Participant, position: Position) -> Option<Pending<'m>> {
        let queue = &held.queue;
        if position < queue.base() {
            // A connection that was held back at the end of its span, while others finished what comes next, is behind.
            return Some(Pending::Done);
        }
        Some(match queue.get(position)? {
            Slot::Waiting(queued) => Pending::Message {
                queued,
                message: self.log.get(queued.offset),
                maybe_sent: position < queue.sent(),
            },
            Slot::Received => Pending::Release,
            Slot::Done => Pending::Done,
        })
    }

    /// Whether a message of this topic and QoS leaves a trace in the machine: it is wanted by a durable session or a shared subscription.
    pub fn wants(&self, topic: &TopicName) -> bool {
        let mut wanted = false;
        if self.routes.is_empty() && self.group_routes.is_empty() {
            return false;
        }
        self.routes.for_each_match(topic, |_, subscription| {
            wanted |= subscription.options.qos > QoS::AtMostOnce;
        });
        if !wanted && !self.group_routes.is_empty() {
            self.group_routes.for_each_match(topic, |_, ()| wanted = true);
        }
        wanted
    }

    /// Hands a message that leaves no trace (QoS 0, or wanted with QoS 0 only) to the sessions of the machine that want it; `rotation` picks
    /// the members of shared subscriptions.
    pub fn route_volatile(
        &self,
        message: &Rc<Message>,
        rotation: u64,
        mut deliver: impl FnMut(Effect),
    ) -> bool {
        let mut matched = false;
        if !self.routes.is_empty() {
            for target in self.ordinary_targets(message) {
                matched = true;
                deliver(target.volatile(message));
            }
        }
        if !self.group_routes.is_empty() {
            let connected = |session: Incarnation| {
                self.participants.get(&session).is_some_and(|held| held.bound.is_some())
            };
            for filter in self.matching_groups(&message.topic) {
                if let Some(member) = self.groups.pick_volatile(&filter, rotation, connected) {
                    matched = true;
                    deliver(Target::of_member(message, &filter, &member).volatile(message));
                }
            }
        }
        matched
    }

    /// The retained messages that match a filter, except those that expired.
    pub fn retained(&self, filter: &TopicFilter, now: WallTime, mut visit: impl FnMut(&Rc<Message>)) {
        self.retained.for_each_match(filter, |_, offset| {
            let message = self.log.get(*offset);
            if !message.is_expired(now) {
                visit(message);
            }
        });
    }
}
