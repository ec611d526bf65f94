//! What a frame must be before anything is done with it: whoever wrote it may be mistaken.

use super::frame::{Frame, VolatileTarget};
use crate::base::ids::{NodeId, Position, ShardId};
use crate::cluster::{META, Placement};
use crate::shard::{Attachment, GatewayId, Op, ShardSet, Verdict};

impl Frame {
    /// Whether everything that it names can exist, and is the sender's if only the sender may name it.
    pub(super) fn is_sound(&self, sender: NodeId, placement: Placement) -> bool {
        let is_shard = |shard: ShardId| shard.0 < placement.shards();
        let is_group = |group: ShardId| is_shard(group) || group == META;
        let is_session = |session: &Attachment| is_shard(session.incarnation.shard());
        let are_shards = |shards: ShardSet| shards.iter().all(is_shard);
        let is_own = |gateway: &GatewayId| gateway.node == sender;
        let are_targets =
            |targets: &[VolatileTarget]| targets.iter().all(|target| is_session(&target.session));
        match self {
            Frame::Raft { shard: group, .. }
            | Frame::Leads { shard: group, .. }
            | Frame::Settled { group, .. } => is_group(*group),
            Frame::Request { shard, gateway, op, .. } => {
                let touched = if let Op::Touch { shard, .. } = op { *shard } else { *shard };
                is_shard(*shard) && is_shard(touched) && is_own(gateway)
            }
            Frame::HubFeed { shard, gateway, .. } | Frame::Renew { shard, gateway, .. } => {
                is_shard(*shard) && is_own(gateway)
            }
            Frame::Answer { shard, verdict, .. } => {
                let of_attach = match verdict {
                    Verdict::Attached { session, consuming, touched, .. } => {
                        is_session(session) && are_shards(*consuming) && are_shards(*touched)
                    }
                    _ => true,
                };
                is_shard(*shard) && of_attach
            }
            Frame::Push { shard, session, first, items, .. } => {
                is_shard(*shard) && is_session(session) && has_room(*first, items.len())
            }
            Frame::HubPush { shard, first, items, .. } => is_shard(*shard) && has_room(*first, items.len()),
            Frame::Feed { shard, session, .. }
            | Frame::FeedStart { shard, session, .. }
            | Frame::Volatile { shard, session, .. }
            | Frame::Recall { shard, session }
            | Frame::Recalled { shard, session } => is_shard(*shard) && is_session(session),
            Frame::Evicted { session } | Frame::Yield { session } | Frame::Yielded { session } => {
                is_session(session)
            }
            Frame::VolatilePush { shard, targets, .. } | Frame::Returned { shard, targets, .. } => {
                is_shard(*shard) && are_targets(targets)
            }
            Frame::Holds { shard, sessions } => is_shard(*shard) && sessions.iter().all(is_session),
            Frame::Renewed { shard, last, .. } => is_shard(*shard) && *last < u64::MAX,
            Frame::Forward { from, to, sequence, .. } => {
                is_shard(*from) && is_shard(*to) && *sequence < u64::MAX
            }
            Frame::Confirmed { from, to, upto } => is_shard(*from) && is_shard(*to) && *upto < u64::MAX,
            Frame::AskSession { shard, .. } | Frame::SessionIs { shard, .. } => is_shard(*shard),
            Frame::Directory(_)
            | Frame::Change { .. }
            | Frame::Changed { .. }
            | Frame::Introduction(_)
            | Frame::Stranger(_) => true,
        }
    }
}

/// Whether there are positions for so many items from `first` on, and one behind them.
fn has_room(first: Position, items: usize) -> bool {
    first.0.checked_add(items as u64).is_some()
}

#[cfg(test)]
mod tests {
    use super::{Attachment, Frame, GatewayId, NodeId, Op, Placement, Position, ShardId, ShardSet, Verdict};
    use crate::base::ids::{Epoch, Incarnation};
    use crate::base::time::{Instant, WallTime};

    const SENDER: NodeId = NodeId(2);

    fn is_sound(frame: &Frame) -> bool {
        frame.is_sound(SENDER, Placement::new(4))
    }

    fn session(shard: u64) -> Attachment {
        Attachment { incarnation: Incarnation(shard << 48 | 1), epoch: Epoch(1) }
    }

    fn gateway(node: u32) -> GatewayId {
        GatewayId { node: NodeId(node), life: 1, generation: 0 }
    }

    fn request(shard: u16, touched: u16, node: u32) -> Frame {
        Frame::Request {
            shard: ShardId(shard),
            gateway: gateway(node),
            sequence: 1,
            answered: 1,
            wall: WallTime::default(),
            op: Op::Touch { session: session(0), shard: ShardId(touched) },
        }
    }

    fn attached(home: u64, consuming: u16) -> Frame {
        let mut shards = ShardSet::default();
        shards.insert(ShardId(consuming));
        let verdict = Verdict::Attached {
            session: session(home),
            present: true,
            durable: true,
            consuming: shards,
            touched: ShardSet::default(),
        };
        Frame::Answer { shard: ShardId(0), gateway: gateway(1), sequence: 1, verdict }
    }

    #[test]
    fn nothing_may_name_a_shard_that_is_not_there() {
        assert!(is_sound(&request(3, 3, 2)));
        assert!(!is_sound(&request(4, 3, 2)));
        assert!(!is_sound(&request(3, 70, 2)));
        assert!(is_sound(&attached(3, 3)));
        assert!(!is_sound(&attached(4, 3)));
        assert!(!is_sound(&attached(3, 4)));
        assert!(!is_sound(&Frame::Evicted { session: session(9) }));
    }

    #[test]
    fn a_gateway_speaks_for_itself_only() {
        assert!(!is_sound(&request(3, 3, 1)));
        let at = Instant::ZERO;
        assert!(is_sound(&Frame::Renew { shard: ShardId(0), gateway: gateway(2), at }));
        assert!(!is_sound(&Frame::Renew { shard: ShardId(0), gateway: gateway(3), at }));
    }

    #[test]
    fn numbers_must_have_a_next_one() {
        let push = |first, items| Frame::HubPush {
            shard: ShardId(0),
            gateway: gateway(1),
            wall: WallTime::default(),
            first: Position(first),
            items: vec![super::super::frame::HubItem { message: None, tag: None }; items],
        };
        assert!(is_sound(&push(u64::MAX - 1, 1)));
        assert!(!is_sound(&push(u64::MAX, 1)));
        let confirmed = |upto| Frame::Confirmed { from: ShardId(0), to: ShardId(1), upto };
        assert!(is_sound(&confirmed(7)) && !is_sound(&confirmed(u64::MAX)));
    }
}
