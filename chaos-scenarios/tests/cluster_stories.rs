//! The stories of several nodes, told of a stand-in for a cluster: one broker, and nodes that relay to it. Whatever happens,
//! no checker finds fault with it.

#[path = "support/relay.rs"]
mod relay;

use chaos_scenarios::situations;
use chaos_scenarios::stories::{Story, cluster};
use chaos_scenarios::trial::{self, Ending, Trial};
use relay::Relayed;
use sim::scenario::{FaultKind, Scenario};
use sim::{RunOptions, TraceHash};
use std::collections::BTreeSet;

/// Seeds of each story that is made for several nodes.
const SEEDS: u64 = 10;

/// Situations that the stand-in cannot come into.
const NEVER: [&str; 9] = [
    "leadership moved to another node",
    "lead handed over while publishes were not acknowledged",
    "lead not taken over by who was asked",
    "gateway dropped at the end of its lease",
    "gateway dropped although its process lived",
    "replica moved to another node",
    "node went down while replicas moved",
    "member without its data refused",
    "node switched off for good after it had left",
];

/// Whether the broker itself may be lost for good, which the stand-in has no other of, or is not to be the leader for ever.
fn needs_others(story: &Story, seed: u64) -> bool {
    let Scenario { faults, phases, .. } = story.scenario(seed);
    phases.until_led || faults.iter().any(|fault| matches!(fault.kind, FaultKind::Replace { lost: true, .. }))
}

fn tell(story: &Story, seed: u64) -> Trial {
    tell_of(&Relayed { acknowledges: false }, story, seed)
}

fn tell_of(cluster: &Relayed, story: &Story, seed: u64) -> Trial {
    let outcome = sim::run(&story.scenario(seed), cluster, RunOptions::default());
    trial::judge(story, seed, &outcome)
}

/// What was wrong with a run, if anything was.
fn failure(trial: &Trial) -> Option<String> {
    let crash = trial.crash.as_ref().map(|words| format!("crash: {words}"));
    let broken = trial.broken.first().map(|broken| format!("{}: {}", broken.name, broken.because));
    let what = crash.or(broken).unwrap_or_default();
    (trial.ending() != Ending::Holds).then(|| format!("{} {}: {what}", trial.story, trial.seed))
}

fn assert_hold(trials: impl Iterator<Item = Trial>) {
    let failures: Vec<String> = trials.filter_map(|trial| failure(&trial)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn stories_of_several_nodes_hold_and_reach_every_situation_that_needs_no_second_leader() {
    let own = cluster::all().iter().filter(|story| !story.name.starts_with("cluster/"));
    let trials: Vec<Trial> = own
        .flat_map(|story| (0..SEEDS).map(move |seed| (story, seed)))
        .filter(|(story, seed)| !needs_others(story, *seed))
        .map(|(story, seed)| tell(story, seed))
        .collect();
    let reached: BTreeSet<&str> = trials.iter().flat_map(|trial| trial.situations.keys().copied()).collect();
    assert_hold(trials.into_iter());
    let missing: Vec<&str> = situations::names_of_cluster().filter(|name| !reached.contains(name)).collect();
    assert_eq!(
        missing, NEVER,
        "the stand-in has one leader for ever, no leases, no replicas and no members that know each other"
    );
}

#[test]
fn the_swarm_of_several_nodes_holds() {
    let swarm = &cluster::all()[0];
    let seeds = (SEEDS..6 * SEEDS).filter(|seed| !needs_others(swarm, *seed));
    assert_hold(seeds.map(|seed| tell(swarm, seed)));
}

#[test]
fn stories_of_one_node_hold_on_several() {
    let others = cluster::all().iter().filter(|story| story.name.starts_with("cluster/"));
    assert_hold(others.flat_map(|story| (0..3).map(|seed| tell(story, seed))));
}

#[test]
fn a_gateway_that_acknowledges_what_it_cannot_keep_is_found_out() {
    let story = cluster::all().iter().find(|story| story.name == "split-views").expect("it is told");
    let cluster = Relayed { acknowledges: true };
    let loses = |seed| tell_of(&cluster, story, seed).broken.iter().any(|broken| broken.name == "AckOwned");
    assert!(
        (0..200).any(loses),
        "two hundred partitions, and what was acknowledged and not kept was never missed"
    );
}

#[test]
fn a_story_of_several_nodes_gives_the_same_trace_twice() {
    for story in cluster::all().iter().step_by(3) {
        let trace = |seed| -> TraceHash { tell(story, seed).trace };
        assert_eq!(trace(3), trace(3), "{}", story.name);
        assert_ne!(trace(3), trace(4), "{}", story.name);
    }
}
