//! Subscriptions of each life: requested, answered, given up, each with its place.

use super::lives::Began;
use super::{LifeNo, Model, Place};
use broker_core::ids::ConnId;
use broker_core::topic::{TopicFilter, TopicName};
use sim::history::{Granted, Packet, Qos, Subscribe, Subscription, Unsubscribe, What};
use std::collections::BTreeMap;

/// One filter of one SUBSCRIBE.
#[derive(Clone, Debug)]
pub struct Sub<'a> {
    /// The filter, parsed.
    pub filter: TopicFilter,
    /// The filter and its options as requested.
    pub options: &'a Subscription,
    /// The Subscription Identifier.
    pub id: Option<u32>,
    /// On which connection.
    pub conn: ConnId,
    /// Where it was requested.
    pub requested: Place,
    /// Where SUBACK was processed, and what it said; `None` if it was not: the subscription may or may not exist.
    pub answered: Option<(Place, Grant)>,
    /// Where UNSUBSCRIBE was sent first after the request.
    pub unsubscribing: Option<Place>,
    /// Where an UNSUBACK that ends it was processed.
    pub unsubscribed: Option<Place>,
    /// Whether it was requested in an earlier life that may be the same session: it may exist, nothing is demanded of it.
    pub carried: bool,
}

/// What SUBACK said of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Granted up to this quality of service.
    Granted(Qos),
    /// Refused with this reason code.
    Refused(u8),
    /// Refused with a reason code that may mean that a cluster could not make it in time, and took it back later: meanwhile
    /// it may have been in force.
    Undone(u8),
}

impl Grant {
    fn new(reason: u8, in_cluster: bool) -> Self {
        match reason {
            0 => Grant::Granted(Qos::AtMostOnce),
            1 => Grant::Granted(Qos::AtLeastOnce),
            2 => Grant::Granted(Qos::ExactlyOnce),
            // 3.1.1 has one code for all reasons.
            0x80 | 0x83 if in_cluster => Grant::Undone(reason),
            _ => Grant::Refused(reason),
        }
    }
}

impl Sub<'_> {
    /// Whether the filter matches `topic`.
    pub fn matches(&self, topic: &TopicName) -> bool {
        self.filter.matches(topic)
    }

    /// Whether it is a share of a group.
    pub fn is_shared(&self) -> bool {
        self.filter.share().is_some()
    }

    /// The quality of service that was granted, and where the client learned of it.
    pub fn granted(&self) -> Option<(Place, Qos)> {
        match self.answered {
            Some((place, Grant::Granted(qos))) => Some((place, qos)),
            _ => None,
        }
    }

    /// Whether it may have been in force at any time from `from` to `until`.
    pub fn perhaps(&self, from: Place, until: Place) -> bool {
        let refused = matches!(self.answered, Some((_, Grant::Refused(_))));
        self.requested < until && !refused && self.unsubscribed.is_none_or(|ended| from < ended)
    }
}

impl<'a> Model<'a> {
    /// The subscriptions of a life.
    pub fn subs_of(&self, life: LifeNo) -> &[Sub<'a>] {
        &self.subs[life.0]
    }

    /// The least quality of service at which `life` was surely subscribed to `topic` by the filter of `sub`, from `from`
    /// (where the message was sent first) to `until` (where it was accepted), and not unsubscribed since.
    pub fn surely(&self, life: LifeNo, sub: &Sub<'a>, from: Place, until: Place) -> Option<Qos> {
        let (since, granted) = sub.granted()?;
        if sub.carried || since >= from || sub.unsubscribing.is_some() {
            return None;
        }
        let same = self.subs_of(life).iter().filter(|other| other.options.filter == sub.options.filter);
        let replacing = same.filter(|other| other.requested > sub.requested && other.requested < until);
        let least = replacing.map(|other| match other.answered {
            Some((_, Grant::Granted(qos))) => qos,
            Some((_, Grant::Refused(_) | Grant::Undone(_))) => Qos::AtMostOnce,
            None => other.options.qos.min(granted),
        });
        Some(least.fold(granted, Qos::min))
    }
}

pub(super) fn read<'a>(model: &Model<'a>) -> Vec<Vec<Sub<'a>>> {
    let mut all: Vec<Vec<Sub<'a>>> = Vec::new();
    for life in &model.lives {
        let mut subs: Vec<Sub<'a>> = match (life.began, life.previous) {
            (Began::Perhaps, Some(previous)) => all[previous.0].iter().map(carried).collect(),
            _ => Vec::new(),
        };
        let mut places: Vec<Place> =
            life.conns.iter().flat_map(|conn| model.conns[conn].places.iter().copied()).collect();
        places.sort_unstable();
        read_life(model, &places, &mut subs);
        all.push(subs);
    }
    all
}

fn carried<'a>(sub: &Sub<'a>) -> Sub<'a> {
    Sub { carried: true, ..sub.clone() }
}

fn read_life<'a>(model: &Model<'a>, places: &[Place], subs: &mut Vec<Sub<'a>>) {
    let mut subscribing: BTreeMap<(ConnId, u16), Vec<usize>> = BTreeMap::new();
    let mut unsubscribing: BTreeMap<(ConnId, u16), (&'a Unsubscribe, usize)> = BTreeMap::new();
    for &place in places {
        match &model.record(place).what {
            What::Sent { conn, packet: Packet::Subscribe(subscribe), .. } => {
                let from = subs.len();
                subs.extend(requested(*conn, place, subscribe));
                subscribing.insert((*conn, subscribe.id), (from..subs.len()).collect());
            }
            What::Received { conn, packet: Packet::SubAck(granted), .. } => {
                let asked = subscribing.remove(&(*conn, granted.id)).unwrap_or_default();
                answer(subs, &asked, place, granted, model.ground.is_cluster());
            }
            What::Sent { conn, packet: Packet::Unsubscribe(unsubscribe), .. } => {
                for sub in subs.iter_mut().filter(|sub| unsubscribe.filters.contains(&sub.options.filter)) {
                    sub.unsubscribing.get_or_insert(place);
                }
                unsubscribing.insert((*conn, unsubscribe.id), (unsubscribe, subs.len()));
            }
            What::Received { conn, packet: Packet::UnsubAck(granted), .. } => {
                if let Some((unsubscribe, known)) = unsubscribing.remove(&(*conn, granted.id)) {
                    end(&mut subs[..known], unsubscribe, place, granted);
                }
            }
            _ => {}
        }
    }
}

/// The subscriptions that `subscribe` asks for. A filter that cannot be parsed can match nothing and is left out of the
/// model; its place in SUBACK is kept by [`answer`], which goes by the filters of the request.
fn requested<'a>(conn: ConnId, place: Place, subscribe: &'a Subscribe) -> impl Iterator<Item = Sub<'a>> {
    subscribe.filters.iter().filter_map(move |options| {
        let filter = TopicFilter::parse(&options.filter).ok()?;
        Some(Sub {
            filter,
            options,
            id: subscribe.subscription_id,
            conn,
            requested: place,
            answered: None,
            unsubscribing: None,
            unsubscribed: None,
            carried: false,
        })
    })
}

fn answer(subs: &mut [Sub<'_>], asked: &[usize], place: Place, granted: &Granted, in_cluster: bool) {
    // With one reason too few or too many nobody can say which filter was granted: see `AckIdMatches`.
    if asked.len() == granted.reasons.len() {
        for (sub, reason) in asked.iter().zip(&granted.reasons) {
            subs[*sub].answered = Some((place, Grant::new(*reason, in_cluster)));
        }
    }
}

fn end(subs: &mut [Sub<'_>], unsubscribe: &Unsubscribe, place: Place, granted: &Granted) {
    for (index, filter) in unsubscribe.filters.iter().enumerate() {
        let refused = granted.reasons.get(index).is_some_and(|reason| *reason >= 0x80);
        if !refused {
            for sub in subs.iter_mut().filter(|sub| sub.options.filter == *filter) {
                sub.unsubscribed.get_or_insert(place);
            }
        }
    }
}
