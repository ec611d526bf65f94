//! The right to acknowledge.
//!
//! Session code makes a [`Receipt`] of a packet that asks for an answer, and gives it away with the intent. The answer can
//! be sent only with a [`Committed`], and only this module's neighbours, which know what is on disk, can make one.

use crate::base::ids::{ConnId, PacketId, Position, ShardId};

/// An answer that is owed to a client; it can be spent once.
#[derive(Debug)]
#[must_use = "a receipt that is dropped is an answer that is never sent"]
pub struct Receipt {
    conn: ConnId,
    owed: Owed,
}

/// Which answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Owed {
    /// CONNACK.
    ConnAck,
    /// PUBACK.
    PubAck(PacketId),
    /// PUBREC.
    PubRec(PacketId),
    /// PUBCOMP.
    PubComp(PacketId),
    /// SUBACK.
    SubAck(PacketId),
    /// UNSUBACK.
    UnsubAck(PacketId),
    /// PUBREL for the message at this position of a shard's queue.
    PubRel(ShardId, Position),
    /// The next message of a shard's queue, after those that were dropped.
    Next(ShardId),
    /// The end of the connection, after DISCONNECT.
    Close,
}

impl Receipt {
    /// An answer owed on `conn`.
    pub fn new(conn: ConnId, owed: Owed) -> Self {
        Receipt { conn, owed }
    }

    /// The connection it is owed on.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Spends it.
    pub fn spend(self, _proof: Committed) -> Owed {
        self.owed
    }
}

/// Proof that an entry, and everything before it, is committed.
#[derive(Debug)]
pub struct Committed(pub(super) ());
