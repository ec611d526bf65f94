//! Answers to the publishes of one connection, in the order of its packets, whichever shards they come from.
//! \[MQTT-4.6.0-2, -3\]

use crate::replication::{Committed, Receipt};
use crate::session::confirm::Answer;
use std::collections::VecDeque;

/// The place of one publish among those of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn(u64);

#[derive(Debug)]
struct Place {
    receipt: Receipt,
    /// What to answer, once that is known. `None` within: it is not answered at all.
    answer: Option<Option<(Committed, Answer)>>,
}

/// The publishes of one connection that are not answered.
#[derive(Debug, Default)]
pub(super) struct Turns {
    first: u64,
    places: VecDeque<Place>,
}

impl Turns {
    /// Takes the next place.
    pub(super) fn take(&mut self, receipt: Receipt) -> Turn {
        self.places.push_back(Place { receipt, answer: None });
        Turn(self.first + self.places.len() as u64 - 1)
    }

    /// The answer is known; `None` if there is none (the connection is being closed).
    pub(super) fn finish(&mut self, turn: Turn, answer: Option<(Committed, Answer)>) {
        let index = turn.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(place) = index.and_then(|index| self.places.get_mut(index)) {
            place.answer = Some(answer);
        }
    }

    /// The next answer whose turn it is.
    pub(super) fn next(&mut self) -> Option<(Receipt, Option<(Committed, Answer)>)> {
        let place = self.places.pop_front_if(|place| place.answer.is_some())?;
        self.first += 1;
        Some((place.receipt, place.answer.expect("it was just looked at")))
    }

    /// Whether anything is not answered.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
