//! Members that come, go and move.

use super::memory::{Line, Memory};
use super::{LONG, Member, Told, addresses, count, identity, port, run};
use crate::net::Net as _;
use crate::peers::frames::read_frame;
use crate::peers::handshake::{OPERATOR, dial};
use crate::peers::operator::{Answer, Question, decode, encode};
use broker_core::cluster::Change;
use broker_core::face::Output;
use broker_core::ids::NodeId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// The core of `member` says who the members are: numbers and ports.
fn name(member: &Member<Line>, version: u64, members: &[(u32, u16)]) {
    let address = |(node, port): &(u32, u16)| (NodeId(*node), format!("127.0.0.1:{port}"));
    let members: BTreeMap<NodeId, String> = members.iter().map(address).collect();
    member.core.outputs.borrow_mut().push(Output::Members { version, members });
    member.node.borrow_mut().mark();
}

#[test]
fn who_becomes_a_member_is_dialled_and_who_is_none_any_more_is_parted_from() {
    run(async {
        let net = Memory::default();
        let one = Member::start(&net, 1, 1, &addresses(1)).await;
        let two = Member::start(&net, 2, 1, &addresses(2)).await;
        name(&one, 0, &[]);
        // A core may know of a member before the links do.
        one.say(2, &[Bytes::from_static(b"early")]);
        name(&one, 1, &[(1, port(1)), (2, port(2))]);
        one.until_up(2, 1).await;
        two.until_up(1, 1).await;
        name(&one, 2, &[(1, port(1))]);
        one.say(2, &[Bytes::from_static(b"you have left")]);
        two.until("down", |told| told.contains(&Told::Down(1))).await;
        let expected = [Told::Up(1), Told::Frame(1, Bytes::from_static(b"you have left")), Told::Down(1)];
        assert_eq!(two.told(), expected, "what it is told last it hears");
        one.until("down", |told| told.contains(&Told::Down(2))).await;
        one.say(2, &[Bytes::from_static(b"late")]);
        let mut line = net.connect(addresses(1)[&NodeId(1)]).await.expect("it listens");
        let refused = dial(&mut line, &identity(2, 1), NodeId(1), [0; 32], 0).await;
        assert!(format!("{refused:?}").contains("NotMember"), "{refused:?}");
        assert_eq!(one.told(), [Told::Up(2), Told::Down(2)]);
    });
}

#[test]
fn a_node_that_has_left_lets_go_of_all_others() {
    run(async {
        let net = Memory::default();
        let (one, two) = super::pair(&net).await;
        name(&one, 3, &[(2, port(2))]);
        one.until("down", |told| told.contains(&Told::Down(2))).await;
        two.until("down", |told| told.contains(&Told::Down(1))).await;
        assert!(one.node.borrow().peers.has_left && one.node.borrow().peers.members.is_empty());
    });
}

#[test]
fn a_member_is_dialled_where_it_was_said_last_unless_the_configuration_says_where() {
    run(async {
        let net = Memory::default();
        let one = Member::start(&net, 1, 1, &addresses(1)).await;
        let mut moved = addresses(2);
        moved.insert(NodeId(2), (Ipv4Addr::LOCALHOST, 7_100).into());
        let two = Member::start(&net, 2, 1, &moved).await;
        name(&one, 1, &[(1, port(1)), (2, port(9))]);
        name(&one, 2, &[(1, port(1)), (2, 7_100)]);
        one.until_up(2, 1).await;
        // Of member 1 the other one has an address of its own.
        name(&two, 2, &[(1, port(9)), (2, port(9))]);
        name(&one, 3, &[(1, port(1)), (2, port(9))]);
        one.until("down", |told| told.contains(&Told::Down(2))).await;
        name(&one, 4, &[(1, port(1)), (2, 7_100)]);
        one.until_up(2, 2).await;
        two.until_up(1, 2).await;
        assert_eq!(count(&two.told(), &Told::Up(1)), 2);
    });
}

#[test]
fn an_operator_is_answered_until_it_says_what_cannot_be_read() {
    run(async {
        let net = Memory::default();
        let one = Member::start(&net, 1, 1, &addresses(1)).await;
        let mut line = net.connect(addresses(1)[&NodeId(1)]).await.expect("it listens");
        dial(&mut line, &identity(OPERATOR.0, 0), NodeId(1), [0; 32], 0).await.expect("it may ask");
        line.write_all(&encode(&Question::Change(Change::Drain(NodeId(7))))).await.expect("room");
        one.until("the change", |told| told.contains(&Told::Asked(1))).await;
        let decided = Output::MembersChanged { request: 1, result: Ok(5) };
        one.core.outputs.borrow_mut().push(decided);
        one.node.borrow_mut().mark();
        let frame = read_frame(&mut line).await.expect("a frame").expect("an answer");
        assert_eq!(decode(&frame), Some(Answer::Changed(Ok(5))));
        // This core has no directory; and then something that no operator says.
        for question in [&encode(&Question::Members)[..], b"\x01\0\0\0x"] {
            line.write_all(question).await.expect("room");
            let frame = read_frame(&mut line).await.expect("a frame").expect("an answer");
            assert_eq!(decode(&frame), Some(Answer::NotUnderstood));
        }
        let end = timeout(LONG, read_frame(&mut line)).await.expect("in time");
        assert!(matches!(end, Ok(None)), "{end:?}");
        assert_eq!(one.told(), [Told::Asked(1)], "an operator is no member");
    });
}
