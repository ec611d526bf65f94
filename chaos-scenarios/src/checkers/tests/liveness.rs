use crate::checkers::Verdict;
use crate::checkers::tale::{QOS1, Tale};
use broker_core::event::{Event, SessionEnd};
use broker_core::face::Durability;
use broker_core::ids::NodeId;
use broker_core::time::Instant;
use sim::history::{Closer, ConnAck, Connect, Disconnect, NodeDown, Packet, What};
use sim::scenario::{AccessAction, AccessList, AccessRule, Direction, FaultKind};

#[test]
fn a_client_that_stays_restless_is_found() {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    tale.ends_with(&[alice]);
    assert_eq!(tale.violation(38).client, Some(alice));
}

#[test]
fn an_exchange_that_may_be_forgotten_keeps_a_client_restless_for_good() {
    let mut tale = Tale::new();
    tale.scenario.topology.nodes[0].durability = Durability::Async;
    tale.starts();
    let alice = tale.durable("alice");
    tale.goes_down(NodeDown::Killed, &[alice]);
    tale.starts();
    tale.join(alice);
    tale.ends_with(&[alice]);
    assert!(matches!(tale.verdict(38), Verdict::Unknown(_)));
}

#[test]
fn what_went_with_a_session_that_was_replaced_unseen_is_not_waited_for() {
    for seen in [false, true] {
        let mut tale = Tale::new();
        tale.starts();
        let alice = tale.durable("alice");
        tale.closes(alice, Closer::Client);
        let connect = Connect { clean_start: true, ..tale.connect_of(alice) };
        let conn = if seen { tale.join_as(alice, connect, false) } else { tale.call(alice, connect) };
        let event = Event::Connected { conn, client_id: "alice".into(), protocol: 5, session_present: false };
        tale.push(What::Broker { node: NodeId(1), event });
        tale.closes(alice, Closer::Network);
        tale.join(alice);
        tale.ends_with(&[alice]);
        assert_eq!(tale.verdict(38) == Verdict::Holds, !seen, "{:?}", tale.verdict(38));
    }
}

#[test]
fn a_session_that_was_replaced_unseen_stays_so_until_the_client_hears_of_it() {
    for told in [false, true] {
        let mut tale = Tale::new();
        tale.starts();
        let alice = tale.durable("alice");
        tale.closes(alice, Closer::Client);
        let conn = tale.call(alice, Connect { clean_start: true, ..tale.connect_of(alice) });
        let event = Event::Connected { conn, client_id: "alice".into(), protocol: 5, session_present: false };
        tale.push(What::Broker { node: NodeId(1), event });
        tale.closes(alice, Closer::Network);
        tale.join(alice);
        tale.closes(alice, Closer::Client);
        tale.join_as(alice, tale.connect_of(alice), !told);
        tale.ends_with(&[alice]);
        assert_eq!(tale.verdict(38) == Verdict::Holds, !told, "{:?}", tale.verdict(38));
    }
}

#[test]
fn what_went_with_a_session_that_ended_and_was_begun_unseen_is_not_waited_for() {
    for (ended, asked_between) in [(true, true), (false, true), (true, false)] {
        let mut tale = Tale::new();
        tale.starts();
        let alice = tale.durable("alice");
        tale.closes(alice, Closer::Client);
        if asked_between {
            tale.call(alice, tale.connect_of(alice));
        }
        if ended {
            let event = Event::SessionEnded { client_id: "alice".into(), why: SessionEnd::Expired };
            tale.push(What::Broker { node: NodeId(1), event });
        }
        if asked_between {
            tale.closes(alice, Closer::Client);
        }
        tale.join(alice);
        tale.ends_with(&[alice]);
        assert_eq!(tale.verdict(38) == Verdict::Holds, ended && asked_between, "{:?}", tale.verdict(38));
    }
}

#[test]
fn a_node_that_was_replaced_or_has_left_need_not_come_back() {
    for kind in [
        FaultKind::Replace { old: NodeId(1), new: NodeId(2), lost: true },
        FaultKind::Leave { node: NodeId(1) },
        FaultKind::Drain { node: NodeId(1) },
    ] {
        let mut tale = Tale::new();
        tale.starts();
        tale.fault(kind.clone(), 10);
        tale.goes_down(NodeDown::PowerLost, &[]);
        tale.ends();
        let drained = matches!(kind, FaultKind::Drain { .. });
        assert_eq!(tale.verdict(38) == Verdict::Holds, !drained, "{kind:?}: {:?}", tale.verdict(38));
    }
}

#[test]
fn what_went_with_a_session_that_was_taken_over_unseen_is_not_waited_for() {
    for clean_start in [false, true] {
        let mut tale = Tale::new();
        tale.starts();
        let alice = tale.durable("alice");
        let first = tale.conn(alice);
        tale.call(alice, Connect { clean_start, ..tale.connect_of(alice) });
        tale.got_on(alice, first, Packet::Disconnect(Disconnect { reason: 0x8e, ..Disconnect::default() }));
        tale.join(alice);
        tale.ends_with(&[alice]);
        assert_eq!(tale.verdict(38) == Verdict::Holds, clean_start, "{:?}", tale.verdict(38));
    }
}

#[test]
fn a_history_without_an_end_cannot_be_judged() {
    let mut tale = Tale::new();
    tale.durable("alice");
    assert!(matches!(tale.verdict(38), Verdict::Unknown(_)));
}

#[test]
fn a_node_that_stays_down_or_refuses_its_disk_is_found() {
    let mut tale = Tale::new();
    tale.starts();
    tale.goes_down(NodeDown::DiskFailed("full".to_owned()), &[]);
    tale.ends();
    tale.violation(38);

    let mut tale = Tale::new();
    tale.push(What::NodeRefused { node: NodeId(1), why: "damage at record 7".to_owned() });
    tale.ends();
    tale.violation(38);
}

#[test]
fn a_node_that_refuses_a_rotten_disk_does_what_it_must() {
    let mut tale = Tale::new();
    tale.fault(FaultKind::BitRot { node: NodeId(1), bits: 3 }, 10);
    tale.push(What::NodeRefused { node: NodeId(1), why: "damage at record 7".to_owned() });
    tale.ends();
    assert!(matches!(tale.verdict(38), Verdict::Unknown(_)));
}

fn with_keep_alive(keep_alive_s: u16) -> (Tale, sim::history::ClientNo) {
    let mut tale = Tale::new();
    let alice = tale.durable("alice");
    tale.closes(alice, Closer::Network);
    let connect = Connect { keep_alive_s, ..tale.connect_of(alice) };
    tale.join_as(alice, connect, true);
    (tale, alice)
}

#[test]
fn a_silent_client_that_is_kept_is_found() {
    let (mut tale, alice) = with_keep_alive(2);
    tale.wait_ms(3_100);
    tale.sends(alice, Packet::PingReq);
    tale.holds(&[37]);
    tale.wait_ms(6_000);
    tale.closes(alice, Closer::Broker);
    assert_eq!(tale.violation(37).client, Some(alice));
}

#[test]
fn a_client_that_is_closed_in_time_is_no_finding() {
    let (mut tale, alice) = with_keep_alive(2);
    tale.wait_ms(3_000);
    tale.got(alice, Packet::Disconnect(Disconnect { reason: 0x8d, session_expiry_s: None }));
    tale.closes(alice, Closer::Broker);
    tale.holds(&[37]);
}

#[test]
fn a_client_that_is_closed_too_soon_is_found() {
    for keep_alive_s in [0, 4] {
        let (mut tale, alice) = with_keep_alive(keep_alive_s);
        tale.wait_ms(2_000);
        tale.got(alice, Packet::Disconnect(Disconnect { reason: 0x8d, session_expiry_s: None }));
        tale.closes(alice, Closer::Broker);
        assert_eq!(tale.violation(37).client, Some(alice));
    }
}

#[test]
fn a_queue_that_is_not_drained_in_time_is_found() {
    let mut tale = Tale::new();
    let (alice, bob) = (tale.durable("alice"), tale.durable("bob"));
    tale.subscribes(bob, "t", QOS1);
    let messages = [(); 3].map(|()| tale.says(alice, "t", QOS1));
    tale.push(What::Healed);
    tale.wait_ms(10_000);
    tale.takes(bob, messages[0], 1);
    tale.push(What::End { restless: Vec::new() });
    assert_eq!(tale.violation(38).client, Some(bob));
    // What has not come yet may still come.
    tale.holds(&[1, 24]);
}

#[test]
fn a_client_that_may_not_leave_its_will_has_its_answer() {
    for denied in [true, false] {
        let mut tale = Tale::new();
        let rules = vec![AccessRule {
            client: None,
            allow: false,
            action: AccessAction::Publish,
            filter: if denied { "w" } else { "v" }.to_owned(),
        }];
        tale.scenario.acl.push(AccessList { from: Instant::ZERO, rules, otherwise: true });
        let alice = tale.durable("alice");
        tale.leaves(alice, 0);
        let (_, will) = tale.will(alice, "w", 0);
        let connect = Connect { will: Some(will), ..tale.connect_of(alice) };
        tale.call(alice, connect);
        tale.got(alice, Packet::ConnAck(ConnAck::bare(0x87)));
        tale.closes(alice, Closer::Broker);
        tale.ends_with(&[alice]);
        match denied {
            true => tale.holds(&[38]),
            false => assert_eq!(tale.violation(38).client, Some(alice)),
        }
    }
}

#[test]
fn a_client_that_stood_still_for_too_long_and_is_served_is_found() {
    for (still_ms, served) in [(6_000, true), (6_000, false), (2_000, true)] {
        let (mut tale, alice) = with_keep_alive(2);
        tale.says(alice, "t", QOS1);
        tale.fault(FaultKind::ClientStall { client: alice }, still_ms);
        if served {
            tale.says(alice, "t", QOS1);
        }
        tale.closes(alice, Closer::Broker);
        match still_ms > 3_000 && served {
            true => assert_eq!(tale.violation(37).client, Some(alice)),
            false => tale.holds(&[37]),
        }
    }
}

#[test]
fn a_client_that_was_not_heard_for_too_long_and_is_served_is_found() {
    let (mut tale, alice) = with_keep_alive(2);
    tale.says(alice, "t", QOS1);
    tale.fault(FaultKind::Stall { client: alice, direction: Direction::ToBroker }, 6_000);
    tale.says(alice, "t", QOS1);
    assert_eq!(tale.violation(37).client, Some(alice));
}
