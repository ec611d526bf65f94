//! Clients of the swarm: the habits of the whole scenario, and each client's own.

use super::SAFETY_MS;
use broker_core::time::Instant;
use proptest::prelude::{Just, Strategy, any, prop};
use sim::history::{Qos, Subscription, Version};
use sim::scenario::{Backoff, CleanStart, ClientSpec, Conduct, Span, Weights, WillSpec, Workload};

/// What all clients of a scenario have in common.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    weights: Weights,
    topics: Vec<String>,
    pause_ms: Span,
    payload_bytes: Span,
    expiry_percent: u8,
    wills: bool,
    shared: bool,
    same_id: bool,
}

/// Filters that match some of [`TOPICS`], in many ways.
const FILTERS: [&str; 8] = ["a/b", "a/+", "a/#", "#", "+/c", "b/c", "a/b", "b/+"];
const GROUPS: [&str; 3] = ["$share/g/a/+", "$share/g/#", "$share/h/a/b"];
const TOPICS: [&str; 5] = ["a/b", "a/c", "b/c", "a", "will/x"];

pub(super) fn habits() -> impl Strategy<Value = Habits> {
    let pause = prop::sample::select(vec![(1, 10), (5, 60), (20, 300)]);
    let payload = prop::sample::select(vec![(0, 20), (0, 200), (500, 4_000)]);
    let flags =
        (prop::bool::weighted(0.3), any::<bool>(), prop::bool::weighted(0.4), prop::bool::weighted(0.2));
    (weights(), 1..=TOPICS.len(), pause, payload, flags).prop_map(
        |(weights, topics, pause, payload, flags)| {
            let (expires, wills, shared, same_id) = flags;
            Habits {
                weights,
                topics: TOPICS[..topics].iter().map(|topic| (*topic).to_owned()).collect(),
                pause_ms: Span { min: pause.0, max: pause.1 },
                payload_bytes: Span { min: payload.0, max: payload.1 },
                expiry_percent: if expires { 60 } else { 0 },
                wills,
                shared,
                same_id,
            }
        },
    )
}

/// Each kind of operation is off, or on with a weight.
fn weights() -> impl Strategy<Value = Weights> {
    let often = || prop_oneof_weight(3, 40);
    let seldom = || prop_oneof_weight(1, 3);
    let publishes = (often(), often(), often(), seldom(), seldom());
    let subscriptions = (seldom(), seldom());
    let comings = (seldom(), seldom(), seldom(), seldom(), seldom());
    (publishes, subscriptions, comings, seldom(), prop::bool::weighted(0.15)).prop_map(
        |(publishes, subscriptions, comings, ping, misdeeds)| {
            let weights = Weights {
                publish_qos0: publishes.0,
                publish_qos1: publishes.1,
                publish_qos2: publishes.2,
                retain: publishes.3,
                clear: publishes.4,
                subscribe: subscriptions.0,
                unsubscribe: subscriptions.1,
                disconnect: comings.0,
                disconnect_with_will: comings.1,
                drop: comings.2,
                takeover: comings.3,
                forget: comings.4,
                ping,
                misdeed: u16::from(misdeeds),
            };
            let silent = weights.publish_qos0 + weights.publish_qos1 + weights.publish_qos2 == 0;
            // A scenario in which nobody says anything is not worth its time.
            Weights { publish_qos1: if silent { 20 } else { weights.publish_qos1 }, ..weights }
        },
    )
}

/// Off in half of the cases, else between the two.
fn prop_oneof_weight(low: u16, high: u16) -> impl Strategy<Value = u16> {
    (any::<bool>(), low..=high).prop_map(|(on, weight)| if on { weight } else { 0 })
}

pub(super) fn client(habits: &Habits, number: usize) -> impl Strategy<Value = ClientSpec> + use<> {
    let habits = habits.clone();
    let same_id = habits.same_id;
    (identity(&habits, number), quirks(), conduct(), workload(&habits)).prop_map(
        move |(identity, quirks, conduct, workload)| {
            let mut spec = ClientSpec { conduct, workload: Some(workload), ..identity };
            spec.receive_max = quirks.0.then_some(quirks.1);
            // A session that two clients share is not to be too large for one of them in the middle of an exchange.
            spec.packet_bytes_max = (quirks.2 && !same_id).then_some(1_500);
            spec.topic_alias_max = quirks.3;
            spec.uses_aliases = quirks.4;
            spec.keep_alive_s = quirks.5;
            spec
        },
    )
}

/// Receive Maximum (whether, which), a narrow Maximum Packet Size, aliases in and out, keep alive.
fn quirks() -> impl Strategy<Value = (bool, u16, bool, u16, bool, u16)> {
    let keep_alive = prop::sample::select(vec![0, 0, 1, 3]);
    let aliases = prop::sample::select(vec![0, 0, 2, 10]);
    (prop::bool::weighted(0.3), 1..=8_u16, prop::bool::weighted(0.1), aliases, any::<bool>(), keep_alive)
}

fn identity(habits: &Habits, number: usize) -> impl Strategy<Value = ClientSpec> + use<> {
    let (wills, same_id) = (habits.wills, habits.same_id);
    let version = prop::sample::select(vec![Version::V5, Version::V5, Version::V311]);
    let kind = prop::sample::select(vec![0_u8, 0, 0, 1, 2, 3]);
    let expiry = prop::sample::select(vec![2, 3_600, u32::MAX]);
    let start = 0..=500_u64;
    (version, kind, expiry, start, will()).prop_map(move |(version, kind, expiry_s, start_ms, will)| {
        let name = format!("client{number}");
        // Two clients with one name speak one version, so that either can go on with the session.
        let twin = same_id && number == 1;
        let client_id = if twin { "client0".to_owned() } else { name };
        let kind = if same_id && number <= 1 { 0 } else { kind };
        let version = if same_id && number <= 1 { Version::V5 } else { version };
        let mut spec = match kind {
            0 => ClientSpec::durable(&client_id, version),
            1 => ClientSpec { session_expiry_s: expiry_s, ..ClientSpec::durable(&client_id, version) },
            2 => ClientSpec::clean(&client_id, version),
            _ => ClientSpec {
                clean_start: CleanStart::Sometimes { percent: 30 },
                ..ClientSpec::durable(&client_id, version)
            },
        };
        spec.connect_at = Some(Instant::from_millis(start_ms));
        spec.will = will.filter(|_| wills);
        spec
    })
}

fn will() -> impl Strategy<Value = Option<WillSpec>> {
    (any::<bool>(), qos(), any::<bool>(), 0..=3_u32).prop_map(|(on, qos, retain, delay_s)| {
        on.then(|| WillSpec { topic: "will/x".to_owned(), qos, retain, delay_s, expiry_s: None })
    })
}

fn conduct() -> impl Strategy<Value = Conduct> {
    let ack = prop::sample::select(vec![0, 0, 5, 200]);
    let percent = || prop::sample::select(vec![0_u8, 0, 0, 20]);
    let backoff = prop::sample::select(vec![(1, 20), (20, 500), (1_000, 3_000)]);
    (ack, any::<bool>(), percent(), percent(), backoff, any::<bool>(), 1..=40_u16).prop_map(
        |(
            ack_max_ms,
            answers_in_order,
            double_pubrel_percent,
            refuse_percent,
            backoff,
            rising_ids,
            inflight_max,
        )| Conduct {
            ack_ms: Span { min: 0, max: ack_max_ms },
            answers_in_order,
            double_pubrel_percent,
            refuse_percent,
            backoff: Backoff { first_ms: backoff.0, max_ms: backoff.1 },
            rising_ids,
            inflight_max,
            ..Conduct::default()
        },
    )
}

fn workload(habits: &Habits) -> impl Strategy<Value = Workload> + use<> {
    let habits = habits.clone();
    let plain = prop::collection::vec((prop::sample::select(FILTERS.to_vec()), options()), 1..=4);
    let group = (prop::sample::select(GROUPS.to_vec()), qos());
    (plain, group, 0..=3_u16, any::<bool>(), Just(())).prop_map(
        move |(plain, group, initial, subscription_ids, ())| {
            let mut subscriptions: Vec<Subscription> = plain
                .into_iter()
                .map(|(filter, options)| Subscription { filter: filter.into(), ..options })
                .collect();
            if habits.shared {
                subscriptions.insert(0, Subscription::plain(group.0, group.1));
            }
            Workload {
                from: Instant::from_millis(10),
                until: Instant::from_millis(SAFETY_MS - 500),
                pause_ms: habits.pause_ms,
                weights: habits.weights,
                topics: habits.topics.clone(),
                subscriptions,
                initial,
                subscription_ids,
                payload_bytes: habits.payload_bytes,
                expiry_percent: habits.expiry_percent,
                expiry_s: Span { min: 1, max: 5 },
            }
        },
    )
}

fn options() -> impl Strategy<Value = Subscription> {
    let rarely = || prop::bool::weighted(0.2);
    (qos(), rarely(), rarely(), 0..=2_u8).prop_map(|(qos, no_local, retain_as_published, retain_handling)| {
        Subscription { no_local, retain_as_published, retain_handling, ..Subscription::plain("", qos) }
    })
}

fn qos() -> impl Strategy<Value = Qos> {
    prop::sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}
