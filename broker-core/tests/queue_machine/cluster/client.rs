//! What clients do, one thing after the other, each until it is answered.

use broker_core::ids::{PacketId, Position, ShardId};
use broker_core::shard::{Attachment, SentUpto, ShardSet};
use bytestring::ByteString;
use std::collections::{BTreeMap, VecDeque};

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// CONNECT, also while another connection has the session.
    Connect { gateway: usize, clean_start: bool, will: bool },
    /// DISCONNECT.
    Disconnect { discard_will: bool },
    /// SUBSCRIBE with QoS 2; of a clean session, with or without the retained messages.
    Subscribe { filter: usize, retained: bool },
    /// UNSUBSCRIBE.
    Unsubscribe { filter: usize },
    /// PUBLISH. One that `moves` goes on at another gateway before it is answered.
    Publish { topic: usize, exactly_once: bool, moves: Option<usize> },
    /// PUBLISH with QoS 1 and RETAIN to the client's own topic.
    Retain { moves: Option<usize> },
    /// PUBLISH with QoS 1 and RETAIN to the topic of the client's will.
    SayBack,
}

/// What a client is at.
#[derive(Debug)]
pub(super) enum Doing {
    Connect {
        gateway: usize,
        clean_start: bool,
        will: bool,
    },
    Disconnect {
        discard_will: bool,
    },
    /// With the number of the subscription in the history, and of the answers that are to come.
    Subscribe {
        filter: usize,
        retained: bool,
        record: Option<usize>,
        left: usize,
    },
    Unsubscribe {
        filter: usize,
        left: usize,
    },
    Publish(Publishing),
}

#[derive(Debug)]
pub(super) struct Publishing {
    /// Its number in the history.
    pub(super) record: usize,
    pub(super) id: PacketId,
    pub(super) moves: Option<usize>,
    /// PUBREC has come.
    pub(super) received: bool,
    /// PUBRELs that are not answered.
    pub(super) left: usize,
}

/// A connection with its session.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) number: u64,
    pub(super) gateway: usize,
    pub(super) attachment: Attachment,
    pub(super) touched: ShardSet,
    /// How far each queue was read.
    pub(super) read: BTreeMap<ShardId, Position>,
}

impl Conn {
    pub(super) fn sent(&self) -> SentUpto {
        self.read.iter().map(|(shard, position)| (*shard, *position)).collect()
    }
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: ByteString,
    pub(super) durable: bool,
    pub(super) script: VecDeque<Act>,
    pub(super) conn: Option<Conn>,
    /// CONNECT is on its way: the number and the gateway.
    pub(super) connecting: Option<(u64, usize)>,
    pub(super) doing: Option<Doing>,
    /// Something is asked for and not answered.
    pub(super) waits: bool,
    pub(super) conns: u64,
    pub(super) publishes: u64,
    /// The number of the last message it published.
    pub(super) numbers: u64,
}

impl Client {
    pub(super) fn new(index: usize, name: String, durable: bool, script: &[Act]) -> Self {
        Client {
            name: ByteString::from(name),
            durable,
            script: script.iter().copied().collect(),
            conn: None,
            connecting: None,
            doing: None,
            waits: false,
            conns: 0,
            publishes: 0,
            numbers: super::world::NUMBERS * index as u64,
        }
    }

    /// The connection that hears answers.
    pub(super) fn current(&self) -> Option<u64> {
        self.connecting.map(|(number, _)| number).or(self.conn.as_ref().map(|conn| conn.number))
    }

    /// Whether it has something to do now.
    pub(super) fn is_ready(&self) -> bool {
        !self.waits && (self.doing.is_some() || !self.script.is_empty())
    }

    /// The gateway at which it is, or will be when CONNACK comes.
    pub(super) fn gateway(&self) -> Option<usize> {
        self.connecting.map(|(_, gateway)| gateway).or(self.conn.as_ref().map(|conn| conn.gateway))
    }

    /// Few identifiers, so that they are used again.
    pub(super) fn next_id(&mut self) -> PacketId {
        self.publishes += 1;
        PacketId::new(1 + u16::try_from(self.publishes % 2).expect("small")).expect("not 0")
    }
}
