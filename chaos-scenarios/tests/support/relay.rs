//! A stand-in for a cluster: one broker, and nodes that relay their clients to it over the links between nodes.
//!
//! It keeps every promise, and survives nothing without its first node: enough to prove the network, the stories, and
//! checkers that must not find fault with it.

use broker_core::event::Event;
use broker_core::face::{Broker, Input, Output, Recovered, Setup, TimerKind};
use broker_core::ids::{ConnId, NodeId, ShardId};
use broker_core::time::Instant;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sim::Opener;
use std::collections::BTreeMap;

/// DISCONNECT of 5.0 with 0x89, Server busy: the norm has no better word for a node that cannot serve.
const BUSY: &[u8] = &[0xe0, 0x02, 0x89, 0x00];
/// Where the level of the protocol is in a CONNECT with a short remaining length, and with a longer one.
const LEVEL_AT: [usize; 2] = [8, 9];

/// Opens relays, and the broker on the first node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relayed {
    /// A mistake to be found: a relay that has lost its link acknowledges QoS 1 by itself, for a while.
    pub(super) acknowledges: bool,
}

impl Opener for Relayed {
    fn open(&self, setup: Setup, recovered: Recovered, now: Instant) -> Result<Box<dyn Broker>, String> {
        let cluster = setup.cluster.clone().ok_or("a relay is a member of a cluster")?;
        // Nodes that join are told of no founders; the first node is one in every scenario.
        let first = cluster.founders.keys().next().copied().unwrap_or(NodeId(1));
        if setup.node != first {
            return Ok(Box::new(Relay {
                first,
                acknowledges: self.acknowledges,
                up: false,
                conns: BTreeMap::new(),
                out: Vec::new(),
            }));
        }
        let alone = Setup { cluster: None, ..setup };
        let broker = broker_core::broker::open(alone, recovered, now).map_err(|error| error.to_string())?;
        let leading = (0..cluster.shards).map(|shard| Event::Leading { shard: ShardId(shard), term: 1 });
        let out = leading.map(Output::Event).collect();
        Ok(Box::new(Hub { broker: Box::new(broker), relayed: BTreeMap::new(), out }))
    }
}

/// What relays and the first node say to each other.
#[derive(Debug, Serialize, Deserialize)]
enum Frame {
    Opened { conn: ConnId, peer: String },
    Bytes { conn: ConnId, bytes: Vec<u8> },
    Taken { conn: ConnId, bytes: u64 },
    Closed { conn: ConnId },
    Read { conn: ConnId, on: bool },
}

impl Frame {
    fn to(&self, peer: NodeId) -> Output {
        let frame = serde_json::to_vec(self).expect("a frame can be written");
        Output::SendPeer { peer, frame: frame.into() }
    }

    fn read(frame: &[u8]) -> Frame {
        serde_json::from_slice(frame).expect("peers write frames")
    }
}

/// The first node.
struct Hub {
    broker: Box<dyn Broker>,
    /// Connections that other nodes relay.
    relayed: BTreeMap<ConnId, NodeId>,
    out: Vec<Output>,
}

impl Broker for Hub {
    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::PeerUp { .. } => {}
            Input::PeerFrame { peer, frame } => match Frame::read(&frame) {
                Frame::Opened { conn, peer: address } => {
                    self.relayed.insert(conn, peer);
                    self.broker.handle(now, Input::ClientOpened { conn, peer: address });
                }
                Frame::Bytes { conn, bytes } => {
                    self.broker.handle(now, Input::ClientBytes { conn, bytes: bytes.into() });
                }
                Frame::Taken { conn, bytes } => {
                    let bytes = usize::try_from(bytes).expect("a length");
                    self.broker.handle(now, Input::ClientSent { conn, bytes });
                }
                Frame::Closed { conn } => {
                    self.relayed.remove(&conn);
                    self.broker.handle(now, Input::ClientClosed { conn });
                }
                Frame::Read { .. } => unreachable!("a relay does not say when to read"),
            },
            Input::PeerDown { peer } => {
                let lost: Vec<ConnId> =
                    self.relayed.iter().filter(|(_, node)| **node == peer).map(|(conn, _)| *conn).collect();
                for conn in lost {
                    self.relayed.remove(&conn);
                    self.broker.handle(now, Input::ClientClosed { conn });
                }
            }
            input => self.broker.handle(now, input),
        }
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        out.append(&mut self.out);
        self.broker.drain(&mut self.out);
        for output in self.out.drain(..) {
            let node = match &output {
                Output::SendClient { conn, .. }
                | Output::CloseClient { conn }
                | Output::ReadClient { conn, .. } => self.relayed.get(conn).copied(),
                _ => None,
            };
            let Some(node) = node else {
                out.push(output);
                continue;
            };
            out.push(match output {
                Output::SendClient { conn, bytes } => Frame::Bytes { conn, bytes: bytes.to_vec() }.to(node),
                Output::ReadClient { conn, on } => Frame::Read { conn, on }.to(node),
                Output::CloseClient { conn } => {
                    self.relayed.remove(&conn);
                    Frame::Closed { conn }.to(node)
                }
                other => other,
            });
        }
    }

    fn deadline(&self) -> Option<(Instant, TimerKind)> {
        self.broker.deadline()
    }
}

/// Any other node.
struct Relay {
    first: NodeId,
    acknowledges: bool,
    /// There is a link to the first node.
    up: bool,
    /// Connections, with the first bytes of each: they tell what version it speaks.
    conns: BTreeMap<ConnId, Vec<u8>>,
    out: Vec<Output>,
}

impl Relay {
    fn pass(&mut self, frame: &Frame) {
        self.out.push(frame.to(self.first));
    }

    fn close(&mut self, conn: ConnId) {
        let Some(begin) = self.conns.remove(&conn) else { return };
        if LEVEL_AT.iter().any(|at| begin.get(*at) == Some(&5)) {
            self.out.push(Output::SendClient { conn, bytes: Bytes::from_static(BUSY) });
        }
        self.out.push(Output::CloseClient { conn });
    }

    fn close_all(&mut self) {
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.close(conn);
        }
    }
}

impl Broker for Relay {
    fn handle(&mut self, _: Instant, input: Input) {
        match input {
            Input::PeerUp { peer } if peer == self.first => {
                // The first node has forgotten what was relayed to it over an earlier link.
                self.close_all();
                self.up = true;
            }
            Input::PeerDown { peer } if peer == self.first => {
                self.up = false;
                if !self.acknowledges {
                    self.close_all();
                }
            }
            Input::Shutdown => self.close_all(),
            Input::ClientOpened { conn, peer } => {
                self.conns.insert(conn, Vec::new());
                if self.up { self.pass(&Frame::Opened { conn, peer }) } else { self.close(conn) }
            }
            Input::ClientBytes { conn, bytes } if self.acknowledges && !self.up => {
                if let Some(id) = qos1_id(&bytes) {
                    let ack = [&[0x40, 0x02][..], &id].concat();
                    self.out.push(Output::SendClient { conn, bytes: ack.into() });
                }
            }
            Input::ClientBytes { conn, bytes } => {
                if let Some(begin) = self.conns.get_mut(&conn) {
                    begin.extend(bytes.iter().take(16_usize.saturating_sub(begin.len())));
                    self.pass(&Frame::Bytes { conn, bytes: bytes.to_vec() });
                }
            }
            Input::ClientSent { conn, bytes } if self.conns.contains_key(&conn) => {
                self.pass(&Frame::Taken { conn, bytes: bytes as u64 });
            }
            Input::ClientClosed { conn } if self.conns.remove(&conn).is_some() => {
                self.pass(&Frame::Closed { conn });
            }
            Input::PeerFrame { frame, .. } => match Frame::read(&frame) {
                Frame::Bytes { conn, bytes } if self.conns.contains_key(&conn) => {
                    self.out.push(Output::SendClient { conn, bytes: bytes.into() });
                }
                Frame::Read { conn, on } if self.conns.contains_key(&conn) => {
                    self.out.push(Output::ReadClient { conn, on });
                }
                Frame::Closed { conn } if self.conns.remove(&conn).is_some() => {
                    self.out.push(Output::CloseClient { conn });
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        out.append(&mut self.out);
    }

    fn deadline(&self) -> Option<(Instant, TimerKind)> {
        None
    }
}

/// The packet identifier of a PUBLISH with QoS 1, DUP and RETAIN unset, if that is what begins here.
fn qos1_id(bytes: &[u8]) -> Option<[u8; 2]> {
    let rest = bytes.strip_prefix(&[0x32])?;
    let length = rest.iter().position(|byte| *byte < 0x80)? + 1;
    let (topic, rest) = rest.get(length..)?.split_first_chunk::<2>()?;
    rest.get(usize::from(u16::from_be_bytes(*topic))..)?.first_chunk().copied()
}
