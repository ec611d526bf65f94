//! Everything at once: generated clients under every kind of fault. What is asserted here is what must hold of any run;
//! the promises themselves are judged by checkers elsewhere.

#[path = "support/storm.rs"]
mod generator;

use generator::storm;
use sim::history::What;
use sim::scenario::Scenario;
use sim::{Outcome, Production, RunOptions, run};

fn assert_sound(seed: u64, outcome: &Outcome) {
    assert_eq!(outcome.crash, None, "seed {seed}");
    for record in &outcome.history.records {
        match &record.what {
            What::Undecodable { why, .. } => panic!("seed {seed}: a client could not read the broker: {why}"),
            What::NodeRefused { why, .. } => panic!("seed {seed}: the node did not start: {why}"),
            What::End { restless } => assert!(restless.is_empty(), "seed {seed}: {restless:?} have no rest"),
            _ => {}
        }
    }
}

#[test]
fn whatever_happens_all_clients_come_to_rest() {
    for seed in 0..60 {
        assert_sound(seed, &run(&storm(seed), &Production, RunOptions::default()));
    }
}

#[test]
fn a_storm_gives_the_same_trace_twice() {
    for seed in 0..20 {
        let options = RunOptions { lines: true, ..RunOptions::default() };
        let (first, second) =
            (run(&storm(seed), &Production, options), run(&storm(seed), &Production, options));
        let lines = first.lines.iter().flatten().zip(second.lines.iter().flatten());
        for (line, (one, other)) in lines.enumerate() {
            assert_eq!(one, other, "seed {seed}: the runs part at event {line}");
        }
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert!(first.stats.published > 0 && first.stats.delivered > 0, "seed {seed}: nothing happened");
    }
}

#[test]
fn a_scenario_written_down_and_read_back_is_the_same_run() {
    for seed in 0..10 {
        let scenario = storm(seed);
        let bytes = postcard::to_allocvec(&scenario).expect("a scenario can be written");
        let again: Scenario = postcard::from_bytes(&bytes).expect("and read");
        let options = RunOptions::default();
        assert_eq!(run(&scenario, &Production, options).trace, run(&again, &Production, options).trace);
    }
}
