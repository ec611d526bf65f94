//! The numbered stream of requests from this gateway to one shard, whoever leads it.
//!
//! Requests are sent in order, without waiting for answers. At a new leader everything unanswered is sent again, in order: the
//! shard knows by the numbers what it has applied. So a request is applied once, and in its place.

use super::receipt::Committed;
use crate::base::ids::NodeId;
use std::collections::VecDeque;

/// The number of a request in its stream, from 1.
pub type Sequence = u64;

/// A request without an answer. `T` is what the requester left to be reminded of.
#[derive(Debug)]
struct Unanswered<O, T> {
    sequence: Sequence,
    op: O,
    /// `None` once it is answered: an earlier one is not.
    ticket: Option<T>,
}

/// A stream of requests of type `O`.
#[derive(Debug)]
pub struct Upstream<O, T> {
    leader: Option<NodeId>,
    term: u64,
    next: Sequence,
    /// In order, from the first that has no answer on.
    unanswered: VecDeque<Unanswered<O, T>>,
    /// What is below was sent to the leader.
    sent: Sequence,
}

/// A request to send.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a, O> {
    /// Its number.
    pub sequence: Sequence,
    /// All below this have been answered: the shard may forget its answers to them.
    pub answered: Sequence,
    /// What is asked for.
    pub op: &'a O,
}

impl<O, T> Upstream<O, T> {
    /// A stream that has not begun.
    pub fn new() -> Self {
        Upstream { leader: None, term: 0, next: 1, unanswered: VecDeque::new(), sent: 1 }
    }

    /// Adds a request.
    pub fn request(&mut self, op: O, ticket: T) -> Sequence {
        let sequence = self.next;
        self.next += 1;
        self.unanswered.push_back(Unanswered { sequence, op, ticket: Some(ticket) });
        sequence
    }

    /// Who leads the shard, as far as is known.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Who leads the shard, and the latest term in which anybody did.
    pub fn leadership(&self) -> (Option<NodeId>, u64) {
        (self.leader, self.term)
    }

    /// The right to answer for something that no request precedes, in the order that concerns it.
    pub fn at_once(&self) -> Committed {
        Committed(())
    }

    /// The shard expects this request next: it, and those after it, are to be sent again.
    pub fn resend_from(&mut self, sequence: Sequence) {
        self.sent = self.sent.min(sequence);
    }

    /// `node` leads the shard since `term`. True if that is news: then all that is unanswered is to be sent (again).
    pub fn on_leader(&mut self, node: NodeId, term: u64) -> bool {
        if term < self.term || (term == self.term && self.leader == Some(node)) {
            return false;
        }
        (self.leader, self.term, self.sent) = (Some(node), term, 0);
        true
    }

    /// The link to `node` is gone, and with it what was on its way.
    pub fn on_link_down(&mut self, node: NodeId) {
        if self.leader == Some(node) {
            self.leader = None;
        }
    }

    /// Whether there may be requests that the leader was not sent yet. False while no leader is known.
    pub fn has_unsent(&self) -> bool {
        self.leader.is_some() && self.sent < self.next
    }

    /// Hands out, in order, the requests that the leader was not sent yet; none while no leader is known.
    pub fn unsent(&mut self) -> impl Iterator<Item = Request<'_, O>> {
        let known = self.leader.is_some();
        let answered = self.answered();
        let from = if known { self.sent } else { Sequence::MAX };
        if known {
            self.sent = self.next;
        }
        let open = self.unanswered.iter().filter(move |one| one.sequence >= from && one.ticket.is_some());
        open.map(move |one| Request { sequence: one.sequence, answered, op: &one.op })
    }

    /// The answer to a request came. `None` if it had come before.
    pub fn on_answer(&mut self, sequence: Sequence) -> Option<(T, Committed)> {
        let first = self.unanswered.front()?.sequence;
        let index = usize::try_from(sequence.checked_sub(first)?).ok()?;
        let ticket = self.unanswered.get_mut(index)?.ticket.take()?;
        while self.unanswered.pop_front_if(|one| one.ticket.is_none()).is_some() {}
        Some((ticket, Committed(())))
    }

    /// Of the requests that are not answered.
    pub fn tickets(&self) -> impl Iterator<Item = &T> {
        self.unanswered.iter().filter_map(|one| one.ticket.as_ref())
    }

    /// All below have been answered.
    pub fn answered(&self) -> Sequence {
        self.unanswered.front().map_or(self.next, |one| one.sequence)
    }

    /// The tickets of all requests without an answer, in order; the stream is over.
    pub fn abandon(self) -> impl Iterator<Item = T> {
        self.unanswered.into_iter().filter_map(|one| one.ticket)
    }
}

impl<O, T> Default for Upstream<O, T> {
    fn default() -> Self {
        Upstream::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{NodeId, Upstream};

    fn unsent(stream: &mut Upstream<char, ()>) -> String {
        stream.unsent().map(|request| *request.op).collect()
    }

    #[test]
    fn what_a_leader_has_not_answered_is_sent_again_to_the_next_in_order() {
        let mut stream = Upstream::new();
        for op in "abcd".chars() {
            stream.request(op, ());
        }
        assert_eq!(unsent(&mut stream), "", "nobody leads");
        assert!(stream.on_leader(NodeId(1), 5));
        assert_eq!(unsent(&mut stream), "abcd");
        assert_eq!(unsent(&mut stream), "");
        assert!(stream.on_answer(2).is_some());
        assert!(stream.on_answer(2).is_none(), "it had come before");
        assert!(!stream.on_leader(NodeId(2), 4), "an old leader is no news");
        assert!(stream.on_leader(NodeId(2), 6));
        assert_eq!(unsent(&mut stream), "acd", "what was answered is not asked again");
        stream.request('e', ());
        assert_eq!(unsent(&mut stream), "e");
    }

    #[test]
    fn a_lost_link_to_the_leader_means_sending_again_when_it_is_back() {
        let mut stream = Upstream::new();
        stream.request('a', ());
        assert!(stream.on_leader(NodeId(1), 1));
        assert_eq!(unsent(&mut stream), "a");
        stream.on_link_down(NodeId(2));
        assert!(!stream.on_leader(NodeId(1), 1), "another link was lost");
        stream.on_link_down(NodeId(1));
        stream.request('b', ());
        assert_eq!(unsent(&mut stream), "");
        assert!(stream.on_leader(NodeId(1), 1));
        assert_eq!(unsent(&mut stream), "ab");
    }

    #[test]
    fn answers_out_of_order_are_remembered_until_the_first_comes() {
        let mut stream: Upstream<char, ()> = Upstream::new();
        for op in "abc".chars() {
            stream.request(op, ());
        }
        assert!(stream.on_answer(3).is_some());
        assert_eq!(stream.answered(), 1);
        assert!(stream.on_answer(1).is_some());
        assert_eq!(stream.answered(), 2);
        assert!(stream.on_answer(2).is_some());
        assert_eq!(stream.answered(), 4);
        assert!(stream.on_answer(9).is_none(), "nobody asked");
    }
}
