//! The gateways: numbered streams of requests, sent again until they are answered.

use broker_core::ids::ShardId;
use broker_core::shard::{GatewayId, Op, Producer, Stamp, Verdict};
use std::collections::{BTreeMap, VecDeque};

/// Whom an answer is for: a connection of a client, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asker {
    pub(super) client: usize,
    pub(super) conn: u64,
}

struct Request {
    sequence: u64,
    op: Op,
    asker: Option<Asker>,
}

#[derive(Default)]
struct Stream {
    last: u64,
    unanswered: VecDeque<Request>,
    /// On their way.
    link: VecDeque<(Stamp, Op)>,
}

/// One life of a gateway.
pub(super) struct Gateway {
    pub(super) id: GatewayId,
    pub(super) alive: bool,
    streams: BTreeMap<ShardId, Stream>,
}

impl Gateway {
    pub(super) fn new(id: GatewayId) -> Self {
        Gateway { id, alive: true, streams: BTreeMap::new() }
    }

    pub(super) fn ask(&mut self, shard: ShardId, op: Op, asker: Option<Asker>) {
        let stream = self.streams.entry(shard).or_default();
        stream.last += 1;
        stream.unanswered.push_back(Request { sequence: stream.last, op: op.clone(), asker });
        let stamp = stream.stamp(self.id, stream.last);
        stream.link.push_back((stamp, op));
    }

    /// The shards to which something is on its way.
    pub(super) fn sending(&self) -> impl Iterator<Item = ShardId> {
        self.streams.iter().filter(|(_, stream)| !stream.link.is_empty()).map(|(shard, _)| *shard)
    }

    pub(super) fn arrives(&mut self, shard: ShardId) -> Option<(Stamp, Op)> {
        self.streams.get_mut(&shard)?.link.pop_front()
    }

    /// The link is lost with what is on its way, or only seems to be; everything unanswered is sent again.
    pub(super) fn send_again(&mut self, shard: ShardId, link_is_lost: bool) {
        let Some(stream) = self.streams.get_mut(&shard) else { return };
        if link_is_lost {
            stream.link.clear();
        }
        let again: Vec<_> = stream
            .unanswered
            .iter()
            .map(|request| (stream.stamp(self.id, request.sequence), request.op.clone()))
            .collect();
        stream.link.extend(again);
    }

    /// The process is dead. What it sent may still arrive, but not a CONNECT that discards a session: its client has gone on, and
    /// could lose what it was promised since.
    pub(super) fn crash(&mut self, letters_arrive: bool) {
        self.alive = false;
        for stream in self.streams.values_mut() {
            let keeps = |(_, op): &(Stamp, Op)| {
                letters_arrive && !matches!(op, Op::Attach(attach) if attach.clean_start)
            };
            let end = stream.link.iter().position(|sent| !keeps(sent)).unwrap_or(stream.link.len());
            stream.link.truncate(end);
        }
    }

    /// The answer to a request comes: who asked, for what. `None` if it came before.
    pub(super) fn answered(&mut self, shard: ShardId, sequence: u64) -> Option<(Op, Option<Asker>)> {
        let stream = self.streams.get_mut(&shard)?;
        let at = stream.unanswered.iter().position(|request| request.sequence == sequence)?;
        let request = stream.unanswered.remove(at).expect("just found");
        Some((request.op, request.asker))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.streams.values().all(|stream| stream.unanswered.is_empty() && stream.link.is_empty())
    }
}

impl Stream {
    fn stamp(&self, gateway: GatewayId, sequence: u64) -> Stamp {
        let answered = self.unanswered.front().map_or(self.last + 1, |request| request.sequence);
        Stamp { producer: Producer::Gateway(gateway), sequence, answered }
    }
}

/// Whether a request of a gateway that is alive may be answered like this.
pub(super) fn is_answer(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::OutOfTurn { .. } | Verdict::UnknownProducer)
}
