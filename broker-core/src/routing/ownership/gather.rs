//! Answers that several shards make together.

use crate::base::ids::{ConnId, PacketId, ShardId};
use crate::codec::ReasonCode;
use crate::replication::{Committed, Receipt};
use crate::session::confirm::Answer;
use crate::shard::{Attachment, ShardSet};
use crate::topic::TopicFilter;
use std::collections::BTreeMap;

/// What one shard was asked for.
#[derive(Debug)]
pub(super) enum Part {
    /// PUBREL.
    Release,
    /// The filters at these places of a SUBSCRIBE or UNSUBSCRIBE.
    Machine(Vec<usize>),
    /// To let a hub hear a filter.
    Hear { filter: TopicFilter, tag: u64 },
}

#[derive(Debug)]
enum Kind {
    /// PUBCOMP, and whether any shard knew the identifier.
    Release { id: PacketId, known: bool },
    /// SUBACK or UNSUBACK: the reason codes that are known.
    Reasons(Vec<Option<ReasonCode>>),
}

/// One answer in the making.
#[derive(Debug)]
pub(super) struct Gather {
    receipt: Receipt,
    session: Attachment,
    remaining: usize,
    kind: Kind,
    feeds: ShardSet,
}

/// An answer that is complete.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) receipt: Receipt,
    pub(super) session: Attachment,
    pub(super) committed: Committed,
    pub(super) answer: Answer,
    /// The identifier, if it is the answer to a PUBREL.
    pub(super) released: Option<PacketId>,
    /// The shards that have a queue for the session now.
    pub(super) feeds: ShardSet,
}

impl Gather {
    pub(super) fn release(receipt: Receipt, session: Attachment, id: PacketId, shards: usize) -> Self {
        let kind = Kind::Release { id, known: false };
        Gather { receipt, session, remaining: shards, kind, feeds: ShardSet::default() }
    }

    /// SUBACK or UNSUBACK for so many filters.
    pub(super) fn filters(receipt: Receipt, session: Attachment, filters: usize) -> Self {
        let kind = Kind::Reasons(vec![None; filters]);
        Gather { receipt, session, remaining: 0, kind, feeds: ShardSet::default() }
    }

    /// So many shards are being asked.
    pub(super) fn expect(&mut self, shards: usize) {
        self.remaining += shards;
    }

    /// These shards will have a queue for the session.
    pub(super) fn will_feed(&mut self, shards: Vec<ShardId>) {
        self.feeds = self.feeds.union(shards.into_iter().collect());
    }

    /// The reason code of the filter at `place`.
    pub(super) fn settle(&mut self, place: usize, reason: ReasonCode) {
        if let Kind::Reasons(reasons) = &mut self.kind {
            reasons[place] = Some(reason);
        }
    }

    /// A shard has released the identifier.
    pub(super) fn released(&mut self, was_known: bool) {
        if let Kind::Release { known, .. } = &mut self.kind {
            *known |= was_known;
        }
    }

    /// One of the shards that were asked has answered.
    pub(super) fn answered(&mut self) {
        self.remaining -= 1;
    }

    /// The connection that waits for it.
    pub(super) fn conn(&self) -> ConnId {
        self.receipt.conn()
    }

    /// Its session.
    pub(super) fn session(&self) -> Attachment {
        self.session
    }

    fn is_complete(&self) -> bool {
        self.remaining == 0
    }

    fn finish(self, committed: Committed) -> Done {
        let Gather { receipt, session, kind, feeds, .. } = self;
        let released = match &kind {
            Kind::Release { id, .. } => Some(*id),
            Kind::Reasons(_) => None,
        };
        let answer = match kind {
            Kind::Release { known: true, .. } => Answer::Reason(ReasonCode::Success),
            Kind::Release { known: false, .. } => Answer::Reason(ReasonCode::PacketIdentifierNotFound),
            Kind::Reasons(reasons) => {
                let known =
                    |reason: Option<ReasonCode>| reason.expect("every shard that was asked has answered");
                Answer::Reasons(reasons.into_iter().map(known).collect())
            }
        };
        Done { receipt, session, committed, answer, released, feeds }
    }
}

/// All answers in the making.
#[derive(Debug, Default)]
pub(super) struct Gathers {
    next: u64,
    open: BTreeMap<u64, Gather>,
}

impl Gathers {
    pub(super) fn open(&mut self, gather: Gather) -> u64 {
        self.next += 1;
        self.open.insert(self.next, gather);
        self.next
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Gather> {
        self.open.get_mut(&number)
    }

    /// Takes an answer if it is complete. `committed`: that of its last part.
    pub(super) fn take_complete(&mut self, number: u64, committed: Committed) -> Option<Done> {
        self.open.get(&number).filter(|gather| gather.is_complete())?;
        self.open.remove(&number).map(|gather| gather.finish(committed))
    }

    /// Gives an answer up. Says which connection waited for it.
    pub(super) fn give_up(&mut self, number: u64) -> Option<ConnId> {
        self.open.remove(&number).map(|gather| gather.conn())
    }
}
