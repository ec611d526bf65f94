//! What the clean sessions of gateways hear.

use super::{Effect, GatewayId, Machine, Verdict};
use crate::base::ids::{Offset, Position};
use crate::event::DropReason;
use crate::shard::hub::{Hub, HubEntry};
use crate::topic::{TopicFilter, TopicName};

impl Machine {
    /// The gateway hears a filter; `retained` is the tag under which it wants the retained messages. They are queued in the same
    /// step, so that there is neither a gap nor an overlap between them and what is published from here on.
    pub(super) fn hear(
        &mut self,
        gateway: GatewayId,
        filter: &TopicFilter,
        retained: Option<u64>,
        effects: &mut Vec<Effect>,
    ) -> Verdict {
        if self.hubs.entry(gateway).or_default().hear(filter) {
            self.hub_routes.insert(filter, gateway, ());
        }
        if retained.is_some() {
            for offset in self.retained_offsets(filter) {
                self.enqueue_for_hub(gateway, HubEntry { offset, tag: retained }, effects);
            }
        }
        Verdict::Hearing { from: self.hubs[&gateway].tail() }
    }

    pub(super) fn unhear(&mut self, gateway: GatewayId, filter: &TopicFilter) -> Verdict {
        let gone = self.hubs.get_mut(&gateway).is_some_and(|hub| hub.unhear(filter));
        if gone {
            self.hub_routes.remove(filter, &gateway);
        }
        Verdict::Applied
    }

    pub(super) fn heard(&mut self, gateway: GatewayId, upto: Position) -> Verdict {
        if let Some(hub) = self.hubs.get_mut(&gateway) {
            let log = &mut self.log;
            while let Some(offset) = hub.pop_below(upto, |offset| log.get(offset).size()) {
                log.release(offset);
            }
        }
        Verdict::Applied
    }

    /// Forgets the hubs of this gateway and the older ones of its node.
    pub(super) fn forget_hubs(&mut self, lost: GatewayId) {
        for (gateway, hub) in self.hubs.extract_if(.., |gateway, _| gateway.is_covered_by(lost)) {
            for filter in hub.filters() {
                self.hub_routes.remove(filter, &gateway);
            }
            for entry in hub.iter() {
                self.log.release(entry.offset);
            }
        }
    }

    /// The gateways whose hubs hear a topic, each once, in order.
    pub fn hearers(&self, topic: &TopicName) -> Vec<GatewayId> {
        let mut gateways = Vec::new();
        if !self.hub_routes.is_empty() {
            self.hub_routes.for_each_match(topic, |gateway, ()| gateways.push(*gateway));
            gateways.sort_unstable();
            gateways.dedup();
        }
        gateways
    }

    /// Queues a message for a gateway's hub, or drops it there with a recorded reason if the hub is full.
    pub(super) fn enqueue_for_hub(&mut self, gateway: GatewayId, entry: HubEntry, effects: &mut Vec<Effect>) {
        let Some(hub) = self.hubs.get_mut(&gateway) else { return };
        let message = self.log.get(entry.offset);
        let (waiting, bytes) = hub.backlog();
        let size = message.size();
        if waiting >= u64::from(self.limits.queue_messages_max) || bytes + size > self.limits.queue_bytes_max
        {
            let message = message.clone();
            effects.push(Effect::Dropped { client_id: None, message, reason: DropReason::QueueFull });
            return;
        }
        hub.push(entry, size);
        self.log.retain(entry.offset);
        effects.push(Effect::HubReady(gateway));
    }

    /// Queues a message for these gateways.
    pub(super) fn enqueue_for_hubs(
        &mut self,
        hearers: &[GatewayId],
        offset: Offset,
        effects: &mut Vec<Effect>,
    ) {
        for gateway in hearers {
            self.enqueue_for_hub(*gateway, HubEntry { offset, tag: None }, effects);
        }
    }

    /// What a shard holds of a gateway's clean sessions.
    pub fn hub(&self, gateway: GatewayId) -> Option<&Hub> {
        self.hubs.get(&gateway)
    }
}
