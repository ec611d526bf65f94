//! What replicas say to each other: a version byte, then a [`Wire`] in postcard.
//!
//! The crate's own messages are protobuf; bytes from the network never meet that.

use super::ids::{base_to_raft, raft_id};
use crate::base::ids::{Index, NodeId, Term};
use crate::replication::replica::{Base, EntryKind, LogEntry};
use bytes::Bytes;
use raft::CAMPAIGN_TRANSFER;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use serde::{Deserialize, Serialize};

/// The version of [`Wire`].
const VERSION: u8 = 2;

/// One thing said. The order of variants is part of the format: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wire {
    /// A leader's entries, which follow `previous`; those up to `commit` are committed.
    Append { term: Term, previous: Place, commit: Index, entries: Vec<LogEntry> },
    /// The log of the sender is the leader's up to `index`; or it is not at `index`, and a better place to try is told.
    Appended { term: Term, index: Index, commit: Index, refused: Option<Place> },
    /// A leader is there.
    Heartbeat { term: Term, commit: Index },
    /// It was heard.
    Heard { term: Term, commit: Index },
    /// The sender wants to lead in `term`, or (`pre`) asks whether it would get the votes; its log ends with `last`.
    Campaign { pre: bool, term: Term, last: Place, committed: Place, transfer: bool },
    /// The answer.
    Vote { pre: bool, term: Term, granted: bool, committed: Place },
    /// The leader wants the receiver to lead.
    TakeOver { term: Term },
    /// A piece of the machine at `base`, which the receiver is too far behind to get by entries.
    Piece { term: Term, base: Base, number: u32, count: u32, piece: Bytes },
    /// The first `taken` pieces of the machine at `index` have arrived.
    Taken { term: Term, index: Index, taken: u32 },
    /// The answer to [`Wire::TakeOver`] of who does not do it.
    Declined { term: Term },
}

/// What replicas say to each other in `bytes`, in a few words; `None` of what is said all the time, and of what cannot be read.
pub(crate) fn told(bytes: &[u8]) -> Option<String> {
    Wire::decode(bytes).ok()?.told()
}

/// A place in the log of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) index: Index,
    pub(super) term: Term,
}

impl Wire {
    pub(super) fn encode(&self) -> Bytes {
        postcard::to_extend(self, vec![VERSION]).expect("encoding into memory does not fail").into()
    }

    /// What it says, in a few words; `None` of what is said all the time.
    fn told(&self) -> Option<String> {
        Some(match self {
            Wire::Append { entries, .. } if !entries.is_empty() => {
                format!("Append {} to the log", entries.len())
            }
            Wire::Appended { index, refused: None, .. } => format!("Appended up to {index}"),
            Wire::Campaign { term, .. } => format!("Campaign in term {term}"),
            Wire::Vote { term, granted, .. } => format!("Vote in term {term}: {granted}"),
            _ => return None,
        })
    }

    /// What `bytes` say, if they end where it ends; otherwise the version they have, if it is another one.
    pub(super) fn decode(bytes: &[u8]) -> Result<Wire, Option<u8>> {
        match bytes.split_first() {
            Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
                Ok((wire, [])) => Ok(wire),
                _ => Err(None),
            },
            Some((&version, _)) => Err(Some(version)),
            None => Err(None),
        }
    }

    /// The crate's message, to be sent. Of a snapshot there is none: it is sent in pieces.
    ///
    /// # Panics
    /// If it is of a kind that a replica does not send to another one.
    pub(super) fn of_raft(mut message: Message) -> Wire {
        let (term, index, commit) = (Term(message.term), Index(message.index), Index(message.commit));
        let place = Place { index, term: Term(message.log_term) };
        let committed = Place { index: commit, term: Term(message.commit_term) };
        let kind = message.get_msg_type();
        match kind {
            MessageType::MsgAppend => {
                let entries = message.take_entries().into_iter().map(entry_of_raft).collect();
                Wire::Append { term, previous: place, commit, entries }
            }
            MessageType::MsgAppendResponse => {
                let hint = Place { index: Index(message.reject_hint), term: Term(message.log_term) };
                Wire::Appended { term, index, commit, refused: message.reject.then_some(hint) }
            }
            MessageType::MsgHeartbeat => Wire::Heartbeat { term, commit },
            MessageType::MsgHeartbeatResponse => Wire::Heard { term, commit },
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                let transfer = message.context == CAMPAIGN_TRANSFER;
                let pre = kind == MessageType::MsgRequestPreVote;
                Wire::Campaign { pre, term, last: place, committed, transfer }
            }
            MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
                let pre = kind == MessageType::MsgRequestPreVoteResponse;
                Wire::Vote { pre, term, granted: !message.reject, committed }
            }
            MessageType::MsgTimeoutNow => Wire::TakeOver { term },
            other => unreachable!("a replica does not send {other:?} to another one"),
        }
    }

    /// The message for the crate, as it comes from `from` to `to`. `None` of what is not its business.
    pub(super) fn into_raft(self, from: NodeId, to: NodeId) -> Option<Message> {
        let mut message = Message { from: raft_id(from), to: raft_id(to), ..Default::default() };
        match self {
            Wire::Append { term, previous, commit, entries } => {
                message.set_msg_type(MessageType::MsgAppend);
                (message.term, message.commit) = (term.0, commit.0);
                (message.index, message.log_term) = (previous.index.0, previous.term.0);
                let entries: Vec<Entry> = (previous.index.0 + 1..)
                    .zip(entries)
                    .map(|(index, entry)| entry_to_raft(Index(index), entry))
                    .collect();
                message.set_entries(entries.into());
            }
            Wire::Appended { term, index, commit, refused } => {
                message.set_msg_type(MessageType::MsgAppendResponse);
                (message.term, message.index, message.commit) = (term.0, index.0, commit.0);
                if let Some(hint) = refused {
                    message.reject = true;
                    (message.reject_hint, message.log_term) = (hint.index.0, hint.term.0);
                }
            }
            Wire::Heartbeat { term, commit } => {
                message.set_msg_type(MessageType::MsgHeartbeat);
                (message.term, message.commit) = (term.0, commit.0);
            }
            Wire::Heard { term, commit } => {
                message.set_msg_type(MessageType::MsgHeartbeatResponse);
                (message.term, message.commit) = (term.0, commit.0);
            }
            Wire::Campaign { pre, term, last, committed, transfer } => {
                let kinds = [MessageType::MsgRequestVote, MessageType::MsgRequestPreVote];
                message.set_msg_type(kinds[usize::from(pre)]);
                (message.term, message.index, message.log_term) = (term.0, last.index.0, last.term.0);
                (message.commit, message.commit_term) = (committed.index.0, committed.term.0);
                if transfer {
                    message.context = Bytes::from_static(CAMPAIGN_TRANSFER);
                }
            }
            Wire::Vote { pre, term, granted, committed } => {
                let kinds = [MessageType::MsgRequestVoteResponse, MessageType::MsgRequestPreVoteResponse];
                message.set_msg_type(kinds[usize::from(pre)]);
                (message.term, message.reject) = (term.0, !granted);
                (message.commit, message.commit_term) = (committed.index.0, committed.term.0);
            }
            Wire::TakeOver { term } => {
                message.set_msg_type(MessageType::MsgTimeoutNow);
                message.term = term.0;
            }
            Wire::Piece { .. } | Wire::Taken { .. } | Wire::Declined { .. } => return None,
        }
        Some(message)
    }
}

/// The message for the crate that tells of a machine which has come whole.
pub(super) fn snapshot_to_raft(base: &Base, term: Term, from: NodeId, to: NodeId) -> Message {
    let mut message = Message { from: raft_id(from), to: raft_id(to), term: term.0, ..Default::default() };
    message.set_msg_type(MessageType::MsgSnapshot);
    message.set_snapshot(base_to_raft(base));
    message
}

pub(super) fn entry_of_raft(entry: Entry) -> LogEntry {
    let term = Term(entry.term);
    match entry.get_entry_type() {
        EntryType::EntryNormal => LogEntry { term, kind: EntryKind::Machine, data: entry.data },
        // What the crate was given to look at when it was proposed is its own format; ours is beside it.
        _ if entry.context.is_empty() => LogEntry { term, kind: EntryKind::Members, data: entry.data },
        _ => LogEntry { term, kind: EntryKind::Members, data: entry.context },
    }
}

pub(super) fn entry_to_raft(index: Index, entry: LogEntry) -> Entry {
    let mut raft = Entry { index: index.0, term: entry.term.0, data: entry.data, ..Default::default() };
    if entry.kind == EntryKind::Members {
        raft.set_entry_type(EntryType::EntryConfChangeV2);
    }
    raft
}

#[cfg(test)]
mod tests {
    use super::{Base, Bytes, EntryKind, Index, LogEntry, NodeId, Place, Term, Wire};
    use crate::base::rng::Rng;
    use crate::replication::configuration::Configuration;

    const FROM: NodeId = NodeId(0);
    const TO: NodeId = NodeId(2);

    fn place(index: u64, term: u64) -> Place {
        Place { index: Index(index), term: Term(term) }
    }

    fn one_of_each() -> Vec<Wire> {
        let (term, index, commit) = (Term(4), Index(7), Index(6));
        let entries = vec![
            LogEntry { term: Term(3), kind: EntryKind::Machine, data: Bytes::new() },
            LogEntry { term, kind: EntryKind::Machine, data: Bytes::from_static(b"entry") },
            LogEntry { term, kind: EntryKind::Members, data: Bytes::from_static(b"change") },
        ];
        let base = Base { index, term: Term(2), members: Configuration::of(&[FROM, TO]) };
        let mut all = vec![
            Wire::Append { term, previous: place(7, 3), commit, entries },
            Wire::Appended { term, index, commit, refused: None },
            Wire::Appended { term, index, commit, refused: Some(place(5, 2)) },
            Wire::Heartbeat { term, commit },
            Wire::Heard { term, commit },
            Wire::TakeOver { term },
            Wire::Piece { term, base, number: 1, count: 3, piece: Bytes::from_static(b"piece") },
            Wire::Taken { term, index, taken: 2 },
            Wire::Declined { term },
        ];
        for (pre, flag) in [(false, false), (false, true), (true, false), (true, true)] {
            all.push(Wire::Campaign { pre, term, last: place(7, 3), committed: place(6, 3), transfer: flag });
            all.push(Wire::Vote { pre, term, granted: flag, committed: place(6, 3) });
        }
        all
    }

    #[test]
    fn every_message_comes_through_as_it_was() {
        for wire in one_of_each() {
            assert_eq!(Wire::decode(&wire.encode()), Ok(wire.clone()));
            let ours = matches!(wire, Wire::Piece { .. } | Wire::Taken { .. } | Wire::Declined { .. });
            match wire.clone().into_raft(FROM, TO) {
                Some(message) => assert_eq!(Wire::of_raft(message), wire),
                None => assert!(ours, "{wire:?}"),
            }
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        assert_eq!(Wire::decode(&[]), Err(None));
        assert_eq!(Wire::decode(&[9, 0, 0]), Err(Some(9)));
        let mut rng = Rng::from_seed(1);
        for wire in one_of_each() {
            let mut bytes = wire.encode().to_vec();
            assert_eq!(Wire::decode(&bytes[..bytes.len() - 1]), Err(None), "{wire:?} without its end");
            bytes.push(0);
            assert_eq!(Wire::decode(&bytes), Err(None), "{wire:?} with more behind it");
            // Whatever is flipped, decoding returns.
            for _ in 0..200 {
                let mut damaged = bytes.clone();
                let at = usize::try_from(rng.below(damaged.len() as u64)).expect("a short message");
                damaged[at] ^= u8::try_from(rng.between(1, 255)).expect("a byte");
                if let Ok(other) = Wire::decode(&damaged) {
                    assert_eq!(Wire::decode(&other.encode()), Ok(other));
                }
            }
        }
    }
}
