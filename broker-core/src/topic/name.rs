//! A topic name: where a message is published.

use crate::base::text;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A valid topic name: at least one character, no wildcard, no U+0000. \[MQTT-4.7.1-1, 4.7.3-1, 4.7.3-2\]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicName(ByteString);

impl TopicName {
    /// Parses `text`.
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn parse(text: ByteString) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > usize::from(u16::MAX) {
            return Err(TopicError::TooLong);
        }
        match text.bytes().find(|byte| matches!(byte, 0 | b'+' | b'#')) {
            Some(0) => Err(TopicError::Null),
            Some(_) => Err(TopicError::WildcardInName),
            None => Ok(TopicName(text)),
        }
    }

    /// The topic name in a text that was parsed as one before: that of a PUBLISH, by the codec.
    ///
    /// # Panics
    /// In debug builds, if it is not valid.
    pub(crate) fn of_parsed(text: ByteString) -> Self {
        debug_assert!(TopicName::parse(text.clone()).is_ok(), "it was parsed before");
        TopicName(text)
    }

    /// The same name in memory of its own, for a name that is kept longer than the packet it came in.
    #[must_use]
    pub fn owned(&self) -> Self {
        TopicName(text::own(&self.0))
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic's bytes, shared.
    pub fn text(&self) -> &ByteString {
        &self.0
    }

    /// The topic's bytes, given away.
    pub fn into_text(self) -> ByteString {
        self.0
    }

    /// The levels, from the left; an empty level is a level.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether the first character is `$`: filters that begin with a wildcard do not match it. \[MQTT-4.7.2-1\]
    pub fn is_dollar(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no topic name or no topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// It has no character. \[MQTT-4.7.3-1\]
    Empty,
    /// It has U+0000. \[MQTT-4.7.3-2\]
    Null,
    /// It is longer than 65,535 bytes. \[MQTT-4.7.3-3\]
    TooLong,
    /// A topic name has `+` or `#`. \[MQTT-3.3.2-2\]
    WildcardInName,
    /// `+` does not fill a whole level. \[MQTT-4.7.1-2\]
    PlusNotAlone,
    /// `#` does not fill the last level. \[MQTT-4.7.1-1\]
    HashNotLast,
    /// `$share/` is followed by an empty name, by one with a wildcard, or by no filter. \[MQTT-4.8.2-1, 4.8.2-2\]
    BadShare,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TopicError::Empty => "it is empty",
            TopicError::Null => "it contains U+0000",
            TopicError::TooLong => "it is longer than 65535 bytes",
            TopicError::WildcardInName => "a topic name cannot contain '+' or '#'",
            TopicError::PlusNotAlone => "'+' must fill a whole level, as in 'a/+/b'",
            TopicError::HashNotLast => "'#' must be the last level, as in 'a/#'",
            TopicError::BadShare => {
                "a shared subscription is '$share/NAME/FILTER', NAME without '+', '#' or '/'"
            }
        })
    }
}

impl std::error::Error for TopicError {}
