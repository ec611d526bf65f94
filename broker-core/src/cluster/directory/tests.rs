use super::{Change, Directory, META, Member, MetaOp, NodeId, Refusal, ShardId, Standing};
use crate::cluster::Weight;
use std::collections::{BTreeMap, BTreeSet};

fn plain(nodes: impl IntoIterator<Item = u32>) -> BTreeMap<NodeId, Member> {
    nodes.into_iter().map(|node| (NodeId(node), Member::plain(NodeId(node), format!("at-{node}")))).collect()
}

fn founded(shards: u16, count: u32) -> Directory {
    Directory::found(shards, 3, plain(1..=count))
}

fn join(node: u32) -> MetaOp {
    let node = NodeId(node);
    MetaOp::Change(Change::Join { node, member: Member::plain(node, format!("at-{node}")) })
}

/// Does what is to be done until nothing is, each group settling at once; how many replicas came to a node.
fn settle(directory: &mut Directory) -> usize {
    let mut moved = 0;
    while let Some(op) = directory.next_op() {
        directory.apply(&op).expect("a plan is not refused");
        if let MetaOp::Move { group, epoch, to, .. } = op {
            moved += usize::from(to.is_some());
            assert_eq!(directory.next_op(), None, "one replica at a time");
            directory.apply(&MetaOp::Settled { group, epoch: epoch + 1 }).expect("it has settled");
        }
        assert!(moved < 10_000, "it comes to an end");
    }
    moved
}

fn load(directory: &Directory) -> BTreeMap<NodeId, usize> {
    let mut load: BTreeMap<NodeId, usize> = directory.members().keys().map(|node| (*node, 0)).collect();
    for node in directory.assignments().values().flat_map(|held| &held.replicas) {
        *load.entry(*node).or_default() += 1;
    }
    load
}

fn leads(directory: &Directory) -> BTreeMap<NodeId, usize> {
    let mut leads = BTreeMap::new();
    for leader in directory.leaders().into_values() {
        *leads.entry(leader).or_default() += 1;
    }
    leads
}

fn assert_whole(directory: &Directory) {
    for (group, held) in directory.assignments() {
        let distinct: BTreeSet<_> = held.replicas.iter().collect();
        assert_eq!((distinct.len(), held.replicas.len()), (3, 3), "group {group}");
        assert!(held.settled, "group {group}");
    }
}

#[test]
fn a_new_cluster_is_spread_evenly() {
    for shards in [16, 64] {
        for count in [3, 5, 7] {
            let mut directory = founded(shards, count);
            assert_whole(&directory);
            let leads = leads(&directory);
            assert_eq!(leads.len(), count as usize, "everybody leads something: {leads:?}");
            let (least, most) = (leads.values().min(), leads.values().max());
            assert!(most <= least.map(|least| least + 2).as_ref(), "{shards} on {count}: {leads:?}");
            settle(&mut directory);
            assert_whole(&directory);
        }
    }
}

#[test]
fn a_heavier_node_leads_more() {
    let mut members = plain(1..=3);
    members.get_mut(&NodeId(1)).expect("a member").weight = Weight(2);
    let leads = leads(&Directory::found(15, 3, members));
    assert_eq!(leads.into_values().collect::<Vec<_>>(), [8, 4, 4]);
}

#[test]
fn a_node_that_joins_takes_its_share_and_nothing_moves_between_the_others() {
    for shards in [16, 64] {
        for count in 3..=7 {
            let mut directory = founded(shards, count);
            let before = directory.clone();
            directory.apply(&join(count + 1)).expect("a new number");
            let moved = settle(&mut directory);
            assert_whole(&directory);
            for (group, held) in directory.assignments() {
                let old = &before.assignments()[group].replicas;
                let came: Vec<_> = held.replicas.iter().filter(|node| !old.contains(node)).collect();
                assert!(came.is_empty() || came == [&NodeId(count + 1)], "group {group}: {came:?} came");
            }
            let replicas = (usize::from(shards) + 1) * 3;
            assert_eq!(moved, replicas / (count as usize + 1), "its share of {replicas}");
            assert_eq!(load(&directory)[&NodeId(count + 1)], moved);
        }
    }
}

#[test]
fn a_directory_tells_how_much_is_left_to_do_until_nothing_is() {
    let mut directory = founded(16, 3);
    assert_eq!((directory.to_move(), directory.is_at_rest(), directory.replicas()), (0, true, 51));
    let before = directory.clone();
    directory.apply(&join(4)).expect("a new number");
    let (mut left, mut told) = (directory.to_move(), Vec::new());
    while let Some(op) = directory.next_op() {
        directory.apply(&op).expect("a plan is not refused");
        let MetaOp::Move { group, epoch, .. } = op else { panic!("{op:?}") };
        // The one that moves now is not there before it has settled.
        assert_eq!((directory.to_move(), directory.is_at_rest()), (left, false));
        directory.apply(&MetaOp::Settled { group, epoch: epoch + 1 }).expect("it has settled");
        told.push(left);
        left = directory.to_move();
    }
    assert_eq!(told, (1..=12).rev().collect::<Vec<_>>());
    assert!(directory.is_at_rest());
    assert_eq!((directory.moved_since(&before), directory.held(NodeId(4))), (12, 12));
}

#[test]
fn a_member_that_is_to_leave_is_something_left_to_do() {
    let mut directory = founded(16, 4);
    directory.apply(&MetaOp::Change(Change::Leave(NodeId(2)))).expect("three are left");
    assert!(directory.to_move() >= directory.held(NodeId(2)));
    while let Some(op) = directory.next_op().filter(|op| !matches!(op, MetaOp::Gone(_))) {
        directory.apply(&op).expect("a plan is not refused");
        directory.settle();
    }
    assert_eq!((directory.held(NodeId(2)), directory.to_move(), directory.is_at_rest()), (0, 0, false));
    settle(&mut directory);
    assert!(directory.is_at_rest());
}

#[test]
fn a_node_that_leaves_holds_nothing_and_then_is_no_member() {
    let mut directory = founded(16, 4);
    let held = load(&directory)[&NodeId(2)];
    directory.apply(&MetaOp::Change(Change::Leave(NodeId(2)))).expect("three are left");
    assert!(settle(&mut directory) >= held);
    assert_whole(&directory);
    assert!(!directory.members().contains_key(&NodeId(2)) && directory.is_former(NodeId(2)));
    assert_eq!(directory.apply(&join(2)), Err(Refusal::Former(NodeId(2))));
    assert_eq!(directory.apply(&MetaOp::Change(Change::Leave(NodeId(2)))), Ok(()), "asked for again");
    let too_few = Refusal::TooFew { left: 2, replicas: 3 };
    assert_eq!(directory.apply(&MetaOp::Change(Change::Leave(NodeId(1)))), Err(too_few));
}

#[test]
fn a_node_that_is_drained_is_given_its_share_again_when_it_serves() {
    let mut directory = founded(16, 4);
    directory.apply(&MetaOp::Change(Change::Drain(NodeId(3)))).expect("three are left");
    settle(&mut directory);
    assert_eq!(load(&directory)[&NodeId(3)], 0);
    assert_eq!(directory.members()[&NodeId(3)].standing, Standing::Draining);
    assert!(!directory.leaders().values().any(|leader| *leader == NodeId(3)));
    directory.apply(&MetaOp::Change(Change::Serve(NodeId(3)))).expect("a member");
    settle(&mut directory);
    assert!(load(&directory)[&NodeId(3)] > 8, "{:?}", load(&directory));
    assert_whole(&directory);
}

#[test]
fn of_a_replacement_only_what_the_old_node_held_moves() {
    for count in [3, 5] {
        let mut directory = founded(16, count);
        let before = directory.clone();
        let held = load(&directory)[&NodeId(1)];
        let replace = Change::Replace { old: NodeId(1), new: NodeId(9), address: "at-9".to_owned() };
        directory.apply(&MetaOp::Change(replace.clone())).expect("a new number");
        let version = directory.version();
        directory.apply(&MetaOp::Change(replace.clone())).expect("asked for again");
        assert_eq!(directory.version(), version);
        let moved = settle(&mut directory);
        assert!(directory.is_former(NodeId(1)));
        assert_eq!(moved, held, "{count} nodes");
        for (group, assignment) in directory.assignments() {
            let swap = |node: &NodeId| if *node == NodeId(1) { NodeId(9) } else { *node };
            let mut expected: Vec<NodeId> = before.assignments()[group].replicas.iter().map(swap).collect();
            expected.sort_unstable();
            assert_eq!(assignment.replicas, expected, "group {group}");
        }
        directory.apply(&MetaOp::Change(replace)).expect("asked for again, when it is done");
    }
}

#[test]
fn a_move_to_a_node_that_leaves_is_turned_to_another_one() {
    let mut directory = founded(16, 3);
    directory.apply(&join(4)).expect("a new number");
    let op = directory.next_op().expect("a replica moves to it");
    directory.apply(&op).expect("a plan is not refused");
    directory.apply(&MetaOp::Change(Change::Leave(NodeId(4)))).expect("three are left");
    let op = directory.next_op().expect("the move does not wait for a node that may be dead");
    let MetaOp::Move { group, epoch, from, .. } = op else { panic!("{op:?}") };
    assert_eq!(from, Some(NodeId(4)));
    directory.apply(&op).expect("a plan is not refused");
    // The first of the two moves is not what is assigned any more.
    directory.apply(&MetaOp::Settled { group, epoch }).expect("it changes nothing");
    assert!(!directory.assignments()[&group].settled);
    directory.apply(&MetaOp::Settled { group, epoch: epoch + 1 }).expect("it has settled");
    settle(&mut directory);
    assert_eq!(directory.assignments(), &{
        let mut same = founded(16, 3).assignments().clone();
        same.get_mut(&group).expect("a group").epoch = epoch + 1;
        same
    });
    assert!(directory.is_former(NodeId(4)));
}

#[test]
fn with_fewer_nodes_than_replicas_all_hold_everything_and_the_next_one_too() {
    let mut directory = Directory::found(4, 3, plain(1..=2));
    assert!(directory.assignments().values().all(|held| held.replicas.len() == 2));
    directory.apply(&join(3)).expect("a new number");
    assert_eq!(settle(&mut directory), 5, "four shards and the meta group");
    assert_whole(&directory);
}

#[test]
fn replicas_of_a_group_are_in_different_domains() {
    let mut members = plain(1..=6);
    for (node, member) in &mut members {
        member.domain = ["a", "b", "c"][node.0 as usize % 3].to_owned();
    }
    let mut directory = Directory::found(16, 3, members);
    let apart = |directory: &Directory| {
        for (group, held) in directory.assignments() {
            let domains: BTreeSet<&str> =
                held.replicas.iter().map(|node| directory.members()[node].domain.as_str()).collect();
            assert_eq!(domains.len(), 3, "group {group}");
        }
    };
    apart(&directory);
    directory.apply(&MetaOp::Change(Change::Drain(NodeId(5)))).expect("five are left");
    settle(&mut directory);
    apart(&directory);
}

#[test]
fn the_meta_group_is_placed_like_a_shard() {
    let directory = founded(16, 5);
    assert_eq!(directory.assignments().len(), 17);
    assert_eq!(directory.assignments()[&META].replicas.len(), 3);
    assert!(directory.leaders().contains_key(&META) && META != ShardId(15));
}

/// What is on disk was put there by these numbers.
#[test]
#[rustfmt::skip]
fn the_layout_of_a_new_cluster_never_changes() {
    let directory = founded(16, 5);
    let replicas: Vec<Vec<u32>> = (0..16)
        .map(|shard| directory.assignments()[&ShardId(shard)].replicas.iter().map(|node| node.0).collect())
        .collect();
    let expected = [
        [1, 4, 5], [1, 2, 5], [1, 2, 3], [1, 2, 4], [1, 2, 4], [3, 4, 5], [3, 4, 5], [1, 4, 5],
        [2, 3, 5], [2, 3, 4], [2, 3, 4], [1, 3, 5], [1, 4, 5], [1, 3, 5], [1, 2, 3], [2, 3, 4],
    ];
    assert_eq!(replicas, expected);
}
