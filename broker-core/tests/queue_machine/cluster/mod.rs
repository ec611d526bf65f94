//! A little cluster without consensus: each shard is one machine, and everything that travels does so late, twice, or not at all
//! until it is sent again. What was acknowledged must hold all the same, with four shards as with one.

mod client;
mod doing;
mod ending;
mod gateway;
mod history;
mod shards;
mod world;

use client::Act;
use proptest::prelude::*;
use world::World;

/// Clients with a session that outlives its connection, and clients with none.
const DURABLE: usize = 3;
const CLEAN: usize = 2;
/// One more client, which sees all wills.
const WATCHER: usize = DURABLE + CLEAN;
const GATEWAYS: usize = 3;

const FILTERS: [&str; 6] = ["t/#", "t/1", "#", "+/0", "own/#", "u"];
const TOPICS: [&str; 4] = ["t/0", "t/1", "t/2", "u"];

fn act() -> impl Strategy<Value = Act> {
    let filter = 0..FILTERS.len();
    let publish = (0..TOPICS.len(), any::<bool>(), proptest::option::weighted(0.3, 0..GATEWAYS));
    prop_oneof![
        2 => (0..GATEWAYS, proptest::bool::weighted(0.2), any::<bool>())
            .prop_map(|(gateway, clean_start, will)| Act::Connect { gateway, clean_start, will }),
        1 => any::<bool>().prop_map(|discard_will| Act::Disconnect { discard_will }),
        4 => (filter.clone(), any::<bool>()).prop_map(|(filter, retained)| Act::Subscribe { filter, retained }),
        1 => filter.prop_map(|filter| Act::Unsubscribe { filter }),
        8 => publish.prop_map(|(topic, exactly_once, moves)| Act::Publish { topic, exactly_once, moves }),
        2 => proptest::option::weighted(0.3, 0..GATEWAYS).prop_map(|moves| Act::Retain { moves }),
        1 => Just(Act::SayBack),
    ]
}

/// What each client does, and the seed of everything else.
fn run() -> impl Strategy<Value = (Vec<Vec<Act>>, u64)> {
    let script = proptest::collection::vec(act(), 1..14);
    (proptest::collection::vec(script, DURABLE + CLEAN), any::<u64>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_holds_whatever_becomes_of_the_streams((scripts, seed) in run()) {
        let one = World::run(&scripts, 1, seed);
        let four = World::run(&scripts, 4, seed);
        prop_assert_eq!(one.ending(), four.ending());
    }
}
