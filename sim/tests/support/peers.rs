//! A stand-in for the core that does nothing but talk to its peers, and writes down what it heard.
//!
//! Every frame says of which life of its sender, over which of that life's links, and the how manieth it is.

use broker_core::event::Event;
use broker_core::face::{Broker, ClusterSetup, Input, Output, Setup, TimerKind};
use broker_core::ids::{NodeId, ShardId};
use broker_core::time::{Duration, Instant};
use bytes::Bytes;
use sim::Opener;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// How often it says something to each peer.
const EVERY: Duration = Duration::from_millis(20);

/// A frame: the sender's life, its link in that life, the number of the frame on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Words {
    /// How often the sender had started.
    pub(super) life: u32,
    /// How often it had had a link to this peer in that life.
    pub(super) link: u32,
    /// How many frames it had sent before over it.
    pub(super) number: u32,
}

/// What one process heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A link.
    Up,
    /// The link is gone.
    Down,
    /// A frame.
    Frame(Words),
}

/// One thing heard: by which node, in which of its lives, when by its clock, from whom.
pub(super) type Entry = (NodeId, u32, Instant, NodeId, Heard);

/// What all processes heard, and how often each node started.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// In the order of hearing.
    pub(super) heard: Vec<Entry>,
    /// Starts by node.
    pub(super) lives: BTreeMap<NodeId, u32>,
    /// What each was told of its cluster.
    pub(super) setups: Vec<ClusterSetup>,
}

/// An opener of talkers, and what they write down.
pub(super) fn talkers() -> (impl Opener, Rc<RefCell<Log>>) {
    let log = Rc::new(RefCell::new(Log::default()));
    let shared = Rc::clone(&log);
    let open = move |setup: Setup, _recovered, now| {
        let life = {
            let mut log = shared.borrow_mut();
            log.setups.push(setup.cluster.ok_or("no cluster")?);
            let life = log.lives.entry(setup.node).or_default();
            *life += 1;
            *life
        };
        let peers = BTreeMap::new();
        let talker =
            Talker { node: setup.node, life, leads: false, now, next: now, peers, log: Rc::clone(&shared) };
        Ok(Box::new(talker) as Box<dyn Broker>)
    };
    (open, log)
}

struct Talker {
    node: NodeId,
    life: u32,
    /// Whether it has said that it leads the shard with its own number.
    leads: bool,
    now: Instant,
    next: Instant,
    /// By peer: links so far, frames sent over the present one, if there is one.
    peers: BTreeMap<NodeId, (u32, Option<u32>)>,
    log: Rc<RefCell<Log>>,
}

impl Talker {
    fn hear(&self, now: Instant, peer: NodeId, heard: Heard) {
        self.log.borrow_mut().heard.push((self.node, self.life, now, peer, heard));
    }
}

impl Broker for Talker {
    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::PeerUp { peer } => {
                self.hear(now, peer, Heard::Up);
                let (links, sent) = self.peers.entry(peer).or_default();
                *links += 1;
                *sent = Some(0);
                self.next = now;
            }
            Input::PeerDown { peer } => {
                self.hear(now, peer, Heard::Down);
                if let Some((_, sent)) = self.peers.get_mut(&peer) {
                    *sent = None;
                }
            }
            Input::PeerFrame { peer, frame } => self.hear(now, peer, Heard::Frame(read(&frame))),
            _ => {}
        }
        self.now = now;
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        let life = self.life;
        if !std::mem::replace(&mut self.leads, true) {
            let shard = ShardId(u16::try_from(self.node.0).expect("few nodes"));
            out.push(Output::Event(Event::Leading { shard, term: life.into() }));
        }
        if self.now < self.next {
            return;
        }
        for (peer, (link, sent)) in &mut self.peers {
            if let Some(number) = sent {
                let frame = write(Words { life, link: *link, number: *number });
                *number += 1;
                out.push(Output::SendPeer { peer: *peer, frame });
            }
        }
        self.next = self.now + EVERY;
    }

    fn deadline(&self) -> Option<(Instant, TimerKind)> {
        Some((self.next, TimerKind::Expiry))
    }
}

/// So long that a narrow road takes a while for it.
fn write(words: Words) -> Bytes {
    let numbers = [words.life, words.link, words.number];
    numbers.iter().flat_map(|number| number.to_be_bytes()).chain([0; 48]).collect()
}

fn read(frame: &[u8]) -> Words {
    let mut numbers =
        frame.chunks_exact(4).map(|part| u32::from_be_bytes(part.try_into().expect("four bytes")));
    let mut next = || numbers.next().expect("a frame begins with three numbers");
    Words { life: next(), link: next(), number: next() }
}
