//! The swarm: scenarios in which each seed switches whole fault families and kinds of client operation on or off, and draws
//! their rates. With everything always slightly on, the extremes would never be met.

mod clients;
pub(crate) mod cluster;
mod faults;

use crate::stories::Story;
use broker_core::limits::Limits;
use broker_core::rng::mix;
use clients::{Habits, client, habits};
use faults::{families, fault};
use proptest::prelude::{Just, Strategy, any, prop};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sim::history::FaultId;
use sim::scenario::{Fault, NodeSpec, Phases, Scenario, Span};

/// The swarm as a story.
pub(crate) const SWARM: Story = Story::new("swarm", "anything may happen to anybody", "ours", scenario);

/// The length of the safety phase, in milliseconds.
const SAFETY_MS: u64 = 5_000;

/// The longest time to recover and to drain what was queued, in milliseconds.
pub(crate) const LIVENESS_MS: u64 = 120_000;

/// As many messages as a seed queues for one client, and some more: a client that subscribes again at each of its hundreds of connections is sent
/// what is retained each time.
const QUEUED_MOST: u64 = 1_500;

/// The same over a network of this latency: a client that takes one message at a time needs two round trips for each, of QoS 2.
fn liveness_ms(latency_us: Span) -> u64 {
    let round_trip_us = 2 * latency_us.max;
    LIVENESS_MS + QUEUED_MOST * 2 * round_trip_us / 1_000
}

/// The scenario of `seed`.
///
/// # Panics
/// If the strategy rejects, which it never does.
fn scenario(seed: u64) -> Scenario {
    let mut bytes = [0; 32];
    for (place, chunk) in bytes.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&mix(seed.wrapping_add(mix(place as u64 + 1))).to_le_bytes());
    }
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = swarm().new_tree(&mut runner).expect("the swarm rejects nothing");
    Scenario { seed, ..tree.current() }
}

/// Any scenario of the swarm.
pub fn swarm() -> impl Strategy<Value = Scenario> {
    (habits(), families(), node(), latency(), 2..=6_usize).prop_flat_map(
        |(habits, families, node, latency_us, count)| {
            let faults = prop::collection::vec(fault(families, count), 0..=8);
            (Just(node), Just(latency_us), all_clients(&habits, count), faults).prop_map(
                |(node, latency_us, clients, kinds)| {
                    let mut scenario = Scenario::single_node("swarm", 0);
                    scenario.topology.nodes = vec![node];
                    scenario.topology.latency_us = latency_us;
                    scenario.clients = clients;
                    scenario.phases = Phases {
                        safety_ms: SAFETY_MS,
                        liveness_ms: liveness_ms(latency_us),
                        ..scenario.phases
                    };
                    let numbered = kinds
                        .into_iter()
                        .flatten()
                        .zip(0..)
                        .map(|(fault, number)| Fault { id: FaultId(number), ..fault });
                    scenario.faults = numbered.collect();
                    scenario
                },
            )
        },
    )
}

fn all_clients(
    habits: &Habits,
    count: usize,
) -> impl Strategy<Value = Vec<sim::scenario::ClientSpec>> + use<> {
    (0..count).map(|number| client(habits, number)).collect::<Vec<_>>()
}

fn latency() -> impl Strategy<Value = Span> {
    prop::sample::select(vec![(50, 200), (100, 1_000), (1_000, 20_000), (100, 80_000)])
        .prop_map(|(min, max)| Span { min, max })
}

fn node() -> impl Strategy<Value = NodeSpec> {
    let sync = prop::sample::select(vec![(100, 500), (500, 3_000), (2_000, 20_000)]);
    let bytes = prop::sample::select(vec![4 << 10, 16 << 10, 64 << 10]);
    (sync, bytes.clone(), bytes, limits(), any::<bool>()).prop_map(
        |((min, max), segment_bytes, snapshot_log_bytes, limits, slow)| NodeSpec {
            limits,
            sync_us: Span { min, max },
            auth_us: if slow { Span { min: 0, max: 20_000 } } else { Span { min: 0, max: 200 } },
            segment_bytes,
            snapshot_log_bytes,
            ..NodeSpec::default()
        },
    )
}

/// Limits as they come, or so narrow that they are reached.
fn limits() -> impl Strategy<Value = Limits> {
    let narrow = (1..=8_u16, 5..=40_u32, 3..=30_u16, 2..=5_u32, prop::bool::weighted(0.3)).prop_map(
        |(inflight_max, queue_messages_max, receive_max, retained, few)| Limits {
            inflight_max,
            queue_messages_max,
            receive_max,
            outbox_bytes_max: 8 << 10,
            retained_messages_max: if few { retained } else { 1_000 },
            topic_alias_max: 3,
            topic_alias_out_max: 2,
            ..Limits::default()
        },
    );
    let wide = Just(Limits::default());
    prop::bool::weighted(0.25)
        .prop_flat_map(move |tight| if tight { narrow.clone().boxed() } else { wide.clone().boxed() })
}

#[cfg(test)]
mod tests {
    use super::scenario;
    use std::collections::BTreeSet;

    #[test]
    fn seeds_switch_fault_families_on_and_off() {
        let kinds = |seed| {
            let scenario = scenario(seed);
            scenario.faults.iter().map(|fault| fault.kind.name()).collect::<BTreeSet<_>>()
        };
        let all: Vec<BTreeSet<&str>> = (0..200).map(kinds).collect();
        let met: BTreeSet<&str> = all.iter().flatten().copied().collect();
        assert!(met.len() >= 20, "only {met:?}");
        assert!(all.iter().any(BTreeSet::is_empty), "some seed has no fault at all");
        assert!(all.iter().all(|kinds| kinds.len() < met.len()));
    }

    #[test]
    fn seeds_switch_operations_on_and_off() {
        let publishes_qos2 = |seed| {
            scenario(seed)
                .clients
                .iter()
                .any(|client| client.workload.as_ref().is_some_and(|load| load.weights.publish_qos2 > 0))
        };
        assert!((0..50).any(publishes_qos2));
        assert!(!(0..50).all(publishes_qos2));
    }
}
