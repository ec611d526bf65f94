//! Stories: families of scenarios, each about one way in which brokers are known to fail. A seed varies its times, its
//! clients and its rates.

mod access_list_replay;
mod async_crash;
mod bit_rot;
mod bridge_resume;
pub mod cluster;
mod crash_loop;
mod disk_full;
mod expiry_over_restart;
mod flapping_link;
mod hostile_clients;
mod id_wrap;
mod keep_alive;
mod lost_pubrel;
mod plot;
mod pubcomp_without_delivery;
mod qos2_replay;
mod queued_at_crash;
mod resubscribe;
mod retained_power_loss;
mod session_expiry_crash;
mod shared_redispatch;
mod shutdown;
mod slow_consumer;
mod suback_route;
mod subscribe_to_retained;
mod takeover_in_flight;
mod torn_tail;
mod will_and_takeover;
mod will_at_node_death;

use sim::scenario::Scenario;

/// A family of scenarios.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// Its name on the command line.
    pub name: &'static str,
    /// What goes wrong in it, in a sentence.
    pub about: &'static str,
    /// Where it happened: a public issue, or `ours`.
    pub source: &'static str,
    /// The scenario of a seed.
    make: fn(u64) -> Scenario,
    /// The promises that its histories need not be able to tell.
    open: Open,
    /// One in so many turns is taken; more than one for stories that take long.
    rarity: u64,
    /// On how many nodes it is told.
    scene: Scene,
}

/// On how many nodes a story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// As it is.
    Own,
    /// On several, although it is made for one.
    Cluster,
}

/// Which promises a story's histories need not be able to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// All can be told.
    None,
    /// What was acknowledged may be lost (writes in the background, damage to the disk), so nothing about it is certain.
    AfterCrash,
}

/// All stories; the first is the swarm.
pub const ALL: &[Story] = &[
    crate::generator::SWARM,
    queued_at_crash::STORY,
    qos2_replay::STORY,
    pubcomp_without_delivery::STORY,
    lost_pubrel::STORY,
    id_wrap::STORY,
    shared_redispatch::STORY,
    will_and_takeover::STORY,
    will_at_node_death::STORY,
    takeover_in_flight::STORY,
    suback_route::STORY,
    resubscribe::STORY,
    shutdown::STORY,
    bridge_resume::STORY,
    access_list_replay::STORY,
    session_expiry_crash::STORY,
    retained_power_loss::STORY,
    subscribe_to_retained::STORY,
    expiry_over_restart::STORY,
    torn_tail::STORY,
    crash_loop::STORY,
    disk_full::STORY,
    bit_rot::STORY,
    async_crash::STORY,
    slow_consumer::STORY,
    flapping_link::STORY,
    keep_alive::STORY,
    hostile_clients::STORY,
];

impl Story {
    /// A story whose histories can tell everything.
    pub(crate) const fn new(
        name: &'static str,
        about: &'static str,
        source: &'static str,
        make: fn(u64) -> Scenario,
    ) -> Self {
        Story { name, about, source, make, open: Open::None, rarity: 1, scene: Scene::Own }
    }

    /// The same, but what was acknowledged may be lost in it.
    const fn may_forget(self) -> Self {
        Story { open: Open::AfterCrash, ..self }
    }

    /// The same, but taken only in one of so many turns.
    const fn one_in(self, rarity: u64) -> Self {
        Story { rarity, ..self }
    }

    /// The same story, told of several nodes. Its name is made once a process and kept.
    fn in_cluster(&self) -> Self {
        let name = Box::leak(format!("cluster/{}", self.name).into_boxed_str());
        Story { name, scene: Scene::Cluster, ..*self }
    }

    /// Whether it is told of several nodes.
    pub fn is_of_cluster(&self) -> bool {
        cluster::all().iter().any(|story| story.name == self.name)
    }

    /// The scenario of `seed`.
    pub fn scenario(&self, seed: u64) -> Scenario {
        let mut scenario = (self.make)(seed);
        if self.scene == Scene::Cluster {
            scenario = crate::generator::cluster::in_cluster(scenario);
        }
        self.name.clone_into(&mut scenario.name);
        scenario
    }

    /// Whether its histories need not be able to tell the promise with this number.
    pub fn leaves_open(&self, number: u8) -> bool {
        // What can be told whatever was lost: answers, flags, flow, access, bounds.
        const ALWAYS_TOLD: [u8; 9] = [9, 10, 11, 12, 14, 33, 36, 39, 40];
        self.open == Open::AfterCrash && !ALWAYS_TOLD.contains(&number)
    }
}

/// The story with this name.
pub fn find(name: &str) -> Option<&'static Story> {
    ALL.iter().chain(cluster::all()).find(|story| story.name == name)
}

/// The story whose turn it is with `seed`: every other seed is the swarm's, the others go round.
pub fn turn(seed: u64) -> &'static Story {
    let (swarm, others) = ALL.split_first().expect("there are stories");
    if seed.is_multiple_of(2) {
        return swarm;
    }
    let count = others.len() as u64;
    let round = seed / 2 / count;
    let story = &others[usize::try_from(seed / 2 % count).expect("below a length")];
    if round.is_multiple_of(story.rarity) { story } else { swarm }
}

#[cfg(test)]
mod tests {
    use super::{ALL, find, turn};

    #[test]
    fn names_are_unique_and_every_story_has_its_turn() {
        for story in ALL {
            assert_eq!(find(story.name).map(|found| found.about), Some(story.about));
            assert!((0..ALL.len() as u64 * 2).any(|seed| turn(seed).name == story.name), "{}", story.name);
        }
    }

    #[test]
    fn a_scenario_depends_on_its_seed_and_on_nothing_else() {
        for story in ALL {
            let text =
                |seed| serde_json::to_string(&story.scenario(seed)).expect("a scenario can be written");
            assert_eq!(text(7), text(7), "{}", story.name);
            assert_ne!(text(7), text(8), "{}", story.name);
        }
    }
}
