//! The gateway's side: what clients want becomes requests to shards, and the answers become packets.

use super::arriving::Arriving;
use super::client::{ClientState, Held};
use super::frame::{Addressed, Frame};
use super::gather::{Gather, Gathers, Part};
use super::stream::{Stream, Ticket};
use super::yielding::Yielding;
use crate::base::ids::{ConnId, Incarnation, NodeId, PacketId, ShardId};
use crate::base::time::Instant;
use crate::cluster::Placement;
use crate::codec::ReasonCode;
use crate::codec::packet::{QoS, RetainHandling, SubscriptionOptions};
use crate::message::Message;
use crate::replication::{Committed, Receipt};
use crate::routing::effects;
use crate::session::confirm::Answer;
use crate::session::{Gateway, Intent};
use crate::shard::{Attachment, Detach, GatewayId, Op, Publish, ShardSet, Verdict};
use crate::topic::TopicFilter;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What this node is as a gateway.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) placement: Placement,
    /// One stream of requests for each shard.
    pub(super) streams: Vec<Stream>,
    pub(super) clients: BTreeMap<ConnId, ClientState>,
    pub(super) conns: BTreeMap<Incarnation, ConnId>,
    pub(super) gathers: Gathers,
    next_tag: u64,
    /// Connections whose attach is not asked for yet.
    pub(super) arriving: BTreeMap<ConnId, Arriving>,
    /// Connections that have ended for another one of their clients, while that is not told.
    pub(super) yielding: Vec<Yielding>,
    /// Whether anything has happened since they were looked at last that can make them over.
    pub(super) yielded: bool,
    /// Whether its life is on record: before, it asks for nothing.
    pub(super) alive: bool,
}

impl Edge {
    /// Of this life of `node`.
    pub(super) fn new(node: NodeId, life: u64, placement: Placement) -> Self {
        let gateway = GatewayId { node, life, generation: 0 };
        let streams = placement.all().map(|_| Stream::new(gateway)).collect();
        Edge {
            placement,
            streams,
            clients: BTreeMap::new(),
            conns: BTreeMap::new(),
            gathers: Gathers::default(),
            next_tag: 0,
            arriving: BTreeMap::new(),
            yielding: Vec::new(),
            yielded: false,
            alive: false,
        }
    }

    pub(super) fn stream(&mut self, shard: ShardId) -> &mut Stream {
        &mut self.streams[usize::from(shard.0)]
    }

    /// The right to answer for what no request precedes.
    fn at_once(&self) -> Committed {
        self.streams[0].requests.at_once()
    }

    pub(super) fn request(&mut self, shard: ShardId, op: Op, ticket: Ticket, now: Instant) {
        self.stream(shard).request(op, ticket, now);
    }

    /// Decides what a client's wish needs.
    pub(super) fn on_intent(&mut self, intent: Intent, gateway: &mut Gateway, out: &mut Vec<Addressed>) {
        let now = gateway.now();
        match intent {
            Intent::Attach { receipt, attach } => self.begin_attach(receipt, attach, out),
            Intent::Publish { conn, session, durable, receipt, inbound, message } => {
                let inbound = inbound.filter(|_| durable);
                self.on_publish(conn, session, receipt, inbound, message, gateway, out);
            }
            Intent::Answer { receipt, reason, unless_taken } => {
                let (conn, committed) = (receipt.conn(), self.at_once());
                let taken = unless_taken.is_some_and(|(_, id)| {
                    self.clients.get(&conn).is_some_and(|client| client.inbound.contains_key(&id))
                });
                let reason = if taken { ReasonCode::Success } else { reason };
                match self.clients.get_mut(&conn).filter(|client| !client.turns.is_empty()) {
                    Some(client) => {
                        let turn = client.turns.take(receipt);
                        gateway.wait_for_log(conn);
                        client.turns.finish(turn, Some((committed, Answer::Reason(reason))));
                    }
                    None => gateway.confirm(receipt, committed, Answer::Reason(reason)),
                }
            }
            Intent::Release { session, receipt, id } => self.on_release(session, receipt, id, gateway),
            Intent::Subscribe { session, durable, receipt, subscription_id, filters } => {
                self.on_subscribe(session, durable, receipt, subscription_id, filters, gateway);
            }
            Intent::Unsubscribe { session, durable, receipt, filters } => {
                self.on_unsubscribe(session, durable, receipt, filters, gateway);
            }
            Intent::Progress { session, shard, receipt, steps } => {
                self.request(
                    shard,
                    Op::Progress { session, steps },
                    Ticket::Progress { session, receipt },
                    now,
                );
            }
            Intent::Detach { receipt, detach } => self.on_detach(receipt, detach, now),
        }
    }

    fn on_detach(&mut self, receipt: Option<Receipt>, detach: Detach, now: Instant) {
        let session = detach.session;
        self.forget_client(session, now);
        self.request(
            session.incarnation.shard(),
            Op::Detach(detach),
            Ticket::Detach { session, receipt },
            now,
        );
    }

    /// The connection that had this attachment is gone: what was heard for it alone is not heard any more.
    pub(super) fn forget_client(&mut self, session: Attachment, now: Instant) {
        // A later connection of the session may be here already.
        if !self.has(session) {
            return;
        }
        if let Some(conn) = self.conns.remove(&session.incarnation) {
            self.forget_conn(conn, now);
        }
    }

    pub(super) fn forget_conn(&mut self, conn: ConnId, now: Instant) {
        let Some(client) = self.clients.remove(&conn) else { return };
        for filter in client.hears {
            self.unhear(&filter, now);
        }
    }

    fn unhear(&mut self, filter: &TopicFilter, now: Instant) {
        for shard in self.shards_of(filter) {
            self.request(shard, Op::Unhear { filter: filter.clone() }, Ticket::Silent, now);
        }
    }

    pub(super) fn shards_of(&self, filter: &TopicFilter) -> Vec<ShardId> {
        let which = self.placement.filter_shards(filter);
        self.placement.all().filter(|shard| which.contains(*shard)).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one intent")]
    fn on_publish(
        &mut self,
        conn: ConnId,
        session: Attachment,
        receipt: Option<Receipt>,
        inbound: Option<PacketId>,
        message: Rc<Message>,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        let shard = self.placement.topic_shard(&message.topic);
        let message = Rc::new(Rc::unwrap_or_clone(message).owned());
        let Some(client) = self.clients.get_mut(&conn) else { return };
        if message.qos == QoS::AtMostOnce {
            // Behind one that is to be retained it has to wait for its turn as that one does. [MQTT-4.6.0-6]
            if !message.retain && !client.unanswered_qos0.contains_key(&shard) {
                let wall = gateway.wall();
                if let Some(to) = self.stream(shard).requests.leader() {
                    out.push(Addressed { to, frame: Frame::Volatile { shard, session, wall, message } });
                }
                return;
            }
            *client.unanswered_qos0.entry(shard).or_default() += 1;
        }
        let turn = receipt.map(|receipt| client.turns.take(receipt));
        if turn.is_some() {
            gateway.wait_for_log(conn);
        }
        let publish = Publish { session, inbound, message };
        client.held.push_back(Held { shard, publish, turn });
        self.let_go(conn, gateway.now());
    }

    /// Sends what a connection has published and nothing holds back: before a QoS 2 publish of a durable session goes to a shard, it
    /// is on record that it may.
    pub(super) fn let_go(&mut self, conn: ConnId, now: Instant) {
        loop {
            let Some(client) = self.clients.get_mut(&conn) else { return };
            let Some(held) = client.held.front() else { return };
            let (shard, session) = (held.shard, held.publish.session);
            if held.publish.inbound.is_some_and(|id| client.releasing.contains_key(&id)) {
                return;
            }
            if held.publish.inbound.is_some() && !client.touched.contains(shard) {
                if client.touching.insert(shard) {
                    let op = Op::Touch { session, shard };
                    self.request(
                        session.incarnation.shard(),
                        op,
                        Ticket::Touch { conn, session, shard },
                        now,
                    );
                }
                return;
            }
            let Held { shard, publish, turn } = client.held.pop_front().expect("just seen");
            if let Some(id) = publish.inbound {
                client.inbound.insert(id, shard);
            }
            let ticket = Ticket::Publish { conn, session, turn, id: publish.inbound };
            self.request(shard, Op::Publish(publish), ticket, now);
        }
    }

    fn on_release(&mut self, session: Attachment, receipt: Receipt, id: PacketId, gateway: &mut Gateway) {
        let Some(client) = self.clients.get_mut(&receipt.conn()) else { return };
        let shards: Vec<ShardId> = match client.inbound.remove(&id) {
            Some(shard) => vec![shard],
            // It names no topic: wherever it can be.
            None => client.touched.iter().collect(),
        };
        if shards.is_empty() {
            let (reason, committed) = (ReasonCode::PacketIdentifierNotFound, self.at_once());
            gateway.confirm(receipt, committed, Answer::Reason(reason));
            return;
        }
        gateway.wait_for_log(receipt.conn());
        *client.releasing.entry(id).or_default() += 1;
        let gather = self.gathers.open(Gather::release(receipt, session, id, shards.len()));
        for shard in shards {
            let ticket = Ticket::Part { gather, part: Part::Release };
            self.request(shard, Op::Release { session, id }, ticket, gateway.now());
        }
    }

    fn on_subscribe(
        &mut self,
        session: Attachment,
        durable: bool,
        receipt: Receipt,
        subscription_id: Option<u32>,
        filters: Vec<Result<(TopicFilter, SubscriptionOptions), ReasonCode>>,
        gateway: &mut Gateway,
    ) {
        let (conn, now) = (receipt.conn(), gateway.now());
        let mut gather = Gather::filters(receipt, session, filters.len());
        let (mut for_machine, mut places) = (Vec::new(), Vec::new());
        let mut hears = Vec::new();
        for (place, filter) in filters.into_iter().enumerate() {
            match filter {
                Err(reason) => gather.settle(place, reason),
                Ok((filter, options)) if durable || filter.share().is_some() => {
                    gather.will_feed(self.shards_of(&filter));
                    places.push(place);
                    for_machine.push((filter, options));
                }
                Ok((filter, options)) => match gateway.hub_prepare(conn, &filter, options, subscription_id) {
                    Err(reason) => gather.settle(place, reason),
                    Ok(new) => {
                        gather.settle(place, effects::granted(options.qos));
                        hears.push((filter, options, new));
                    }
                },
            }
        }
        gateway.wait_for_log(conn);
        let hub_parts: usize = hears.iter().map(|(filter, ..)| self.shards_of(filter).len()).sum();
        gather.expect(hub_parts + usize::from(!for_machine.is_empty()));
        let gather = self.gathers.open(gather);
        if !for_machine.is_empty() {
            let op = Op::Subscribe { session, subscription_id, filters: for_machine };
            let ticket = Ticket::Part { gather, part: Part::Machine(places) };
            self.request(session.incarnation.shard(), op, ticket, now);
        }
        for (filter, options, new) in hears {
            self.shards_of(&filter).into_iter().for_each(|shard| gateway.fall_behind(conn, shard));
            self.hear(conn, gather, &filter, options, subscription_id, new, now);
        }
        let committed = self.at_once();
        self.finish_gather(gather, committed, gateway);
    }

    #[expect(clippy::too_many_arguments, reason = "one subscription")]
    fn hear(
        &mut self,
        conn: ConnId,
        gather: u64,
        filter: &TopicFilter,
        options: SubscriptionOptions,
        subscription_id: Option<u32>,
        new: bool,
        now: Instant,
    ) {
        let retained = match options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => new,
            RetainHandling::Never => false,
        };
        for shard in self.shards_of(filter) {
            self.next_tag += 1;
            let tag = self.next_tag;
            if retained {
                self.stream(shard)
                    .tags
                    .insert(tag, super::stream::Tag { conn, qos: options.qos, subscription_id });
            }
            let op = Op::Hear { filter: filter.clone(), retained, tag };
            let part = Part::Hear { filter: filter.clone(), tag };
            self.request(shard, op, Ticket::Part { gather, part }, now);
            if !new {
                // It is heard for this client already: the shard counts.
                self.request(shard, Op::Unhear { filter: filter.clone() }, Ticket::Silent, now);
            }
        }
        if let Some(client) = self.clients.get_mut(&conn) {
            client.hears.insert(filter.clone());
        }
    }

    fn on_unsubscribe(
        &mut self,
        session: Attachment,
        durable: bool,
        receipt: Receipt,
        filters: Vec<Result<TopicFilter, ReasonCode>>,
        gateway: &mut Gateway,
    ) {
        let (conn, now) = (receipt.conn(), gateway.now());
        let mut gather = Gather::filters(receipt, session, filters.len());
        let (mut for_machine, mut places) = (Vec::new(), Vec::new());
        for (place, filter) in filters.into_iter().enumerate() {
            match filter {
                Err(reason) => gather.settle(place, reason),
                Ok(filter) if durable || filter.share().is_some() => {
                    places.push(place);
                    for_machine.push(filter);
                }
                Ok(filter) => {
                    let existed = gateway.hub_unsubscribe(conn, &filter);
                    gather.settle(place, effects::unsubscribed(existed));
                    if existed {
                        self.unhear(&filter, now);
                        if let Some(client) = self.clients.get_mut(&conn) {
                            client.hears.remove(&filter);
                        }
                    }
                }
            }
        }
        gateway.wait_for_log(conn);
        gather.expect(usize::from(!for_machine.is_empty()));
        let gather = self.gathers.open(gather);
        if !for_machine.is_empty() {
            let op = Op::Unsubscribe { session, filters: for_machine };
            let ticket = Ticket::Part { gather, part: Part::Machine(places) };
            self.request(session.incarnation.shard(), op, ticket, now);
        }
        let committed = self.at_once();
        self.finish_gather(gather, committed, gateway);
    }

    /// Sends the answer that a gather makes, if all of it is there. Gives the shards that have a queue for the session now.
    pub(super) fn finish_gather(
        &mut self,
        gather: u64,
        committed: Committed,
        gateway: &mut Gateway,
    ) -> Option<(Attachment, ShardSet)> {
        let done = self.gathers.take_complete(gather, committed)?;
        let conn = done.receipt.conn();
        if let (Some(id), Some(client)) = (done.released, self.clients.get_mut(&conn)) {
            client.released(id);
            self.let_go(conn, gateway.now());
        }
        gateway.waited_for_log(conn);
        gateway.confirm(done.receipt, done.committed, done.answer);
        Some((done.session, done.feeds))
    }
}

/// What a publisher is told.
pub(super) fn publish_reason(verdict: &Verdict) -> Option<ReasonCode> {
    match verdict {
        Verdict::Accepted { matched } => Some(effects::accepted(*matched)),
        Verdict::Duplicate => Some(ReasonCode::Success),
        Verdict::RetainedFull => Some(ReasonCode::QuotaExceeded),
        _ => None,
    }
}
