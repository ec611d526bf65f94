//! One queue for all clean sessions of a gateway.
//!
//! The gateway knows who hears what and how: the hub holds no QoS, no identifiers and no options. It is bounded like the queue of
//! a session.

use crate::base::ids::{Offset, Position};
use crate::topic::TopicFilter;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// A message for the clean sessions of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubEntry {
    /// Where the message is.
    pub offset: Offset,
    /// A retained message, for the SUBSCRIBE that the gateway gave this tag; `None` is for everybody who hears the topic.
    pub tag: Option<u64>,
}

/// What a shard holds of one gateway's clean sessions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hub {
    /// How many times each filter is heard.
    filters: BTreeMap<TopicFilter, u32>,
    base: Position,
    entries: VecDeque<HubEntry>,
    bytes: u64,
}

impl Hub {
    /// The gateway has heard everything below.
    pub fn base(&self) -> Position {
        self.base
    }

    /// The position that the next message will get.
    pub fn tail(&self) -> Position {
        Position(self.base.0 + self.entries.len() as u64)
    }

    /// The entry at a position that is neither below the base nor at the tail or beyond.
    pub fn get(&self, position: Position) -> Option<&HubEntry> {
        let index = position.0.checked_sub(self.base.0)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Messages that wait, and their bytes.
    pub fn backlog(&self) -> (u64, u64) {
        (self.entries.len() as u64, self.bytes)
    }

    /// The filters that are heard.
    pub fn filters(&self) -> impl Iterator<Item = &TopicFilter> {
        self.filters.keys()
    }

    /// True if nobody heard this filter before.
    pub(super) fn hear(&mut self, filter: &TopicFilter) -> bool {
        let count = self.filters.entry(filter.clone()).or_default();
        *count += 1;
        *count == 1
    }

    /// True if nobody hears this filter any more.
    pub(super) fn unhear(&mut self, filter: &TopicFilter) -> bool {
        let Some(count) = self.filters.get_mut(filter) else { return false };
        *count -= 1;
        let gone = *count == 0;
        if gone {
            self.filters.remove(filter);
        }
        gone
    }

    pub(super) fn push(&mut self, entry: HubEntry, bytes: u64) {
        self.entries.push_back(entry);
        self.bytes += bytes;
    }

    /// Takes the first entry, if it is below `upto`.
    pub(super) fn pop_below(&mut self, upto: Position, bytes: impl Fn(Offset) -> u64) -> Option<Offset> {
        if self.base >= upto {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.base = self.base.next();
        self.bytes -= bytes(entry.offset);
        Some(entry.offset)
    }

    /// All entries, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &HubEntry> {
        self.entries.iter()
    }
}
