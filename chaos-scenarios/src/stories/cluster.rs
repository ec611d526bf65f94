//! Stories of several nodes.
//!
//! They can be told only of a core that can be a member of a cluster: [`all`] is empty for one that cannot.

mod blackout;
mod clog;
mod gateways;
mod leaders;
mod queued;
mod restarts;
mod retained;
mod shared;
mod splits;
mod stand_still;
mod takeover;
mod wills;

use super::Story;
use broker_core::face::{ClusterSetup, Durability, Recovered, Setup};
use broker_core::ids::NodeId;
use broker_core::limits::Limits;
use broker_core::time::{Instant, WallTime};
use sim::{Opener as _, Production};
use std::sync::{LazyLock, OnceLock};

/// Stories that are of several nodes by themselves, the swarm first.
const OWN: [Story; 15] = [
    crate::generator::cluster::CLUSTER_SWARM,
    queued::STORY,
    gateways::PUBLISHER,
    gateways::SUBSCRIBER,
    leaders::UNCOMMITTED,
    leaders::ISOLATED,
    takeover::STORY,
    splits::STORY,
    stand_still::STORY,
    blackout::STORY,
    restarts::STORY,
    wills::STORY,
    retained::STORY,
    shared::STORY,
    clog::STORY,
];

/// Stories of one node that say nothing, or take too long, when they are told of several.
const ALONE: [&str; 4] = ["swarm", "id-wrap", "bit-rot", "async-crash"];

/// The stories of several nodes, the swarm first, those of one node told of several last; none if the core cannot be a member
/// of a cluster.
pub fn all() -> &'static [Story] {
    if can_be_told() { untold() } else { &[] }
}

/// The stories of several nodes, whether or not the core can tell them: for another core.
pub fn untold() -> &'static [Story] {
    static STORIES: LazyLock<Vec<Story>> = LazyLock::new(|| {
        let alone = super::ALL.iter().filter(|story| !ALONE.contains(&story.name));
        OWN.into_iter().chain(alone.map(Story::in_cluster)).collect()
    });
    &STORIES
}

/// The story whose turn it is with `seed`: every other seed is the swarm's, the others go round. `None` if there is none.
pub fn turn(seed: u64) -> Option<&'static Story> {
    let (swarm, others) = all().split_first()?;
    let round = seed / 2 % others.len() as u64;
    let story = &others[usize::try_from(round).expect("below a length")];
    Some(if seed.is_multiple_of(2) { swarm } else { story })
}

/// Whether the core can be a member of a cluster.
fn can_be_told() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let members = vec![NodeId(1), NodeId(2), NodeId(3)];
        let setup = Setup {
            node: NodeId(1),
            seed: 0,
            limits: Limits::default(),
            durability: Durability::Sync,
            snapshot_log_bytes: 1 << 20,
            wall: WallTime::from_millis(0),
            cluster: Some(ClusterSetup { members, shards: 1, replicas: 3 }),
        };
        Production.open(setup, Recovered::default(), Instant::ZERO).is_ok()
    })
}
