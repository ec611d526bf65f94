//! Groups of replicas under faults: links that lose, delay and reorder, partitions, crashes that take what was not synced,
//! replicas that were away so long that they need the machine.

mod machine;
mod node;
mod world;

use world::{Summary, World};

const SEEDS: u64 = 300;
const FAULTS_MS: u64 = 12_000;

fn run(seed: u64) -> Summary {
    let size = if seed.is_multiple_of(3) { 5 } else { 3 };
    World::new(seed, size).run(FAULTS_MS)
}

#[test]
fn replicas_agree_and_lose_nothing_that_was_acknowledged() {
    let runs: Vec<Summary> = (0..SEEDS).map(run).collect();
    let sum = |of: fn(&Summary) -> usize| runs.iter().map(of).sum::<usize>();
    // What the faults are for was reached.
    assert!(sum(|run| run.acknowledged) > 20_000, "{} acknowledged", sum(|run| run.acknowledged));
    assert!(sum(|run| run.elections) > 1_500, "{} elections", sum(|run| run.elections));
    assert!(sum(|run| run.installs) > 200, "{} machines were sent", sum(|run| run.installs));
    assert!(sum(|run| run.moves) > 100, "{} moves came to their end", sum(|run| run.moves));
    assert!(sum(|run| run.joins) > 100, "{} replicas began", sum(|run| run.joins));
    assert!(sum(|run| run.losses) > 100, "{} crashes took records", sum(|run| run.losses));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..40 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1).trace, run(2).trace);
}
