//! The last message of each topic: topic -> value, asked by filter whenever somebody subscribes.

use super::level_tree::{LevelTree, Node, NodeId, ROOT};
use super::{TopicFilter, TopicName};
use std::collections::btree_map;

/// One value for each topic, found by topic name or by filter.
///
/// A search costs what it finds, and what it must look at in between: each level of the filter that is not a wildcard
/// is one step, whatever the number of topics.
#[derive(Clone, Debug)]
pub struct RetainedStore<V> {
    topics: LevelTree<Option<(TopicName, V)>>,
    len: usize,
}

impl<V> RetainedStore<V> {
    /// No topic has a value.
    pub fn new() -> Self {
        RetainedStore { topics: LevelTree::new(), len: 0 }
    }

    /// Gives `topic` the value `value`. Returns the value that it had.
    pub fn set(&mut self, topic: TopicName, value: V) -> Option<V> {
        let node = self.topics.make(topic.levels());
        let old = self.topics.content_mut(node).replace((topic, value));
        self.len += usize::from(old.is_none());
        old.map(|(_, value)| value)
    }

    /// Takes the value of `topic` away.
    pub fn remove(&mut self, topic: &TopicName) -> Option<V> {
        let node = self.topics.find(topic.levels())?;
        let (_, value) = self.topics.content_mut(node).take()?;
        self.topics.prune(node, topic.as_str().rsplit('/'), Option::is_none);
        self.len -= 1;
        Some(value)
    }

    /// The value of `topic`.
    pub fn get(&self, topic: &TopicName) -> Option<&V> {
        let node = self.topics.find(topic.levels())?;
        self.topics.node(node).content.as_ref().map(|(_, value)| value)
    }

    /// Calls `visit` for each topic that matches `filter`, in the order of the topics' levels. Share names are not
    /// looked at: a shared subscription gets no retained messages, which is the caller's to know. \[MQTT-4.7.1, 4.7.2-1\]
    pub fn for_each_match(&self, filter: &TopicFilter, mut visit: impl FnMut(&TopicName, &V)) {
        let mut levels: Vec<&str> = filter.levels().collect();
        let below = levels.pop_if(|last| *last == "#").is_some();
        Walk::new(&self.topics, Wanted { levels, below, dollar: false })
            .for_each(|(topic, value)| visit(topic, value));
    }

    /// All topics and their values, in the order of the topics' levels.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, &V)> {
        Walk::new(&self.topics, Wanted { levels: Vec::new(), below: true, dollar: true })
    }

    /// Whether no topic has a value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of topics with a value.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl<V> Default for RetainedStore<V> {
    fn default() -> Self {
        RetainedStore::new()
    }
}

/// What a walk looks for.
struct Wanted<'f> {
    /// The levels of the filter without a `#` at its end.
    levels: Vec<&'f str>,
    /// Whether all topics below are wanted too.
    below: bool,
    /// Whether a wildcard in the first level stands for `$...`. \[MQTT-4.7.2-1\]
    dollar: bool,
}

impl Wanted<'_> {
    fn includes(&self, depth: usize) -> bool {
        depth == self.levels.len() || (self.below && depth > self.levels.len())
    }

    fn branches<'s, T>(&self, depth: usize, node: &'s Node<T>) -> Branches<'s> {
        match self.levels.get(depth) {
            Some(&"+") => Branches::All(node.children.iter()),
            Some(&level) => Branches::One(node.children.get(level).copied()),
            None if self.below => Branches::All(node.children.iter()),
            None => Branches::One(None),
        }
    }
}

/// The children of one node that are still to be walked.
enum Branches<'s> {
    One(Option<NodeId>),
    All(btree_map::Iter<'s, Box<str>, NodeId>),
}

impl Branches<'_> {
    fn next(&mut self, dollar: bool) -> Option<NodeId> {
        match self {
            Branches::One(child) => child.take(),
            Branches::All(children) => {
                children.find(|(name, _)| dollar || !name.starts_with('$')).map(|(_, &child)| child)
            }
        }
    }
}

/// A walk through the topics that are wanted. Its stack holds one entry for each level of the current topic.
struct Walk<'s, 'f, V> {
    topics: &'s LevelTree<Option<(TopicName, V)>>,
    wanted: Wanted<'f>,
    stack: Vec<Branches<'s>>,
}

impl<'s, 'f, V> Walk<'s, 'f, V> {
    fn new(topics: &'s LevelTree<Option<(TopicName, V)>>, wanted: Wanted<'f>) -> Self {
        let stack = vec![wanted.branches(0, topics.node(ROOT))];
        Walk { topics, wanted, stack }
    }
}

impl<'s, V> Iterator for Walk<'s, '_, V> {
    type Item = (&'s TopicName, &'s V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let depth = self.stack.len();
            let dollar = self.wanted.dollar || depth > 1;
            let Some(child) = self.stack.last_mut()?.next(dollar) else {
                self.stack.pop();
                continue;
            };
            let node = self.topics.node(child);
            self.stack.push(self.wanted.branches(depth, node));
            if self.wanted.includes(depth)
                && let Some((topic, value)) = &node.content
            {
                return Some((topic, value));
            }
        }
    }
}
