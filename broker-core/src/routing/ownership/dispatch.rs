//! What becomes of a frame: which part of the member it is for.

use super::frame::{Addressed, Frame};
use super::lead::moved;
use super::{Ownership, answers};
use crate::base::ids::{NodeId, ShardId};
use crate::base::time::{Instant, WallTime};
use crate::cluster::META;
use crate::event::Event;
use crate::session::Gateway;

impl Ownership {
    pub(super) fn on_frame(&mut self, from: NodeId, frame: Frame, gateway: &mut Gateway) {
        let mut out = Vec::new();
        let (now, wall) = (gateway.now(), gateway.wall());
        match frame {
            Frame::Raft { shard, message } => {
                let meta = self.meta.as_mut().filter(|_| shard == META);
                let taken = match self.replicas.get_mut(&shard) {
                    Some(replica) => replica.step(from, &message),
                    None => meta.map_or(Ok(()), |meta| meta.group.step(from, &message)),
                };
                if taken.is_err() {
                    gateway.event(Event::PeerFrameRefused { peer: from });
                }
            }
            Frame::Leads { shard, term } => self.on_leads(from, shard, term, gateway, &mut out),
            Frame::Answer { shard, gateway: whose, sequence, verdict } => {
                self.edge.on_answer(shard, whose, sequence, verdict, gateway, &mut out);
            }
            Frame::FeedStart { shard, session, base, sent } => gateway.open_feed(session, shard, base, sent),
            Frame::Push { shard, session, wall: theirs, first, end, items } => {
                let items = items.into_iter().map(|item| answers::moved_item(item, theirs, wall)).collect();
                gateway.push_feed(session, shard, first, end, items);
            }
            Frame::HubPush { shard, gateway: whose, wall: theirs, first, mut items } => {
                for item in &mut items {
                    item.message = item.message.take().map(|message| moved(message, theirs, wall));
                }
                self.edge.on_hub_push(shard, whose, first, items, gateway);
            }
            Frame::VolatilePush { shard, place, wall: theirs, message, live, targets } => {
                // What an earlier leader had on its way could come behind what this one has sent.
                if self.leaders.get(usize::from(shard.0)).is_some_and(|(leader, _)| *leader == Some(from)) {
                    let message = moved(message, theirs, wall);
                    let targets = self.edge.on_volatile(shard, &message, live, targets, gateway);
                    if !targets.is_empty() {
                        let frame = Frame::Returned { shard, place, wall, message, targets };
                        out.push(Addressed { to: from, frame });
                    }
                }
            }
            // What was sent before this has come before this, and so has gone back what nobody was there for.
            Frame::Recall { shard, session } => {
                out.push(Addressed { to: from, frame: Frame::Recalled { shard, session } });
            }
            Frame::SessionIs { client_id, last, .. } => self.edge.on_session_is(&client_id, last, gateway),
            Frame::Evicted { session } => self.edge.evict(session, gateway),
            Frame::Yield { session } => self.edge.on_yield(session, from, gateway),
            Frame::Renewed { shard, gateway: whose, at, last } => {
                self.edge.on_renewed(shard, whose, at, last);
            }
            Frame::Directory(directory) => self.on_directory(*directory, gateway, &mut out),
            Frame::Change { request, change } => {
                self.meta.iter_mut().for_each(|meta| meta.on_change(from, request, change.clone()));
            }
            Frame::Changed { request, result } => self.on_changed(request, result, gateway),
            Frame::Settled { group, epoch } => {
                self.meta.iter_mut().for_each(|meta| meta.on_settled(group, epoch));
            }
            frame => self.on_leader_frame(from, frame, (now, wall), &mut out),
        }
        self.send(out, gateway);
    }

    fn on_leads(
        &mut self,
        from: NodeId,
        shard: ShardId,
        term: u64,
        gateway: &mut Gateway,
        out: &mut Vec<Addressed>,
    ) {
        if shard == META {
            if self.meta_leader.1 <= term {
                self.meta_leader = (Some(from), term);
                self.ask_for_changes(out);
            }
            return;
        }
        let Some(known) = self.leaders.get_mut(usize::from(shard.0)).filter(|(_, latest)| *latest <= term)
        else {
            return;
        };
        *known = (Some(from), term);
        self.edge.on_leads(from, shard, term, gateway, out);
        for replica in self.replicas.values_mut() {
            if let Some((lead, ..)) = replica.leading() {
                lead.on_leads(shard);
            }
        }
    }

    /// What only the leader of a shard can do something with.
    fn on_leader_frame(
        &mut self,
        from: NodeId,
        frame: Frame,
        (now, wall): (Instant, WallTime),
        out: &mut Vec<Addressed>,
    ) {
        let Some(replica) = frame.shard().and_then(|shard| self.replicas.get_mut(&shard)) else { return };
        let time = replica.time(now, wall);
        let Some((lead, machine, group)) = replica.leading() else { return };
        match frame {
            Frame::Request { gateway, sequence, answered, wall: theirs, op, .. } => {
                lead.on_request(group, gateway, (sequence, answered), theirs, op, time, now);
            }
            Frame::Feed { session, next, .. } => lead.on_feed(from, session, next),
            Frame::HubFeed { gateway, next, .. } => lead.on_hub_feed(from, gateway, next),
            Frame::Volatile { session, wall: theirs, message, .. } => {
                lead.on_volatile(session, message, theirs, (time, now), machine, out);
            }
            Frame::Holds { sessions, .. } => lead.on_holds(from, sessions, machine, out),
            Frame::Renew { gateway, at, .. } => lead.on_renew(gateway, at, machine, now, out),
            Frame::Forward { from: shard, sequence, op, .. } => {
                lead.on_forward(group, machine, from, shard, sequence, op, (time, now), out);
            }
            Frame::AskSession { client_id, .. } => {
                lead.on_ask_session(from, client_id, machine, &self.linked, now, out);
            }
            Frame::Confirmed { to, upto, .. } => lead.on_confirmed(to, upto, machine, now, out),
            Frame::Returned { place, wall: theirs, message, targets, .. } => {
                let message = moved(message, theirs, time);
                lead.on_returned(place, &message, targets, machine, (time, now));
            }
            Frame::Recalled { session, .. } => lead.on_recalled(from, session),
            Frame::Yielded { session } => lead.on_yielded(from, session),
            _ => {}
        }
    }
}
