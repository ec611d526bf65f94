//! Whether what another replica says can be true.
//!
//! The crate takes messages of members for granted, and panics where they contradict what it knows. A member that has
//! lost what it had acknowledged, or is not what it says, must not end this node: what cannot be true is refused before.

use super::ids::node_of;
use super::tail::Tail;
use super::wire::Wire;
use crate::base::ids::{Index, Term};
use raft::{RawNode, StateRole};
use std::fmt;

/// Above any index and term that a group comes to, and far enough below the end of numbers.
const NUMBER_MAX: u64 = 1 << 60;

/// A message that was refused. The group is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError {
    /// It has a version that this program does not know.
    Version(u8),
    /// Its bytes are not what they should be.
    Malformed,
    /// It comes from this node itself.
    Own,
    /// It contradicts itself or what is known.
    Impossible(&'static str),
    /// The leader counts on entries that this replica has acknowledged, and that are gone: its disk lost them. It must not go on as the
    /// member it was.
    LostEntries {
        /// The last entry that it has.
        last: Index,
        /// An entry that it had.
        had: Index,
    },
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepError::Version(version) => write!(f, "it has version {version}, which is unknown here"),
            StepError::Malformed => f.write_str("it cannot be decoded"),
            StepError::Own => f.write_str("it comes from this node itself"),
            StepError::Impossible(why) => f.write_str(why),
            StepError::LostEntries { last, had } => write!(
                f,
                "the log ends with entry {last}, and entry {had} had been acknowledged: the disk lost it; remove the node from the \
                 cluster and let it come back under a new number, with an empty data folder"
            ),
        }
    }
}

impl std::error::Error for StepError {}

/// Checks `wire` against what the replica `raw` knows.
pub(super) fn check(wire: &Wire, raw: &RawNode<Tail>) -> Result<(), StepError> {
    let term = term_of(wire);
    require((1..=NUMBER_MAX).contains(&term.0), "its term is none")?;
    let last = raw.raft.raft_log.last_index();
    match wire {
        Wire::Append { previous, commit, entries, .. } => {
            require(previous.index.0 >= 1 && previous.term.0 >= 1, "entries follow nothing")?;
            let end = previous.index.0.saturating_add(entries.len() as u64);
            require(end <= NUMBER_MAX && commit.0 <= NUMBER_MAX, "its indices are none")?;
            let mut before = previous.term;
            for entry in entries {
                require(before <= entry.term && entry.term <= term, "the terms of its entries do not rise")?;
                before = entry.term;
            }
            require(before <= term, "it follows an entry of a later term")
        }
        Wire::Appended { index, refused, .. } => {
            // What an earlier leader was told is not this one's business, nor what a later one is.
            let concerns = raw.raft.state == StateRole::Leader && term.0 == raw.raft.term;
            let hint = refused.map_or(0, |place| place.index.0);
            require(!concerns || (index.0 <= last && hint <= last), "it has entries that its leader has not")
        }
        Wire::Heartbeat { commit, .. } => {
            if term.0 >= raw.raft.term && commit.0 > last {
                return Err(StepError::LostEntries { last: Index(last), had: *commit });
            }
            Ok(())
        }
        Wire::Piece { base, number, count, .. } => {
            require((1..=NUMBER_MAX).contains(&base.index.0), "a machine at no place")?;
            require(base.term.0 >= 1 && base.term <= term, "a machine of a later term")?;
            require(number < count, "a piece beyond the last one")?;
            let log = &raw.raft.raft_log;
            let contradicts = base.index.0 == log.committed && !log.match_term(base.index.0, base.term.0);
            require(!contradicts, "a machine of entries that were not committed")?;
            require(
                node_of(raw.raft.id).is_some_and(|node| base.members.contains(node)),
                "a machine for others",
            )
        }
        Wire::Campaign { .. }
        | Wire::Vote { .. }
        | Wire::Heard { .. }
        | Wire::TakeOver { .. }
        | Wire::Taken { .. }
        | Wire::Declined { .. } => Ok(()),
    }
}

/// The term in which `wire` was said, or for which it asks.
pub(super) fn term_of(wire: &Wire) -> Term {
    match wire {
        Wire::Append { term, .. }
        | Wire::Appended { term, .. }
        | Wire::Heartbeat { term, .. }
        | Wire::Heard { term, .. }
        | Wire::Campaign { term, .. }
        | Wire::Vote { term, .. }
        | Wire::TakeOver { term }
        | Wire::Declined { term }
        | Wire::Piece { term, .. }
        | Wire::Taken { term, .. } => *term,
    }
}

fn require(holds: bool, otherwise: &'static str) -> Result<(), StepError> {
    if holds { Ok(()) } else { Err(StepError::Impossible(otherwise)) }
}
