//! What a history says, in the words that checkers use: sessions, subscriptions, publishes and deliveries.
//!
//! Derived once a run and shared by all checkers. It keeps to what clients saw: an operation whose answer never came may
//! or may not have happened, for ever after, and every derived fact says which of the two readings it is for.

mod conns;
mod deliveries;
mod ground;
mod lives;
mod owed;
mod publishes;
mod subscriptions;
mod writes;

pub use conns::{Conn, TAKEN_OVER};
pub use deliveries::{Copy, Delivery};
pub use ground::{Down, Ground, LATE_DETACH, SETTLING, Window};
pub use lives::{Began, Expectation, Gone, Life, seconds_between};
pub use owed::{Missing, Owed};
pub use publishes::{Published, Sending};
pub use subscriptions::{Grant, Sub};
pub use writes::Write;

use broker_core::auth::Action;
use broker_core::event::{DropReason, Event};
use broker_core::ids::ConnId;
use broker_core::time::Instant;
use broker_core::topic::TopicName;
use sim::history::{ClientNo, History, Packet, Record, Tag, What};
use sim::scenario::Scenario;
use std::collections::BTreeMap;

/// A place in `History::records`: earlier places happened before later ones.
pub type Place = usize;

/// A place in [`Model::lives`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LifeNo(pub usize);

/// Recorded reasons for not delivering a message, by client identifier (`None`: to nobody) and message.
pub type Drops<'a> = BTreeMap<(Option<&'a str>, Tag), Vec<(Place, DropReason)>>;

/// A history, understood.
#[derive(Debug)]
pub struct Model<'a> {
    /// What was agreed before the run (limits, access lists, durability) and what the faults were.
    pub scenario: &'a Scenario,
    /// What happened.
    pub history: &'a History,
    /// Faults, crashes, and how far clocks can be trusted.
    pub ground: Ground<'a>,
    /// All connections.
    pub conns: BTreeMap<ConnId, Conn<'a>>,
    /// Connections by MQTT client identifier, in the order of their CONNECT.
    pub by_client_id: BTreeMap<&'a str, Vec<ConnId>>,
    /// Lives of sessions, those of one identifier together and in order.
    pub lives: Vec<Life<'a>>,
    /// The life each accepted connection belongs to.
    pub life_of: BTreeMap<ConnId, LifeNo>,
    /// Subscriptions of each life, in the order of their requests.
    pub subs: Vec<Vec<Sub<'a>>>,
    /// Messages by name, wills included.
    pub published: BTreeMap<Tag, Published<'a>>,
    /// What each life received, in order.
    pub deliveries: Vec<Vec<Delivery<'a>>>,
    /// The reasons the broker recorded for not delivering a message, by client identifier and message.
    pub drops: Drops<'a>,
    /// The writes of each topic's retained message, in the order of their first sending.
    pub writes: BTreeMap<&'a str, Vec<Write>>,
    /// What must have arrived, and whether it did.
    pub owed: Vec<Owed>,
    /// The largest payload that anybody sent, in bytes.
    pub payload_bytes_max: u64,
}

impl<'a> Model<'a> {
    /// Reads `history`, which is a run of `scenario`.
    pub fn new(scenario: &'a Scenario, history: &'a History) -> Self {
        let ground = Ground::new(scenario, history);
        let conns = conns::read(history, ground.is_cluster());
        let by_client_id = lives::by_client_id(&conns);
        let lives = lives::read(history, &ground, &conns, &by_client_id);
        let life_of = lives.iter().flat_map(|life| life.conns.iter().map(|conn| (*conn, life.no))).collect();
        let mut model = Model {
            scenario,
            history,
            ground,
            conns,
            by_client_id,
            lives,
            life_of,
            subs: Vec::new(),
            published: BTreeMap::new(),
            deliveries: Vec::new(),
            drops: drops(history),
            writes: writes::read(history),
            owed: Vec::new(),
            payload_bytes_max: payload_bytes_max(history),
        };
        model.subs = subscriptions::read(&model);
        model.published = publishes::read(&model);
        model.deliveries = deliveries::read(&model);
        model.owed = owed::read(&model);
        model.refuse_unauthorized_writes();
        model
    }

    /// In 3.1.1 a publish that is not allowed is acknowledged like any other, so that no refusal shows it.
    fn refuse_unauthorized_writes(&mut self) {
        let mut writes = std::mem::take(&mut self.writes);
        for (topic, list) in &mut writes {
            for write in list {
                let conn = &self.conns[&write.sent[0].1];
                write.refused |= self.allowed(conn, Action::Publish, topic) != Some(true);
            }
        }
        self.writes = writes;
    }

    /// The record at `place`.
    pub fn record(&self, place: Place) -> &'a Record {
        &self.history.records[place]
    }

    /// When the record at `place` was made.
    pub fn at(&self, place: Place) -> Instant {
        self.history.records[place].at
    }

    /// The lives with their subscriptions and deliveries.
    pub fn sessions(&self) -> impl Iterator<Item = (&Life<'a>, &[Sub<'a>], &[Delivery<'a>])> {
        self.lives.iter().map(|life| (life, &self.subs[life.no.0][..], &self.deliveries[life.no.0][..]))
    }

    /// One life.
    pub fn life(&self, no: LifeNo) -> &Life<'a> {
        &self.lives[no.0]
    }

    /// The connection of a life that was accepted last before `place`.
    pub fn conn_before(&self, life: &Life<'_>, place: Place) -> Option<&Conn<'a>> {
        let conns = life.conns.iter().rev().map(|conn| &self.conns[conn]);
        conns.into_iter().find(|conn| conn.accepted().is_some_and(|accepted| accepted < place))
    }

    /// What Session Present must be in the CONNACK of `conn`.
    pub fn expectation(&self, conn: &Conn<'_>) -> Expectation {
        let list = conn.client_id().and_then(|client_id| self.by_client_id.get(client_id));
        list.map_or(Expectation::Either, |list| lives::expectation(&self.ground, &self.conns, list, conn))
    }

    /// Whether `action` on `topic` was allowed to the client of `conn`: `Some` if it is clear, `None` if the access list
    /// changed while the connection was being authenticated.
    pub fn allowed(&self, conn: &Conn<'_>, action: Action, topic: &str) -> Option<bool> {
        let topic = TopicName::parse(topic.into()).ok()?;
        let (_, sent_at, _) = conn.connect?;
        let until = conn.connack.map_or(self.ground.last_at, |(_, at, _)| at);
        let begun =
            self.scenario.acl.iter().map(|list| list.from).filter(|from| sent_at < *from && *from <= until);
        let answers: Vec<bool> = std::iter::once(sent_at)
            .chain(begun)
            .map(|at| self.scenario.permissions(conn.client, at).allows(action, &topic))
            .collect();
        answers.iter().all(|answer| *answer == answers[0]).then_some(answers[0])
    }

    /// Whether the broker's own account is in the history.
    pub fn has_events(&self) -> bool {
        self.history.events().next().is_some()
    }

    /// The reasons recorded for `tag` not reaching `client_id`.
    pub fn reasons(&self, client_id: &'a str, tag: Tag) -> impl Iterator<Item = (Place, DropReason)> {
        let own = self.drops.get(&(Some(client_id), tag)).into_iter().flatten();
        own.chain(self.drops.get(&(None, tag)).into_iter().flatten()).copied()
    }

    /// The client of the scenario that used `life` last.
    pub fn client_of(&self, life: &Life<'_>) -> ClientNo {
        self.conns[life.conns.last().expect("a life has a connection")].client
    }
}

fn payload_bytes_max(history: &History) -> u64 {
    let sent = history.records.iter().filter_map(|record| match &record.what {
        What::Sent { packet: Packet::Publish(publish), .. } => Some(publish.payload.len() as u64),
        _ => None,
    });
    sent.max().unwrap_or(0)
}

fn drops(history: &History) -> Drops<'_> {
    let mut drops = Drops::new();
    for (place, record) in history.records.iter().enumerate() {
        if let What::Broker { event: Event::Dropped { client_id, payload, reason, .. }, .. } = &record.what
            && let Some(tag) = Tag::parse(payload)
        {
            drops.entry((client_id.as_deref(), tag)).or_default().push((place, *reason));
        }
    }
    drops
}

#[cfg(test)]
mod tests;
