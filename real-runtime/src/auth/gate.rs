//! The gatekeepers: what a client said of itself in, the core's decision out.

use super::Passwords;
use crate::config::{AclRule, permissions};
use broker_core::auth::{Credentials, Decision, Gatekeeper};
use std::sync::Arc;

/// Lets everybody in, whatever name they give.
#[derive(Clone, Debug)]
pub struct Anonymous {
    acl: Arc<[AclRule]>,
}

/// Lets in those who know the password of the user name they give.
#[derive(Clone, Debug)]
pub struct PasswordGate {
    acl: Arc<[AclRule]>,
    passwords: Arc<Passwords>,
    anonymous_too: bool,
}

impl Anonymous {
    /// With the permissions of `acl`.
    pub fn new(acl: Arc<[AclRule]>) -> Self {
        Anonymous { acl }
    }
}

impl PasswordGate {
    /// With the permissions of `acl`; `anonymous_too` lets clients without a user name in.
    pub fn new(acl: Arc<[AclRule]>, passwords: Arc<Passwords>, anonymous_too: bool) -> Self {
        PasswordGate { acl, passwords, anonymous_too }
    }

    /// Asks for other passwords from now on. A check that is under way ends with those it began with.
    pub fn replace(&mut self, passwords: Arc<Passwords>) {
        self.passwords = passwords;
    }

    /// Whether the answer needs a password to be checked, which takes tens of milliseconds.
    pub fn is_slow(&self, credentials: &Credentials) -> bool {
        credentials.user_name.is_some() && credentials.password.is_some()
    }
}

impl Gatekeeper for Anonymous {
    fn authenticate(&mut self, credentials: &Credentials) -> Decision {
        // The name was not checked, so a rule must not trust it.
        allowed(&self.acl, credentials, None)
    }
}

impl Gatekeeper for PasswordGate {
    fn authenticate(&mut self, credentials: &Credentials) -> Decision {
        match (&credentials.user_name, &credentials.password) {
            (None, _) if self.anonymous_too => allowed(&self.acl, credentials, None),
            (None, _) => Decision::NotAuthorized,
            (Some(user), Some(password)) if self.passwords.verify(user, password.reveal()) => {
                allowed(&self.acl, credentials, Some(user))
            }
            (Some(_), _) => Decision::BadUserNameOrPassword,
        }
    }
}

fn allowed(acl: &[AclRule], credentials: &Credentials, user: Option<&str>) -> Decision {
    match permissions(acl, &credentials.client_id, user) {
        Ok(permissions) => Decision::Allowed(Arc::new(permissions)),
        Err(_) => Decision::NotAuthorized,
    }
}

#[cfg(test)]
mod tests {
    use super::{AclRule, Anonymous, Arc, Credentials, Decision, Gatekeeper as _, PasswordGate, Passwords};
    use broker_core::auth::{Action, Password};
    use broker_core::topic::TopicName;
    use bytestring::ByteString;

    fn credentials(user: Option<&'static str>, password: Option<&'static str>) -> Credentials {
        Credentials {
            client_id: ByteString::from("c1"),
            user_name: user.map(ByteString::from_static),
            password: password.map(Password::new),
            peer: "127.0.0.1:1".to_owned(),
        }
    }

    fn one_user() -> Arc<Passwords> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("passwords");
        Passwords::set(&path, "alice", b"one").expect("a new file");
        Arc::new(Passwords::read(&path).expect("what we wrote"))
    }

    #[test]
    fn a_password_gate_lets_in_who_knows_the_password() {
        let passwords = one_user();
        let mut gate = PasswordGate::new(Arc::from([]), passwords.clone(), false);
        let decide =
            |gate: &mut PasswordGate, user, password| gate.authenticate(&credentials(user, password));
        assert!(matches!(decide(&mut gate, Some("alice"), Some("one")), Decision::Allowed(_)));
        assert!(matches!(decide(&mut gate, Some("alice"), Some("two")), Decision::BadUserNameOrPassword));
        assert!(matches!(decide(&mut gate, Some("alice"), None), Decision::BadUserNameOrPassword));
        assert!(matches!(decide(&mut gate, Some("bob"), Some("one")), Decision::BadUserNameOrPassword));
        assert!(matches!(decide(&mut gate, None, None), Decision::NotAuthorized));
        let mut open = PasswordGate::new(Arc::from([]), passwords, true);
        assert!(matches!(decide(&mut open, None, None), Decision::Allowed(_)));
        assert!(matches!(decide(&mut open, Some("bob"), Some("x")), Decision::BadUserNameOrPassword));
    }

    #[test]
    fn a_name_that_nobody_checked_gives_no_permissions() {
        let text = "[[acl]]\nuser = \"alice\"\naccess = \"allow\"\naction = \"all\"\nfilter = \"#\"\n";
        let config: crate::config::Config = toml::from_str(text).expect("a rule");
        let acl: Arc<[AclRule]> = Arc::from(config.acl);
        let topic = TopicName::parse(ByteString::from_static("a")).expect("valid");
        let Decision::Allowed(pretender) =
            Anonymous::new(acl).authenticate(&credentials(Some("alice"), None))
        else {
            panic!("anonymous clients are let in");
        };
        assert!(!pretender.allows(Action::Publish, &topic));
    }
}
