//! What happened in a run, as its clients saw it: the only thing a checker reads.
//!
//! Records are in the order of time. A packet counts as received when the client *processed* it; bytes that were still
//! on their way, or in the buffer of a client that crashed, are not here. The broker's own events are kept apart, for
//! the few checkers that need recorded reasons.

mod index;
mod line;
mod packet;

pub use index::{Connection, Index, Session};
pub use packet::{
    Ack, ConnAck, Connect, Disconnect, Granted, Packet, Publish, Qos, Subscribe, Subscription, Tag,
    Unsubscribe, Version, Will,
};

use broker_core::event::Event;
use broker_core::ids::{ConnId, NodeId};
use broker_core::time::Instant;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A client of the scenario: its place in `Scenario::clients`. Several may share one MQTT client identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientNo(pub u32);

impl ClientNo {
    /// As an index into the scenario's clients.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ClientNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// A fault of the scenario, by the name it has there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultId(pub u32);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{}", self.0)
    }
}

/// A run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct History {
    /// What happened, in the order of time.
    pub records: Vec<Record>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When, in the time of the world (clients and network; a node's own clock may run at another rate).
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What may happen. Connections have numbers that are never used again within a run.
#[derive(Clone, Debug, Serialize)]
pub enum What {
    /// A client opened a connection; CONNECT is yet to be sent.
    Opened {
        /// Which client.
        client: ClientNo,
        /// The new connection.
        conn: ConnId,
        /// To which node.
        node: NodeId,
    },
    /// A connection ended, as the client saw it.
    Closed {
        /// Which client.
        client: ClientNo,
        /// The connection.
        conn: ConnId,
        /// Who ended it.
        by: Closer,
    },
    /// A client sent a packet: it was handed to the network whole.
    Sent {
        /// Which client.
        client: ClientNo,
        /// On which connection.
        conn: ConnId,
        /// The packet.
        packet: Packet,
    },
    /// A client processed a packet; for a PUBLISH this is the delivery to its application (a QoS 2 PUBLISH whose
    /// identifier the client still remembers is a resend, not a second delivery).
    Received {
        /// Which client.
        client: ClientNo,
        /// On which connection.
        conn: ConnId,
        /// The packet.
        packet: Packet,
    },
    /// A client process died; its connections are reset by its operating system.
    ClientDown {
        /// Which client.
        client: ClientNo,
        /// Whether its session store (what it owes and is owed) survives.
        keeps_session: bool,
    },
    /// A client process runs again after [`What::ClientDown`].
    ClientUp {
        /// Which client.
        client: ClientNo,
    },
    /// A client read bytes that are no packet: the broker's mistake, whatever the fault.
    Undecodable {
        /// Which client.
        client: ClientNo,
        /// On which connection.
        conn: ConnId,
        /// What the client's codec said.
        why: String,
    },
    /// A fault began.
    FaultStarted {
        /// Which.
        fault: FaultId,
    },
    /// A fault ended.
    FaultEnded {
        /// Which.
        fault: FaultId,
    },
    /// A node read its log from disk, before it serves. Its own account, like [`What::Broker`].
    LogRead {
        /// Which.
        node: NodeId,
        /// Records after the snapshot.
        records: u64,
        /// Whether un-synced writes at the end were found torn, and discarded.
        torn_tail: bool,
        /// Snapshots that could not be read; an older one took their place.
        unreadable_snapshots: u32,
    },
    /// A node serves (again).
    NodeUp {
        /// Which.
        node: NodeId,
    },
    /// A node went down.
    NodeDown {
        /// Which.
        node: NodeId,
        /// Why.
        why: NodeDown,
    },
    /// A node has a link to another one. Its own account.
    PeerUp {
        /// Which node.
        node: NodeId,
        /// To which other.
        peer: NodeId,
    },
    /// A node lost its link to another one. Its own account; a node that goes down tells nobody.
    PeerDown {
        /// Which node.
        node: NodeId,
        /// To which other.
        peer: NodeId,
    },
    /// A node could not start from its disk and stays down.
    NodeRefused {
        /// Which.
        node: NodeId,
        /// Its words.
        why: String,
    },
    /// The safety phase is over: every fault has ended, no new work is started, clients reconnect and drain.
    Healed,
    /// The run is over.
    End {
        /// Clients that still owed or were owed something they can know of (an unacknowledged packet of their own, no
        /// connection although they want one); empty if all came to rest.
        restless: Vec<ClientNo>,
    },
    /// A node's own account: not visible to clients, and absent in histories of foreign brokers.
    Broker {
        /// Which node.
        node: NodeId,
        /// What it recorded.
        event: Event,
    },
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Closer {
    /// The client (after DISCONNECT, or without).
    Client,
    /// The broker, in an orderly way: all it had sent before arrived.
    Broker,
    /// Nobody's intention: a reset, a crash at either end, a refused connection.
    Network,
}

/// Why a node went down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeDown {
    /// The process was killed; what the operating system had of its writes survives.
    Killed,
    /// The machine lost power: un-synced writes are lost, torn or reordered.
    PowerLost,
    /// A call to the disk failed; the node's words.
    DiskFailed(String),
    /// The broker panicked; its words. Always a finding.
    Panicked(String),
    /// It was told to stop and did so in order.
    Stopped,
}

impl History {
    /// Adds a record.
    ///
    /// # Panics
    /// If time runs backwards.
    pub fn push(&mut self, at: Instant, what: What) {
        assert!(self.records.last().is_none_or(|last| last.at <= at), "a history is in the order of time");
        self.records.push(Record { at, what });
    }

    /// Connections and sessions of the run.
    pub fn index(&self) -> Index<'_> {
        Index::new(self)
    }

    /// The records that concern `client`.
    pub fn of_client(&self, client: ClientNo) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.what.client() == Some(client))
    }

    /// When the safety phase ended, if it did.
    pub fn healed_at(&self) -> Option<Instant> {
        self.records.iter().find(|record| matches!(record.what, What::Healed)).map(|record| record.at)
    }

    /// The broker's own events. Empty for a foreign broker.
    pub fn events(&self) -> impl Iterator<Item = (Instant, NodeId, &Event)> {
        self.records.iter().filter_map(|record| match &record.what {
            What::Broker { node, event } => Some((record.at, *node, event)),
            _ => None,
        })
    }
}

impl What {
    /// The client it concerns.
    pub fn client(&self) -> Option<ClientNo> {
        match self {
            What::Opened { client, .. }
            | What::Closed { client, .. }
            | What::Sent { client, .. }
            | What::Received { client, .. }
            | What::ClientDown { client, .. }
            | What::ClientUp { client }
            | What::Undecodable { client, .. } => Some(*client),
            _ => None,
        }
    }

    /// The connection it concerns, as the client saw it.
    pub fn conn(&self) -> Option<ConnId> {
        match self {
            What::Opened { conn, .. }
            | What::Closed { conn, .. }
            | What::Sent { conn, .. }
            | What::Received { conn, .. }
            | What::Undecodable { conn, .. } => Some(*conn),
            _ => None,
        }
    }
}
