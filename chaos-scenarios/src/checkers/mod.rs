//! The promises a broker is held to, each a pure function of what clients saw.
//!
//! A checker judges what a history proves and nothing else: an operation without an answer may or may not have happened,
//! so it can neither be demanded nor be held against the broker. Three look at more and say so: `NoSilentDrop` reads
//! the recorded reasons, `Converges` whether the run came to rest, `Bounded` the configured limits.

mod access;
mod acknowledgements;
mod delivery;
mod expiry;
mod flow;
mod liveness;
mod memory;
mod order;
mod qos2;
mod reasons;
mod reports;
mod resend;
mod retained;
mod sessions;
mod shared;
mod subscriptions;
mod takeover;
mod wills;

#[cfg(test)]
pub(crate) mod tale;

use crate::model::{Model, Place};
use broker_core::ids::ConnId;
use broker_core::time::Instant;
use serde::Serialize;
use sim::history::{ClientNo, Tag};
use std::fmt;

/// One promise and its judge.
#[derive(Clone, Copy, Debug)]
pub struct Checker {
    /// Its number in `docs/invariants.md`.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// What it promises, in a sentence.
    pub statement: &'static str,
    /// Where the promise comes from: clauses of MQTT 5.0, or `ours`.
    pub clause: &'static str,
    /// The judge.
    pub check: fn(&Model<'_>) -> Verdict,
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The history does not contradict the promise.
    Holds,
    /// It does.
    Violated(Because),
    /// The history cannot tell.
    Unknown(String),
}

/// Why a promise is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Because {
    /// In one sentence.
    pub what: String,
    /// Which client saw it.
    pub client: Option<ClientNo>,
    /// On which connection.
    pub conn: Option<ConnId>,
    /// When.
    pub at: Instant,
    /// About which message.
    pub message: Option<Tag>,
    /// Places in the history that led to it, rising.
    pub causes: Vec<Place>,
}

/// The number of [`liveness`]'s promise, which is counted apart: nothing false was seen, but something is stuck.
pub const CONVERGES: u8 = 38;

/// All checkers, in the order of their numbers.
pub const ALL: &[Checker] = &[
    delivery::ACK_OWNED,
    delivery::NO_SILENT_DROP,
    qos2::QOS2_NO_DUPLICATE,
    delivery::QOS2_NEW_AFTER_COMP,
    delivery::QOS1_NEW_AFTER_ACK,
    qos2::NO_PUBLISH_AFTER_REL,
    qos2::OWED_PUBREL,
    resend::RESEND_UNACKED,
    resend::NO_OTHER_RESEND,
    resend::DUP_NOT_PROPAGATED,
    resend::FIRST_SEND_DUP0,
    acknowledgements::NACK_FINAL,
    flow::ID_UNIQUE,
    acknowledgements::ACK_ID_MATCHES,
    order::ORDER,
    takeover::ONE_CONNECTION,
    takeover::FENCING,
    sessions::CLEAN_START_DISCARDS,
    sessions::RESUME,
    sessions::SESSION_PRESENT_TRUE,
    delivery::RESUMED_ROUTABLE,
    sessions::KEEP_UNTIL_EXPIRY,
    sessions::DISCARD_AT_EXPIRY,
    delivery::SUBACK_EFFECTIVE,
    delivery::RESUBSCRIBE_NO_LOSS,
    subscriptions::UNSUBSCRIBE_STOPS,
    retained::RETAINED_LATEST,
    retained::RETAIN_HANDLING,
    wills::WILL_SENT,
    wills::WILL_SUPPRESSED,
    expiry::MESSAGE_EXPIRY,
    expiry::NO_EXPIRY_INFLIGHT,
    flow::RECEIVE_MAXIMUM,
    shared::SHARED_ONCE,
    subscriptions::OVERLAP_AND_IDS,
    access::ACL_ON_REPLAY,
    liveness::KEEP_ALIVE,
    liveness::CONVERGES_CHECKER,
    memory::BOUNDED,
    acknowledgements::WELL_FORMED,
    reports::NODES_TELL,
];

/// Judges a run by all checkers; in the order of their numbers.
pub fn judge(model: &Model<'_>) -> Vec<(&'static Checker, Verdict)> {
    ALL.iter().map(|checker| (checker, (checker.check)(model))).collect()
}

impl Because {
    /// The record at `place` shows it.
    fn at(model: &Model<'_>, place: Place, what: String) -> Self {
        let record = model.record(place);
        Because {
            what,
            client: record.what.client(),
            conn: record.what.conn(),
            at: record.at,
            message: None,
            causes: vec![place],
        }
    }

    /// It is about this message.
    fn about(mut self, tag: impl Into<Option<Tag>>) -> Self {
        self.message = tag.into();
        self
    }

    /// These records led to it.
    fn after(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        self.causes.extend(places);
        self.causes.sort_unstable();
        self.causes.dedup();
        self
    }
}

impl Verdict {
    /// The first finding, if there is one.
    fn first(found: Option<Because>) -> Self {
        found.map_or(Verdict::Holds, Verdict::Violated)
    }

    /// Why the promise is broken, if it is.
    pub fn violation(&self) -> Option<&Because> {
        match self {
            Verdict::Violated(because) => Some(because),
            Verdict::Holds | Verdict::Unknown(_) => None,
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)
    }
}

/// `Unknown` if the disk is not held to what was acknowledged in this run, else what `judge` finds.
fn unless_forgetful(model: &Model<'_>, judge: impl FnOnce() -> Option<Because>) -> Verdict {
    match model.ground.forgetful() {
        Some(why) => Verdict::Unknown(why.to_owned()),
        None => Verdict::first(judge()),
    }
}

#[cfg(test)]
mod tests;
