//! A run is a function of its scenario: the same trace in this process, in another one, and on any number of threads.

use chaos_scenarios::{campaign, stories, trial};
use std::process::Command;

/// Seeds that are replayed.
const SEEDS: u64 = 50;

#[test]
fn fifty_seeds_give_the_same_trace_in_this_process_and_in_another() {
    for seed in 0..SEEDS {
        let story = stories::turn(seed);
        let scenario = story.scenario(seed);
        let trace = trial::perform(&scenario).trace;
        assert_eq!(trial::perform(&story.scenario(seed)).trace, trace, "{} {seed}", story.name);
        assert_eq!(trace_of(story.name, seed), format!("trace {trace}"), "{} {seed}", story.name);
    }
}

/// The last line of `chaos replay`.
fn trace_of(story: &str, seed: u64) -> String {
    let replay =
        Command::new(env!("CARGO_BIN_EXE_chaos")).args(["replay", story, &seed.to_string()]).output();
    let replay = replay.expect("the chaos command can be started");
    let text = String::from_utf8(replay.stdout).expect("chaos writes UTF-8");
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_campaign_does_not_depend_on_the_number_of_threads() {
    let tasks = campaign::tasks(10, 24, None);
    let result =
        |jobs| serde_json::to_string(&campaign::run(&tasks, jobs, |_| {})).expect("a summary can be written");
    assert_eq!(result(1), result(3));
}

#[test]
fn the_command_says_what_scripts_rely_on() {
    let chaos = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_chaos")).args(arguments).output();
        let output = output.expect("the chaos command can be started");
        (output.status.code(), String::from_utf8(output.stdout).expect("chaos writes UTF-8"))
    };
    let (status, text) =
        chaos(&["run", "--scenario", "torn-tail", "--seeds", "3", "--from", "5", "--jobs", "2"]);
    assert_eq!(
        (status, text.lines().last()),
        (Some(0), Some("3 seeds, 0 violations, 0 liveness failures, 0 crashes"))
    );
    let (status, text) = chaos(&["list"]);
    let known = stories::ALL.len() + stories::cluster::all().len();
    assert_eq!((status, text.lines().count()), (Some(0), known));
    assert_eq!(chaos(&["run", "--scenario", "no-such-story"]).0, Some(2));
    assert_eq!(chaos(&["run", "--jobs", "0"]).0, Some(2));
    assert_eq!(chaos(&["run", "--cluster", "--seeds", "4"]).0, Some(0));
    assert_eq!(chaos(&["fly"]).0, Some(2));
}
