//! The session as a client keeps it: what it owes, what it is owed, which identifiers are in use.
//!
//! ```text
//! outgoing QoS 1:   Published ──PUBACK──► (gone)
//! outgoing QoS 2:   Published ──PUBREC──► Released ──PUBCOMP──► (gone)
//! incoming QoS 2:   (unknown) ──PUBLISH──► remembered ──PUBREL──► (unknown)
//! ```
//! Clients with the same MQTT client identifier share one store, as two processes of one application do; the one whose
//! connection owns it uses it.

use crate::history::{Publish, Tag};
use crate::scenario::StepId;
use broker_core::ids::ConnId;
use broker_core::time::{Duration, Instant};
use std::collections::BTreeSet;

/// A session store.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// The connection that uses it: the last on which a CONNECT was sent.
    pub(crate) owner: Option<ConnId>,
    /// The state was discarded, and the broker has not agreed yet: the next CONNECT must be a clean start.
    pub(crate) must_start_clean: bool,
    /// How long the session outlives its connection, as the last CONNECT asked.
    asked: Lifetime,
    /// The same, as the last CONNECT with a CONNACK asked.
    agreed: Lifetime,
    /// The shortest of what was agreed and of what CONNECTs without a CONNACK have asked since.
    shortest: Lifetime,
    /// The last CONNECT has its CONNACK.
    confirmed: bool,
    /// When the last confirmed connection was lost.
    lost_at: Option<Instant>,
    /// The session may have ended, and a CONNECT asked for it: until its CONNACK is seen, nobody knows whether the broker
    /// still has this session or has begun another.
    in_doubt: bool,
    outgoing: Vec<Outgoing>,
    incoming: BTreeSet<u16>,
    requests: BTreeSet<u16>,
    last_id: u16,
    releases: u64,
}

/// How long a session outlives its connection; the longest is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lifetime(Duration);

impl Lifetime {
    const NONE: Lifetime = Lifetime(Duration::ZERO);

    /// As in a CONNECT of MQTT 5.0.
    fn of(session_expiry_s: u32) -> Self {
        match session_expiry_s {
            u32::MAX => Lifetime::default(),
            seconds => Lifetime(Duration::from_secs(seconds.into())),
        }
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Lifetime(Duration::MAX)
    }
}

/// A QoS 1 or 2 publish that is not yet acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// As first sent.
    pub(crate) publish: Publish,
    /// The step it belongs to.
    pub(crate) step: Option<StepId>,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Published,
    Released { order: u64 },
}

/// What is to be sent again after a resume.
#[derive(Debug)]
pub(crate) enum Resend {
    /// A PUBLISH, with DUP set.
    Publish(Publish),
    /// A PUBREL.
    PubRel(u16),
}

impl Store {
    /// The lowest identifier that is not in use, or the next one after the last if `rising`.
    pub(crate) fn free_id(&mut self, rising: bool) -> u16 {
        let start = if rising { self.last_id } else { 0 };
        let mut id = start;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if !self.requests.contains(&id) && !self.outgoing.iter().any(|out| out.publish.id == id) {
                self.last_id = id;
                return id;
            }
        }
    }

    /// An identifier is used by a SUBSCRIBE or UNSUBSCRIBE.
    pub(crate) fn request(&mut self, id: u16) {
        self.requests.insert(id);
    }

    /// A SUBSCRIBE or UNSUBSCRIBE was answered.
    pub(crate) fn answered(&mut self, id: u16) {
        self.requests.remove(&id);
    }

    /// What is not acknowledged.
    pub(crate) fn in_flight(&self) -> usize {
        self.outgoing.len()
    }

    /// A publish is sent for the first time.
    pub(crate) fn published(&mut self, publish: Publish, step: Option<StepId>) {
        self.outgoing.push(Outgoing { publish, step, progress: Progress::Published });
    }

    /// PUBACK, or a PUBREC that refuses: the exchange ends.
    pub(crate) fn ended(&mut self, id: u16) -> Option<Outgoing> {
        let place = self.place(id, |progress| progress == Progress::Published)?;
        Some(self.outgoing.remove(place))
    }

    /// PUBREC: the publish is not sent again. `None` if the identifier is unknown.
    pub(crate) fn received(&mut self, id: u16) -> Option<&Outgoing> {
        let place = self.place(id, |_| true)?;
        let outgoing = &mut self.outgoing[place];
        if outgoing.progress == Progress::Published {
            self.releases += 1;
            outgoing.progress = Progress::Released { order: self.releases };
        }
        Some(outgoing)
    }

    /// PUBCOMP: the exchange ends, if it had got that far.
    pub(crate) fn completed(&mut self, id: u16) -> Option<Outgoing> {
        let place = self.place(id, |progress| progress != Progress::Published)?;
        Some(self.outgoing.remove(place))
    }

    /// A QoS 2 PUBLISH arrived: whether it is a new one.
    pub(crate) fn arrived(&mut self, id: u16) -> bool {
        self.incoming.insert(id)
    }

    /// A PUBREL arrived, or the client refused the message: whether the identifier was known.
    pub(crate) fn released(&mut self, id: u16) -> bool {
        self.incoming.remove(&id)
    }

    /// What is to be sent after the broker said that it has the session: PUBRELs in the order of their PUBRECs, and
    /// PUBLISHes in the order of first sending. \[MQTT-4.4.0-1, 4.6.0-1, 4.6.0-4\]
    pub(crate) fn resend(&self) -> Vec<Resend> {
        let mut releases: Vec<(u64, u16)> = Vec::new();
        let mut publishes = Vec::new();
        for out in &self.outgoing {
            match out.progress {
                Progress::Released { order } => releases.push((order, out.publish.id)),
                Progress::Published => publishes.push(Publish { dup: true, ..out.publish.clone() }),
            }
        }
        releases.sort_unstable();
        let releases = releases.into_iter().map(|(_, id)| Resend::PubRel(id));
        releases.chain(publishes.into_iter().map(Resend::Publish)).collect()
    }

    /// The broker has no session, or it is to have none: what was under way is given up (whether it arrived is unknown
    /// for ever). The names of the messages given up.
    pub(crate) fn discard(&mut self) -> Vec<Tag> {
        self.incoming.clear();
        std::mem::take(&mut self.outgoing).iter().filter_map(|out| out.publish.tag()).collect()
    }

    /// A CONNECT is sent: `session_expiry_s` as in MQTT 5.0.
    pub(crate) fn connects(&mut self, now: Instant, conn: ConnId, clean_start: bool, session_expiry_s: u32) {
        self.requests.clear();
        self.owner = Some(conn);
        if clean_start {
            // From here on the broker may have forgotten the session: the client must not count on it any more, and
            // must not use a session that may have survived.
            self.discard();
            self.must_start_clean = true;
        } else if self.confirmed && self.agreed == Lifetime::NONE {
            // It ends with the connection that this one takes the place of.
            self.discard();
        } else if let Some(lost_at) = self.lost_at {
            // Half the time: the broker's clock may be faster.
            self.in_doubt |= now >= lost_at + self.shortest.0 / 2;
        }
        self.confirmed = false;
        self.asked = Lifetime::of(session_expiry_s);
        self.shortest = self.shortest.min(self.asked);
    }

    /// CONNACK: the broker and the client agree on the session.
    pub(crate) fn connected(&mut self) {
        self.must_start_clean = false;
        self.in_doubt = false;
        self.lost_at = None;
        self.confirmed = true;
        self.agreed = self.asked;
        self.shortest = self.asked;
    }

    /// A DISCONNECT changes how long the session is to outlive its connection, as in MQTT 5.0.
    pub(crate) fn lives_for(&mut self, session_expiry_s: u32) {
        self.asked = Lifetime::of(session_expiry_s);
        self.agreed = self.asked;
        self.shortest = self.asked;
    }

    /// Whether the next CONNECT must ask for a clean start.
    pub(crate) fn must_start_clean(&self) -> bool {
        self.must_start_clean || self.in_doubt
    }

    /// The connection that owned it is lost: requests that were not answered will be sent anew, and a session that was to
    /// end with its connection has ended.
    pub(crate) fn disconnected(&mut self, now: Instant) {
        self.requests.clear();
        self.lost_at.get_or_insert(now);
        if self.confirmed && self.agreed == Lifetime::NONE {
            self.discard();
            self.lost_at = None;
        }
    }

    /// Whether nothing is owed in either direction.
    pub(crate) fn is_settled(&self) -> bool {
        self.outgoing.is_empty() && self.incoming.is_empty() && self.requests.is_empty()
    }

    fn place(&self, id: u16, wanted: impl Fn(Progress) -> bool) -> Option<usize> {
        self.outgoing.iter().position(|out| out.publish.id == id && wanted(out.progress))
    }
}

#[cfg(test)]
mod tests {
    use super::{Publish, Resend, Store};

    fn publish(id: u16) -> Publish {
        Publish { id, ..Publish::default() }
    }

    #[test]
    fn what_is_owed_is_resent_in_order() {
        let mut store = Store::default();
        for id in 1..=4 {
            store.published(publish(id), None);
        }
        assert!(store.received(3).is_some());
        assert!(store.received(1).is_some());
        assert!(store.completed(2).is_none(), "PUBCOMP before PUBREC ends nothing");
        assert!(store.ended(2).is_some());
        let resent: Vec<(bool, u16)> = store
            .resend()
            .into_iter()
            .map(|one| match one {
                Resend::PubRel(id) => (true, id),
                Resend::Publish(publish) => (false, publish.id),
            })
            .collect();
        assert_eq!(resent, [(true, 3), (true, 1), (false, 4)]);
    }

    #[test]
    fn an_identifier_is_free_again_when_its_exchange_ended() {
        let mut store = Store::default();
        store.published(publish(1), None);
        store.request(2);
        assert_eq!(store.free_id(false), 3);
        store.answered(2);
        assert_eq!(store.free_id(false), 2);
        assert_eq!(store.free_id(true), 3);
    }
}
