//! What an operator asks of a member, and what it is answered, on a connection that was dialled as [`super::handshake::OPERATOR`]: a frame
//! ([`super::frames`]) each, question and answer by turns.
//!
//! ```text
//! version       2 bytes, little-endian
//! message       in postcard's encoding
//! ```

use super::frames::put_header;
use broker_core::cluster::{Change, Directory, Refusal};
use broker_core::ids::NodeId;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The version of the questions and answers.
const VERSION: u16 = 1;

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Who are the members, and who holds what?
    Members,
    /// Change the members.
    Change(Change),
}

/// What a member answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The cluster's directory, as far as this member knows it.
    Members(Box<Directory>),
    /// What came of a change: the version of the directory by which it is so, or why it is not to be.
    Changed(Result<u64, Refusal>),
    /// Nobody has decided on the change in time. It may be decided still.
    Undecided,
    /// This version does not understand the question, or does not know how to do what it asks.
    NotUnderstood,
}

/// The frame with this message, its length before it.
///
/// # Panics
/// If the message is larger than a frame can be: none is.
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    let bytes = postcard::to_extend(message, VERSION.to_le_bytes().to_vec());
    let bytes = bytes.expect("encoding into memory does not fail");
    let mut out = BytesMut::new();
    put_header(bytes.len(), &mut out).expect("a directory is some kilobytes");
    out.put_slice(&bytes);
    out.freeze()
}

/// The message in this frame; `None` if it is of another version, or none.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> Option<T> {
    let message = frame.strip_prefix(&VERSION.to_le_bytes())?;
    postcard::take_from_bytes(message).ok().filter(|(_, rest)| rest.is_empty()).map(|(message, _)| message)
}

/// Whether members can do what is asked: dial the address of who is to be a member, under a number that a member can have.
pub fn is_feasible(change: &Change) -> bool {
    let can_be = |node: &NodeId, address: &str| node.0 != 0 && address.parse::<SocketAddr>().is_ok();
    match change {
        Change::Join { node, member } => can_be(node, &member.address) && member.seat == *node,
        Change::Replace { new, address, .. } => can_be(new, address),
        Change::Drain(_) | Change::Serve(_) | Change::Leave(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Bytes, Change, Directory, NodeId, Question, decode, encode, is_feasible};
    use crate::peers::frames::HEADER_BYTES;
    use broker_core::cluster::Member;
    use std::collections::BTreeMap;

    fn body(frame: &Bytes) -> &[u8] {
        &frame[HEADER_BYTES..]
    }

    #[test]
    fn messages_come_back_as_they_were_and_of_another_version_not_at_all() {
        let member = Member::plain(NodeId(1), "127.0.0.1:7001");
        let directory = Directory::found(16, 3, BTreeMap::from([(NodeId(1), member)]));
        for answer in [Answer::Members(Box::new(directory)), Answer::Changed(Ok(7)), Answer::Undecided] {
            let frame = encode(&answer);
            assert_eq!(decode(body(&frame)), Some(answer));
        }
        let frame = encode(&Question::Members);
        assert_eq!(decode(body(&frame)), Some(Question::Members));
        let mut other = body(&frame).to_vec();
        other.push(0);
        assert_eq!(decode::<Question>(&other), None, "more than a message");
        other.pop();
        other[0] += 1;
        assert_eq!(decode::<Question>(&other), None, "another version");
        assert_eq!(decode::<Question>(&[]), None);
    }

    #[test]
    fn who_could_not_be_dialled_or_would_be_an_operator_is_not_taken_in() {
        let join = |node: u32, address: &str| Change::Join {
            node: NodeId(node),
            member: Member::plain(NodeId(node), address),
        };
        assert!(is_feasible(&join(4, "[::1]:7004")));
        assert!(!is_feasible(&join(0, "[::1]:7004")) && !is_feasible(&join(4, "somewhere")));
        let replace = |new, address: &str| Change::Replace {
            old: NodeId(1),
            new: NodeId(new),
            address: address.to_owned(),
        };
        assert!(is_feasible(&replace(4, "127.0.0.1:1")));
        assert!(!is_feasible(&replace(0, "127.0.0.1:1")) && !is_feasible(&replace(4, "")));
    }
}
