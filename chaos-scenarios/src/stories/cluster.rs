//! Stories of several nodes.

mod blackout;
mod busy;
mod clog;
mod gateways;
mod leaders;
mod leases;
mod many;
mod members;
mod queued;
mod restarts;
mod resumed;
mod retained;
mod shared;
mod splits;
mod stand_still;
mod takeover;
mod telling;
mod unequal_disks;
mod wills;

use super::Story;
use std::sync::LazyLock;

/// Stories that are of several nodes by themselves, the swarm first.
const OWN: [Story; 29] = [
    crate::generator::cluster::CLUSTER_SWARM,
    queued::STORY,
    gateways::PUBLISHER,
    gateways::SUBSCRIBER,
    leaders::KILLED,
    leaders::UNCOMMITTED,
    leaders::ISOLATED,
    takeover::STORY,
    takeover::IN_A_ROW,
    resumed::STORY,
    splits::STORY,
    stand_still::STORY,
    blackout::STORY,
    restarts::STORY,
    wills::STORY,
    retained::STORY,
    shared::STORY,
    clog::STORY,
    busy::STORY,
    leases::STORY,
    leases::SLEEPER,
    members::JOIN,
    members::REPLACE,
    members::ROTTEN,
    members::WIPED,
    members::DRAIN,
    unequal_disks::STORY,
    telling::STORY,
    many::STORY,
];

/// Stories of one node that say nothing, or take too long, when they are told of several.
const ALONE: [&str; 4] = ["swarm", "id-wrap", "bit-rot", "async-crash"];

/// The stories of several nodes, the swarm first, those of one node told of several last.
pub fn all() -> &'static [Story] {
    static STORIES: LazyLock<Vec<Story>> = LazyLock::new(|| {
        let alone = super::ALL.iter().filter(|story| !ALONE.contains(&story.name));
        OWN.into_iter().chain(alone.map(Story::in_cluster)).collect()
    });
    &STORIES
}

/// The story whose turn it is with `seed`: every other seed is the swarm's, the others go round.
pub fn turn(seed: u64) -> &'static Story {
    let (swarm, others) = all().split_first().expect("there are stories");
    let round = seed / 2 % others.len() as u64;
    let story = &others[usize::try_from(round).expect("below a length")];
    if seed.is_multiple_of(2) { swarm } else { story }
}
