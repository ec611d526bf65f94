//! What a replica is told, how the crate is set, and what comes out.

use super::ids::raft_id;
use super::tail::TailLimits;
use crate::base::ids::{Index, NodeId, ShardId, Term};
use crate::base::time::Duration;
use bytes::Bytes;
use raft::{Config, ReadOnlyOption};

/// How often [`RaftGroup::tick`](super::RaftGroup::tick) is to be called.
pub const TICK: Duration = Duration::from_millis(100);

/// Ticks between two heartbeats of a leader.
const HEARTBEAT_TICKS: usize = 2;
/// Ticks without a leader after which a replica may campaign, and after which a leader without a quorum steps down.
pub(super) const ELECTION_TICKS: usize = 10;
/// One more than the ticks without a leader after which a replica does campaign.
pub(super) const ELECTION_TICKS_END: usize = 20;
/// Bytes of entries in one append.
const APPEND_BYTES: u64 = 1 << 20;
/// Appends on the way to one follower.
const APPENDS_IN_FLIGHT: usize = 64;
/// Bytes of proposals that are not committed; more are refused as [`ProposeError::Busy`].
const UNCOMMITTED_BYTES: u64 = 64 << 20;

/// What a replica is told when it opens.
#[derive(Clone, Debug)]
pub struct GroupSetup {
    /// The shard whose group it is.
    pub group: ShardId,
    /// The node that this replica is on.
    pub node: NodeId,
    /// The seed of the election timeouts: of the node or of the whole run.
    pub seed: u64,
    /// What is kept of what is applied.
    pub tail: TailLimits,
}

/// Why a proposal was refused. Nothing came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// This replica does not lead.
    NotLeader {
        /// Who does, if it knows.
        leader: Option<NodeId>,
    },
    /// It is handing over to another leader, or too much is not committed; to be tried again.
    Busy,
}

/// What a replica is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads. It may serve when an entry of this term is applied: until then it may not know of all that is committed.
    Leader {
        /// Since this term.
        term: Term,
    },
    /// It follows.
    Follower {
        /// Whom, if it knows.
        leader: Option<NodeId>,
        /// In this term.
        term: Term,
    },
    /// It wants to lead.
    Candidate {
        /// In this term, or the next.
        term: Term,
    },
}

/// Something to be applied to the machine, at once, in the order handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// An entry is committed, and on disk here.
    Entry {
        /// Its index.
        index: Index,
        /// The term of the leader that appended it.
        term: Term,
        /// What was proposed.
        data: Bytes,
    },
    /// The machine goes on as this one: it is as found on disk, or was sent by the leader. No chunks are a new machine.
    Machine {
        /// The last entry whose effect it holds.
        index: Index,
        /// Its chunks.
        chunks: Vec<Bytes>,
    },
}

/// The crate's settings for a replica on `node` whose machine holds all up to `applied`.
pub(super) fn config(node: NodeId, applied: Index) -> Config {
    Config {
        id: raft_id(node),
        election_tick: ELECTION_TICKS,
        heartbeat_tick: HEARTBEAT_TICKS,
        min_election_tick: ELECTION_TICKS,
        max_election_tick: ELECTION_TICKS_END,
        applied: applied.0,
        max_size_per_msg: APPEND_BYTES,
        max_inflight_msgs: APPENDS_IN_FLIGHT,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        // Followers hear what is committed with the next append or heartbeat: a message less each way for every entry.
        skip_bcast_commit: true,
        batch_append: false,
        priority: 0,
        max_uncommitted_size: UNCOMMITTED_BYTES,
        max_committed_size_per_ready: u64::MAX,
    }
}
