//! Who may connect, and what they may publish and subscribe.
//!
//! The core asks ([`crate::Output::Authenticate`]) and goes on when the answer arrives as an input
//! ([`crate::Input::Authenticated`]), so a check may be slow or remote. The answer carries the client's
//! [`Permissions`] as data; the core evaluates them at publish, at subscribe and at delivery.

pub use crate::base::password::Password;
use crate::topic::{TopicFilter, TopicName};
use bytestring::ByteString;
use std::sync::Arc;

/// Answers who a client is and what it may do. Drivers implement it.
pub trait Gatekeeper {
    /// Decides on `credentials`. The driver hands the answer to the core as an input, now or later.
    fn authenticate(&mut self, credentials: &Credentials) -> Decision;
}

/// What a client said of itself in CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The client identifier; empty if the broker is to assign one.
    pub client_id: ByteString,
    /// The user name, if one was given.
    pub user_name: Option<ByteString>,
    /// The password, if one was given.
    pub password: Option<Password>,
    /// Where the client connects from, as the driver names it.
    pub peer: String,
}

/// The answer to [`Credentials`].
#[derive(Clone, Debug)]
pub enum Decision {
    /// The client may go on with these permissions.
    Allowed(Arc<Permissions>),
    /// 0x86 Bad User Name or Password (v3.1.1: 0x04).
    BadUserNameOrPassword,
    /// 0x87 Not authorized (v3.1.1: 0x05).
    NotAuthorized,
    /// 0x88 Server unavailable (v3.1.1: 0x03): the check itself could not be made.
    Unavailable,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a message to a topic (its will included).
    Publish,
    /// Receive a message of a topic.
    Subscribe,
}

/// One line of an access list; `%c` and `%u` are replaced by the driver before it reaches the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Allow or deny.
    pub allow: bool,
    /// What the rule is about.
    pub action: Action,
    /// The topics the rule is about.
    pub filter: TopicFilter,
}

/// An ordered access list: the first rule that matches decides, otherwise `otherwise`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The rules, first match wins.
    pub rules: Vec<Rule>,
    /// The answer where no rule matches.
    pub otherwise: bool,
}

impl Permissions {
    /// Everything is allowed.
    pub fn all() -> Self {
        Permissions { rules: Vec::new(), otherwise: true }
    }

    /// Whether `action` is allowed on `topic`.
    pub fn allows(&self, action: Action, topic: &TopicName) -> bool {
        let mut relevant = self.rules.iter().filter(|rule| rule.action == action);
        relevant.find(|rule| rule.filter.matches(topic)).map_or(self.otherwise, |rule| rule.allow)
    }

    /// Whether a subscription to `filter` may be accepted: not, if a rule denies subscribing to exactly this filter, or
    /// to a filter that covers all its topics. What it lets through is still checked at delivery.
    pub fn allows_filter(&self, filter: &TopicFilter) -> bool {
        let mut relevant = self.rules.iter().filter(|rule| rule.action == Action::Subscribe);
        relevant.find(|rule| covers(&rule.filter, filter)).map_or(self.otherwise, |rule| rule.allow)
    }
}

/// Whether every topic that matches `narrow` also matches `wide`.
fn covers(wide: &TopicFilter, narrow: &TopicFilter) -> bool {
    let mut narrow_levels = narrow.levels();
    if wide.as_str().starts_with(['+', '#']) && narrow.as_str().starts_with('$') {
        return false;
    }
    for level in wide.levels() {
        match (level, narrow_levels.next()) {
            ("#", _) => return true,
            ("+", Some(other)) if other != "#" => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    narrow_levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::{ByteString, Credentials, Password};

    #[test]
    fn printed_credentials_tell_who_it_is_and_not_how_it_is_proved() {
        let credentials = Credentials {
            client_id: ByteString::from_static("c1"),
            user_name: Some(ByteString::from_static("alice")),
            password: Some(Password::new("hunter2")),
            peer: "127.0.0.1:1".to_owned(),
        };
        let printed = format!("{credentials:?}");
        assert!(printed.contains("alice") && printed.contains("password: Some(<hidden>)"), "{printed}");
        // Neither as text nor as a list of bytes.
        assert!(!printed.contains("hunter2") && !printed.contains("104, 117"), "{printed}");
    }
}
