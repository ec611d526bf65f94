//! Situations that only several nodes can come into.

use super::{Situation, windows};
use crate::model::{Conn, Model, Place};
use broker_core::event::Event;
use broker_core::ids::{NodeId, ShardId};
use broker_core::time::{Duration, Instant};
use sim::history::{Closer, NodeDown, Packet, Qos, What};
use sim::scenario::FaultKind;
use std::collections::{BTreeMap, BTreeSet};

/// For how long a shard waits to hear of a gateway before it drops it.
const LEASE: Duration = Duration::from_secs(10);

pub(super) const ALL: &[Situation] = &[
    Situation { name: "leader went down while publishes were not acknowledged", count: leaders_down },
    Situation { name: "leadership moved to another node", count: leaders_moved },
    Situation { name: "lead handed over while publishes were not acknowledged", count: handed_over },
    Situation { name: "lead not taken over by who was asked", count: hand_overs_lost },
    Situation {
        name: "leader cut off from all others",
        count: |model| windows(model, |kind| matches!(kind, FaultKind::IsolateLeader { .. })),
    },
    Situation { name: "all nodes without power at once", count: blackouts },
    Situation { name: "link given up for its silence", count: silences },
    Situation { name: "session resumed on another node", count: |model| resumed_elsewhere(model).len() },
    Situation { name: "session resumed on another node, its node down", count: resumed_while_down },
    Situation { name: "resume on another node with an unacknowledged PUBLISH", count: resent_elsewhere },
    Situation { name: "resume on another node with an owed PUBREL", count: released_elsewhere },
    Situation { name: "session taken over by another node", count: taken_over_elsewhere },
    Situation {
        name: "publisher resent a QoS 1 message to another node",
        count: |model| republished_elsewhere(model, Qos::AtLeastOnce),
    },
    Situation {
        name: "publisher resent a QoS 2 message to another node",
        count: |model| republished_elsewhere(model, Qos::ExactlyOnce),
    },
    Situation { name: "client turned away and served elsewhere", count: served_elsewhere },
    Situation {
        name: "gateway dropped at the end of its lease",
        count: |model| dropped_gateways(model).len(),
    },
    Situation { name: "gateway dropped although its process lived", count: dropped_alive },
    Situation {
        name: "client dismissed because a shard cannot be reached",
        count: |model| super::dismissed(model, 0x89),
    },
    Situation { name: "replica moved to another node", count: replicas_moved },
    Situation { name: "node went down while replicas moved", count: downs_while_moving },
    Situation {
        name: "member without its data refused",
        count: |model| super::events(model, |event| matches!(event, Event::StrangerRefused { .. })),
    },
    Situation { name: "node switched off for good after it had left", count: left },
    Situation { name: "node heard of on another node", count: heard_of_elsewhere },
];

fn leaders_moved(model: &Model<'_>) -> usize {
    let mut leaders: BTreeMap<ShardId, NodeId> = BTreeMap::new();
    let led = model.history.events().filter_map(|(_, node, event)| match event {
        Event::Leading { shard, .. } => Some((*shard, node)),
        _ => None,
    });
    led.filter(|(shard, node)| leaders.insert(*shard, *node).is_some_and(|before| before != *node)).count()
}

/// Hand-overs that began while a publish was under way.
fn handed_over(model: &Model<'_>) -> usize {
    let records = model.history.records.iter().enumerate();
    let begun = records
        .filter(|(_, record)| matches!(record.what, What::Broker { event: Event::HandingOver { .. }, .. }));
    begun.filter(|(place, _)| is_under_way(model, *place)).count()
}

/// Hand-overs after which the next leader of the shard, or the next to be asked, was not who was asked.
fn hand_overs_lost(model: &Model<'_>) -> usize {
    let mut asked: BTreeMap<ShardId, NodeId> = BTreeMap::new();
    let mut count = 0;
    for (_, node, event) in model.history.events() {
        match event {
            Event::HandingOver { shard, to } => count += usize::from(asked.insert(*shard, *to).is_some()),
            Event::Leading { shard, .. } => {
                count += usize::from(asked.remove(shard).is_some_and(|to| to != node));
            }
            _ => {}
        }
    }
    count
}

/// Replicas that began on a node after the cluster was there, in place of one that was given up.
fn replicas_moved(model: &Model<'_>) -> usize {
    let given_up = |(_, _, event): &(_, _, &Event)| matches!(event, Event::ReplicaGivenUp { .. });
    model.history.events().filter(given_up).count()
}

/// Nodes that went down after a replica had begun somewhere, and before the one that it stands for was given up.
fn downs_while_moving(model: &Model<'_>) -> usize {
    let mut moving: BTreeSet<ShardId> = BTreeSet::new();
    let mut count = 0;
    for record in &model.history.records {
        match &record.what {
            What::Broker { event: Event::ReplicaBegun { shard }, .. } => drop(moving.insert(*shard)),
            What::Broker { event: Event::ReplicaGivenUp { shard }, .. } => drop(moving.remove(shard)),
            What::NodeDown { why: NodeDown::Killed | NodeDown::PowerLost, .. } => {
                count += usize::from(!moving.is_empty());
            }
            _ => {}
        }
    }
    count
}

/// Messages in which a node tells of itself, to a client that is connected to another one.
fn heard_of_elsewhere(model: &Model<'_>) -> usize {
    let is_told = |conn: &Conn<'_>, place: &Place| match &model.record(*place).what {
        What::Received { packet: Packet::Publish(publish), .. } => publish
            .topic
            .strip_prefix("$SYS/brokers/")
            .and_then(|rest| rest.split('/').next())
            .is_some_and(|teller| teller != conn.node.to_string()),
        _ => false,
    };
    let told = |conn: &Conn<'_>| conn.places.iter().filter(|place| is_told(conn, place)).count();
    model.conns.values().map(told).sum()
}

/// Members that left, and were switched off by their operator.
fn left(model: &Model<'_>) -> usize {
    let leaves = |kind: &FaultKind| match kind {
        FaultKind::Leave { node } | FaultKind::Replace { old: node, lost: false, .. } => Some(*node),
        _ => None,
    };
    let leaving = model.scenario.faults.iter().filter_map(|fault| leaves(&fault.kind));
    let off = |node: NodeId| {
        let downs = &model.ground.downs;
        downs.iter().rfind(|down| down.node == node).is_some_and(|last| {
            *last.why == NodeDown::Stopped
                && !model.ground.ups.iter().any(|(at, up)| *up == node && *at > last.place)
        })
    };
    leaving.filter(|node| off(*node)).count()
}

/// Nodes that went down while they led a shard and a publish was under way.
fn leaders_down(model: &Model<'_>) -> usize {
    let mut leaders: BTreeMap<ShardId, NodeId> = BTreeMap::new();
    let mut count = 0;
    for (place, record) in model.history.records.iter().enumerate() {
        match &record.what {
            What::Broker { node, event: Event::Leading { shard, .. } } => {
                leaders.insert(*shard, *node);
            }
            What::NodeDown { node, .. } if leaders.values().any(|leader| leader == node) => {
                count += usize::from(is_under_way(model, place));
            }
            _ => {}
        }
    }
    count
}

fn is_under_way(model: &Model<'_>, place: Place) -> bool {
    let reliable = model.published.values().filter(|message| message.qos != Qos::AtMostOnce);
    reliable.filter(|message| message.will_of.is_none()).any(|message| {
        message.first().place < place && message.acknowledged.is_none_or(|acknowledged| acknowledged > place)
    })
}

/// Times at which the last node lost power while all others were without.
fn blackouts(model: &Model<'_>) -> usize {
    let nodes = model.scenario.topology.nodes.len();
    let mut dark: Vec<NodeId> = Vec::new();
    let mut count = 0;
    for record in &model.history.records {
        match &record.what {
            What::NodeDown { node, why: NodeDown::PowerLost } => {
                dark.push(*node);
                count += usize::from(nodes > 1 && dark.len() == nodes);
            }
            What::NodeUp { node } => dark.retain(|one| one != node),
            _ => {}
        }
    }
    count
}

/// Links that ended although both nodes were up.
fn silences(model: &Model<'_>) -> usize {
    let lost = model.history.records.iter().filter(|record| match record.what {
        What::PeerDown { peer, .. } => {
            let down = model.ground.downs.iter().rfind(|down| down.node == peer && down.at <= record.at);
            down.is_none_or(|down| record.at.saturating_since(down.at) >= Duration::from_secs(3))
        }
        _ => false,
    });
    lost.count()
}

/// Connections that resumed a session, each with the accepted one before it, which was to another node.
fn resumed_elsewhere<'m, 'a>(model: &'m Model<'a>) -> Vec<(&'m Conn<'a>, &'m Conn<'a>)> {
    let pairs = model.lives.iter().flat_map(|life| life.conns.windows(2));
    let pairs = pairs.map(|pair| (&model.conns[&pair[0]], &model.conns[&pair[1]]));
    pairs.filter(|(before, after)| after.resumed() && before.node != after.node).collect()
}

fn resumed_while_down(model: &Model<'_>) -> usize {
    let is_down = |node: NodeId, place: Place| {
        let down = model.ground.downs.iter().rfind(|down| down.node == node && down.place < place);
        let up = |since: Place| {
            model.ground.ups.iter().any(|(at, which)| *which == node && (since..place).contains(at))
        };
        down.is_some_and(|down| !up(down.place))
    };
    let resumed = resumed_elsewhere(model);
    resumed
        .iter()
        .filter(|(before, after)| after.accepted().is_some_and(|at| is_down(before.node, at)))
        .count()
}

fn resent_elsewhere(model: &Model<'_>) -> usize {
    let resumed = resumed_elsewhere(model);
    let resent = resumed.iter().filter(|(_, after)| {
        after.places.iter().any(|place| {
            matches!(&model.record(*place).what, What::Received { packet: Packet::Publish(publish), .. } if publish.dup)
        })
    });
    resent.count()
}

fn released_elsewhere(model: &Model<'_>) -> usize {
    let resumed = resumed_elsewhere(model);
    let owed = resumed.iter().filter(|(_, after)| {
        let mut begun: Vec<u16> = Vec::new();
        after.places.iter().any(|place| match &model.record(*place).what {
            What::Received { packet: Packet::Publish(publish), .. } => {
                begun.push(publish.id);
                false
            }
            What::Received { packet: Packet::PubRel(ack), .. } => !begun.contains(&ack.id),
            _ => false,
        })
    });
    owed.count()
}

fn taken_over_elsewhere(model: &Model<'_>) -> usize {
    let resumed = resumed_elsewhere(model);
    resumed.iter().filter(|(before, after)| after.accepted().is_some_and(|at| before.open_at(at))).count()
}

fn republished_elsewhere(model: &Model<'_>, qos: Qos) -> usize {
    let resent = model.published.values().filter(|message| {
        let first = model.conns[&message.first().conn].node;
        message.sent.iter().any(|sending| model.conns[&sending.conn].node != first)
    });
    resent.filter(|message| message.qos == qos).count()
}

/// When which gateways were dropped by a shard that had not heard of them.
fn dropped_gateways(model: &Model<'_>) -> Vec<(Instant, NodeId)> {
    let dropped = model.history.events().filter_map(|(at, _, event)| match event {
        Event::GatewayDropped { node, .. } => Some((at, *node)),
        _ => None,
    });
    dropped.collect()
}

fn dropped_alive(model: &Model<'_>) -> usize {
    // All through the lease, or it is another process that lived.
    let lived = |at: Instant, node: NodeId| {
        let down = model.ground.downs.iter().rfind(|down| down.node == node && down.at <= at);
        down.is_none_or(|down| {
            let later =
                model.ground.ups.iter().filter(|(place, which)| *which == node && *place > down.place);
            let mut since = later.map(|(place, _)| at.saturating_since(model.record(*place).at));
            since.any(|since| since >= LEASE)
        })
    };
    dropped_gateways(model).into_iter().filter(|(at, node)| lived(*at, *node)).count()
}

/// Accepted connections of clients whose attempt before, to another node, was not.
fn served_elsewhere(model: &Model<'_>) -> usize {
    let accepted = model.conns.values().filter(|conn| conn.accepted().is_some());
    let after_refusal = accepted.filter(|conn| {
        let before = model.conns.values().rfind(|other| other.client == conn.client && other.id < conn.id);
        before.is_some_and(|before| {
            let left = before.closed.is_some_and(|(_, _, by)| by == Closer::Client) && before.left.is_some();
            before.accepted().is_none() && before.node != conn.node && !left
        })
    });
    after_refusal.count()
}
