//! What nodes tell of themselves: 41.

use super::{Because, Checker, Verdict};
use crate::model::{Life, Model, Place};
use broker_core::ids::NodeId;
use sim::history::{Packet, Publish, Qos, What};
use std::collections::BTreeMap;

pub(super) const NODES_TELL: Checker = Checker {
    number: 41,
    name: "NodesTell",
    statement: "what comes under $SYS is told by a node that there is, with QoS 0, and in the order in which it was told",
    clause: "ours; MQTT-4.6.0-6",
    check: |model| Verdict::first(model.lives.iter().find_map(|life| nodes_tell(model, life))),
};

fn nodes_tell(model: &Model<'_>, life: &Life<'_>) -> Option<Because> {
    let mut places: Vec<Place> =
        life.conns.iter().flat_map(|conn| model.conns[conn].places.iter().copied()).collect();
    places.sort_unstable();
    // How long each node had run when it was heard of last, and how often that fell.
    let mut uptimes: BTreeMap<NodeId, (u64, usize)> = BTreeMap::new();
    for place in places {
        let What::Received { packet: Packet::Publish(publish), .. } = &model.record(place).what else {
            continue;
        };
        let Some(rest) = publish.topic.strip_prefix("$SYS/") else { continue };
        let wrong = |what: String| Some(Because::at(model, place, what));
        if publish.qos != Qos::AtMostOnce {
            return wrong(format!("{} came with a QoS above 0", publish.topic));
        }
        let Some((node, name)) = teller(model, rest) else {
            return wrong(format!("{} is of no node of this cluster", publish.topic));
        };
        if name != "uptime" {
            continue;
        }
        let Some(uptime) = seconds(publish) else {
            return wrong(format!("{} is no number of seconds", publish.topic));
        };
        let known = uptimes.entry(node).or_insert((uptime, 0));
        let falls = known.1 + usize::from(uptime < known.0);
        let begun = model.ground.ups.iter().filter(|(up, other)| *other == node && *up < place).count();
        // The first start is no new beginning.
        if falls >= begun.max(1) {
            return wrong(format!(
                "node {node} had run for {} s and then for {uptime} s, and began {begun} times only",
                known.0
            ));
        }
        *known = (uptime, falls);
    }
    None
}

/// The node in `brokers/NODE/NAME`, and the name.
fn teller<'t>(model: &Model<'_>, rest: &'t str) -> Option<(NodeId, &'t str)> {
    let (node, name) = rest.strip_prefix("brokers/")?.split_once('/')?;
    let node = NodeId(node.parse().ok()?);
    model.scenario.topology.nodes.iter().any(|spec| spec.node == node).then_some((node, name))
}

fn seconds(publish: &Publish) -> Option<u64> {
    std::str::from_utf8(&publish.payload).ok()?.parse().ok()
}
