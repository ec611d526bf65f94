//! Questions to the gatekeeper. Checking a password is slow on purpose, so it happens on threads of its own, of which
//! there are few, and only so many clients may wait.

use super::{Node, SharedNode};
use crate::auth::{Anonymous, PasswordGate, Passwords};
use crate::net::Stream;
use broker_core::auth::{Credentials, Decision, Gatekeeper as _};
use broker_core::ids::ConnId;
use std::collections::VecDeque;
use std::sync::Arc;

/// Answers who may connect.
#[derive(Debug)]
pub struct Authenticator {
    gate: Gate,
    bounds: CheckBounds,
    /// Checks that are under way.
    running: u32,
    /// Clients whose password is to be checked.
    waiting: VecDeque<(ConnId, Credentials)>,
}

/// How many passwords are checked.
#[derive(Clone, Copy, Debug)]
pub struct CheckBounds {
    /// At the same time.
    pub at_once_max: u32,
    /// At the same time and waiting together.
    pub waiting_max: u32,
}

#[derive(Debug)]
enum Gate {
    Anonymous(Anonymous),
    Passwords(PasswordGate),
}

/// What is to be done with a question.
enum Answer {
    Now(Decision),
    Later,
    /// Too many wait already.
    Never,
}

impl Authenticator {
    /// Everybody may connect.
    pub fn anonymous(gate: Anonymous) -> Self {
        Self::with(Gate::Anonymous(gate), CheckBounds { at_once_max: 0, waiting_max: 0 })
    }

    /// Those who know a password may connect.
    pub fn passwords(gate: PasswordGate, bounds: CheckBounds) -> Self {
        Self::with(Gate::Passwords(gate), bounds)
    }

    fn with(gate: Gate, bounds: CheckBounds) -> Self {
        Authenticator { gate, bounds, running: 0, waiting: VecDeque::new() }
    }

    /// Asks for other passwords from now on, if any are asked for.
    pub(super) fn replace(&mut self, passwords: Arc<Passwords>) {
        match &mut self.gate {
            Gate::Anonymous(_) => {}
            Gate::Passwords(gate) => gate.replace(passwords),
        }
    }

    fn answer(&mut self, credentials: &Credentials) -> Answer {
        match &mut self.gate {
            Gate::Anonymous(gate) => Answer::Now(gate.authenticate(credentials)),
            Gate::Passwords(gate) if !gate.is_slow(credentials) => {
                Answer::Now(gate.authenticate(credentials))
            }
            Gate::Passwords(_)
                if self.running as usize + self.waiting.len() >= self.bounds.waiting_max as usize =>
            {
                Answer::Never
            }
            Gate::Passwords(_) => Answer::Later,
        }
    }

    /// The next check to begin, if one may: that of the client that has waited longest and is still there.
    fn next_check(
        &mut self,
        is_there: impl Fn(ConnId) -> bool,
    ) -> Option<(ConnId, Credentials, PasswordGate)> {
        let Gate::Passwords(gate) = &self.gate else { return None };
        if self.running >= self.bounds.at_once_max {
            return None;
        }
        while let Some((conn, credentials)) = self.waiting.pop_front() {
            if is_there(conn) {
                self.running += 1;
                return Some((conn, credentials, gate.clone()));
            }
        }
        None
    }
}

/// Answers a question, now or later.
pub(super) fn ask<S: Stream>(shared: &SharedNode<S>, conn: ConnId, credentials: Credentials) {
    let mut node = shared.borrow_mut();
    match node.authenticator.answer(&credentials) {
        Answer::Now(decision) => node.authenticated(conn, decision),
        Answer::Never => {
            node.limit_reached("auth.checks_waiting_max", &credentials.peer);
            node.authenticated(conn, Decision::Unavailable);
        }
        Answer::Later => {
            node.authenticator.waiting.push_back((conn, credentials));
            drop(node);
            check_next(shared);
        }
    }
}

/// Begins the next check, if one may begin; the others follow it.
fn check_next<S: Stream>(shared: &SharedNode<S>) {
    let mut node = shared.borrow_mut();
    let Node { authenticator, links, .. } = &mut *node;
    let Some((conn, credentials, mut gate)) = authenticator.next_check(|conn| links.contains_key(&conn))
    else {
        return;
    };
    let shared = shared.clone();
    let check = tokio::task::spawn_blocking(move || gate.authenticate(&credentials));
    tokio::task::spawn_local(async move {
        let decision = check.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a password check broke off");
            Decision::Unavailable
        });
        {
            let mut node = shared.borrow_mut();
            node.authenticator.running -= 1;
            node.authenticated(conn, decision);
        }
        check_next(&shared);
    });
}
