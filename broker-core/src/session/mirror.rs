//! The stretch of a shard's queue that its leader pushed to this gateway and that was not sent to the client yet.

use super::feed::Feed;
use super::gateway::{Conn, Gateway};
use super::outbound::Stretch;
use crate::base::ids::{ConnId, Position, ShardId};
use crate::message::Message;
use crate::shard::machine::read::Pending;
use crate::shard::queue::Queued;
use crate::shard::{Attachment, Step};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::rc::Rc;

/// What a position of a queue asks for, as it travels between nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pushed {
    /// The message.
    Message {
        /// How.
        queued: Queued,
        /// What.
        message: Rc<Message>,
    },
    /// PUBREL.
    Release,
    /// Nothing.
    Done,
}

/// Contiguous positions, from the next to be sent on.
#[derive(Debug)]
pub(super) struct Mirror {
    first: Position,
    items: VecDeque<Pushed>,
    /// What is below may have been sent on an earlier connection.
    sent_before: Position,
    /// Nothing is sent from here on until more progress is on disk.
    end: Position,
}

impl Mirror {
    pub(super) fn new(base: Position, sent_before: Position) -> Self {
        Mirror { first: base, items: VecDeque::new(), sent_before, end: base }
    }

    /// The position that is wanted next.
    fn next(&self) -> Position {
        Position(self.first.0 + self.items.len() as u64)
    }

    /// Takes what is new of items that begin at `first`; what does not join on is left: it will come again.
    fn push(&mut self, first: Position, end: Position, items: Vec<Pushed>) {
        self.end = self.end.max(end);
        if first > self.next() {
            return;
        }
        let known = usize::try_from(self.next().0 - first.0).unwrap_or(usize::MAX);
        self.items.extend(items.into_iter().skip(known));
    }

    /// The messages below were dropped, and that is on disk.
    pub(super) fn drop_below(&mut self, position: Position) {
        let dropped = usize::try_from(position.0.saturating_sub(self.first.0)).unwrap_or(usize::MAX);
        let positions = (self.first.0..).map(Position);
        for (position, item) in positions.zip(&mut self.items).take(dropped) {
            if let Pushed::Message { queued, .. } = item {
                *item = match Step::of_drop(queued.qos, position < self.sent_before) {
                    Step::Received => Pushed::Release,
                    Step::Done => Pushed::Done,
                };
            }
        }
    }

    /// Forgets what was sent.
    pub(super) fn forget_below(&mut self, position: Position) {
        while self.first < position && self.items.pop_front().is_some() {
            self.first = self.first.next();
        }
    }
}

impl Stretch for Mirror {
    fn pending(&self, position: Position) -> Option<Pending<'_>> {
        let index = usize::try_from(position.0.checked_sub(self.first.0)?).ok()?;
        Some(match self.items.get(index)? {
            Pushed::Message { queued, message } => {
                Pending::Message { queued, message, maybe_sent: position < self.sent_before }
            }
            Pushed::Release => Pending::Release,
            Pushed::Done => Pending::Done,
        })
    }

    fn send_end(&self) -> Position {
        self.end
    }

    fn is_pushed(&self) -> bool {
        true
    }
}

/// A feed, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whose.
    pub session: Attachment,
    /// From where on; `None` if nothing has come yet.
    pub next: Option<Position>,
}

impl Gateway {
    /// Notes that a shard has (or will have) a queue for this session. False if that is known, or the session is not here.
    pub fn await_feed(&mut self, session: Attachment, shard: ShardId) -> bool {
        let Some(link) = self.link_of_session(session) else { return false };
        link.feeds.get_mut(shard).is_none() && link.feeds.await_one(shard)
    }

    /// The leader of a shard tells where the queue of a session begins.
    pub fn open_feed(&mut self, session: Attachment, shard: ShardId, base: Position, sent: Position) {
        let parts = self.parts;
        let Some(link) = self.link_of_session(session) else { return };
        if link.feeds.get_mut(shard).is_none() {
            link.feeds.add(Feed::mirrored(parts, shard, base, sent));
        }
    }

    /// The leader of a shard pushes what is queued from `first` on; nothing is sent from `end` on until more progress is on disk.
    pub fn push_feed(
        &mut self,
        session: Attachment,
        shard: ShardId,
        first: Position,
        end: Position,
        items: Vec<Pushed>,
    ) {
        let Some(&id) = self.attached.get(&session.incarnation) else { return };
        let Some(mut client) = self.client(id) else { return };
        let Some(link) = client.conn.link_mut().filter(|link| link.session == session) else { return };
        let feed = link.feeds.get_mut(shard);
        if let Some(mirror) = feed.and_then(|feed| feed.mirror.as_mut()) {
            mirror.push(first, end, items);
            client.note_ready();
        }
    }

    /// The feeds from a shard that this gateway's sessions have or wait for, to be asked of its new leader.
    pub fn feeds_from(&self, shard: ShardId) -> Vec<Wanted> {
        let links = self.attached.values().filter_map(|id| self.conns.get(id)).filter_map(Conn::link);
        let wanted = links.filter_map(|link| {
            let session = link.session;
            match link.feeds.iter().find(|feed| feed.shard == shard) {
                Some(feed) => {
                    let mirror = feed.mirror.as_ref()?;
                    Some(Wanted { session, next: Some(mirror.next()) })
                }
                None => link.feeds.awaits(shard).then_some(Wanted { session, next: None }),
            }
        });
        wanted.collect()
    }

    /// Whether a connection has or waits for a queue of this shard.
    pub fn is_fed(&self, id: ConnId, shard: ShardId) -> bool {
        let link = self.conns.get(&id).and_then(Conn::link);
        link.is_some_and(|link| link.feeds.awaits(shard) || link.feeds.iter().any(|feed| feed.shard == shard))
    }

    fn link_of_session(&mut self, session: Attachment) -> Option<&mut super::link::Link> {
        let id = self.attached.get(&session.incarnation)?;
        self.conns.get_mut(id)?.link_mut().filter(|link| link.session == session)
    }

    /// Sends what the windows let through of what was pushed.
    pub fn pump_mirrors(&mut self) {
        while let Some(id) = self.ready.pop() {
            let Some(mut client) = self.client(id) else { continue };
            client.pump_local();
            let shards: Vec<ShardId> = match client.conn.link_mut() {
                Some(link) => link.feeds.iter().map(|feed| feed.shard).collect(),
                None => Vec::new(),
            };
            let mut result = Ok(());
            for shard in shards {
                let Some(feed) = client.conn.link_mut().and_then(|link| link.feeds.get_mut(shard)) else {
                    break;
                };
                let Some(mut mirror) = feed.mirror.take() else { continue };
                result = client.pump_feed(shard, &mirror);
                let Some(feed) = client.conn.link_mut().and_then(|link| link.feeds.get_mut(shard)) else {
                    break;
                };
                mirror.forget_below(feed.window.next());
                feed.mirror = Some(mirror);
                if result.is_err() {
                    break;
                }
            }
            client.conn.ready = false;
            if let Err(refusal) = result {
                self.refuse(id, refusal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Mirror, Pending, Position, Pushed, Queued, Rc, Stretch};
    use crate::base::ids::Offset;
    use crate::codec::packet::{PublishProperties, QoS};
    use crate::topic::TopicName;

    fn message(qos: QoS) -> Pushed {
        let queued = Queued { offset: Offset(0), qos, retain: false, subscription_ids: vec![], group: None };
        let topic = TopicName::parse("t".into()).expect("valid");
        let message = Message {
            topic,
            payload: "m".into(),
            qos,
            retain: false,
            properties: PublishProperties::default(),
            publisher: "p".into(),
            expires_at: None,
        };
        Pushed::Message { queued, message: Rc::new(message) }
    }

    #[test]
    fn what_is_dropped_is_passed_over_but_an_exchange_that_may_have_begun_is_ended() {
        let mut mirror = Mirror::new(Position(5), Position(7));
        let all = [QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce];
        mirror.push(Position(5), Position(20), all.map(message).into());
        mirror.drop_below(Position(8));
        assert!(matches!(mirror.pending(Position(5)), Some(Pending::Release)), "it may have been sent");
        assert!(matches!(mirror.pending(Position(6)), Some(Pending::Done)), "QoS 1 owes nothing");
        assert!(matches!(mirror.pending(Position(7)), Some(Pending::Done)), "it was never sent");
        assert!(matches!(mirror.pending(Position(8)), Some(Pending::Message { .. })), "it is not dropped");
    }

    #[test]
    fn what_joins_on_is_taken_and_what_comes_twice_or_too_early_is_not() {
        let mut mirror = Mirror::new(Position(5), Position(6));
        mirror.push(Position(6), Position(20), vec![Pushed::Done]);
        assert_eq!(mirror.next(), Position(5), "5 is missing");
        mirror.push(Position(5), Position(20), vec![Pushed::Release, Pushed::Done]);
        mirror.push(Position(5), Position(18), vec![Pushed::Release, Pushed::Done, Pushed::Release]);
        assert_eq!((mirror.next(), mirror.send_end()), (Position(8), Position(20)));
        mirror.forget_below(Position(7));
        assert!(mirror.pending(Position(6)).is_none());
        assert!(matches!(mirror.pending(Position(7)), Some(Pending::Release)));
        mirror.forget_below(Position(30));
        assert_eq!(mirror.next(), Position(8));
    }
}
