//! Topic aliases, both ways. They live as long as the connection. \[MQTT-3.3.2-7\]

use crate::topic::TopicName;
use std::collections::BTreeMap;
use std::num::NonZeroU16;

/// Aliases that the client set.
#[derive(Debug, Default)]
pub struct Incoming {
    topics: Vec<Option<TopicName>>,
}

impl Incoming {
    /// Sets an alias, or takes it away. `Err` if it is above `max`. \[MQTT-3.3.2-9\]
    pub fn set(&mut self, alias: NonZeroU16, topic: Option<TopicName>, max: u16) -> Result<(), OutOfRange> {
        let index = slot(alias, max)?;
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        self.topics[index] = topic;
        Ok(())
    }

    /// The topic of an alias, if it was set. `Err` if it is above `max`.
    pub fn get(&self, alias: NonZeroU16, max: u16) -> Result<Option<&TopicName>, OutOfRange> {
        let index = slot(alias, max)?;
        Ok(self.topics.get(index).and_then(Option::as_ref))
    }
}

fn slot(alias: NonZeroU16, max: u16) -> Result<usize, OutOfRange> {
    if alias.get() > max { Err(OutOfRange) } else { Ok(usize::from(alias.get() - 1)) }
}

/// An alias above the maximum that was told in CONNACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

/// Aliases that the broker set: the first topics that were sent keep theirs.
#[derive(Debug, Default)]
pub struct Outgoing {
    max: u16,
    topics: BTreeMap<TopicName, NonZeroU16>,
}

/// How to name a topic towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By its name.
    Plain,
    /// By its name, and set this alias.
    Introduce(NonZeroU16),
    /// By this alias alone.
    Alias(NonZeroU16),
}

impl Outgoing {
    /// At most `max` aliases.
    pub fn new(max: u16) -> Self {
        Outgoing { max, topics: BTreeMap::new() }
    }

    /// How to name `topic`. A new alias is in force once it was [introduced](Outgoing::introduce).
    pub fn name(&self, topic: &TopicName) -> Naming {
        if self.max == 0 {
            return Naming::Plain;
        }
        if let Some(alias) = self.topics.get(topic) {
            return Naming::Alias(*alias);
        }
        let next = u16::try_from(self.topics.len() + 1).ok().filter(|next| *next <= self.max);
        next.and_then(NonZeroU16::new).map_or(Naming::Plain, Naming::Introduce)
    }

    /// Sets the alias that [`Outgoing::name`] proposed: the packet that says so is on its way.
    pub fn introduce(&mut self, topic: &TopicName, alias: NonZeroU16) {
        self.topics.insert(topic.owned(), alias);
    }
}

#[cfg(test)]
mod tests {
    use super::{Incoming, Naming, NonZeroU16, OutOfRange, Outgoing, TopicName};

    fn topic(text: &'static str) -> TopicName {
        TopicName::parse(text.into()).expect("valid")
    }

    fn alias(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).expect("not 0")
    }

    #[test]
    fn an_alias_is_introduced_once_and_topics_beyond_the_maximum_go_by_name() {
        let mut aliases = Outgoing::new(1);
        assert_eq!(aliases.name(&topic("a")), Naming::Introduce(alias(1)));
        assert_eq!(aliases.name(&topic("b")), Naming::Introduce(alias(1)), "the first was not sent");
        aliases.introduce(&topic("a"), alias(1));
        assert_eq!(aliases.name(&topic("a")), Naming::Alias(alias(1)));
        assert_eq!(aliases.name(&topic("b")), Naming::Plain);
    }

    #[test]
    fn an_alias_that_was_not_set_names_nothing_and_one_above_the_maximum_is_refused() {
        let mut aliases = Incoming::default();
        assert_eq!(aliases.set(alias(3), Some(topic("a")), 2), Err(OutOfRange));
        assert_eq!(aliases.set(alias(2), Some(topic("a")), 2), Ok(()));
        assert_eq!(aliases.get(alias(1), 2), Ok(None));
        assert_eq!(aliases.get(alias(2), 2), Ok(Some(&topic("a"))));
        assert_eq!(aliases.set(alias(2), None, 2), Ok(()));
        assert_eq!(aliases.get(alias(2), 2), Ok(None));
    }
}
