//! Has the cluster take in the nodes that were added to it.

use super::layout::Node;
use super::say;
use crate::failure::Failure;
use crate::members::client_of;
use broker_core::cluster::{Change, Member};
use broker_core::ids::NodeId;
use std::io::{self, Write as _};

/// Asks the cluster to take in those of `nodes` that are to join and have not, and waits until they hold their share.
pub(super) async fn take_in(nodes: Vec<Node>) {
    if let Err(failure) = try_take_in(nodes).await {
        // The others go on, and the operator can ask again.
        let _ = writeln!(io::stderr(), "not every node could join: {failure}");
    }
}

async fn try_take_in(nodes: Vec<Node>) -> Result<(), Failure> {
    let Some(first) = nodes.first() else { return Ok(()) };
    let mut client = client_of(&first.config)?;
    let known = client.directory().await?;
    let (mut version, mut joined) = (0, Vec::new());
    for (number, address) in nodes.iter().filter_map(|node| Some((node.number, node.joins_at?))) {
        let node = NodeId(number.into());
        if known.members().contains_key(&node) {
            continue;
        }
        let member = Member::plain(node, address.to_string());
        version = client.decide(&Change::Join { node, member }, say).await?;
        say(&format!("node {node} joins"))?;
        joined.push(node);
    }
    if joined.is_empty() {
        return Ok(());
    }
    let directory = client.settled(version, |_| Ok(())).await?;
    let replicas = directory.replicas();
    let held =
        |node: &NodeId| say(&format!("node {node} holds {} of {replicas} replicas", directory.held(*node)));
    joined.iter().try_for_each(held)
}
