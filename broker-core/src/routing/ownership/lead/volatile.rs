//! QoS 0, which no record knows of: handed on to whoever is connected.

use super::super::frame::{Addressed, Frame, VolatileTarget};
use super::{Lead, moved};
use crate::base::ids::NodeId;
use crate::base::time::{Instant, WallTime};
use crate::message::Message;
use crate::shard::machine::due::RETIRED_KEPT;
use crate::shard::{Attachment, Effect, GatewayId, Machine};
use std::collections::BTreeMap;
use std::rc::Rc;

impl Lead {
    pub(super) fn push_live(
        &self,
        message: &Rc<Message>,
        hearers: &[GatewayId],
        time: WallTime,
        out: &mut Vec<Addressed>,
    ) {
        for gateway in hearers {
            let frame = Frame::VolatilePush {
                shard: self.shard,
                wall: time,
                message: message.clone(),
                live: true,
                targets: Vec::new(),
            };
            out.push(Addressed { to: gateway.node, frame });
        }
    }

    /// QoS 0 without RETAIN: to whoever is connected.
    pub(in crate::routing::ownership) fn on_volatile(
        &mut self,
        session: Attachment,
        message: Rc<Message>,
        wall: WallTime,
        (time, now): (WallTime, Instant),
        machine: &Machine,
        out: &mut Vec<Addressed>,
    ) {
        // By an earlier connection of its publisher it can be late.
        if !self.authors.admit(&message.publisher, session, time, RETIRED_KEPT) {
            return;
        }
        self.rotation = self.rotation.wrapping_add(1);
        let message = moved(message, wall, time);
        let mut nodes: BTreeMap<NodeId, (bool, Vec<VolatileTarget>)> = BTreeMap::new();
        let late = &mut self.late;
        machine.route_volatile(&message, self.rotation, |effect| {
            let Effect::Volatile { session: incarnation, retain, subscription_ids, .. } = effect else {
                return;
            };
            let Some(held) = machine.participant(incarnation) else { return };
            let epoch = held.bound.map_or(held.epoch, |bound| bound.epoch);
            let session = Attachment { incarnation, epoch };
            let target = VolatileTarget { session, retain, subscription_ids };
            match held.bound {
                Some(bound) => nodes.entry(bound.gateway.node).or_default().1.push(target),
                None => late.keep(message.clone(), target, (time, now)),
            }
        });
        for gateway in machine.hearers(&message.topic) {
            nodes.entry(gateway.node).or_default().0 = true;
        }
        for (to, (live, targets)) in nodes {
            let (shard, message) = (self.shard, message.clone());
            out.push(Addressed {
                to,
                frame: Frame::VolatilePush { shard, wall: time, message, live, targets },
            });
        }
    }
}
