//! "Sometimes" situations: what a campaign must have met to be worth its green.
//!
//! A situation that no run of the standard campaign reaches fails it: the faults or the clients are not what they were
//! thought to be.

mod cluster;

use crate::model::{Copy, Model, Place};
use broker_core::event::{DropReason, Event};
use sim::history::{NodeDown, Packet, Qos, What};
use sim::scenario::FaultKind;
use std::collections::BTreeMap;

/// One situation and how to see how often a run reached it.
struct Situation {
    name: &'static str,
    count: fn(&Model<'_>) -> usize,
}

const ALL: &[Situation] = &[
    Situation {
        name: "node killed while publishes were not acknowledged",
        count: |model| downs(model, |why| *why == NodeDown::Killed),
    },
    Situation {
        name: "power lost while publishes were not acknowledged",
        count: |model| downs(model, |why| *why == NodeDown::PowerLost),
    },
    Situation {
        name: "node stopped in order under traffic",
        count: |model| downs(model, |why| *why == NodeDown::Stopped),
    },
    Situation {
        name: "disk call failed under traffic",
        count: |model| downs(model, |why| matches!(why, NodeDown::DiskFailed(_))),
    },
    Situation { name: "crash during recovery from a crash", count: crashes_in_recovery },
    Situation {
        name: "snapshot taken",
        count: |model| events(model, |event| matches!(event, Event::Snapshot { .. })),
    },
    Situation {
        name: "recovered sessions and messages",
        count: |model| {
            events(
                model,
                |event| matches!(event, Event::Recovered { sessions, messages, .. } if *sessions > 0 && *messages > 0),
            )
        },
    },
    Situation { name: "session resumed after a crash", count: resumed_after_crash },
    Situation { name: "takeover while messages were in flight", count: takeovers_in_flight },
    Situation {
        name: "resume with an unacknowledged PUBLISH",
        count: |model| deliveries(model, |copy| matches!(copy, Copy::Resend { .. })),
    },
    Situation { name: "resume with an owed PUBREL", count: owed_pubrels },
    Situation { name: "publisher resent a QoS 2 message", count: |model| resent(model, Qos::ExactlyOnce) },
    Situation { name: "publisher resent a QoS 1 message", count: |model| resent(model, Qos::AtLeastOnce) },
    Situation { name: "packet identifier wrapped", count: wraps },
    Situation { name: "queue limit hit", count: |model| drops(model, DropReason::QueueFull) },
    Situation { name: "message expired in a queue", count: |model| drops(model, DropReason::Expired) },
    Situation {
        name: "delivery denied by the access list",
        count: |model| drops(model, DropReason::NotAuthorized),
    },
    Situation {
        name: "QoS 0 dropped for a slow consumer",
        count: |model| drops(model, DropReason::SlowConsumer),
    },
    Situation {
        name: "packet too large for its receiver",
        count: |model| drops(model, DropReason::PacketTooLarge),
    },
    Situation { name: "delivery refused by the client", count: refusals },
    Situation { name: "retained message replaced while subscribing", count: retained_races },
    Situation { name: "retained message cleared", count: clears },
    Situation {
        name: "will sent",
        count: |model| events(model, |event| matches!(event, Event::WillSent { .. })),
    },
    Situation { name: "will sent after a crash of the node", count: wills_after_crash },
    Situation {
        name: "session expired",
        count: |model| {
            events(model, |event| {
                matches!(event, Event::SessionEnded { why: broker_core::event::SessionEnd::Expired, .. })
            })
        },
    },
    Situation { name: "shared message given to another member", count: moved },
    Situation {
        name: "publish refused with a reason",
        count: |model| model.published.values().filter(|message| message.refused.is_some()).count(),
    },
    Situation { name: "client closed for its silence", count: |model| dismissed(model, 0x8d) },
    Situation {
        name: "client closed for a protocol error",
        count: |model| dismissed(model, 0x81) + dismissed(model, 0x82),
    },
    Situation { name: "messages held back by Receive Maximum", count: held_back },
    Situation { name: "damaged disk refused", count: refused },
    Situation {
        name: "clock jumped while a node was down",
        count: |model| windows(model, |kind| matches!(kind, FaultKind::WallJump { .. })),
    },
];

/// The names of the situations that one node can come into.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|situation| situation.name)
}

/// The names of the situations that only several nodes can come into.
pub fn names_of_cluster() -> impl Iterator<Item = &'static str> {
    cluster::ALL.iter().map(|situation| situation.name)
}

/// The situations that a run reached, and how often.
pub fn reached(model: &Model<'_>) -> BTreeMap<&'static str, u32> {
    let cluster = cluster::ALL.iter().filter(|_| model.ground.is_cluster());
    let counts = ALL.iter().chain(cluster).map(|situation| (situation.name, (situation.count)(model)));
    counts
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name, u32::try_from(count).unwrap_or(u32::MAX)))
        .collect()
}

fn events(model: &Model<'_>, wanted: impl Fn(&Event) -> bool) -> usize {
    model.history.events().filter(|(_, _, event)| wanted(event)).count()
}

fn drops(model: &Model<'_>, reason: DropReason) -> usize {
    events(model, |event| matches!(event, Event::Dropped { reason: recorded, .. } if *recorded == reason))
}

fn windows(model: &Model<'_>, wanted: impl Fn(&FaultKind) -> bool) -> usize {
    model.ground.windows.iter().filter(|window| wanted(window.kind)).count()
}

/// Times a node went down (for a reason that `wanted` picks) between a QoS 1 or 2 publish and its acknowledgement.
fn downs(model: &Model<'_>, wanted: impl Fn(&NodeDown) -> bool) -> usize {
    let under_way = |place: Place| {
        model
            .published
            .values()
            .filter(|message| message.qos != Qos::AtMostOnce && message.will_of.is_none())
            .any(|message| {
                message.first().place < place
                    && message.acknowledged.is_none_or(|acknowledged| acknowledged > place)
            })
    };
    model.ground.downs.iter().filter(|down| wanted(down.why) && under_way(down.place)).count()
}

fn crashes_in_recovery(model: &Model<'_>) -> usize {
    let twice = model.ground.downs.windows(2).filter(|pair| {
        !model.ground.ups.iter().any(|(place, _)| (pair[0].place..pair[1].place).contains(place))
    });
    twice.count()
}

fn resumed_after_crash(model: &Model<'_>) -> usize {
    let resumed = model.conns.values().filter(|conn| conn.resumed());
    resumed.filter(|conn| model.ground.crashes().any(|down| down.place < conn.opened)).count()
}

fn takeovers_in_flight(model: &Model<'_>) -> usize {
    let dismissed =
        model.conns.values().filter(|conn| conn.dismissed.is_some_and(|(_, sent)| sent.reason == 0x8e));
    let in_flight = dismissed.filter(|conn| {
        let received = conn.places.iter().filter(|place| {
            matches!(&model.record(**place).what, What::Received { packet: Packet::Publish(publish), .. } if publish.qos != Qos::AtMostOnce)
        });
        let ended = conn.places.iter().filter(|place| {
            matches!(&model.record(**place).what, What::Sent { packet: Packet::PubAck(_) | Packet::PubComp(_), .. })
        });
        received.count() > ended.count()
    });
    in_flight.count()
}

fn deliveries(model: &Model<'_>, wanted: impl Fn(Copy) -> bool) -> usize {
    model.deliveries.iter().flatten().filter(|delivery| wanted(delivery.copy)).count()
}

/// PUBRELs on a connection on which the PUBLISH did not come.
fn owed_pubrels(model: &Model<'_>) -> usize {
    let resumed = model.conns.values().filter(|conn| conn.resumed());
    let owed = resumed.map(|conn| {
        let mut begun: Vec<u16> = Vec::new();
        let mut owed = 0;
        for place in &conn.places {
            match &model.record(*place).what {
                What::Received { packet: Packet::Publish(publish), .. } => begun.push(publish.id),
                What::Received { packet: Packet::PubRel(ack), .. } if !begun.contains(&ack.id) => owed += 1,
                _ => {}
            }
        }
        owed
    });
    owed.sum()
}

fn resent(model: &Model<'_>, qos: Qos) -> usize {
    model.published.values().filter(|message| message.qos == qos && message.was_resent()).count()
}

/// Deliveries with a much lower identifier than the one before on the same connection.
fn wraps(model: &Model<'_>) -> usize {
    let connections = model.deliveries.iter().map(|deliveries| {
        let ids =
            deliveries.iter().filter(|delivery| delivery.copy == Copy::First && delivery.publish.id != 0);
        let ids: Vec<u16> = ids.map(|delivery| delivery.publish.id).collect();
        ids.windows(2).filter(|pair| pair[0] > pair[1].saturating_add(20_000)).count()
    });
    connections.sum()
}

fn refusals(model: &Model<'_>) -> usize {
    let records = model.history.records.iter();
    let refused = records.filter(|record| match &record.what {
        What::Sent { packet: Packet::PubAck(ack) | Packet::PubRec(ack), .. } => ack.is_error(),
        _ => false,
    });
    refused.count()
}

fn retained_races(model: &Model<'_>) -> usize {
    let subs = model.subs.iter().flatten().filter(|sub| !sub.is_shared());
    let raced = subs.filter(|sub| {
        let Some((answered, _)) = sub.granted() else { return false };
        model.writes.iter().any(|(topic, writes)| {
            let matching =
                broker_core::topic::TopicName::parse((*topic).into()).is_ok_and(|name| sub.matches(&name));
            matching
                && writes.len() > 1
                && writes.iter().any(|write| {
                    write.first() < answered && write.acknowledged.is_some_and(|done| done > sub.requested)
                })
        })
    });
    raced.count()
}

fn clears(model: &Model<'_>) -> usize {
    model
        .writes
        .values()
        .flatten()
        .filter(|write| write.tag.is_none() && write.acknowledged.is_some())
        .count()
}

fn wills_after_crash(model: &Model<'_>) -> usize {
    let wills = model.published.values().filter(|message| message.will_of.is_some());
    let after = wills.filter(|will| {
        let conn = &model.conns[&will.will_of.expect("a will has a connection")];
        let first = model
            .deliveries
            .iter()
            .flatten()
            .filter(|delivery| delivery.tag == Some(will.tag))
            .map(|delivery| delivery.place)
            .min();
        let (Some(first), Some(accepted)) = (first, conn.accepted()) else { return false };
        model.ground.crashes().any(|down| (accepted..first).contains(&down.place) && conn.open_at(down.place))
    });
    after.count()
}

/// Messages by a group that two members received.
fn moved(model: &Model<'_>) -> usize {
    let mut holders: BTreeMap<sim::history::Tag, Vec<&str>> = BTreeMap::new();
    for (life, subs, deliveries) in model.sessions() {
        if !subs.is_empty() && subs.iter().all(crate::model::Sub::is_shared) {
            for tag in deliveries.iter().filter_map(|delivery| delivery.tag) {
                let list = holders.entry(tag).or_default();
                if !list.contains(&life.client_id) {
                    list.push(life.client_id);
                }
            }
        }
    }
    holders.values().filter(|list| list.len() > 1).count()
}

fn dismissed(model: &Model<'_>, reason: u8) -> usize {
    model.conns.values().filter(|conn| conn.dismissed.is_some_and(|(_, sent)| sent.reason == reason)).count()
}

/// Connections whose Receive Maximum was exhausted.
fn held_back(model: &Model<'_>) -> usize {
    let exhausted = model.conns.values().filter(|conn| {
        let mut open = 0_u32;
        conn.receive_max() < 100
            && conn.places.iter().any(|place| {
                match &model.record(*place).what {
                    What::Received { packet: Packet::Publish(publish), .. }
                        if publish.qos != Qos::AtMostOnce =>
                    {
                        open += 1;
                    }
                    What::Sent { packet: Packet::PubAck(_) | Packet::PubComp(_), .. } => {
                        open = open.saturating_sub(1);
                    }
                    _ => {}
                }
                open >= u32::from(conn.receive_max())
            })
    });
    exhausted.count()
}

fn refused(model: &Model<'_>) -> usize {
    model.history.records.iter().filter(|record| matches!(record.what, What::NodeRefused { .. })).count()
}
