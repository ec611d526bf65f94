//! Group commit: which writes wait for a sync, and which one is under way.

use broker_core::ids::WriteId;
use broker_core::time::{Duration, Instant};

/// Appended writes and their sync, as a disk thread would see them.
#[derive(Debug, Default)]
pub(super) struct Flush {
    /// The last write that was appended and not handed to a sync.
    waiting: Option<WriteId>,
    /// Whether somebody waits for one of them.
    urgent: bool,
    /// When they are synced even if nobody waits.
    due: Option<Instant>,
    /// The last write that the sync under way covers.
    under_way: Option<WriteId>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start a sync now.
    Sync,
    /// Look again at this time.
    Later(Instant),
}

impl Flush {
    /// A write was appended.
    pub(super) fn appended(&mut self, now: Instant, write: WriteId, urgent: bool, patience: Duration) {
        self.waiting = Some(write);
        self.urgent |= urgent;
        if !urgent && self.due.is_none() {
            self.due = Some(now + patience);
        }
    }

    /// Whether a sync is to start; if so it is counted as under way.
    pub(super) fn next(&mut self, now: Instant) -> Option<Next> {
        if self.under_way.is_some() {
            return None;
        }
        let write = self.waiting?;
        match self.due {
            Some(due) if !self.urgent && due > now => Some(Next::Later(due)),
            _ => {
                *self = Flush { under_way: Some(write), ..Flush::default() };
                Some(Next::Sync)
            }
        }
    }

    /// The sync under way ended: the last write it covers.
    ///
    /// # Panics
    /// If none was under way.
    pub(super) fn done(&mut self) -> WriteId {
        self.under_way.take().expect("a sync that ends was under way")
    }

    /// Whether everything appended is on disk.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_none() && self.under_way.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Flush, Instant, Next, WriteId};

    const PATIENCE: Duration = Duration::from_millis(50);

    #[test]
    fn writes_that_arrive_during_a_sync_share_the_next_one() {
        let mut flush = Flush::default();
        let now = Instant::ZERO;
        flush.appended(now, WriteId(1), true, PATIENCE);
        assert_eq!(flush.next(now), Some(Next::Sync));
        flush.appended(now, WriteId(2), true, PATIENCE);
        flush.appended(now, WriteId(3), true, PATIENCE);
        assert_eq!(flush.next(now), None);
        assert_eq!(flush.done(), WriteId(1));
        assert_eq!(flush.next(now), Some(Next::Sync));
        assert_eq!(flush.done(), WriteId(3));
        assert!(flush.is_idle());
    }

    #[test]
    fn a_lazy_write_waits_for_company_but_not_for_ever() {
        let mut flush = Flush::default();
        flush.appended(Instant::ZERO, WriteId(1), false, PATIENCE);
        let due = Instant::from_millis(50);
        assert_eq!(flush.next(Instant::ZERO), Some(Next::Later(due)));
        assert_eq!(flush.next(due), Some(Next::Sync));
        assert_eq!(flush.done(), WriteId(1));
        flush.appended(due, WriteId(2), false, PATIENCE);
        flush.appended(due, WriteId(3), true, PATIENCE);
        assert_eq!(flush.next(due), Some(Next::Sync));
        assert_eq!(flush.done(), WriteId(3));
    }
}
