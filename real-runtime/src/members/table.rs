//! The members as a table for people.

use broker_core::cluster::{Directory, Member, Standing};
use broker_core::ids::NodeId;

const TITLES: [&str; 7] = ["node", "address", "standing", "weight", "domain", "replicas", "share"];

/// One line a member, below a line of titles. The share is what a member would hold if replicas could be divided.
pub(super) fn table(directory: &Directory) -> String {
    let members = directory.members().iter();
    let rows: Vec<[String; 7]> = members.map(|(node, member)| row(directory, *node, member)).collect();
    let titles = TITLES.map(str::to_owned);
    let lines = || std::iter::once(&titles).chain(&rows);
    let mut widths = [0; 7];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let padded = |line: &[String; 7]| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines().map(padded).collect::<Vec<_>>().join("\n")
}

fn row(directory: &Directory, node: NodeId, member: &Member) -> [String; 7] {
    let standing = match member.standing {
        Standing::Serving => "serves",
        Standing::Draining => "drained",
        Standing::Leaving => "leaves",
    };
    let domain = if member.domain.is_empty() { "-" } else { &member.domain };
    [
        node.to_string(),
        member.address.clone(),
        standing.to_owned(),
        member.weight.0.to_string(),
        domain.to_owned(),
        directory.held(node).to_string(),
        share(directory, member),
    ]
}

/// By weight, in tenths of a replica.
fn share(directory: &Directory, member: &Member) -> String {
    let weight = |member: &Member| match member.standing {
        Standing::Serving => usize::from(member.weight.0),
        Standing::Draining | Standing::Leaving => 0,
    };
    let all = directory.members().values().map(weight).sum::<usize>().max(1);
    let tenths = (10 * directory.replicas() * weight(member) + all / 2) / all;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{Directory, Member, NodeId, table};
    use broker_core::cluster::Weight;
    use std::collections::BTreeMap;

    #[test]
    fn columns_stand_below_each_other_and_shares_go_by_weight() {
        let member = |node: u32| (NodeId(node), Member::plain(NodeId(node), format!("192.0.2.{node}:7001")));
        let mut members: BTreeMap<_, _> = [member(1), member(2), member(10)].into();
        let heavy = members.get_mut(&NodeId(10)).expect("a member");
        (heavy.weight, heavy.domain) = (Weight(2), "cellar".to_owned());
        let text = table(&Directory::found(16, 1, members));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "node  address          standing  weight  domain  replicas  share");
        assert!(lines[1].starts_with("1     192.0.2.1:7001   serves    1       -       "), "{text}");
        assert!(lines[3].starts_with("10    192.0.2.10:7001  serves    2       cellar  "), "{text}");
        assert!(lines[1].ends_with("  4.3") && lines[3].ends_with("  8.5"), "{text}");
    }
}
