//! Questions to the gatekeeper. Checking a password is slow on purpose, so it happens on threads of its own, of which
//! there are few, and only so many clients may wait.

use super::{Node, SharedNode};
use crate::auth::{Anonymous, PasswordGate, Passwords};
use crate::net::Stream;
use broker_core::auth::{Credentials, Decision, Gatekeeper as _};
use broker_core::ids::ConnId;
use std::sync::Arc;

/// Answers who may connect.
#[derive(Debug)]
pub struct Authenticator {
    gate: Gate,
    waiting: u32,
    waiting_max: u32,
}

#[derive(Debug)]
enum Gate {
    Anonymous(Anonymous),
    Passwords(PasswordGate),
}

/// What is to be done with a question.
enum Answer {
    Now(Decision),
    Later(PasswordGate),
    /// Too many wait already.
    Never,
}

impl Authenticator {
    /// Everybody may connect.
    pub fn anonymous(gate: Anonymous) -> Self {
        Authenticator { gate: Gate::Anonymous(gate), waiting: 0, waiting_max: 0 }
    }

    /// Those who know a password may connect; at most `waiting_max` may wait for the answer.
    pub fn passwords(gate: PasswordGate, waiting_max: u32) -> Self {
        Authenticator { gate: Gate::Passwords(gate), waiting: 0, waiting_max }
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
            Gate::Passwords(_) if self.waiting >= self.waiting_max => Answer::Never,
            Gate::Passwords(gate) => {
                self.waiting += 1;
                Answer::Later(gate.clone())
            }
        }
    }
}

/// Answers a question, now or later.
pub(super) fn ask<S: Stream>(shared: &SharedNode<S>, conn: ConnId, credentials: Credentials) {
    let mut node = shared.borrow_mut();
    let mut gate = match node.authenticator.answer(&credentials) {
        Answer::Now(decision) => return node.authenticated(conn, decision),
        Answer::Never => {
            node.limit_reached("auth.checks_waiting_max", &credentials.peer);
            return node.authenticated(conn, Decision::Unavailable);
        }
        Answer::Later(gate) => gate,
    };
    let shared = shared.clone();
    // As many run at the same time as the runtime has blocking threads.
    let check = tokio::task::spawn_blocking(move || gate.authenticate(&credentials));
    tokio::task::spawn_local(async move {
        let decision = check.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a password check broke off");
            Decision::Unavailable
        });
        let mut node: std::cell::RefMut<'_, Node<S>> = shared.borrow_mut();
        node.authenticator.waiting -= 1;
        node.authenticated(conn, decision);
    });
}
