//! Everything together: what happens next is drawn from a seed.

use super::client::{Act, Client, Conn};
use super::gateway::{Gateway, is_answer};
use super::history::History;
use super::shards::{Shards, number};
use super::{DURABLE, GATEWAYS, WATCHER};
use broker_core::codec::packet::{PublishProperties, QoS, SubscriptionOptions};
use broker_core::ids::{NodeId, Position, ShardId};
use broker_core::message::Message;
use broker_core::rng::Rng;
use broker_core::shard::machine::read::Pending;
use broker_core::shard::{Attachment, Effect, GatewayId, Op, Producer, Step, Verdict};
use broker_core::topic::{TopicFilter, TopicName};
use bytes::Bytes;
use bytestring::ByteString;
use std::collections::BTreeMap;

/// Until then everything may happen, afterwards only what brings things to their end.
const TROUBLE_UNTIL: u64 = 900;

/// A run that takes longer is stuck.
const MOMENTS_MAX: u64 = 60_000;

/// Each client has so many numbers for its messages; its wills have the second half.
pub(super) const NUMBERS: u64 = 1_000_000;

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Arrive(usize, ShardId),
    Answer(usize),
    Forward(ShardId, ShardId),
    Confirm(ShardId, ShardId),
    Act(usize),
    Notice(usize),
    Lose(usize),
    // Trouble.
    SendAgain(usize, ShardId),
    ChangeLeader(ShardId),
    Crash(usize),
    Read(usize),
    Trim(usize, ShardId),
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) moment: u64,
    pub(super) shards: Shards,
    pub(super) gateways: Vec<Gateway>,
    /// The life of each node's gateway.
    pub(super) slots: Vec<usize>,
    /// Answers that leaders owe: whose request, and which.
    pub(super) owed: Vec<(ShardId, GatewayId, u64)>,
    /// Evictions that are not told yet.
    pub(super) notices: Vec<Attachment>,
    /// Gateways that are not dropped yet where they were.
    pub(super) lost: Vec<(ShardId, GatewayId)>,
    pub(super) clients: Vec<Client>,
    pub(super) history: History,
    /// The message that each client last said to be back with, and its epoch then.
    pub(super) back: BTreeMap<usize, (Attachment, u64)>,
    pub(super) crashes_left: u32,
    /// What this node sends is late.
    pub(super) slow: NodeId,
    /// What other shards tell this one is late.
    pub(super) slow_towards: ShardId,
}

impl World {
    /// Runs the scripts to their end and judges what came of them.
    pub(super) fn run(scripts: &[Vec<Act>], shards: u16, seed: u64) -> World {
        let client = |(index, script): (usize, &Vec<Act>)| {
            let durable = index < DURABLE;
            Client::new(
                index,
                format!("{}{index}", if durable { "durable" } else { "clean" }),
                durable,
                script,
            )
        };
        let mut clients: Vec<Client> = scripts.iter().enumerate().map(client).collect();
        clients.push(Client::new(WATCHER, "watcher".to_owned(), true, &[]));
        let gateways = (0..GATEWAYS).map(|slot| Gateway::new(gateway_id(slot, 1))).collect();
        let mut rng = Rng::from_seed(seed);
        let slow = gateway_id(usize::try_from(rng.below(2 * GATEWAYS as u64)).expect("small"), 1).node;
        let slow_towards = ShardId(u16::try_from(rng.below(2 * u64::from(shards))).expect("small"));
        let mut world = World {
            rng,
            moment: 0,
            shards: Shards::new(shards),
            gateways,
            slots: (0..GATEWAYS).collect(),
            owed: Vec::new(),
            notices: Vec::new(),
            lost: Vec::new(),
            clients,
            history: History::default(),
            back: BTreeMap::new(),
            crashes_left: 2,
            slow,
            slow_towards,
        };
        world.watch_wills();
        while let Some(next) = world.choose() {
            world.moment += 1;
            assert!(world.moment < MOMENTS_MAX, "nothing comes to an end: {:?}", world.clients);
            world.carry_out(next);
        }
        world.judge();
        world
    }

    /// The watcher's session is there before anything else.
    fn watch_wills(&mut self) {
        let home = self.home(WATCHER);
        let attach = self.attach_of(WATCHER, false, None);
        let (verdict, _) = self.shards.apply(home, None, Op::Attach(Box::new(attach)));
        let Verdict::Attached { session, .. } = verdict else { panic!("{verdict:?}") };
        let filters = vec![(filter("will/#"), at_most(QoS::ExactlyOnce))];
        self.shards.apply(home, None, Op::Subscribe { session, subscription_id: None, filters });
        let all: Vec<ShardId> = self.shards.all().collect();
        for to in all {
            while self.shards.may_forward(home, to) {
                self.shards.forward(home, to, &mut self.rng);
            }
        }
        let conn = Conn {
            number: 0,
            gateway: 0,
            attachment: session,
            touched: Default::default(),
            read: BTreeMap::new(),
        };
        self.clients[WATCHER].conn = Some(conn);
    }

    fn choose(&mut self) -> Option<Move> {
        let all: Vec<ShardId> = self.shards.all().collect();
        let (mut moves, mut late) = (Vec::new(), Vec::new());
        for (index, gateway) in self.gateways.iter().enumerate() {
            let moves = if gateway.id.node == self.slow { &mut late } else { &mut moves };
            moves.extend(gateway.sending().map(|shard| Move::Arrive(index, shard)));
        }
        moves.extend((0..self.owed.len()).filter(|at| self.may_answer(*at)).map(Move::Answer));
        for from in &all {
            let others = all.iter().filter(|to| *to != from);
            for to in others {
                if self.shards.may_forward(*from, *to) {
                    let moves = if *to == self.slow_towards { &mut late } else { &mut moves };
                    moves.push(Move::Forward(*from, *to));
                }
                if self.shards.may_confirm(*from, *to) {
                    moves.push(Move::Confirm(*from, *to));
                }
            }
        }
        moves.extend((0..WATCHER).filter(|client| self.clients[*client].is_ready()).map(Move::Act));
        moves.extend((0..self.notices.len()).map(Move::Notice));
        moves.extend((0..self.lost.len()).map(Move::Lose));
        if moves.is_empty() || self.rng.chance(1, 25) {
            moves.append(&mut late);
        }
        if moves.is_empty() {
            return None;
        }
        if self.moment < TROUBLE_UNTIL {
            moves.push(Move::Read(self.draw(DURABLE)));
            let trouble = (self.draw(GATEWAYS), all[self.draw(all.len())]);
            match self.rng.below(8) {
                0 => moves.push(Move::SendAgain(self.slots[trouble.0], trouble.1)),
                1 => moves.push(Move::ChangeLeader(trouble.1)),
                2 => moves.push(Move::Trim(self.slots[trouble.0], trouble.1)),
                3 if self.crashes_left > 0 && self.rng.chance(1, 4) => moves.push(Move::Crash(trouble.0)),
                _ => {}
            }
        }
        Some(moves[self.draw(moves.len())])
    }

    fn carry_out(&mut self, next: Move) {
        match next {
            Move::Arrive(gateway, shard) => self.arrive(gateway, shard),
            Move::Answer(at) => {
                let (shard, gateway, sequence) = self.owed.swap_remove(at);
                self.answer(shard, gateway, sequence);
            }
            Move::Forward(from, to) => {
                let effects = self.shards.forward(from, to, &mut self.rng);
                self.take(effects);
            }
            Move::Confirm(from, to) => self.shards.confirm(from, to),
            Move::Act(client) => self.act(client),
            Move::Notice(at) => {
                let evicted = self.notices.swap_remove(at);
                if self.rng.chance(3, 4) {
                    self.evicted(evicted);
                }
            }
            Move::Lose(at) => {
                let (shard, gateway) = self.lost.swap_remove(at);
                let (_, effects) = self.shards.apply(shard, None, Op::GatewayLost(gateway));
                self.take(effects);
            }
            Move::SendAgain(gateway, shard) => {
                let is_lost = self.rng.chance(1, 2);
                self.gateways[gateway].send_again(shard, is_lost);
            }
            Move::ChangeLeader(shard) => {
                self.shards.change_leader(shard);
                self.owed.retain(|(owing, ..)| *owing != shard);
                for slot in 0..GATEWAYS {
                    self.gateways[self.slots[slot]].send_again(shard, true);
                }
            }
            Move::Crash(slot) => self.crash(slot),
            Move::Read(client) => self.read(client),
            Move::Trim(gateway, shard) => self.trim(gateway, shard),
        }
    }

    // What arrives at shards.

    pub(super) fn arrive(&mut self, gateway: usize, shard: ShardId) {
        let Some((stamp, op)) = self.gateways[gateway].arrives(shard) else { return };
        let (verdict, effects) = self.shards.apply(shard, Some(stamp), op);
        self.take(effects);
        if self.gateways[gateway].alive {
            assert!(is_answer(&verdict), "a gateway that is alive asks in turn: {verdict:?}");
            self.owed.push((shard, self.gateways[gateway].id, stamp.sequence));
        }
    }

    pub(super) fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Evicted { session, .. } = effect {
                self.notices.push(session);
            }
        }
    }

    fn may_answer(&self, at: usize) -> bool {
        let (shard, gateway, sequence) = self.owed[at];
        let answer = self.shards.machine(shard).answer(Producer::Gateway(gateway), sequence);
        answer.is_none_or(|answer| {
            let applied = |to| self.shards.machine(to).last_of(Producer::Shard(shard));
            answer.awaits.iter().all(|(to, upto)| applied(*to) >= *upto)
        })
    }

    pub(super) fn answer(&mut self, shard: ShardId, gateway: GatewayId, sequence: u64) {
        let machine = self.shards.machine(shard);
        let Some(answer) = machine.answer(Producer::Gateway(gateway), sequence) else { return };
        let verdict = answer.verdict.clone();
        let Some(gateway) = self.gateways.iter_mut().find(|other| other.id == gateway && other.alive) else {
            return;
        };
        let Some((op, Some(asker))) = gateway.answered(shard, sequence) else { return };
        if self.clients[asker.client].current() == Some(asker.conn) {
            self.on_answer(asker.client, shard, &op, verdict);
        }
    }

    // What gateways do by themselves.

    /// The gateway sends what is next in a queue, and reports progress.
    fn read(&mut self, client: usize) {
        let all: Vec<ShardId> = self.shards.all().collect();
        let shard = all[self.draw(all.len())];
        let step = if self.rng.chance(1, 3) { Step::Received } else { Step::Done };
        let Some(conn) = &mut self.clients[client].conn else { return };
        let session = conn.attachment;
        let machine = self.shards.machine(shard);
        let Some(held) = machine.participant(session.incarnation).filter(|held| held.is_bound(session))
        else {
            return;
        };
        let next = conn.read.entry(shard).or_insert(held.queue.base());
        let position = *next;
        if position >= held.send_end() {
            return;
        }
        let seen = &self.shards.seen.queued[&(session.incarnation, shard)];
        match machine.pending(held, position) {
            None => return,
            Some(Pending::Message { message, .. }) => {
                let index = usize::try_from(position.0).expect("small");
                assert_eq!(number(message), seen[index], "a position keeps its message");
            }
            Some(Pending::Release | Pending::Done) => {}
        }
        *next = position.next();
        let gateway = conn.gateway;
        let steps = vec![(position, step)];
        self.gateways[gateway].ask(shard, Op::Progress { session, steps }, None);
    }

    fn trim(&mut self, gateway: usize, shard: ShardId) {
        let Some(hub) = self.shards.machine(shard).hub(self.gateways[gateway].id) else { return };
        let (base, tail) = (hub.base().0, hub.tail().0);
        let upto = Position(self.rng.between(base, tail));
        self.gateways[gateway].ask(shard, Op::Heard { upto }, None);
    }

    pub(super) fn home(&self, client: usize) -> ShardId {
        self.shards.placement.session_shard(&self.clients[client].name)
    }

    pub(super) fn message(&self, client: usize, topic: &str, qos: QoS, retain: bool, number: u64) -> Message {
        Message {
            topic: TopicName::parse(ByteString::from(topic)).expect("valid"),
            payload: Bytes::copy_from_slice(&number.to_be_bytes()),
            qos,
            retain,
            properties: PublishProperties::default(),
            publisher: self.clients[client].name.clone(),
            expires_at: None,
        }
    }

    pub(super) fn draw(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).expect("below a usize")
    }
}

pub(super) fn gateway_id(slot: usize, life: u64) -> GatewayId {
    GatewayId { node: NodeId(1 + u32::try_from(slot).expect("small")), life, generation: 0 }
}

pub(super) fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(&ByteString::from(text)).expect("valid")
}

pub(super) fn at_most(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions { qos, ..SubscriptionOptions::default() }
}
