//! Sessions begin, are resumed, and end: 18, 19, 20, 22, 23.

use super::subscriptions::{Unsolicited, unsolicited};
use super::{Because, Checker, Verdict, unless_forgetful};
use crate::model::{Began, Conn, Expectation, Gone, Life, Missing, Model, Place};
use broker_core::event::{DropReason, Event};
use sim::history::{Packet, What};
use std::collections::BTreeSet;
use std::ops::Range;

pub(super) const CLEAN_START_DISCARDS: Checker = Checker {
    number: 18,
    name: "CleanStartDiscards",
    statement: "a clean start discards the session: nothing of it is seen again",
    clause: "MQTT-3.1.2-4",
    check: |model| Verdict::first(leftover(model, true).or_else(|| stray_pubrel(model))),
};

pub(super) const RESUME: Checker = Checker {
    number: 19,
    name: "Resume",
    statement: "a session that exists is resumed",
    clause: "MQTT-3.1.2-5",
    check: |model| unless_forgetful(model, || not_resumed(model, |_, _| true)),
};

pub(super) const SESSION_PRESENT_TRUE: Checker = Checker {
    number: 20,
    name: "SessionPresentTrue",
    statement: "Session Present is not set when there is no session",
    clause: "MQTT-3.2.2-2, MQTT-3.2.2-3",
    check: |model| Verdict::first(wrongly_resumed(model, |gone| gone != Gone::Expired)),
};

pub(super) const KEEP_UNTIL_EXPIRY: Checker = Checker {
    number: 22,
    name: "KeepUntilExpiry",
    statement: "a session is kept, with what is queued for it, while its client is away and until its expiry",
    clause: "MQTT-4.1.0-1, MQTT-3.1.2-23",
    check: |model| {
        unless_forgetful(model, || not_resumed(model, was_away).or_else(|| lost_while_away(model)))
    },
};

pub(super) const DISCARD_AT_EXPIRY: Checker = Checker {
    number: 23,
    name: "DiscardAtExpiry",
    statement: "a session is discarded at its expiry: it is not resumed, and nothing of it is seen again",
    clause: "MQTT-4.1.0-2",
    check: |model| {
        Verdict::first(
            wrongly_resumed(model, |gone| gone == Gone::Expired).or_else(|| leftover(model, false)),
        )
    },
};

/// A delivery that only a subscription of an earlier life explains; the life began with a clean start, or else.
fn leftover(model: &Model<'_>, clean: bool) -> Option<Because> {
    let lives = model.lives.iter().filter(|life| life.began == Began::Anew);
    lives.filter(|life| began_clean(model, life) == clean).find_map(|life| {
        let found = unsolicited(model, life)?;
        let of_before = matches!(found.1, Unsolicited::OfEarlierLife(_));
        of_before.then_some(found.0)
    })
}

fn began_clean(model: &Model<'_>, life: &Life<'_>) -> bool {
    let first = &model.conns[life.conns.first().expect("a life has a connection")];
    first.connect.is_some_and(|(_, _, connect)| connect.clean_start)
}

/// A PUBREL for an exchange that did not begin in the life that receives it. A message that may have been sent on a connection that
/// is gone, and may not be sent again, is dropped with a recorded reason; the PUBREL that ends its exchange goes to clients that never saw it too.
fn stray_pubrel(model: &Model<'_>) -> Option<Because> {
    for life in model.lives.iter().filter(|life| life.began == Began::Anew) {
        let mut begun: BTreeSet<u16> = BTreeSet::new();
        let mut places: Vec<Place> =
            life.conns.iter().flat_map(|conn| model.conns[conn].places.iter().copied()).collect();
        places.sort_unstable();
        let mut strays = 0;
        for place in places {
            match &model.record(place).what {
                What::Received { packet: Packet::Publish(publish), .. } => {
                    begun.insert(publish.id);
                }
                // A client may ask for one by answering what was never sent to it.
                What::Sent { packet: Packet::PubRec(ack), .. } => {
                    begun.insert(ack.id);
                }
                What::Received { packet: Packet::PubRel(ack), .. } if !begun.contains(&ack.id) => {
                    strays += 1;
                    let first = &model.conns[life.conns.first().expect("a life has a connection")];
                    if strays <= withheld(model, life.client_id, first.opened..place) {
                        continue;
                    }
                    let what =
                        format!("PUBREL {} came, and no PUBLISH of this session had that identifier", ack.id);
                    return Some(Because::at(model, place, what).after(first.accepted()));
                }
                _ => {}
            }
        }
    }
    None
}

/// How many messages were recorded between two places as not sent to a client because it may not have them, or not take them.
fn withheld(model: &Model<'_>, client: &str, between: Range<Place>) -> usize {
    let records = &model.history.records[between];
    let withheld = records.iter().filter(|record| match &record.what {
        What::Broker { event: Event::Dropped { client_id: Some(whose), reason, .. }, .. } => {
            whose == client && matches!(reason, DropReason::NotAuthorized | DropReason::PacketTooLarge)
        }
        _ => false,
    });
    withheld.count()
}

fn not_resumed(model: &Model<'_>, concerned: impl Fn(&Conn<'_>, &Conn<'_>) -> bool) -> Option<Because> {
    let fresh = model.conns.values().filter(|conn| conn.accepted().is_some() && !conn.resumed());
    fresh.into_iter().find_map(|conn| match model.expectation(conn) {
        Expectation::Held { by } if concerned(&model.conns[&by], conn) => {
            let holder = &model.conns[&by];
            let client_id = conn.client_id().unwrap_or_default();
            let what = format!("the session of '{client_id}' exists and was not resumed");
            let closed = holder.closed.map(|(place, _, _)| place);
            Some(Because::at(model, conn.accepted()?, what).after(holder.accepted()).after(closed))
        }
        _ => None,
    })
}

/// Whether the session outlived its connection, rather than being taken over.
fn was_away(holder: &Conn<'_>, conn: &Conn<'_>) -> bool {
    holder.closed.is_some_and(|(place, _, _)| place < conn.opened)
}

fn wrongly_resumed(model: &Model<'_>, concerned: impl Fn(Gone) -> bool) -> Option<Because> {
    model.conns.values().filter(|conn| conn.resumed()).find_map(|conn| match model.expectation(conn) {
        Expectation::Gone(gone) if concerned(gone) => {
            let why = match gone {
                Gone::CleanStart => "a clean start was asked for",
                Gone::NeverWas => "nobody had connected with its identifier",
                Gone::EndedWithConnection => "it was to end with its connection",
                Gone::Expired => "its expiry interval had passed",
            };
            let client_id = conn.client_id().unwrap_or_default();
            let what = format!("Session Present is set for '{client_id}', although {why}");
            let earlier = model.by_client_id.get(client_id).into_iter().flatten().map(|id| &model.conns[id]);
            let closed = earlier.filter(|other| other.id < conn.id).filter_map(|other| other.closed);
            let closed = closed.map(|(place, _, _)| place).max();
            Some(Because::at(model, conn.accepted()?, what).after(closed))
        }
        _ => None,
    })
}

/// A message that was sent while its session was away, and is missing.
fn lost_while_away(model: &Model<'_>) -> Option<Because> {
    let missing = model.owed.iter().filter(|owed| owed.missing == Missing::Silently && !owed.excusable);
    let away = missing.into_iter().find(|owed| {
        let conn = model.conn_before(model.life(owed.life), owed.sent);
        owed.group.is_none() && conn.is_some_and(|conn| !conn.open_at(owed.sent))
    })?;
    let life = model.life(away.life);
    let what =
        format!("{} was acknowledged while '{}' was away, and did not reach it", away.tag, life.client_id);
    let back = model.conns[life.conns.last().expect("a life has a connection")].accepted();
    Some(Because::at(model, away.acknowledged, what).about(away.tag).after([away.sent]).after(back))
}
