//! A topic filter: what a subscription asks for.

use super::name::{TopicError, TopicName};
use crate::base::text;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A valid topic filter, with its share name if it is a shared subscription. \[MQTT-4.7, 4.8.2\]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicFilter {
    share: Option<ByteString>,
    filter: ByteString,
}

impl TopicFilter {
    /// Parses `text`, `$share/NAME/FILTER` included.
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn parse(text: &ByteString) -> Result<Self, TopicError> {
        if text.len() > usize::from(u16::MAX) {
            return Err(TopicError::TooLong);
        }
        let Some(rest) = text.strip_prefix("$share/") else {
            check(text)?;
            return Ok(TopicFilter { share: None, filter: text.clone() });
        };
        let (name, filter) = rest.split_once('/').ok_or(TopicError::BadShare)?;
        if name.is_empty() || filter.is_empty() || name.contains(['+', '#']) {
            return Err(TopicError::BadShare);
        }
        check(filter)?;
        if name.contains('\0') {
            return Err(TopicError::Null);
        }
        Ok(TopicFilter { share: Some(text.slice_ref(name)), filter: text.slice_ref(filter) })
    }

    /// The same filter in memory of its own, for a filter that is kept longer than the packet it came in.
    #[must_use]
    pub fn owned(&self) -> Self {
        TopicFilter { share: self.share.as_ref().map(text::own), filter: text::own(&self.filter) }
    }

    /// The share name of a shared subscription.
    pub fn share(&self) -> Option<&str> {
        self.share.as_deref()
    }

    /// The filter without `$share/NAME/`.
    pub fn as_str(&self) -> &str {
        &self.filter
    }

    /// The levels of the filter without `$share/NAME/`.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.filter.split('/')
    }

    /// Whether `topic` matches this filter. \[MQTT-4.7.1, 4.7.2-1\]
    pub fn matches(&self, topic: &TopicName) -> bool {
        if topic.is_dollar() && self.filter.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.levels();
        for wanted in self.levels() {
            match (wanted, levels.next()) {
                // "a/#" matches "a" too: '#' includes the parent level.
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

fn check(filter: &str) -> Result<(), TopicError> {
    if filter.is_empty() {
        return Err(TopicError::Empty);
    }
    if filter.contains('\0') {
        return Err(TopicError::Null);
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => return Err(TopicError::HashNotLast),
            "#" | "+" => {}
            _ if level.contains('#') => return Err(TopicError::HashNotLast),
            _ if level.contains('+') => return Err(TopicError::PlusNotAlone),
            _ => {}
        }
    }
    Ok(())
}

impl fmt::Display for TopicFilter {
    /// The text as the client wrote it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.share {
            Some(share) => write!(f, "$share/{share}/{}", self.filter),
            None => f.write_str(&self.filter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteString, TopicError, TopicFilter, TopicName};

    fn filter(text: &str) -> Result<TopicFilter, TopicError> {
        TopicFilter::parse(&ByteString::from(text))
    }

    #[test]
    fn filters_match_as_the_norm_says() {
        let cases = [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a/", true),
            ("a/+", "a", false),
            ("+", "/", false),
            ("+/+", "/", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("é/+", "é/x", true),
            ("A", "a", false),
        ];
        for (wanted, topic, expected) in cases {
            let topic = TopicName::parse(ByteString::from(topic)).expect("a valid name");
            assert_eq!(
                filter(wanted).expect("a valid filter").matches(&topic),
                expected,
                "{wanted} ~ {topic}"
            );
        }
    }

    #[test]
    fn bad_filters_are_refused_with_the_rule_they_break() {
        let cases = [
            ("", TopicError::Empty),
            ("a/#/b", TopicError::HashNotLast),
            ("a#", TopicError::HashNotLast),
            ("a+/b", TopicError::PlusNotAlone),
            ("$share/g", TopicError::BadShare),
            ("$share//a", TopicError::BadShare),
            ("$share/g/", TopicError::BadShare),
            ("$share/g+/a", TopicError::BadShare),
            ("a\0", TopicError::Null),
        ];
        for (text, error) in cases {
            assert_eq!(filter(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_share_name_is_split_off() {
        let shared = filter("$share/g/a/+").expect("valid");
        assert_eq!((shared.share(), shared.as_str()), (Some("g"), "a/+"));
        assert_eq!(shared.to_string(), "$share/g/a/+");
    }
}
