//! A generator of scenarios in which everything happens at once.

use broker_core::ids::NodeId;
use broker_core::rng::Rng;
use broker_core::time::Instant;
use sim::history::{ClientNo, Qos, Subscription, Version};
use sim::scenario::{
    CleanStart, ClientSpec, Direction, FaultKind, Scenario, Span, Weights, WillSpec, Workload,
};

const NODE: NodeId = NodeId(1);

/// A few generated clients under a few faults, all drawn from `seed`.
pub(super) fn storm(seed: u64) -> Scenario {
    let mut rng = Rng::from_seed(seed).fork("storm");
    let mut scenario = Scenario::single_node("storm", seed);
    let clients = rng.between(3, 6);
    for number in 0..clients {
        // Now and then two clients share one identifier.
        let shared = number > 0 && rng.chance(1, 8);
        let name = format!("client-{}", if shared { number - 1 } else { number });
        let version = *rng.pick(&[Version::V311, Version::V5]);
        let mut spec = ClientSpec::durable(&name, version);
        spec.clean_start = *rng.pick(&[
            CleanStart::Never,
            CleanStart::Never,
            CleanStart::First,
            CleanStart::Always,
            CleanStart::Sometimes { percent: 30 },
        ]);
        spec.session_expiry_s = *rng.pick(&[0, 2, 3_600, u32::MAX]);
        spec.keep_alive_s = *rng.pick(&[0, 1, 2]);
        spec.receive_max = *rng.pick(&[None, Some(1), Some(3)]);
        spec.topic_alias_max = *rng.pick(&[0, 2]);
        spec.uses_aliases = rng.chance(1, 2);
        spec.conduct.rising_ids = rng.chance(1, 3);
        spec.conduct.ack_ms =
            *rng.pick(&[Span::exactly(0), Span { min: 0, max: 20 }, Span { min: 50, max: 300 }]);
        spec.conduct.double_pubrel_percent = *rng.pick(&[0, 20]);
        spec.conduct.refuse_percent = *rng.pick(&[0, 10]);
        spec.will = rng.chance(1, 3).then(|| WillSpec {
            topic: "t/will".to_owned(),
            qos: Qos::AtLeastOnce,
            retain: false,
            delay_s: 0,
            expiry_s: None,
        });
        spec.workload = Some(workload(&mut rng));
        scenario.client(spec);
    }
    for _ in 0..rng.between(0, 8) {
        let from = rng.between(200, 4_500);
        let until = from + rng.between(20, 1_500);
        let kind = fault(&mut rng, clients);
        scenario.fault(from, until, kind);
    }
    scenario
}

fn workload(rng: &mut Rng) -> Workload {
    let plain = |filter: &str, qos| Subscription::plain(filter.to_owned(), qos);
    let subscriptions = vec![
        plain("t/#", Qos::ExactlyOnce),
        plain("t/+", Qos::AtLeastOnce),
        plain("t/a", Qos::AtMostOnce),
        plain("$share/g/t/b", Qos::ExactlyOnce),
        Subscription { retain_handling: 1, retain_as_published: true, ..plain("+/a", Qos::ExactlyOnce) },
    ];
    let mut some =
        |most: u64| u16::try_from(if rng.chance(2, 3) { rng.between(0, most) } else { 0 }).expect("small");
    let weights = Weights {
        publish_qos0: some(10),
        publish_qos1: 5 + some(30),
        publish_qos2: 5 + some(30),
        retain: some(10),
        clear: some(3),
        subscribe: some(5),
        unsubscribe: some(3),
        disconnect: some(2),
        disconnect_with_will: some(1),
        drop: some(2),
        takeover: some(2),
        forget: some(1),
        ping: some(3),
        misdeed: some(1),
    };
    Workload {
        from: Instant::from_millis(rng.between(0, 200)),
        until: Instant::from_millis(5_000),
        pause_ms: Span { min: 1, max: *rng.pick(&[50, 200, 500]) },
        weights,
        topics: vec!["t/a".to_owned(), "t/b".to_owned(), "t/c/d".to_owned()],
        subscriptions,
        initial: u16::try_from(rng.between(0, 4)).expect("small"),
        subscription_ids: rng.chance(1, 2),
        payload_bytes: *rng.pick(&[Span::exactly(0), Span { min: 0, max: 2_000 }]),
        expiry_percent: *rng.pick(&[0, 20]),
        expiry_s: Span { min: 1, max: 3 },
    }
}

fn fault(rng: &mut Rng, clients: u64) -> FaultKind {
    let client = ClientNo(u32::try_from(rng.below(clients)).expect("few clients"));
    let ops = u32::try_from(rng.between(1, 40)).expect("few");
    match rng.below(20) {
        0 => FaultKind::Kill { node: NODE },
        1 | 2 => FaultKind::PowerLoss { node: NODE },
        3 => FaultKind::Pause { node: NODE },
        4 => FaultKind::CrashAtDiskOp { node: NODE, ops, power: rng.chance(1, 2) },
        5 => FaultKind::CrashInRecovery { node: NODE, ops: 1 + ops / 8, times: 2 },
        6 => FaultKind::SlowSync { node: NODE, extra_ms: rng.between(5, 200) },
        7 => FaultKind::FailSync { node: NODE },
        8 => FaultKind::FailWrite { node: NODE },
        9 => FaultKind::DiskFull { node: NODE },
        10 => FaultKind::Stop { node: NODE },
        11 => FaultKind::Latency { client, extra_ms: rng.between(5, 300) },
        12 => FaultKind::Reset { client },
        13 => FaultKind::HalfOpen { client },
        14 => {
            let direction = *rng.pick(&[Direction::Both, Direction::ToBroker, Direction::ToClient]);
            FaultKind::Stall { client, direction }
        }
        15 => FaultKind::SlowReader { client, bytes_per_10ms: 20 },
        16 => FaultKind::Fragment { client, bytes_max: 3 },
        17 => FaultKind::ClientCrash { client },
        18 => rng
            .pick(&[FaultKind::ClientStall { client }, FaultKind::LateAck { client, extra_ms: 100 }])
            .clone(),
        _ => rng
            .pick(&[
                FaultKind::NoAck { client },
                FaultKind::WallJump { node: NODE, by_ms: -3_600_000 },
                FaultKind::ClockRate { node: NODE, ppm: 200_000 },
            ])
            .clone(),
    }
}
