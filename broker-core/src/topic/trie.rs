//! Who subscribes to a topic: filters -> subscribers, asked once for each message.
//!
//! Filters without a wildcard are in one sorted map, the others in a tree of levels, because most subscriptions are
//! exact: among 100,000 of them the map finds a topic in 0.09 (warm) to 1.0 microseconds (cold), a tree of levels alone in
//! 0.18 to 1.4. A hash table would halve that, but a fixed hash lets clients choose filters that collide, and a keyed one
//! needs a seed; beside one system call of 65 microseconds neither is worth it. A match allocates nothing.

use super::level_tree::{LevelTree, NodeId, ROOT};
use super::{TopicFilter, TopicName};
use std::collections::BTreeMap;
use std::mem;

/// Subscribers by topic filter; `K` names a subscriber, `V` is what the subscription asks for.
///
/// Share names are not looked at: the caller keeps shared subscriptions apart, keyed by group.
#[derive(Clone, Debug)]
pub struct SubscriptionTrie<K, V> {
    exact: BTreeMap<Box<str>, Subscribers<K, V>>,
    wild: LevelTree<Ending<K, V>>,
    len: usize,
}

/// The subscriptions whose filter ends at a node of the tree. `+` is a node like any other: no topic name has it.
#[derive(Clone, Debug)]
struct Ending<K, V> {
    /// Filters that end in this level.
    here: Subscribers<K, V>,
    /// Filters that go on with `/#` (at the root: the filter `#`), so that `a/#` is found at `a`. \[MQTT-4.7.1-2\]
    below: Subscribers<K, V>,
}

impl<K: Ord, V> SubscriptionTrie<K, V> {
    /// Nobody subscribes to anything.
    pub fn new() -> Self {
        SubscriptionTrie { exact: BTreeMap::new(), wild: LevelTree::new(), len: 0 }
    }

    /// Subscribes `subscriber` to `filter`. Returns what it asked for before, if it had the same filter.
    pub fn insert(&mut self, filter: &TopicFilter, subscriber: K, options: V) -> Option<V> {
        let path = Path::of(filter);
        let subscribers = if path.is_exact() {
            self.exact_or_new(filter.as_str())
        } else {
            let node = self.wild.make(path.levels());
            self.wild.content_mut(node).at(path)
        };
        let old = subscribers.insert(subscriber, options);
        self.len += usize::from(old.is_none());
        old
    }

    /// Ends the subscription of `subscriber` to `filter`. Returns what it asked for.
    pub fn remove(&mut self, filter: &TopicFilter, subscriber: &K) -> Option<V> {
        let path = Path::of(filter);
        let old = if path.is_exact() {
            let subscribers = self.exact.get_mut(filter.as_str())?;
            let old = subscribers.remove(subscriber)?;
            if subscribers.is_empty() {
                self.exact.remove(filter.as_str());
            }
            old
        } else {
            let node = self.wild.find(path.levels())?;
            let old = self.wild.content_mut(node).at(path).remove(subscriber)?;
            self.wild.prune(node, path.levels_from_right(), Ending::is_empty);
            old
        };
        self.len -= 1;
        Some(old)
    }

    /// What `subscriber` asked for with `filter`.
    pub fn get(&self, filter: &TopicFilter, subscriber: &K) -> Option<&V> {
        let path = Path::of(filter);
        if path.is_exact() {
            return self.exact.get(filter.as_str())?.get(subscriber);
        }
        let ending = &self.wild.node(self.wild.find(path.levels())?).content;
        if path.hash { ending.below.get(subscriber) } else { ending.here.get(subscriber) }
    }

    /// Calls `visit` for each subscription that matches `topic`: once for each *filter*, so more than once for a
    /// subscriber whose filters overlap. The order depends only on what is subscribed: filter by filter, and the
    /// subscribers of a filter in the order of `K`. \[MQTT-4.7.1, 4.7.2-1\]
    pub fn for_each_match(&self, topic: &TopicName, mut visit: impl FnMut(&K, &V)) {
        if let Some(subscribers) = self.exact.get(topic.as_str()) {
            subscribers.for_each(&mut visit);
        }
        let root = self.wild.node(ROOT);
        if root.children.is_empty() && root.content.is_empty() {
            return;
        }
        let mut walk = Walk { tree: &self.wild, topic, at: ROOT, next: 0 };
        loop {
            walk.visit_node(&mut visit);
            if walk.down_literal() || walk.down_plus() {
                continue;
            }
            // Back to the nearest node whose '+' is still to be tried.
            loop {
                match walk.up() {
                    None => return,
                    Some(Branch::Literal) if walk.down_plus() => break,
                    Some(Branch::Literal | Branch::Plus) => {}
                }
            }
        }
    }

    /// Whether nobody subscribes to anything.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of subscriptions.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl<K: Ord, V> SubscriptionTrie<K, V> {
    fn exact_or_new(&mut self, filter: &str) -> &mut Subscribers<K, V> {
        // Two searches instead of one, so that only a new filter is copied.
        if !self.exact.contains_key(filter) {
            self.exact.insert(filter.into(), Subscribers::default());
        }
        self.exact.get_mut(filter).expect("it was just inserted")
    }
}

impl<K: Ord, V> Default for SubscriptionTrie<K, V> {
    fn default() -> Self {
        SubscriptionTrie::new()
    }
}

/// A filter as a way through the tree.
#[derive(Clone, Copy)]
struct Path<'f> {
    /// The filter without a `/#` at its end; `None` for the filter `#`.
    text: Option<&'f str>,
    /// Whether the filter ends in `#`.
    hash: bool,
}

impl<'f> Path<'f> {
    fn of(filter: &'f TopicFilter) -> Self {
        let text = filter.as_str();
        match text.strip_suffix('#') {
            None => Path { text: Some(text), hash: false },
            Some(parent) => Path { text: parent.strip_suffix('/'), hash: true },
        }
    }

    fn is_exact(self) -> bool {
        // In a valid filter '+' stands for nothing but a whole level.
        !self.hash && self.text.is_some_and(|text| !text.contains('+'))
    }

    fn levels(self) -> impl Iterator<Item = &'f str> {
        self.text.into_iter().flat_map(|text| text.split('/'))
    }

    fn levels_from_right(self) -> impl Iterator<Item = &'f str> {
        self.text.into_iter().flat_map(|text| text.rsplit('/'))
    }
}

impl<K: Ord, V> Ending<K, V> {
    fn at(&mut self, path: Path<'_>) -> &mut Subscribers<K, V> {
        if path.hash { &mut self.below } else { &mut self.here }
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.below.is_empty()
    }
}

impl<K, V> Default for Ending<K, V> {
    fn default() -> Self {
        Ending { here: Subscribers::default(), below: Subscribers::default() }
    }
}

/// A walk through the nodes that match a topic: at each node the literal level first, then `+`.
struct Walk<'t, K, V> {
    tree: &'t LevelTree<Ending<K, V>>,
    topic: &'t TopicName,
    at: NodeId,
    /// Where in the topic the next level starts; one past its end if there is none. The walk back up finds the start
    /// of a level by searching the topic, so that no stack of positions is needed.
    next: usize,
}

/// How the walk came to a node.
enum Branch {
    Literal,
    Plus,
}

impl<'t, K: Ord, V> Walk<'t, K, V> {
    fn visit_node(&self, visit: &mut impl FnMut(&K, &V)) {
        let ending = &self.tree.node(self.at).content;
        if self.wildcard_may_follow() {
            ending.below.for_each(visit);
        }
        if self.level().is_none() {
            ending.here.for_each(visit);
        }
    }

    fn down_literal(&mut self) -> bool {
        self.level().is_some_and(|level| self.down(level, level))
    }

    fn down_plus(&mut self) -> bool {
        self.wildcard_may_follow() && self.level().is_some_and(|level| self.down("+", level))
    }

    fn down(&mut self, name: &str, level: &str) -> bool {
        let Some(&child) = self.tree.node(self.at).children.get(name) else { return false };
        self.at = child;
        self.next += level.len() + 1;
        true
    }

    /// Goes to the parent, and says by which branch it had come from there; `None` at the root.
    fn up(&mut self) -> Option<Branch> {
        if self.at == ROOT {
            return None;
        }
        let child = self.at;
        let parent = self.tree.node(child).parent;
        let before = &self.topic.as_str()[..self.next - 1];
        self.next = before.rfind('/').map_or(0, |slash| slash + 1);
        self.at = parent;
        let plus = self.tree.node(parent).children.get("+") == Some(&child);
        Some(if plus { Branch::Plus } else { Branch::Literal })
    }

    fn level(&self) -> Option<&'t str> {
        let rest = self.topic.as_str().get(self.next..)?;
        // '/' is one byte and no part of another character.
        let end = rest.bytes().position(|byte| byte == b'/');
        Some(end.map_or(rest, |end| &rest[..end]))
    }

    /// A wildcard in the first level does not match a topic that begins with `$`. \[MQTT-4.7.2-1\]
    fn wildcard_may_follow(&self) -> bool {
        self.at != ROOT || !self.topic.is_dollar()
    }
}

/// The subscribers of one filter. Most filters have one, and a map of one takes the room of eleven.
#[derive(Clone, Debug)]
enum Subscribers<K, V> {
    Few(Option<(K, V)>),
    Many(BTreeMap<K, V>),
}

impl<K: Ord, V> Subscribers<K, V> {
    fn insert(&mut self, subscriber: K, options: V) -> Option<V> {
        match self {
            Subscribers::Many(map) => map.insert(subscriber, options),
            Subscribers::Few(Some((key, value))) if *key == subscriber => Some(mem::replace(value, options)),
            Subscribers::Few(only) => {
                match only.take() {
                    None => *only = Some((subscriber, options)),
                    Some(first) => *self = Subscribers::Many(BTreeMap::from([first, (subscriber, options)])),
                }
                None
            }
        }
    }

    fn remove(&mut self, subscriber: &K) -> Option<V> {
        match self {
            Subscribers::Few(only) => only.take_if(|(key, _)| key == subscriber).map(|(_, value)| value),
            Subscribers::Many(map) => {
                let old = map.remove(subscriber);
                if map.len() <= 1 {
                    *self = Subscribers::Few(map.pop_first());
                }
                old
            }
        }
    }

    fn get(&self, subscriber: &K) -> Option<&V> {
        match self {
            Subscribers::Few(only) => {
                only.as_ref().filter(|(key, _)| key == subscriber).map(|(_, value)| value)
            }
            Subscribers::Many(map) => map.get(subscriber),
        }
    }
}

impl<K, V> Subscribers<K, V> {
    fn is_empty(&self) -> bool {
        matches!(self, Subscribers::Few(None))
    }

    fn for_each(&self, visit: &mut impl FnMut(&K, &V)) {
        match self {
            Subscribers::Few(only) => only.iter().for_each(|(key, value)| visit(key, value)),
            Subscribers::Many(map) => map.iter().for_each(|(key, value)| visit(key, value)),
        }
    }
}

impl<K, V> Default for Subscribers<K, V> {
    fn default() -> Self {
        Subscribers::Few(None)
    }
}
