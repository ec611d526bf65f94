//! What clients ask for, and what they make of the answers.

use super::client::{Act, Conn, Doing, Publishing};
use super::gateway::{Asker, Gateway};
use super::history::{Holder, Published, Subscribed};
use super::world::{NUMBERS, World, at_most, filter, gateway_id};
use super::{FILTERS, GATEWAYS, TOPICS, WATCHER};
use broker_core::codec::packet::QoS;
use broker_core::ids::ShardId;
use broker_core::shard::entry::{Expected, OldConnection, Will};
use broker_core::shard::session::NEVER_S;
use broker_core::shard::{Attach, Attachment, Detach, Op, Publish, Verdict};
use broker_core::topic::{TopicFilter, TopicName};
use bytestring::ByteString;
use std::collections::BTreeMap;
use std::rc::Rc;

impl World {
    pub(super) fn act(&mut self, client: usize) {
        let this = &mut self.clients[client];
        if this.doing.is_none() {
            let act = this.script.pop_front().expect("it was ready");
            self.begin(client, act);
        }
        let this = &self.clients[client];
        match (&this.doing, &this.conn) {
            (None, _) => {}
            (Some(Doing::Disconnect { .. } | Doing::Unsubscribe { .. }), None) if !this.durable => {
                self.clients[client].doing = None;
            }
            (Some(Doing::Disconnect { .. }), None) => self.clients[client].doing = None,
            (Some(Doing::Connect { gateway, clean_start, will }), _) => {
                let (gateway, clean_start, will) = (*gateway, *clean_start, *will);
                self.connect(client, gateway, clean_start, will);
            }
            (Some(_), None) => {
                let gateway = self.draw(GATEWAYS);
                self.connect(client, gateway, false, false);
            }
            (Some(_), Some(_)) => self.issue(client),
        }
    }

    fn begin(&mut self, client: usize, act: Act) {
        let this = &self.clients[client];
        let own = format!("own/{}", this.name);
        let will = format!("will/{}", this.name);
        let doing = match act {
            Act::Connect { gateway, clean_start, will } => Doing::Connect { gateway, clean_start, will },
            Act::Disconnect { discard_will } => Doing::Disconnect { discard_will },
            Act::Subscribe { filter, retained } => {
                Doing::Subscribe { filter, retained: retained || this.durable, record: None, left: 0 }
            }
            Act::Unsubscribe { filter } => Doing::Unsubscribe { filter, left: 0 },
            Act::Publish { topic, exactly_once, moves } => {
                self.publishing(client, TOPICS[topic], exactly_once, false, moves)
            }
            Act::Retain { moves } => self.publishing(client, &own, false, true, moves),
            Act::SayBack => self.publishing(client, &will, false, true, None),
        };
        self.clients[client].doing = Some(doing);
    }

    fn publishing(
        &mut self,
        client: usize,
        topic: &str,
        exactly_once: bool,
        retain: bool,
        moves: Option<usize>,
    ) -> Doing {
        let this = &mut self.clients[client];
        // The number depends on the script only: endings are compared by it.
        this.numbers += 1;
        let topic = TopicName::parse(ByteString::from(topic)).expect("valid");
        let record = self.history.published.len();
        self.history.published.push(Published {
            number: this.numbers,
            topic,
            exactly_once,
            retain,
            sent: None,
            acked: None,
            sends: 0,
        });
        let moves = moves.filter(|_| this.durable);
        Doing::Publish(Publishing { record, id: this.next_id(), moves, received: false, left: 0 })
    }

    /// CONNECT. The connection that the client had is abandoned; its gateway may see that sooner or later, or never.
    fn connect(&mut self, client: usize, slot: usize, clean_start: bool, will: bool) {
        self.abandon(client);
        if clean_start || !self.clients[client].durable {
            self.end_subscriptions(client);
        }
        let gateway = self.slots[slot];
        let this = &mut self.clients[client];
        this.conns += 1;
        let number = this.conns;
        let will = will.then_some(NUMBERS * client as u64 + NUMBERS / 2 + number);
        this.connecting = Some((number, gateway));
        this.waits = true;
        let attach = self.attach_of(client, clean_start, will);
        let home = self.home(client);
        self.gateways[gateway].ask(home, Op::Attach(Box::new(attach)), Some(Asker { client, conn: number }));
    }

    pub(super) fn attach_of(&self, client: usize, clean_start: bool, will: Option<u64>) -> Attach {
        let this = &self.clients[client];
        let will = will.map(|number| {
            let message =
                self.message(client, &format!("will/{}", this.name), QoS::ExactlyOnce, true, number);
            Will { delay_s: 0, expiry_s: None, message }
        });
        Attach {
            client_id: this.name.clone(),
            clean_start: clean_start || !this.durable,
            expiry_s: if this.durable { NEVER_S } else { 0 },
            window: 8,
            will,
            old: OldConnection::Unknown,
            expected: Expected::Anything,
        }
    }

    fn abandon(&mut self, client: usize) {
        let home = self.home(client);
        let this = &mut self.clients[client];
        let Some(conn) = this.conn.take() else { return };
        this.waits = false;
        if self.gateways[conn.gateway].alive {
            if self.rng.chance(1, 2) {
                let detach = Detach {
                    session: conn.attachment,
                    expiry_s: None,
                    discard_will: false,
                    sent: conn.sent(),
                    grace_ms: 0,
                };
                self.gateways[conn.gateway].ask(home, Op::Detach(detach), None);
            }
            if !self.clients[client].durable {
                self.unhear_all(client, conn.gateway);
            }
        }
        if !self.clients[client].durable {
            self.end_subscriptions(client);
        }
    }

    fn unhear_all(&mut self, client: usize, gateway: usize) {
        let moment = self.moment;
        let of_conn = |subscribed: &&mut Subscribed| {
            subscribed.client == client && subscribed.answered.is_some() && subscribed.end_asked.is_none()
        };
        let heard: Vec<TopicFilter> = self
            .history
            .subscribed
            .iter_mut()
            .filter(of_conn)
            .map(|subscribed| {
                subscribed.end_asked = Some(moment);
                subscribed.filter.clone()
            })
            .collect();
        for filter in heard {
            for shard in self.shards.of_filter(&filter) {
                self.gateways[gateway].ask(shard, Op::Unhear { filter: filter.clone() }, None);
            }
        }
    }

    /// What may end all subscriptions of a client is on its way.
    fn end_subscriptions(&mut self, client: usize) {
        for subscribed in self.history.subscribed.iter_mut().filter(|subscribed| subscribed.client == client)
        {
            subscribed.end_asked.get_or_insert(self.moment);
        }
    }

    /// The client's connection is gone, and it knows.
    fn disconnected(&mut self, client: usize) {
        let this = &mut self.clients[client];
        this.conn = None;
        this.connecting = None;
        this.waits = false;
        if !this.durable {
            // What was not answered is forgotten with the session.
            if !matches!(this.doing, Some(Doing::Connect { .. })) {
                this.doing = None;
            }
            self.end_subscriptions(client);
        }
    }

    pub(super) fn evicted(&mut self, attachment: Attachment) {
        let found = self.clients[..WATCHER]
            .iter()
            .position(|client| client.conn.as_ref().is_some_and(|conn| conn.attachment == attachment));
        if let Some(client) = found {
            let gateway = self.clients[client].conn.as_ref().expect("just seen").gateway;
            if !self.clients[client].durable && self.gateways[gateway].alive {
                self.unhear_all(client, gateway);
            }
            self.disconnected(client);
        }
    }

    pub(super) fn crash(&mut self, slot: usize) {
        self.crashes_left -= 1;
        let (dead, letters_arrive) = (self.slots[slot], self.rng.chance(1, 2));
        self.gateways[dead].crash(letters_arrive);
        let id = self.gateways[dead].id;
        self.lost.extend(self.shards.all().map(|shard| (shard, id)));
        self.slots[slot] = self.gateways.len();
        self.gateways.push(Gateway::new(gateway_id(slot, id.life + 1)));
        for client in 0..WATCHER {
            if self.clients[client].gateway() == Some(dead) {
                self.disconnected(client);
            }
        }
    }

    /// Asks for what the client is at; it is connected.
    fn issue(&mut self, client: usize) {
        let (moment, home) = (self.moment, self.home(client));
        let this = &mut self.clients[client];
        let conn = this.conn.as_ref().expect("it is connected");
        let (gateway, session, asker) = (conn.gateway, conn.attachment, Asker { client, conn: conn.number });
        this.waits = true;
        let mut requests = Vec::new();
        match this.doing.as_mut().expect("it is at something") {
            Doing::Connect { .. } => panic!("a connect needs no connection"),
            Doing::Disconnect { discard_will } => {
                let (sent, discard_will) = (conn.sent(), *discard_will);
                let detach = Detach { session, expiry_s: None, discard_will, sent, grace_ms: 0 };
                requests.push((home, Op::Detach(detach)));
            }
            Doing::Subscribe { filter: at, retained, record, left } => {
                let wanted = filter(FILTERS[*at]);
                let tag = self.history.subscribed.len() as u64;
                let holder = if this.durable {
                    Holder::Session(session.incarnation)
                } else {
                    Holder::Hub(self.gateways[gateway].id, BTreeMap::new(), tag)
                };
                *record = Some(self.history.subscribed.len());
                self.history.subscribed.push(Subscribed {
                    client,
                    filter: wanted.clone(),
                    with_retained: *retained,
                    asked: moment,
                    answered: None,
                    end_asked: None,
                    ended: None,
                    holder,
                });
                if this.durable {
                    let filters = vec![(wanted, at_most(QoS::ExactlyOnce))];
                    requests.push((home, Op::Subscribe { session, subscription_id: None, filters }));
                } else {
                    let hear = Op::Hear { filter: wanted.clone(), retained: *retained, tag };
                    requests.extend(
                        self.shards.of_filter(&wanted).into_iter().map(|shard| (shard, hear.clone())),
                    );
                }
                *left = requests.len();
            }
            Doing::Unsubscribe { filter: at, left } => {
                let filter = filter(FILTERS[*at]);
                let mut heard = 0;
                for subscribed in self.history.subscribed.iter_mut() {
                    if subscribed.client == client
                        && subscribed.filter == filter
                        && subscribed.end_asked.is_none()
                    {
                        subscribed.end_asked = Some(moment);
                        heard += 1;
                    }
                }
                if this.durable {
                    requests.push((home, Op::Unsubscribe { session, filters: vec![filter] }));
                } else {
                    for _ in 0..heard {
                        let unhear = Op::Unhear { filter: filter.clone() };
                        requests.extend(
                            self.shards.of_filter(&filter).into_iter().map(|shard| (shard, unhear.clone())),
                        );
                    }
                }
                *left = requests.len();
            }
            Doing::Publish(publishing) => {
                let published = &mut self.history.published[publishing.record];
                let shard = self.shards.placement.topic_shard(&published.topic);
                if publishing.received {
                    // A gateway that saw the PUBLISH knows its shard.
                    let knows = self.rng.chance(1, 2) && conn.touched.contains(shard) && published.sends == 1;
                    let shards: Vec<ShardId> =
                        if knows { vec![shard] } else { conn.touched.iter().collect() };
                    let release = Op::Release { session, id: publishing.id };
                    requests.extend(shards.into_iter().map(|shard| (shard, release.clone())));
                    publishing.left = requests.len();
                } else {
                    let touched = this.durable && published.exactly_once;
                    if touched && !conn.touched.contains(shard) {
                        requests.push((home, Op::Touch { session, shard }));
                    } else {
                        published.sent.get_or_insert(moment);
                        published.sends += 1;
                        let inbound = Some(publishing.id).filter(|_| this.durable && published.exactly_once);
                        let qos = if published.exactly_once { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
                        let (topic, retain, number) =
                            (published.topic.clone(), published.retain, published.number);
                        let message = Rc::new(self.message(client, topic.as_str(), qos, retain, number));
                        requests.push((shard, Op::Publish(Publish { session, inbound, message })));
                    }
                }
            }
        }
        if requests.is_empty() {
            self.done(client);
        }
        let is_sent = requests.iter().any(|(_, op)| matches!(op, Op::Publish(_)));
        for (shard, op) in requests {
            self.gateways[gateway].ask(shard, op, Some(asker));
        }
        if let Some(Doing::Publish(publishing)) = &mut self.clients[client].doing
            && is_sent
            && let Some(slot) = publishing.moves.take()
        {
            self.connect(client, slot, false, false);
        }
    }

    fn done(&mut self, client: usize) {
        self.clients[client].doing = None;
        self.clients[client].waits = false;
    }

    pub(super) fn on_answer(&mut self, client: usize, shard: ShardId, op: &Op, verdict: Verdict) {
        let moment = self.moment;
        let this = &mut self.clients[client];
        match (op, verdict) {
            (_, Verdict::Fenced) => {
                let gateway = this.gateway().expect("it heard an answer");
                if !this.durable && self.gateways[gateway].alive {
                    self.unhear_all(client, gateway);
                }
                self.disconnected(client);
            }
            (Op::Attach(_), Verdict::Attached { session, touched, .. }) => {
                let (number, gateway) = this.connecting.take().expect("it connects");
                this.conn =
                    Some(Conn { number, gateway, attachment: session, touched, read: BTreeMap::new() });
                this.waits = false;
                if matches!(this.doing, Some(Doing::Connect { .. })) {
                    this.doing = None;
                }
            }
            (Op::Detach(_), Verdict::Applied) => {
                self.done(client);
                let gateway = self.clients[client].conn.as_ref().expect("it heard an answer").gateway;
                if !self.clients[client].durable {
                    self.unhear_all(client, gateway);
                }
                self.disconnected(client);
            }
            (Op::Subscribe { .. }, Verdict::Subscribed(answers)) => {
                assert_eq!(answers, [Ok(QoS::ExactlyOnce)]);
                let Some(Doing::Subscribe { record: Some(record), .. }) = this.doing else {
                    panic!("it subscribes")
                };
                self.history.subscribed[record].answered = Some(moment);
                self.done(client);
            }
            (Op::Hear { .. }, Verdict::Hearing { from }) => {
                let Some(Doing::Subscribe { record: Some(record), left, .. }) = &mut this.doing else {
                    panic!("it subscribes")
                };
                let subscribed = &mut self.history.subscribed[*record];
                if let Holder::Hub(_, positions, _) = &mut subscribed.holder {
                    positions.insert(shard, from);
                }
                *left -= 1;
                if *left == 0 {
                    subscribed.answered = Some(moment);
                    self.done(client);
                }
            }
            (Op::Unsubscribe { .. }, Verdict::Unsubscribed(_)) | (Op::Unhear { .. }, Verdict::Applied) => {
                let Some(Doing::Unsubscribe { filter: at, left }) = &mut this.doing else {
                    panic!("it unsubscribes")
                };
                *left -= 1;
                if *left == 0 {
                    let filter = filter(FILTERS[*at]);
                    for subscribed in self.history.subscribed.iter_mut() {
                        if subscribed.client == client && subscribed.filter == filter {
                            subscribed.ended.get_or_insert(moment);
                        }
                    }
                    self.done(client);
                }
            }
            (Op::Touch { shard, .. }, Verdict::Touched) => {
                this.conn.as_mut().expect("it heard an answer").touched.insert(*shard);
                this.waits = false;
            }
            (Op::Publish(_), Verdict::Accepted { .. } | Verdict::Duplicate) => {
                let attachment = this.conn.as_ref().expect("it heard an answer").attachment;
                let Some(Doing::Publish(publishing)) = &mut this.doing else { panic!("it publishes") };
                let published = &mut self.history.published[publishing.record];
                published.acked.get_or_insert(moment);
                if published.topic.as_str().starts_with("will/") {
                    self.back.insert(client, (attachment, published.number));
                }
                if published.exactly_once && this.durable {
                    publishing.received = true;
                    this.waits = false;
                } else {
                    self.done(client);
                }
            }
            (Op::Release { .. }, Verdict::Released { .. }) => {
                let Some(Doing::Publish(publishing)) = &mut this.doing else { panic!("it publishes") };
                publishing.left -= 1;
                if publishing.left == 0 {
                    self.done(client);
                }
            }
            (op, verdict) => panic!("{verdict:?} is no answer to {op:?}"),
        }
    }
}
