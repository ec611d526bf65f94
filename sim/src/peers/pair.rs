//! Two nodes that have a link to each other.

use crate::stage::NodeIx;

/// Two nodes, the one with the lower place first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    low: NodeIx,
    high: NodeIx,
}

/// One of two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The one with the lower place.
    Low,
    /// The other.
    High,
}

impl Pair {
    /// `None` for a node and itself.
    pub(crate) fn of(one: NodeIx, other: NodeIx) -> Option<Self> {
        (one != other).then(|| Pair { low: one.min(other), high: one.max(other) })
    }

    pub(crate) const fn node(self, side: Side) -> NodeIx {
        match side {
            Side::Low => self.low,
            Side::High => self.high,
        }
    }

    /// Which of the two `node` is.
    pub(crate) fn side(self, node: NodeIx) -> Option<Side> {
        [Side::Low, Side::High].into_iter().find(|side| self.node(*side) == node)
    }
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Low, Side::High];

    pub(crate) const fn other(self) -> Side {
        match self {
            Side::Low => Side::High,
            Side::High => Side::Low,
        }
    }
}
