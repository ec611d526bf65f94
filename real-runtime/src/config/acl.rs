//! The access list: rules by user and client, turned into the core's permissions for one client.

use broker_core::auth::{Action, Permissions, Rule};
use broker_core::topic::TopicFilter;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

/// One `[[acl]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclRule {
    /// The user names it is about: a name, or a pattern in which `*` stands for any text; any client if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The client identifiers it is about, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Allow or deny.
    pub access: AclAccess,
    /// What it is about.
    pub action: AclAction,
    /// The topics it is about; `%c` stands for the client identifier, `%u` for the user name.
    pub filter: String,
}

/// `access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclAccess {
    /// Let it through.
    Allow,
    /// Refuse it.
    Deny,
}

/// `action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclAction {
    /// Sending messages.
    Publish,
    /// Receiving messages.
    Subscribe,
    /// Both.
    All,
}

/// A name that would change the meaning of a filter it is put into (`+`, `#`, `/`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnsafeName;

impl AclRule {
    /// Checks the filter with harmless names put in.
    pub(super) fn check(&self) -> Result<(), String> {
        let filter = self.filter.replace("%c", "c").replace("%u", "u");
        let filter = TopicFilter::parse(&ByteString::from(filter)).map_err(|error| error.to_string())?;
        match filter.share() {
            Some(_) => Err("a rule is about topics, so leave '$share/NAME/' out".to_owned()),
            None => Ok(()),
        }
    }

    /// The core's rules for one client; none if this rule is not about it.
    fn rules_for(&self, client_id: &str, user: Option<&str>, into: &mut Vec<Rule>) -> Result<(), UnsafeName> {
        let about_user =
            self.user.as_deref().is_none_or(|wanted| user.is_some_and(|user| glob(wanted, user)));
        let about_client = self.client.as_deref().is_none_or(|wanted| glob(wanted, client_id));
        if !about_user || !about_client {
            return Ok(());
        }
        let Some(filter) = self.filter_for(client_id, user)? else { return Ok(()) };
        let allow = self.access == AclAccess::Allow;
        let actions: &[Action] = match self.action {
            AclAction::Publish => &[Action::Publish],
            AclAction::Subscribe => &[Action::Subscribe],
            AclAction::All => &[Action::Publish, Action::Subscribe],
        };
        into.extend(actions.iter().map(|&action| Rule { allow, action, filter: filter.clone() }));
        Ok(())
    }

    /// The filter with this client's names in it; `None` if it needs a name the client did not give.
    fn filter_for(&self, client_id: &str, user: Option<&str>) -> Result<Option<TopicFilter>, UnsafeName> {
        let mut text = String::with_capacity(self.filter.len());
        let mut rest = self.filter.as_str();
        while let Some(at) = rest.find('%') {
            text.push_str(&rest[..at]);
            let name = match rest.as_bytes().get(at + 1) {
                Some(b'c') => client_id,
                Some(b'u') => user.unwrap_or_default(),
                _ => {
                    text.push('%');
                    rest = &rest[at + 1..];
                    continue;
                }
            };
            if name.is_empty() {
                return Ok(None);
            }
            // A client that calls itself "+" would otherwise own everybody's topics.
            if name.contains(['+', '#', '/']) {
                return Err(UnsafeName);
            }
            text.push_str(name);
            rest = &rest[at + 2..];
        }
        text.push_str(rest);
        TopicFilter::parse(&ByteString::from(text)).map(Some).map_err(|_| UnsafeName)
    }
}

/// What `acl` lets one client do: everything if there are no rules, otherwise what a rule allows.
///
/// # Errors
/// If a rule would take a name of this client that changes the meaning of its filter.
pub(crate) fn permissions(
    acl: &[AclRule],
    client_id: &str,
    user: Option<&str>,
) -> Result<Permissions, UnsafeName> {
    if acl.is_empty() {
        return Ok(Permissions::all());
    }
    let mut rules = Vec::new();
    for rule in acl {
        rule.rules_for(client_id, user, &mut rules)?;
    }
    Ok(Permissions { rules, otherwise: false })
}

/// Whether `text` matches `pattern`, in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{AclAccess, AclAction, AclRule, UnsafeName, glob, permissions};
    use broker_core::auth::Action;
    use broker_core::topic::TopicName;
    use bytestring::ByteString;

    fn rule(user: Option<&str>, access: AclAccess, action: AclAction, filter: &str) -> AclRule {
        AclRule { user: user.map(str::to_owned), client: None, access, action, filter: filter.to_owned() }
    }

    fn topic(text: &str) -> TopicName {
        TopicName::parse(ByteString::from(text)).expect("a valid topic")
    }

    #[test]
    fn without_rules_everything_is_allowed_and_with_rules_only_what_they_say() {
        let all = permissions(&[], "c1", None).expect("no rule, no name");
        assert!(all.allows(Action::Publish, &topic("a")));
        let one = [rule(None, AclAccess::Allow, AclAction::Publish, "a")];
        let some = permissions(&one, "c1", None).expect("no name in the rule");
        assert!(some.allows(Action::Publish, &topic("a")));
        assert!(!some.allows(Action::Subscribe, &topic("a")));
        assert!(!some.allows(Action::Publish, &topic("b")));
    }

    #[test]
    fn the_first_rule_about_a_client_decides() {
        let acl = [
            rule(Some("alice"), AclAccess::Deny, AclAction::All, "secret/#"),
            rule(Some("a*"), AclAccess::Allow, AclAction::All, "#"),
        ];
        let alice = permissions(&acl, "c1", Some("alice")).expect("plain");
        assert!(!alice.allows(Action::Publish, &topic("secret/x")));
        assert!(alice.allows(Action::Publish, &topic("open/x")));
        let anna = permissions(&acl, "c1", Some("anna")).expect("plain");
        assert!(anna.allows(Action::Subscribe, &topic("secret/x")));
        let nobody = permissions(&acl, "c1", None).expect("plain");
        assert!(!nobody.allows(Action::Subscribe, &topic("open/x")));
    }

    #[test]
    fn names_are_put_into_filters_unless_they_would_widen_them() {
        let acl = [rule(None, AclAccess::Allow, AclAction::All, "dev/%c/of/%u/#")];
        let mine = permissions(&acl, "c1", Some("bob")).expect("plain names");
        assert!(mine.allows(Action::Publish, &topic("dev/c1/of/bob/t")));
        assert!(!mine.allows(Action::Publish, &topic("dev/c2/of/bob/t")));
        for hostile in ["+", "#", "c1/of", "a+b"] {
            assert_eq!(permissions(&acl, hostile, Some("bob")), Err(UnsafeName), "{hostile}");
        }
        let no_user = permissions(&acl, "c1", None).expect("the rule is skipped");
        assert!(!no_user.allows(Action::Publish, &topic("dev/c1/of/bob/t")));
    }

    #[test]
    fn a_name_is_never_expanded_twice() {
        let acl = [rule(None, AclAccess::Allow, AclAction::All, "%c/x")];
        let own = permissions(&acl, "%u", Some("bob")).expect("plain");
        assert!(own.allows(Action::Publish, &topic("%u/x")));
        assert!(!own.allows(Action::Publish, &topic("bob/x")));
    }

    #[test]
    fn patterns_match_like_a_shell_does() {
        let cases = [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*", "", true),
            ("*b", "ab", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(glob(pattern, text), expected, "{pattern} ~ {text}");
        }
    }
}
