//! Nothing is stuck: 37, 38.

use super::{Because, CONVERGES, Checker, Verdict};
use crate::model::{Conn, Model, Place, Window};
use broker_core::auth::Action;
use broker_core::event::Event;
use broker_core::ids::{NodeId, ShardId};
use broker_core::time::{Duration, Instant};
use sim::history::{ClientNo, Closer, NodeDown, What};
use sim::scenario::{Direction, FaultKind};
use std::collections::BTreeMap;

pub(super) const KEEP_ALIVE: Checker = Checker {
    number: 37,
    name: "KeepAlive",
    statement: "a silent client is closed at 1.5 times its keep alive, and one that is not silent is not",
    clause: "MQTT-3.1.2-22",
    check: |model| Verdict::first(model.conns.values().find_map(|conn| keep_alive(model, conn))),
};

pub(super) const CONVERGES_CHECKER: Checker = Checker {
    number: CONVERGES,
    name: "Converges",
    statement: "after everything heals every node serves, every client that retries is served, nothing is left open, and leadership is where it should be (in stories that wait for that)",
    clause: "ours",
    check: converges,
};

/// Reason code 0x87: Not authorized.
const NOT_AUTHORIZED: u8 = 0x87;

/// The reason code of a DISCONNECT that another connection of the same client has caused.
const TAKEN_OVER: u8 = 0x8e;
/// Reason code 0x8D: Keep Alive timeout.
const KEEP_ALIVE_TIMEOUT: u8 = 0x8d;

fn keep_alive(model: &Model<'_>, conn: &Conn<'_>) -> Option<Because> {
    let (_, _, connect) = conn.connect?;
    let (accepted, _, connack) = conn.connack.filter(|(_, _, connack)| connack.reason == 0)?;
    let keep_alive_s = connack.keep_alive_s.unwrap_or(connect.keep_alive_s);
    let limit = Duration::from_millis(1_500 * u64::from(keep_alive_s));
    let sent: Vec<Place> = conn
        .places
        .iter()
        .copied()
        .filter(|place| matches!(model.record(*place).what, What::Sent { .. }))
        .collect();
    let last_sent = *sent.last()?;
    let delayed = model.ground.delayed_until(conn.client, conn.node, conn.opened_at, model.ground.last_at);
    let unheard = model.ground.half_open(conn.client, conn.opened_at, model.ground.last_at);
    let slack = model.ground.clock_slack() + Duration::from_millis(500) + model.ground.healthy_delay();
    if let Some((place, dismissed)) =
        conn.dismissed.filter(|(_, dismissed)| dismissed.reason == KEEP_ALIVE_TIMEOUT)
    {
        let before = sent.iter().rev().find(|sent| **sent < place).copied().unwrap_or(accepted);
        let silent = model.at(place).saturating_since(model.at(before));
        let too_soon = keep_alive_s == 0 || silent + slack < limit;
        let disturbed = model.ground.disturbed(model.at(before), model.at(place));
        if too_soon && delayed.is_none() && !unheard && !disturbed {
            let what = format!(
                "{} was closed for its silence after {:.1} s; its keep alive is {keep_alive_s} s ({})",
                conn.id,
                silent.as_secs_f64(),
                dismissed.reason
            );
            return Some(Because::at(model, place, what).after([before, accepted]));
        }
    }
    if keep_alive_s == 0 {
        return None;
    }
    if let Some(because) = served_after_silence(model, conn, &sent, limit + slack) {
        return Some(because);
    }
    if delayed.is_some() || unheard {
        return None;
    }
    // Seen from the client: the close, or the end of the run.
    let until = conn.closed.map_or(model.ground.last_at, |(_, at, _)| at);
    let silences = sent.windows(2).map(|pair| (pair[0], model.at(pair[1])));
    let silent = silences.chain([(last_sent, until)]).find(|(from, until)| {
        // While its requests wait for a quorum it is not taken for silent.
        let waits = model.ground.disturbed(model.at(*from), *until);
        until.saturating_since(model.at(*from)) > limit + slack && up_from(model, *from, *until) && !waits
    });
    let (from, until) = silent?;
    let silent_s = until.saturating_since(model.at(from)).as_secs_f64();
    let what =
        format!("a client was silent for {silent_s:.1} s and kept; its keep alive is {keep_alive_s} s");
    Some(Because::at(model, from, what).after([accepted]))
}

/// A client that was silent for longer than `limit` and was answered afterwards: its connection had been kept. That holds
/// for a client that stood still, and for one whose bytes were held up on their way.
fn served_after_silence(
    model: &Model<'_>,
    conn: &Conn<'_>,
    sent: &[Place],
    limit: Duration,
) -> Option<Because> {
    let until = conn.closed.map_or(model.ground.last_at, |(_, at, _)| at);
    let holds_up = |window: &&Window<'_>| match window.kind {
        FaultKind::Stall { client, direction } => *client == conn.client && *direction != Direction::ToClient,
        _ => false,
    };
    // What delays single bytes blurs when the silence began; a node that stands still notices nothing.
    let blurred = model.ground.windows.iter().any(|window| {
        let about = window.from <= until && conn.opened_at <= window.until;
        about
            && match window.kind {
                FaultKind::Latency { client, .. }
                | FaultKind::Fragment { client, .. }
                | FaultKind::HalfOpen { client } => *client == conn.client,
                FaultKind::Pause { .. } | FaultKind::ClockRate { .. } | FaultKind::SlowSync { .. } => true,
                _ => false,
            }
    });
    if blurred || model.ground.disturbed(conn.opened_at, until) {
        return None;
    }
    let accepted = conn.accepted()?;
    let stalls =
        model.ground.windows.iter().filter(holds_up).filter(|window| window.from > model.at(accepted));
    let stalls = stalls.map(|window| (window.from, window.until));
    let pauses = sent.windows(2).map(|pair| (model.at(pair[0]), model.at(pair[1])));
    let no_stall = model.ground.windows.iter().all(|window| !holds_up(&window));
    let pauses = pauses.filter(|(from, _)| no_stall && *from >= model.at(accepted));
    let kept = stalls.chain(pauses).find(|(from, until)| {
        until.saturating_since(*from) > limit && conn.alive_at >= *until && conn.opened_at <= *from
    })?;
    let silent_s = kept.1.saturating_since(kept.0).as_secs_f64();
    let what =
        format!("a client that had been silent for {silent_s:.1} s was answered, instead of being closed");
    Some(Because::at(model, accepted, what).after(conn.places.last().copied()))
}

/// Whether the node was up and running all the time.
fn up_from(model: &Model<'_>, from: Place, until: Instant) -> bool {
    !model.ground.downs.iter().any(|down| down.place > from && down.at <= until)
}

fn converges(model: &Model<'_>) -> Verdict {
    let rotten = |node: NodeId| {
        let windows = model.ground.windows.iter();
        windows
            .map(|window| window.kind)
            .any(|kind| matches!(kind, FaultKind::BitRot { node: rotten, .. } if *rotten == node))
    };
    // A member of a cluster is replaced by another one, and nobody waits for it.
    let is_expected = |node: NodeId| rotten(node) && model.ground.is_gone_for_good(node);
    let refused = model.history.records.iter().enumerate().find_map(|(place, record)| match &record.what {
        What::NodeRefused { node, why } if !is_expected(*node) => Some((place, *node, why)),
        _ => None,
    });
    if let Some((place, node, why)) = refused {
        if rotten(node) {
            return Verdict::Unknown(format!("node {node} refused its damaged disk, as it must: {why}"));
        }
        let what = format!("node {node} could not start from its disk: {why}");
        return Verdict::Violated(Because::at(model, place, what));
    }
    let Some(end) = model.ground.end else {
        return Verdict::Unknown("the history has no end".to_owned());
    };
    let downs = model.ground.downs.iter();
    let stays_down = downs
        .filter(|down| !model.ground.is_gone_for_good(down.node))
        .find(|down| !model.ground.ups.iter().any(|(place, node)| *place > down.place && *node == down.node));
    if let Some(down) = stays_down.filter(|down| !matches!(down.why, NodeDown::Panicked(_))) {
        let what = format!("node {} went down and did not come back", down.node);
        return Verdict::Violated(Because::at(model, down.place, what));
    }
    let What::End { restless } = &model.record(end).what else { return Verdict::Holds };
    let excused = |client: ClientNo| is_shut_out(model, client) || is_replaced_unseen(model, client);
    if let Some(client) = restless.iter().find(|client| !excused(**client)) {
        if let Some(why) = model.ground.forgetful() {
            return Verdict::Unknown(format!(
                "{client} waits for the end of an exchange that may be forgotten: {why}"
            ));
        }
        return Verdict::Violated(restlessness(model, end, *client, restless.len()));
    }
    let draining = model.lives.iter().filter_map(|life| life.conns.last()).map(|conn| &model.conns[conn]);
    let draining = draining.filter(|conn| conn.closed.is_none() && model.ground.healed.is_some());
    if let Some(conn) = draining.into_iter().find(|conn| conn.hears_until_the_end(&model.ground)) {
        let what = format!(
            "what was queued for '{}' was still being delivered when the time was up",
            conn.client_id().unwrap_or_default()
        );
        let mut because = Because::at(model, end, what).after(conn.accepted());
        because.client = Some(conn.client);
        return Verdict::Violated(because);
    }
    Verdict::first(misled(model, end))
}

/// A shard that somebody leads who should not, at the end of a run that waited for that.
fn misled(model: &Model<'_>, end: Place) -> Option<Because> {
    if !model.scenario.phases.until_led {
        return None;
    }
    let mut leaders: BTreeMap<ShardId, (Place, NodeId)> = BTreeMap::new();
    for (place, record) in model.history.records.iter().enumerate() {
        if let What::Broker { node, event: Event::Leading { shard, .. } } = &record.what {
            leaders.insert(*shard, (place, *node));
        }
    }
    let wrong = |(shard, wanted): (ShardId, NodeId)| {
        let led = leaders.get(&shard);
        let who = led.map_or("nobody".to_owned(), |(_, node)| format!("node {node}"));
        let what =
            format!("when the time was up {who} led shard {shard}, which node {wanted} should have led");
        let wrong = led.is_none_or(|(_, node)| *node != wanted);
        wrong.then(|| Because::at(model, end, what).after(led.map(|(place, _)| *place)))
    };
    model.scenario.leaders().into_iter().find_map(wrong)
}

/// Whether the broker has begun a new session for the client's identifier between two of the client's connections, by a CONNECT whose answer nobody
/// has seen: the client cannot know that what was open went with the old session, and is told that one is present, then and whenever it comes
/// again. \[MQTT-3.1.2-4\]
fn is_replaced_unseen(model: &Model<'_>, client: ClientNo) -> bool {
    let own = model.conns.values().filter(|conn| conn.client == client && conn.accepted().is_some());
    let own: Vec<&Conn<'_>> = own.collect();
    let mut pairs = own.windows(2).rev().take_while(|pair| pair[1].resumed());
    pairs.any(|pair| is_replaced_between(model, pair[0], pair[1]))
}

fn is_replaced_between(model: &Model<'_>, before: &Conn<'_>, after: &Conn<'_>) -> bool {
    let (Some(from), Some(until)) = (before.accepted(), after.accepted()) else { return false };
    let mut begun = model.history.records[from..until].iter().filter_map(|record| match &record.what {
        What::Broker { event: Event::Connected { conn, session_present: false, .. }, .. } => {
            model.conns.get(conn)
        }
        _ => None,
    });
    let begun = begun.any(|conn| conn.connack.is_none() && conn.client_id() == after.client_id());
    begun || is_taken_over_unseen(model, before, after) || has_ended_unseen(model, before, after)
}

/// Whether the session ended between the two connections, although the second one is told that there is one: then a CONNECT between them, whose
/// answer nobody has seen, began it. Its connection may have been gone before, so that the broker says nothing of it.
fn has_ended_unseen(model: &Model<'_>, before: &Conn<'_>, after: &Conn<'_>) -> bool {
    let (Some(from), Some(until), Some((asked, ..))) = (before.accepted(), after.accepted(), after.connect)
    else {
        return false;
    };
    let ended = model.history.records[from..until].iter().any(|record| match &record.what {
        What::Broker { event: Event::SessionEnded { client_id, .. }, .. } => {
            after.client_id() == Some(client_id.as_ref())
        }
        _ => false,
    });
    let between = |conn: &Conn<'_>| conn.connect.is_some_and(|(place, ..)| (from..asked).contains(&place));
    let mut conns = model.conns.values();
    ended
        && conns.any(|conn| conn.connack.is_none() && conn.client_id() == after.client_id() && between(conn))
}

/// Whether the session of `before` was taken over before `last` asked for it, which only a CONNECT without an answer can have done, and there was one with
/// Clean Start: that its connection was closed before its attach was committed does not undo it.
fn is_taken_over_unseen(model: &Model<'_>, before: &Conn<'_>, last: &Conn<'_>) -> bool {
    let (Some((told, dismissal)), Some((asked, ..))) = (before.dismissed, last.connect) else { return false };
    let unanswered = model
        .conns
        .values()
        .filter(|conn| conn.connack.is_none() && conn.client_id() == last.client_id() && conn.opened < told);
    let clean = |conn: &Conn<'_>| conn.connect.is_some_and(|(_, _, connect)| connect.clean_start);
    dismissal.reason == TAKEN_OVER && told < asked && unanswered.into_iter().any(clean)
}

/// Whether the last answer to a client was that it may not publish its own will: it has been served.
fn is_shut_out(model: &Model<'_>, client: ClientNo) -> bool {
    let answered = model.conns.values().rev().find(|conn| conn.client == client && conn.connack.is_some());
    answered.is_some_and(|conn| {
        let refused = conn.connack.is_some_and(|(_, _, connack)| connack.reason == NOT_AUTHORIZED);
        let will = conn.connect.and_then(|(_, _, connect)| connect.will.as_ref());
        refused && will.is_some_and(|will| model.allowed(conn, Action::Publish, &will.topic) != Some(true))
    })
}

fn restlessness(model: &Model<'_>, end: Place, client: ClientNo, count: usize) -> Because {
    let (client_id, waits_for) = last_words(model, client);
    let clients = if count == 1 { "client" } else { "clients" };
    let what = format!("{count} {clients} did not come to rest, first {client} ('{client_id}'), {waits_for}");
    let mut because = Because::at(model, end, what);
    because.client = Some(client);
    let own =
        model.history.records.iter().enumerate().filter(|(_, record)| record.what.client() == Some(client));
    let last: Vec<Place> = own.map(|(place, _)| place).collect();
    because.after(last.iter().rev().take(8).copied())
}

/// The MQTT client identifier of `client`, and what became of its last connection.
fn last_words(model: &Model<'_>, client: ClientNo) -> (String, String) {
    let Some(conn) = model.conns.values().rfind(|conn| conn.client == client) else {
        return (String::new(), "which never connected".to_owned());
    };
    let state = match (conn.closed, conn.connack) {
        (Some((_, _, Closer::Broker)), _) => "whose last connection was closed by the broker",
        (Some(_), _) => "whose last connection is closed",
        (None, None) => "whose last CONNECT was not answered",
        (None, Some(_)) => "which is connected and waits for an answer",
    };
    (conn.client_id().unwrap_or_default().to_owned(), state.to_owned())
}
