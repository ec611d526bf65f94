//! A tree of topic levels, kept in one vector.
//!
//! Nodes name each other by number, so walks go up and down with a loop where recursion could run out of stack: a
//! topic may have 65,536 levels. Children are in the order of their names; nothing that a walk sees depends on the
//! numbers, and so not on the history of insertions either.

use std::collections::BTreeMap;

/// The number of a node in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u32);

/// The node above the first level.
pub(super) const ROOT: NodeId = NodeId(0);

/// One level of a path.
#[derive(Clone, Debug)]
pub(super) struct Node<T> {
    /// The next levels. Their names are copies: a slice would keep the whole packet of the subscriber in memory.
    pub(super) children: BTreeMap<Box<str>, NodeId>,
    /// The node of the level before; the root's is the root.
    pub(super) parent: NodeId,
    /// What is known of this path.
    pub(super) content: T,
}

/// Contents by path.
#[derive(Clone, Debug)]
pub(super) struct LevelTree<T> {
    nodes: Vec<Node<T>>,
    free: Vec<NodeId>,
}

impl<T: Default> LevelTree<T> {
    /// A root with nothing in it.
    pub(super) fn new() -> Self {
        let root = Node { children: BTreeMap::new(), parent: ROOT, content: T::default() };
        LevelTree { nodes: vec![root], free: Vec::new() }
    }

    /// The node with the number `id`.
    pub(super) fn node(&self, id: NodeId) -> &Node<T> {
        &self.nodes[id.0 as usize]
    }

    /// What is known of the node with the number `id`.
    pub(super) fn content_mut(&mut self, id: NodeId) -> &mut T {
        &mut self.nodes[id.0 as usize].content
    }

    /// The node at the end of `path`.
    pub(super) fn find<'p>(&self, path: impl Iterator<Item = &'p str>) -> Option<NodeId> {
        let mut at = ROOT;
        for level in path {
            at = *self.node(at).children.get(level)?;
        }
        Some(at)
    }

    /// The node at the end of `path`, made if it is not there.
    pub(super) fn make<'p>(&mut self, path: impl Iterator<Item = &'p str>) -> NodeId {
        let mut at = ROOT;
        for level in path {
            at = match self.node(at).children.get(level) {
                Some(&child) => child,
                None => self.add_child(at, level),
            };
        }
        at
    }

    /// Removes `at` and then each node above it, as long as the node has no children and `is_empty` says that nothing
    /// is known of it. `names` are the levels of its path from the right.
    pub(super) fn prune<'p>(
        &mut self,
        mut at: NodeId,
        names: impl Iterator<Item = &'p str>,
        is_empty: impl Fn(&T) -> bool,
    ) {
        for name in names {
            let node = self.node(at);
            if !node.children.is_empty() || !is_empty(&node.content) {
                return;
            }
            let parent = node.parent;
            let removed = self.nodes[parent.0 as usize].children.remove(name);
            assert_eq!(removed, Some(at), "the names lead from the node to the root");
            self.nodes[at.0 as usize].content = T::default();
            self.free.push(at);
            at = parent;
        }
        self.give_back_if_empty();
    }

    fn add_child(&mut self, parent: NodeId, level: &str) -> NodeId {
        let node = Node { children: BTreeMap::new(), parent, content: T::default() };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id.0 as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                NodeId(u32::try_from(self.nodes.len() - 1).expect("2^32 nodes do not fit in memory"))
            }
        };
        self.nodes[parent.0 as usize].children.insert(level.into(), id);
        id
    }

    /// An empty tree keeps no memory of its greatest extent.
    fn give_back_if_empty(&mut self) {
        if self.nodes[0].children.is_empty() {
            self.nodes.truncate(1);
            self.nodes.shrink_to_fit();
            self.free = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LevelTree;

    #[test]
    fn a_path_that_ends_takes_only_its_own_nodes_with_it() {
        let mut tree = LevelTree::<u8>::new();
        let short = tree.make(["a", "b"].into_iter());
        *tree.content_mut(short) = 1;
        let long = tree.make(["a", "b", "c", "d"].into_iter());
        let side = tree.make(["x"].into_iter());
        *tree.content_mut(side) = 1;

        tree.prune(long, ["d", "c", "b", "a"].into_iter(), |&content| content == 0);
        assert_eq!(tree.find(["a", "b", "c"].into_iter()), None);
        assert_eq!(tree.find(["a", "b"].into_iter()), Some(short));
        assert_eq!(tree.free.len(), 2);

        tree.make(["x", "y", "z"].into_iter());
        assert_eq!((tree.nodes.len(), tree.free.len()), (6, 0), "numbers are used again");
    }

    #[test]
    fn an_empty_tree_keeps_no_nodes() {
        let mut tree = LevelTree::<u8>::new();
        let node = tree.make(["a", "", "b"].into_iter());
        tree.prune(node, ["b", "", "a"].into_iter(), |_| true);
        assert_eq!((tree.nodes.len(), tree.free.len()), (1, 0));
    }
}
