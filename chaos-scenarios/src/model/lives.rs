//! Lives of sessions: what one MQTT client identifier had, from one beginning to the next.
//!
//! A life begins with a CONNACK without Session Present. Where Session Present is set but the session may have been
//! replaced in between (a CONNECT with Clean Start whose answer never came), a new life begins *perhaps*: nothing is
//! demanded of the old one any more, and what it had may still show.

use super::conns::Conn;
use super::ground::{Ground, LATE_DETACH};
use super::{LifeNo, Place};
use broker_core::ids::ConnId;
use broker_core::time::{Duration, Instant};
use sim::history::{ClientNo, History, What};
use std::collections::BTreeMap;

/// A life of a session.
#[derive(Debug)]
pub struct Life<'a> {
    /// Its place in `Model::lives`.
    pub no: LifeNo,
    /// The MQTT client identifier.
    pub client_id: &'a str,
    /// Its accepted connections, in order.
    pub conns: Vec<ConnId>,
    /// How it began.
    pub began: Began,
    /// The life of the same identifier before it.
    pub previous: Option<LifeNo>,
    /// From where on it may have ended, if it may.
    pub may_end: Option<Place>,
    /// Whether its client is connected and at rest at the end of the run, so that all it is owed must have arrived.
    pub at_rest: bool,
}

/// How a life began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// With a CONNACK without Session Present.
    Anew,
    /// With Session Present, but the session may not be the one of the life before.
    Perhaps,
}

/// What must be true of Session Present in a CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// A session exists and must be resumed; since which connection, and whether it was away in between.
    Held {
        /// The connection that had it last.
        by: ConnId,
    },
    /// There is no session to resume; why.
    Gone(Gone),
    /// Either answer is right.
    Either,
}

/// Why there is no session to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The client asked for a clean start.
    CleanStart,
    /// Nobody had connected with this identifier.
    NeverWas,
    /// It was to end with its connection.
    EndedWithConnection,
    /// Its expiry interval had passed.
    Expired,
}

/// Connections by MQTT client identifier, in the order in which CONNECT was sent.
pub(super) type ByClientId<'a> = BTreeMap<&'a str, Vec<ConnId>>;

pub(super) fn by_client_id<'a>(conns: &BTreeMap<ConnId, Conn<'a>>) -> ByClientId<'a> {
    let mut found: BTreeMap<&'a str, Vec<(Place, ConnId)>> = BTreeMap::new();
    for conn in conns.values() {
        if let (Some(client_id), Some((place, _, _))) = (conn.client_id(), conn.connect) {
            found.entry(client_id).or_default().push((place, conn.id));
        }
    }
    let sorted = found.into_iter().map(|(client_id, mut list)| {
        list.sort_unstable();
        (client_id, list.into_iter().map(|(_, conn)| conn).collect())
    });
    sorted.collect()
}

pub(super) fn read<'a>(
    history: &History,
    ground: &Ground<'a>,
    conns: &BTreeMap<ConnId, Conn<'a>>,
    by_client_id: &ByClientId<'a>,
) -> Vec<Life<'a>> {
    let restless = restless(history, ground);
    let mut lives = Vec::new();
    for (client_id, list) in by_client_id {
        let first_life = lives.len();
        for conn in in_order_of_acceptance(conns, list) {
            let last = lives.get(first_life..).and_then(<[Life<'a>]>::last);
            let previous = last.and_then(|life| life.conns.last()).map(|before| &conns[before]);
            let began = match previous {
                Some(previous) if conn.resumed() => {
                    may_have_changed(ground, conns, list, previous, conn).then_some(Began::Perhaps)
                }
                None if conn.resumed() => Some(Began::Perhaps),
                _ => Some(Began::Anew),
            };
            match began {
                None => lives.last_mut().expect("a life to go on with").conns.push(conn.id),
                Some(began) => {
                    let previous = last.map(|life| life.no);
                    let no = LifeNo(lives.len());
                    let conns = vec![conn.id];
                    lives.push(Life { no, client_id, conns, began, previous, may_end: None, at_rest: false });
                }
            }
        }
        let count = lives.len();
        for (position, life) in lives.iter_mut().enumerate().skip(first_life) {
            life.may_end = may_end(ground, conns, list, life);
            let last = &conns[life.conns.last().expect("a life has a connection")];
            let whole = life.may_end.is_none() && position + 1 == count;
            life.at_rest = whole && is_at_rest(ground, last, &restless);
        }
    }
    lives
}

/// What must be true of Session Present in the CONNACK of `conn`.
pub(super) fn expectation(
    ground: &Ground<'_>,
    conns: &BTreeMap<ConnId, Conn<'_>>,
    list: &[ConnId],
    conn: &Conn<'_>,
) -> Expectation {
    let Some((connect_place, connect_at, connect)) = conn.connect else { return Expectation::Either };
    let (Some(connack_place), Some((_, connack_at, _))) = (conn.accepted(), conn.connack) else {
        return Expectation::Either;
    };
    if connect.clean_start {
        return Expectation::Gone(Gone::CleanStart);
    }
    let others: Vec<&Conn<'_>> =
        list.iter().map(|id| &conns[id]).filter(|other| other.id != conn.id).collect();
    let before = |other: &&&Conn<'_>| other.connect.is_some_and(|(place, _, _)| place < connack_place);
    if !others.iter().any(|other| before(&other)) {
        return Expectation::Gone(Gone::NeverWas);
    }
    let accepted = others.iter().filter(|other| other.accepted().is_some_and(|place| place < connect_place));
    let Some(last) = accepted.max_by_key(|other| other.accepted()) else { return Expectation::Either };
    let unclear: Vec<&&Conn<'_>> = others
        .iter()
        .filter(|other| other.id != last.id && may_act_between(ground, other, last, conn))
        .collect();
    let (shortest_s, longest_s) = last.expiry_s();
    let slack = ground.clock_slack();
    if unclear.iter().any(|other| may_reset(other)) {
        return Expectation::Either;
    }
    let away = connack_at.saturating_since(last.alive_at);
    // A connection that its client has not seen end may have ended for its silence, and its session with it; but one that is told so has ended
    // for another, and the session was there then.
    let takeover = unclear.is_empty() && last.taken_over_after(connect_place);
    if shortest_s > 0
        && (takeover || shortest_s == u32::MAX || away + slack < Duration::from_secs(shortest_s.into()))
    {
        return Expectation::Held { by: last.id };
    }
    let Some(settled_at) = last.settled_at(ground).filter(|at| *at < connect_at) else {
        return Expectation::Either;
    };
    if !unclear.is_empty() {
        return Expectation::Either;
    }
    let margin = slack + LATE_DETACH + Duration::from_secs(1);
    match longest_s {
        0 => Expectation::Gone(Gone::EndedWithConnection),
        u32::MAX => Expectation::Either,
        _ if connect_at.saturating_since(settled_at) > Duration::from_secs(longest_s.into()) + margin => {
            Expectation::Gone(Gone::Expired)
        }
        _ => Expectation::Either,
    }
}

fn in_order_of_acceptance<'c, 'a>(
    conns: &'c BTreeMap<ConnId, Conn<'a>>,
    list: &[ConnId],
) -> Vec<&'c Conn<'a>> {
    let mut accepted: Vec<&Conn<'a>> =
        list.iter().map(|id| &conns[id]).filter(|conn| conn.accepted().is_some()).collect();
    accepted.sort_by_key(|conn| conn.accepted());
    accepted
}

/// Whether `conn` ends the session it finds, or leaves one that ends with it.
fn may_reset(conn: &Conn<'_>) -> bool {
    conn.connect.is_some_and(|(_, _, connect)| connect.clean_start) || conn.expiry_s().0 == 0
}

/// Whether the broker may have taken up `other` after it took up `last` and before it took up `conn`.
fn may_act_between(ground: &Ground<'_>, other: &Conn<'_>, last: &Conn<'_>, conn: &Conn<'_>) -> bool {
    let (Some((sent, _, _)), Some(last_connect)) = (other.connect, last.connect) else { return false };
    let (_, last_connect_at, _) = last_connect;
    if conn.accepted().is_some_and(|accepted| sent > accepted) {
        return false;
    }
    match other.accepted() {
        // Accepted for sure before `last` was even asked for.
        Some(accepted) if accepted < last_connect.0 => false,
        Some(_) => true,
        None if !other.unanswered() => false,
        None => other.settled_at(ground).is_none_or(|settled_at| settled_at >= last_connect_at),
    }
}

/// Whether the session that `conn` resumed may be another than the one `previous` had.
fn may_have_changed(
    ground: &Ground<'_>,
    conns: &BTreeMap<ConnId, Conn<'_>>,
    list: &[ConnId],
    previous: &Conn<'_>,
    conn: &Conn<'_>,
) -> bool {
    let clean = conn.connect.is_some_and(|(_, _, connect)| connect.clean_start);
    if previous.expiry_s().0 == 0 || clean {
        return true;
    }
    let between: Vec<&Conn<'_>> = list
        .iter()
        .map(|id| &conns[id])
        .filter(|other| other.id != previous.id && other.id != conn.id)
        .filter(|other| may_act_between(ground, other, previous, conn))
        .collect();
    let expirable = previous.expiry_s().0 != u32::MAX
        && conn.connack.is_some_and(|(_, at, _)| {
            at.saturating_since(previous.alive_at) + ground.clock_slack()
                >= Duration::from_secs(previous.expiry_s().0.into())
        });
    // Two connections whose CONNECT and CONNACK overlap may have been taken up in either order.
    let crossed =
        conn.connect.is_some_and(|(sent, _, _)| previous.accepted().is_some_and(|place| sent < place));
    between.iter().any(|other| may_reset(other))
        || (expirable && !between.is_empty())
        || (crossed && may_reset(conn))
}

/// From where on `life` may have ended.
fn may_end(
    ground: &Ground<'_>,
    conns: &BTreeMap<ConnId, Conn<'_>>,
    list: &[ConnId],
    life: &Life<'_>,
) -> Option<Place> {
    let last = &conns[life.conns.last().expect("a life has a connection")];
    let accepted = last.accepted().expect("an accepted connection");
    let mut ends: Vec<Place> = Vec::new();
    // Whoever connects next with this identifier may find it gone, or end it.
    let resetting = list.iter().map(|id| &conns[id]).filter(|other| other.id != last.id && may_reset(other));
    for other in resetting {
        let (sent, sent_at, _) = other.connect.expect("listed by its CONNECT");
        if sent > accepted {
            ends.push(sent);
        } else if other.unanswered()
            && other.settled_at(ground).is_none_or(|settled_at| settled_at >= last.opened_at)
            && sent_at <= ground.last_at
        {
            ends.push(accepted);
        }
    }
    let (shortest_s, _) = last.expiry_s();
    let gone = last.closed.map(|(place, at, _)| (place, at));
    if shortest_s == 0 {
        let left = last.left.map(|(place, _)| place);
        let crash = ground.downs.iter().find(|down| down.place > accepted && down.node == last.node);
        let crash = crash.map(|down| down.place);
        let taken = list.iter().filter_map(|id| conns[id].connect).map(|(place, _, _)| place);
        let taken = taken.filter(|place| *place > accepted).min();
        ends.extend([gone.map(|(place, _)| place), left, crash, taken].into_iter().flatten());
    } else if let Some((place, _)) = gone
        && shortest_s != u32::MAX
    {
        let expires_at = last.alive_at + Duration::from_secs(shortest_s.into());
        if expires_at <= ground.last_at + ground.clock_slack() {
            ends.push(place);
        }
    }
    ends.into_iter().min()
}

fn is_at_rest(ground: &Ground<'_>, last: &Conn<'_>, restless: &[ClientNo]) -> bool {
    let healed = ground.end.is_some() && ground.healed.is_some();
    let dead_link = ground.half_open(last.client, last.opened_at, ground.last_at);
    let crashed = ground.downs.iter().any(|down| down.place > last.opened && down.node == last.node);
    let quiet = !last.hears_until_the_end(ground);
    healed && last.closed.is_none() && !restless.contains(&last.client) && !dead_link && !crashed && quiet
}

fn restless(history: &History, ground: &Ground<'_>) -> Vec<ClientNo> {
    match ground.end.map(|place| &history.records[place].what) {
        Some(What::End { restless }) => restless.clone(),
        _ => Vec::new(),
    }
}

/// The length of the time between two readings, for messages.
pub fn seconds_between(earlier: Instant, later: Instant) -> f64 {
    later.saturating_since(earlier).as_secs_f64()
}
