//! What is left at the end, and whether it is what was promised.

use super::shards::number;
use super::world::{NUMBERS, World, filter};
use super::{DURABLE, WATCHER};
use broker_core::ids::ShardId;
use broker_core::shard::Op;
use broker_core::time::Duration;
use std::collections::BTreeMap;

/// The sessions with their subscriptions, and the retained messages that have one writer.
pub(super) type Ending = (BTreeMap<String, (u32, Vec<String>)>, BTreeMap<String, u64>);

impl World {
    /// What is left, which must not depend on the number of shards or on what became of the streams.
    pub(super) fn ending(&self) -> Ending {
        let sessions = self.shards.machines.iter().flat_map(|machine| machine.sessions());
        let sessions = sessions.filter(|record| record.durable).map(|record| {
            let filters = record.subscriptions.keys().map(ToString::to_string).collect();
            (record.client_id.to_string(), (record.expiry_s, filters))
        });
        let mut retained = BTreeMap::new();
        for machine in &self.shards.machines {
            machine.retained(&filter("own/#"), self.shards.clock, |message| {
                let clean = message.publisher.starts_with("clean");
                let before = if clean {
                    None
                } else {
                    retained.insert(message.topic.as_str().to_owned(), number(message))
                };
                assert_eq!(before, None, "a topic has one shard");
            });
        }
        (sessions.collect(), retained)
    }

    pub(super) fn judge(&mut self) {
        assert!(
            self.gateways.iter().all(|gateway| !gateway.alive || gateway.is_idle()),
            "everything is answered"
        );
        for machine in &self.shards.machines {
            assert_eq!(machine.outbox_shards().count(), 0, "everything is confirmed");
        }
        self.history.judge(&self.shards.seen, &self.shards.placement);
        self.judge_gateways();
        self.judge_inbound();
        self.judge_wills();
        self.judge_own();
        // What is kept for a time goes.
        self.shards.clock = self.shards.clock + Duration::from_secs(100);
        let all: Vec<ShardId> = self.shards.all().collect();
        for shard in all {
            self.shards.apply(shard, None, Op::Tick);
        }
        self.shards.check_replicas();
    }

    /// Nothing is held for a gateway that is dead.
    fn judge_gateways(&self) {
        let alive = |id| self.gateways.iter().any(|gateway| gateway.id == id && gateway.alive);
        for machine in &self.shards.machines {
            let attached = machine.sessions().filter(|record| record.client_id != "watcher");
            assert!(attached.filter_map(|record| record.gateway).all(alive), "who was lost is detached");
            let bound = machine.participants().filter(|(_, held)| held.client_id != "watcher");
            let bound = bound.filter_map(|(_, held)| held.bound);
            assert!(bound.map(|bound| bound.gateway).all(alive), "who was lost is unbound");
            let dead = self.gateways.iter().filter(|gateway| !gateway.alive);
            assert!(dead.map(|gateway| machine.hub(gateway.id)).all(|hub| hub.is_none()), "its hub is gone");
        }
    }

    /// No identifier stays behind to swallow the next message that uses it.
    fn judge_inbound(&self) {
        for machine in &self.shards.machines {
            for (_, held) in machine.participants() {
                assert!(
                    held.inbound.is_empty(),
                    "{} has {:?} in {}",
                    held.client_id,
                    held.inbound,
                    machine.shard()
                );
            }
        }
    }

    /// Each will was sent exactly once, or not if it was deleted or its connection lives; a client that said it is back has not died
    /// afterwards, as far as anybody can see.
    fn judge_wills(&self) {
        let seen = &self.shards.seen;
        let watcher = self.clients[WATCHER].conn.as_ref().expect("it watches").attachment.incarnation;
        for (attachment, will) in &seen.wills {
            let home = self.shards.machine(attachment.incarnation.shard());
            let record = home.session(attachment.incarnation);
            let lives =
                record.is_some_and(|record| record.epoch == attachment.epoch && record.gateway.is_some());
            let expected = usize::from(!lives && !seen.discarded.contains(attachment));
            let queues = seen.queued.iter().filter(|((session, _), _)| *session == watcher);
            let sent = queues.flat_map(|(_, queue)| queue).filter(|number| *number == will).count();
            assert_eq!(sent, expected, "the will {will} of {attachment:?}");
        }
        for (client, (attachment, number)) in self.back.iter().filter(|(client, _)| **client < DURABLE) {
            let name = &self.clients[*client].name;
            let own = seen.wills.iter().filter(|(_, will)| **will / NUMBERS == *client as u64);
            let died_since = own.clone().any(|(other, _)| other >= attachment);
            if !died_since {
                assert_eq!(self.retained(&format!("will/{name}")), Some(*number), "{name} is back");
            }
        }
    }

    /// What a client with a session retained last is what is kept.
    fn judge_own(&self) {
        for client in &self.clients[..DURABLE] {
            let topic = format!("own/{}", client.name);
            let published = self.history.published.iter().rfind(|message| message.topic.as_str() == topic);
            let expected = published.map(|message| message.number);
            assert_eq!(self.retained(&topic), expected, "the last of {topic}");
        }
    }

    fn retained(&self, topic: &str) -> Option<u64> {
        let mut kept = None;
        for machine in &self.shards.machines {
            machine.retained(&filter(topic), self.shards.clock, |message| kept = Some(number(message)));
        }
        kept
    }
}
