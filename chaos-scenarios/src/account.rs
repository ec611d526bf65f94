//! A run that did not hold, told so that a reader can follow it.

use crate::checkers::Because;
use crate::model::Model;
use crate::trial::Trial;
use broker_core::time::Instant;
use sim::Outcome;
use sim::history::{Packet, Publish, Record, Subscription, What};
use sim::scenario::Scenario;
use std::fmt::Write as _;

/// How many records are shown as what led to a finding.
const CAUSES_MAX: usize = 10;

/// The verdict, why, what led to it, and the command that replays it.
pub fn tell(scenario: &Scenario, outcome: &Outcome, trial: &Trial) -> String {
    let mut text = String::new();
    let model = Model::new(scenario, &outcome.history);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "story {}, seed {}: {:?}", trial.story, trial.seed, trial.ending());
    let _ = writeln!(
        text,
        "{} clients, {} ms simulated, {} connections, {} messages sent, {} received",
        scenario.clients.len(),
        outcome.stats.simulated_ms,
        outcome.stats.connections,
        outcome.stats.published,
        outcome.stats.delivered
    );
    for fault in &scenario.faults {
        let (from, until) = (seconds(fault.from), seconds(fault.until));
        let _ = writeln!(text, "  fault {} {from}..{until} {:?}", fault.id, fault.kind);
    }
    if let Some(words) = &trial.crash {
        let _ = writeln!(text, "\nthe broker crashed: {words}");
        let last = outcome.history.records.len().saturating_sub(CAUSES_MAX);
        show(&mut text, &model, last..outcome.history.records.len());
    }
    for broken in &trial.broken {
        let _ = writeln!(text, "\n{} {} is broken, because {}", broken.number, broken.name, broken.because);
        show(&mut text, &model, chosen(&broken.because));
    }
    let _ = writeln!(text, "\nreplay: chaos replay {} {}", trial.story, trial.seed);
    text
}

/// All records of a run, a line each.
pub fn history(outcome: &Outcome) -> String {
    let mut text = String::new();
    for record in &outcome.history.records {
        let _ = writeln!(text, "{}", line(record));
    }
    text
}

/// The causes to show: the first and the last ones, if there are too many.
fn chosen(because: &Because) -> impl Iterator<Item = usize> {
    let causes = &because.causes;
    let skipped = causes.len().saturating_sub(CAUSES_MAX);
    let (head, tail) = causes.split_at(causes.len().min(CAUSES_MAX / 2));
    head.iter().chain(&tail[skipped.min(tail.len())..]).copied()
}

fn show(text: &mut String, model: &Model<'_>, places: impl Iterator<Item = usize>) {
    for place in places {
        let _ = writeln!(text, "  {}", line(model.record(place)));
    }
}

fn seconds(at: Instant) -> String {
    format!("{:.3} s", at.as_nanos() as f64 / 1e9)
}

/// One record in one line.
fn line(record: &Record) -> String {
    let at = seconds(record.at);
    match &record.what {
        What::Sent { client, conn, packet } => format!("{at} {client} conn {conn} -> {}", words(packet)),
        What::Received { client, conn, packet } => format!("{at} {client} conn {conn} <- {}", words(packet)),
        What::Broker { node, event } => format!("{at} node {node} says {event:?}"),
        other => format!("{at} {other:?}"),
    }
}

fn words(packet: &Packet) -> String {
    match packet {
        Packet::Publish(publish) => published(publish),
        Packet::PubAck(ack) => format!("PUBACK {} 0x{:02X}", ack.id, ack.reason),
        Packet::PubRec(ack) => format!("PUBREC {} 0x{:02X}", ack.id, ack.reason),
        Packet::PubRel(ack) => format!("PUBREL {} 0x{:02X}", ack.id, ack.reason),
        Packet::PubComp(ack) => format!("PUBCOMP {} 0x{:02X}", ack.id, ack.reason),
        Packet::Connect(connect) => format!(
            "CONNECT '{}' clean start {} expiry {} s keep alive {} s{}",
            connect.client_id,
            connect.clean_start,
            connect.session_expiry_s,
            connect.keep_alive_s,
            connect.will.as_ref().map_or(String::new(), |will| format!(" will on '{}'", will.topic))
        ),
        Packet::ConnAck(connack) => {
            format!("CONNACK 0x{:02X} session present {}", connack.reason, connack.session_present)
        }
        Packet::Subscribe(subscribe) => {
            let filters: Vec<String> = subscribe.filters.iter().map(asked).collect();
            let id = subscribe.subscription_id.map_or(String::new(), |id| format!(" as {id}"));
            format!("SUBSCRIBE {} {}{id}", subscribe.id, filters.join(", "))
        }
        Packet::SubAck(granted) => format!("SUBACK {} {:02X?}", granted.id, granted.reasons),
        Packet::UnsubAck(granted) => format!("UNSUBACK {} {:02X?}", granted.id, granted.reasons),
        Packet::Disconnect(disconnect) => format!("DISCONNECT 0x{:02X}", disconnect.reason),
        other => format!("{other:?}"),
    }
}

fn asked(options: &Subscription) -> String {
    let mut text = format!("'{}' QoS {}", options.filter, options.qos as u8);
    if options.retain_handling != 0 {
        let _ = write!(text, " retain handling {}", options.retain_handling);
    }
    for (set, flag) in
        [(options.no_local, " no local"), (options.retain_as_published, " retain as published")]
    {
        if set {
            text.push_str(flag);
        }
    }
    text
}

fn published(publish: &Publish) -> String {
    let name = publish.tag().map_or("without payload".to_owned(), |tag| tag.to_string());
    let mut text = format!("PUBLISH {name} on '{}' QoS {}", publish.topic, publish.qos as u8);
    if publish.id != 0 {
        let _ = write!(text, " id {}", publish.id);
    }
    for (set, flag) in [(publish.dup, " DUP"), (publish.retain, " RETAIN")] {
        if set {
            text.push_str(flag);
        }
    }
    if let Some(expiry_s) = publish.expiry_s {
        let _ = write!(text, " expires in {expiry_s} s");
    }
    text
}
