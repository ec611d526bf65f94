//! Machines on their way between replicas, in pieces.
//!
//! A few pieces are on the way at a time; each that arrives is told, and lets the next one go. What was lost is noticed because
//! nothing is told any more: then the crate is told that the snapshot failed, asks for another one, and whoever has the
//! first pieces of the same machine says so at once.

use super::tail::Offer;
use super::wire::Wire;
use crate::base::ids::{Index, NodeId, Term};
use crate::replication::replica::Base;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Pieces on the way to one replica.
const WINDOW: usize = 4;

/// Ticks without a word of the receiver after which a transfer is given up.
const SILENCE_TICKS: u32 = 20;

/// The machines that a leader is sending.
#[derive(Debug, Default)]
pub(super) struct Sending {
    to: BTreeMap<NodeId, Transfer>,
}

#[derive(Debug)]
struct Transfer {
    term: Term,
    offer: Offer,
    /// How many pieces have arrived, and how many were sent.
    taken: usize,
    sent: usize,
    silent_ticks: u32,
}

/// How a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Pieces are missing.
    Partly,
    /// All have arrived.
    Whole,
}

impl Sending {
    /// Begins to send `offer` to `to`, in place of what was being sent to it.
    pub(super) fn begin(&mut self, to: NodeId, term: Term, offer: Offer, out: &mut Vec<(NodeId, Bytes)>) {
        let mut transfer = Transfer { term, offer, taken: 0, sent: 0, silent_ticks: 0 };
        transfer.send(to, out);
        self.to.insert(to, transfer);
    }

    /// `from` has the first `taken` pieces of the machine at `index`. `None` if that is not being sent to it.
    pub(super) fn on_taken(
        &mut self,
        from: NodeId,
        term: Term,
        index: Index,
        taken: u32,
        out: &mut Vec<(NodeId, Bytes)>,
    ) -> Option<Sent> {
        let transfer = self.to.get_mut(&from)?;
        let taken = usize::try_from(taken).ok()?;
        let pieces = transfer.offer.count();
        if transfer.term != term || transfer.offer.base.index != index || taken > pieces {
            return None;
        }
        transfer.silent_ticks = 0;
        // Less than before is a word that was overtaken by a later one.
        transfer.taken = transfer.taken.max(taken);
        transfer.sent = transfer.sent.max(transfer.taken);
        if transfer.taken == pieces {
            self.to.remove(&from);
            return Some(Sent::Whole);
        }
        transfer.send(from, out);
        Some(Sent::Partly)
    }

    /// A tick has passed; tells whose transfers are given up.
    pub(super) fn tick(&mut self) -> Vec<NodeId> {
        let silent = self.to.iter_mut().filter_map(|(to, transfer)| {
            transfer.silent_ticks += 1;
            (transfer.silent_ticks >= SILENCE_TICKS).then_some(*to)
        });
        let silent: Vec<NodeId> = silent.collect();
        for to in &silent {
            self.to.remove(to);
        }
        silent
    }

    /// Gives up the transfer to `to`. True if there was one.
    pub(super) fn cancel(&mut self, to: NodeId) -> bool {
        self.to.remove(&to).is_some()
    }

    /// Whether nothing is being sent.
    pub(super) fn is_empty(&self) -> bool {
        self.to.is_empty()
    }

    /// Gives up everything: the sender does not lead any more.
    pub(super) fn clear(&mut self) {
        self.to.clear();
    }
}

impl Transfer {
    fn send(&mut self, to: NodeId, out: &mut Vec<(NodeId, Bytes)>) {
        let end = self.offer.count().min(self.taken + WINDOW);
        for number in self.sent..end {
            let wire = Wire::Piece {
                term: self.term,
                base: self.offer.base.clone(),
                number: u32_of(number),
                count: u32_of(self.offer.count()),
                // A machine without any piece is sent as one that is empty.
                piece: self.offer.pieces.get(number).cloned().unwrap_or_default(),
            };
            out.push((to, wire.encode()));
        }
        self.sent = self.sent.max(end);
    }
}

impl Offer {
    fn count(&self) -> usize {
        self.pieces.len().max(1)
    }
}

/// A machine that is arriving.
#[derive(Debug)]
pub(super) struct Receiving {
    base: Base,
    count: u32,
    pieces: BTreeMap<u32, Bytes>,
    /// How many have arrived in order from the first.
    taken: u32,
}

impl Receiving {
    /// Nothing of the machine at `base` has arrived.
    pub(super) fn new(base: Base, count: u32) -> Self {
        Receiving { base, count, pieces: BTreeMap::new(), taken: 0 }
    }

    /// The place of the machine.
    pub(super) fn index(&self) -> Index {
        self.base.index
    }

    /// Whether this is the machine at `base`, cut in the same way.
    pub(super) fn is_of(&self, base: &Base, count: u32) -> bool {
        self.base == *base && self.count == count
    }

    /// A piece has arrived. Tells how many have, in order from the first.
    pub(super) fn take(&mut self, number: u32, piece: Bytes) -> u32 {
        // Further ahead than the window is nothing that was sent for this.
        let expected = self.taken..self.count.min(self.taken.saturating_add(u32_of(WINDOW)));
        if expected.contains(&number) {
            self.pieces.insert(number, piece);
        }
        while self.pieces.contains_key(&self.taken) {
            self.taken += 1;
        }
        self.taken
    }

    /// The whole machine, once it has arrived.
    pub(super) fn into_whole(self) -> Result<(Base, Vec<Bytes>), Box<Receiving>> {
        if self.taken == self.count {
            let pieces = self.pieces.into_values().filter(|piece| !piece.is_empty()).collect();
            Ok((self.base, pieces))
        } else {
            Err(Box::new(self))
        }
    }
}

fn u32_of(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 pieces of a megabyte")
}

#[cfg(test)]
mod tests {
    use super::{
        Base, Bytes, Index, NodeId, Offer, Receiving, SILENCE_TICKS, Sending, Sent, Term, WINDOW, Wire,
    };
    use crate::replication::configuration::Configuration;

    const TO: NodeId = NodeId(2);

    fn base() -> Base {
        Base { index: Index(9), term: Term(2), members: Configuration::of(&[NodeId(1), TO]) }
    }

    fn offer(pieces: u8) -> Offer {
        Offer { base: base(), pieces: (0..pieces).map(|byte| Bytes::from(vec![byte])).collect() }
    }

    fn numbers(out: &mut Vec<(NodeId, Bytes)>) -> Vec<u32> {
        let number = |(to, bytes): (NodeId, Bytes)| match Wire::decode(&bytes) {
            Ok(Wire::Piece { number, .. }) if to == TO => number,
            other => panic!("{other:?} to {to} is no piece for node 2"),
        };
        out.drain(..).map(number).collect()
    }

    #[test]
    fn pieces_go_as_fast_as_they_are_taken() {
        let (mut sending, mut out) = (Sending::default(), Vec::new());
        sending.begin(TO, Term(3), offer(6), &mut out);
        assert_eq!(numbers(&mut out), [0, 1, 2, 3], "a window of {WINDOW}");
        assert_eq!(sending.on_taken(TO, Term(3), Index(9), 2, &mut out), Some(Sent::Partly));
        assert_eq!(numbers(&mut out), [4, 5]);
        assert_eq!(sending.on_taken(TO, Term(3), Index(9), 1, &mut out), Some(Sent::Partly));
        assert!(out.is_empty(), "an old word sends nothing again");
        assert_eq!(sending.on_taken(TO, Term(3), Index(8), 6, &mut out), None, "that was another machine");
        assert_eq!(sending.on_taken(TO, Term(3), Index(9), 6, &mut out), Some(Sent::Whole));
        assert!(sending.is_empty());
    }

    #[test]
    fn a_transfer_that_is_not_answered_is_given_up_and_goes_on_where_it_was() {
        let (mut sending, mut out) = (Sending::default(), Vec::new());
        sending.begin(TO, Term(3), offer(9), &mut out);
        for _ in 1..SILENCE_TICKS {
            assert!(sending.tick().is_empty());
        }
        assert_eq!(sending.tick(), [TO]);
        assert!(sending.is_empty());
        sending.begin(TO, Term(3), offer(9), &mut out);
        numbers(&mut out);
        assert_eq!(sending.on_taken(TO, Term(3), Index(9), 7, &mut out), Some(Sent::Partly));
        assert_eq!(numbers(&mut out), [7, 8], "what arrived before is not sent again");
    }

    #[test]
    fn pieces_count_in_order_from_the_first() {
        let mut receiving = Receiving::new(base(), 6);
        let piece = |byte: u8| Bytes::from(vec![byte]);
        assert_eq!(receiving.take(1, piece(1)), 0);
        assert_eq!(receiving.take(5, piece(9)), 0, "beyond the window");
        assert_eq!(receiving.take(0, piece(0)), 2);
        assert_eq!(receiving.take(0, piece(9)), 2, "one that comes twice counts once");
        for number in 2..5 {
            receiving.take(number, piece(u8::try_from(number).expect("a small number")));
        }
        let mut receiving = receiving.into_whole().expect_err("one is missing");
        assert_eq!(receiving.take(5, piece(5)), 6);
        assert_eq!(receiving.take(6, piece(6)), 6);
        let (at, pieces) = receiving.into_whole().expect("all are there");
        assert_eq!((at, pieces), (base(), (0..6).map(piece).collect()));
    }

    #[test]
    fn a_machine_of_no_piece_arrives_too() {
        let (mut sending, mut out) = (Sending::default(), Vec::new());
        sending.begin(TO, Term(3), offer(0), &mut out);
        assert_eq!(numbers(&mut out), [0]);
        let mut receiving = Receiving::new(base(), 1);
        assert_eq!(receiving.take(0, Bytes::new()), 1);
        assert_eq!(receiving.into_whole().map(|(_, pieces)| pieces).ok(), Some(vec![]));
    }
}
