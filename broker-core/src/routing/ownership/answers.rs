//! The gateway's side: what shards answer and push.

use super::client::ClientState;
use super::edge::{Edge, publish_reason};
use super::frame::{Addressed, Frame, HubItem, VolatileTarget};
use super::gather::Part;
use super::lead::moved;
use super::stream::{Stream, Tag, Ticket};
use crate::base::ids::{ConnId, NodeId, Position, ShardId};
use crate::base::time::{Duration, Instant, WallTime};
use crate::codec::ReasonCode;
use crate::event::Event;
use crate::message::Message;
use crate::replication::{Committed, Receipt};
use crate::routing::effects;
use crate::session::Gateway;
use crate::session::attach::Attached;
use crate::session::confirm::Answer;
use crate::session::hub::Way;
use crate::session::mirror::{Pushed, Wanted};
use crate::shard::{Attachment, GatewayId, ShardSet, Verdict};
use std::collections::BTreeSet;
use std::rc::Rc;

/// A gateway that could not renew its lease with a shard for so long, counted from the sending of the last renewal that was
/// confirmed, closes the clients that depend on the shard: two seconds before the shard may drop it.
const GATEWAY_LEASE: Duration = Duration::from_secs(8);

/// Positions of a hub's queue after which the shard is told how far it was heard.
const HEARD_STEP: u64 = 64;

impl Edge {
    /// `node` leads `shard` and serves. What is unanswered is asked again, then what is to be fed.
    pub(super) fn on_leads(
        &mut self,
        node: NodeId,
        shard: ShardId,
        term: u64,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        if usize::from(shard.0) >= self.streams.len() || !self.stream(shard).requests.on_leader(node, term) {
            return;
        }
        gateway.event(Event::LeaderKnown { shard, leader: node, term });
        let own = self.clients.values().map(|client| client.session);
        let sessions: Vec<Attachment> = own.filter(|session| session.incarnation.shard() == shard).collect();
        out.push(Addressed { to: node, frame: Frame::Holds { shard, sessions } });
        self.send_requests(shard, gateway.wall(), out);
        self.ask_again(shard, out);
        for Wanted { session, next } in gateway.feeds_from(shard) {
            out.push(Addressed { to: node, frame: Frame::Feed { shard, session, next } });
        }
        let stream = self.stream(shard);
        if let Some(next) = stream.hub_next {
            out.push(Addressed { to: node, frame: Frame::HubFeed { shard, gateway: stream.gateway, next } });
        }
    }

    /// The link to a member is gone.
    pub(super) fn on_peer_down(&mut self, node: NodeId) {
        for stream in &mut self.streams {
            stream.requests.on_link_down(node);
        }
    }

    /// Sends what was not sent yet to all shards whose leader is known.
    pub(super) fn send_all_requests(&mut self, wall: WallTime, out: &mut Vec<Addressed>) {
        for shard in self.placement.clone().all() {
            self.send_requests(shard, wall, out);
        }
    }

    fn send_requests(&mut self, shard: ShardId, wall: WallTime, out: &mut Vec<Addressed>) {
        if !self.alive {
            return;
        }
        let stream = self.stream(shard);
        if !stream.requests.has_unsent() {
            return;
        }
        let gateway = stream.gateway;
        let Some(to) = stream.requests.leader() else { return };
        for request in stream.requests.unsent() {
            let (sequence, answered, op) = (request.sequence, request.answered, request.op.clone());
            let frame = Frame::Request { shard, gateway, sequence, answered, wall, op };
            out.push(Addressed { to, frame });
        }
    }

    /// A shard answers a request.
    pub(super) fn on_answer(
        &mut self,
        shard: ShardId,
        from: GatewayId,
        sequence: u64,
        verdict: Verdict,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        let stream = self.stream(shard);
        if stream.gateway != from {
            return;
        }
        match verdict {
            Verdict::OutOfTurn { expected } => return stream.requests.resend_from(expected),
            Verdict::UnknownProducer => return self.lose(shard, gateway),
            Verdict::AnsweredBefore => return,
            _ => {}
        }
        let Some((ticket, committed)) = stream.requests.on_answer(sequence) else { return };
        self.yielded = true;
        self.on_verdict(ticket, committed, verdict, shard, gateway, out);
    }

    fn on_verdict(
        &mut self,
        ticket: Ticket,
        committed: Committed,
        verdict: Verdict,
        shard: ShardId,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        match ticket {
            Ticket::Silent | Ticket::Report => {}
            Ticket::Attach { receipt, attach } => match verdict {
                // Somebody was faster: that connection is asked to end first, as any earlier one.
                Verdict::AttachedSince { .. } if gateway.is_attaching(receipt.conn()) => {
                    self.begin_attach(receipt, attach, out);
                }
                Verdict::AttachedSince { .. } => gateway.abandon_attach(&attach.client_id),
                verdict => self.on_attached(receipt, committed, &verdict, gateway, out),
            },
            Ticket::Detach { receipt, .. } => {
                if let Some(receipt) = receipt {
                    gateway.confirm(receipt, committed, Answer::Reason(ReasonCode::Success));
                }
            }
            Ticket::Publish { conn, session, turn, id } => {
                let reason = publish_reason(&verdict);
                if reason.is_none() {
                    self.evict(session, gateway);
                    return;
                }
                let Some(client) = self.clients.get_mut(&conn) else { return };
                if let (Some(id), Some(reason)) = (id, reason)
                    && reason.is_error()
                {
                    client.inbound.remove(&id);
                }
                match (turn, reason) {
                    (Some(turn), Some(reason)) => {
                        client.turns.finish(turn, Some((committed, Answer::Reason(reason))));
                        self.take_turns(conn, gateway);
                    }
                    (None, _) => client.answered_qos0(shard),
                    (Some(_), None) => {}
                }
            }
            Ticket::Touch { conn, session, shard } => match verdict {
                Verdict::Touched => {
                    if let Some(client) = self.clients.get_mut(&conn) {
                        client.touched.insert(shard);
                    }
                    self.let_go(conn, gateway.now());
                }
                _ => self.evict(session, gateway),
            },
            Ticket::Part { gather, part } => {
                self.on_part(gather, part, committed, verdict, shard, gateway, out);
            }
            Ticket::Progress { session, receipt } => match (verdict, receipt) {
                (Verdict::Fenced, _) => self.evict(session, gateway),
                (_, Some(receipt)) => {
                    gateway.confirm(receipt, committed, Answer::Reason(ReasonCode::Success));
                }
                (_, None) => {}
            },
        }
    }

    /// Sends the answers to a connection's publishes whose turn it is.
    fn take_turns(&mut self, conn: ConnId, gateway: &mut Gateway) {
        while let Some((receipt, answer)) = self.clients.get_mut(&conn).and_then(|client| client.turns.next())
        {
            gateway.waited_for_log(conn);
            if let Some((committed, answer)) = answer {
                gateway.confirm(receipt, committed, answer);
            }
        }
    }

    fn on_attached(
        &mut self,
        receipt: Receipt,
        committed: Committed,
        verdict: &Verdict,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        let conn = receipt.conn();
        let &Verdict::Attached { session, present, durable, consuming, touched } = verdict else {
            gateway.limit_reached("sessions_max", conn);
            gateway.confirm(receipt, committed, Answer::Reason(ReasonCode::QuotaExceeded));
            return;
        };
        // An answer that had to wait for a will can come behind that of a later attach: then its connection is gone.
        if !self.has_later(session) {
            self.clients.insert(conn, ClientState::new(session, touched));
            if let Some(earlier) = self.conns.insert(session.incarnation, conn) {
                self.forget_conn(earlier, gateway.now());
            }
        }
        gateway.confirm_attach(receipt, committed, &Attached { session, present, durable, from: &[] });
        self.feed(session, consuming, gateway, out);
    }

    /// Asks for the queues that these shards have for a session.
    fn feed(
        &mut self,
        session: Attachment,
        shards: ShardSet,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        for shard in shards.iter() {
            if gateway.await_feed(session, shard)
                && let Some(to) = self.stream(shard).requests.leader()
            {
                out.push(Addressed { to, frame: Frame::Feed { shard, session, next: None } });
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an answer and its surroundings")]
    fn on_part(
        &mut self,
        number: u64,
        part: Part,
        committed: Committed,
        verdict: Verdict,
        shard: ShardId,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        let Some(gather) = self.gathers.get_mut(number) else { return };
        let (conn, session) = (gather.conn(), gather.session());
        match (part, verdict) {
            (Part::Release, Verdict::Released { known }) => gather.released(known),
            (Part::Machine(places), Verdict::Subscribed(answers)) if places.len() == answers.len() => {
                for (place, answer) in places.into_iter().zip(answers) {
                    gather.settle(place, answer.map_or_else(|reason| reason, effects::granted));
                }
            }
            (Part::Machine(places), Verdict::Unsubscribed(existed)) if places.len() == existed.len() => {
                for (place, existed) in places.into_iter().zip(existed) {
                    gather.settle(place, effects::unsubscribed(existed));
                }
            }
            (Part::Hear { filter, tag }, Verdict::Hearing { from }) => {
                let stream = self.stream(shard);
                stream.tags_end.push((from, tag));
                if stream.hub_next.is_none() {
                    stream.hub_next = Some(Position(0));
                    if let Some(to) = stream.requests.leader() {
                        let gateway = stream.gateway;
                        out.push(Addressed {
                            to,
                            frame: Frame::HubFeed { shard, gateway, next: Position(0) },
                        });
                    }
                }
                let next = stream.hub_next;
                gateway.hub_hear(conn, &filter, shard, Way::Passing);
                stream.beginning.push((from, conn, filter));
                self.begin_hearing(shard, next, gateway);
            }
            // Fenced: another connection has the session.
            _ => {
                self.gathers.give_up(number);
                self.evict(session, gateway);
                return;
            }
        }
        if let Some(gather) = self.gathers.get_mut(number) {
            gather.answered();
        }
        if let Some((session, shards)) = self.finish_gather(number, committed, gateway) {
            self.feed(session, shards, gateway, out);
        }
    }

    /// Whether a connection here has this attachment.
    pub(super) fn has(&self, session: Attachment) -> bool {
        let current = self.conns.get(&session.incarnation).and_then(|conn| self.clients.get(conn));
        current.is_some_and(|client| client.session == session)
    }

    /// Whether a connection here has a later attachment of the session.
    fn has_later(&self, session: Attachment) -> bool {
        let current = self.conns.get(&session.incarnation).and_then(|conn| self.clients.get(conn));
        current.is_some_and(|client| client.session.epoch > session.epoch)
    }

    /// Another connection has the session.
    pub(super) fn evict(&mut self, session: Attachment, gateway: &mut Gateway) {
        if self.has(session) {
            self.forget_client(session, gateway.now());
            gateway.evict(session);
        }
    }

    /// The queue of the hub goes on with `next`: it counts for the subscriptions that begin there. What is before it they have as retained
    /// messages, if they wanted those.
    fn begin_hearing(&mut self, shard: ShardId, next: Option<Position>, gateway: &mut Gateway) {
        let Some(next) = next else { return };
        for (_, conn, filter) in self.stream(shard).beginning.extract_if(.., |(from, ..)| *from <= next) {
            gateway.hub_hear(conn, &filter, shard, Way::Queued);
            gateway.caught_up(conn, shard);
        }
    }

    /// Messages for clean sessions, by way of the hub.
    pub(super) fn on_hub_push(
        &mut self,
        shard: ShardId,
        from: GatewayId,
        first: Position,
        items: Vec<HubItem>,
        gateway: &mut Gateway,
    ) {
        let now = gateway.now();
        let stream = self.stream(shard);
        let (same, Some(mut next)) = (stream.gateway == from, stream.hub_next) else { return };
        if !same {
            return;
        }
        for (position, item) in (first.0..).map(Position).zip(items) {
            if position != next {
                continue;
            }
            self.begin_hearing(shard, Some(position), gateway);
            next = next.next();
            let Some(message) = item.message else { continue };
            match item.tag {
                None => drop(gateway.deliver_heard(shard, Way::Queued, &message, true)),
                Some(tag) => {
                    if let Some(Tag { conn, qos, subscription_id }) =
                        self.stream(shard).tags.get(&tag).copied()
                    {
                        gateway.deliver_retained(conn, &message, qos, subscription_id);
                    }
                }
            }
        }
        self.begin_hearing(shard, Some(next), gateway);
        let stream = self.stream(shard);
        stream.hub_next = Some(next);
        let Stream { tags, tags_end, .. } = stream;
        tags_end.retain(|(end, tag)| {
            let needed = *end > next;
            if !needed {
                tags.remove(tag);
            }
            needed
        });
        if next.0 - stream.hub_told.0 >= HEARD_STEP {
            stream.tell_heard(now);
        }
    }

    /// QoS 0 for whoever is connected here. Gives those back that are not.
    pub(super) fn on_volatile(
        &mut self,
        shard: ShardId,
        message: &Rc<Message>,
        live: bool,
        targets: Vec<VolatileTarget>,
        gateway: &mut Gateway,
    ) -> Vec<VolatileTarget> {
        if live {
            gateway.deliver_heard(shard, Way::Passing, message, true);
        }
        let mut gone = Vec::new();
        for target in targets {
            let VolatileTarget { session, retain, subscription_ids } = &target;
            if self.has(*session) {
                gateway.deliver_volatile(session.incarnation, message, *retain, subscription_ids);
            } else {
                gone.push(target);
            }
        }
        gone
    }

    /// A shard's leader has heard of this gateway.
    pub(super) fn on_renewed(&mut self, shard: ShardId, from: GatewayId, at: Instant, last: u64) {
        let stream = self.stream(shard);
        if stream.gateway == from {
            stream.renewed_at = stream.renewed_at.max(Some(at));
            stream.note_applied(last);
        }
    }

    /// Gives up the shards that have not confirmed for too long that this gateway lives.
    pub(super) fn look_after_leases(&mut self, gateway: &mut Gateway) {
        for shard in self.placement.clone().all() {
            let stream = self.stream(shard);
            let Some(used_since) = stream.used_since else { continue };
            let renewed_at = stream.renewed_at.map_or(used_since, |renewed_at| renewed_at.max(used_since));
            if gateway.now().saturating_since(renewed_at) > GATEWAY_LEASE {
                self.lose(shard, gateway);
            }
        }
    }

    /// Tells the shards that it lives.
    pub(super) fn renew(&mut self, gateway: &mut Gateway, out: &mut Vec<Addressed>) {
        let at = gateway.now();
        self.look_after_arriving(gateway, out);
        for shard in self.placement.clone().all() {
            let stream = self.stream(shard);
            if stream.used_since.is_none() {
                continue;
            }
            if stream.hub_next.is_some_and(|next| next > stream.hub_told) {
                stream.tell_heard(at);
            }
            let gateway = stream.gateway;
            if let Some(to) = stream.requests.leader() {
                out.push(Addressed { to, frame: Frame::Renew { shard, gateway, at } });
            }
        }
    }

    /// The shard has dropped this gateway, or must be taken to have: closes every client that depends on it (its session is there, it
    /// hears topics there, it waits for an answer from there), and begins the next generation.
    fn lose(&mut self, shard: ShardId, gateway: &mut Gateway) {
        let mut lost: BTreeSet<ConnId> = BTreeSet::new();
        for (conn, client) in &self.clients {
            let hears =
                client.hears.iter().any(|filter| self.placement.filter_shards(filter).contains(shard));
            let held = client.held.iter().any(|held| held.shard == shard);
            if client.session.incarnation.shard() == shard || hears || held || gateway.is_fed(*conn, shard) {
                lost.insert(*conn);
            }
        }
        self.yielded = true;
        for ticket in self.stream(shard).begin_anew() {
            match ticket {
                Ticket::Silent | Ticket::Report => {}
                Ticket::Attach { receipt, .. } | Ticket::Detach { receipt: Some(receipt), .. } => {
                    lost.insert(receipt.conn());
                }
                Ticket::Publish { conn, .. } | Ticket::Touch { conn, .. } => {
                    lost.insert(conn);
                }
                Ticket::Part { gather, .. } => lost.extend(self.gathers.give_up(gather)),
                Ticket::Progress { session, .. } => lost.extend(self.conns.get(&session.incarnation)),
                Ticket::Detach { receipt: None, .. } => {}
            }
        }
        for conn in lost {
            gateway.give_up(conn, "the shard it depends on cannot be reached");
        }
    }
}

/// What was pushed, with its expiry by this gateway's clock.
pub(super) fn moved_item(item: Pushed, from: WallTime, to: WallTime) -> Pushed {
    match item {
        Pushed::Message { queued, message } => Pushed::Message { queued, message: moved(message, from, to) },
        other => other,
    }
}
