//! Faults of the swarm, by families that are on or off.

use super::SAFETY_MS;
use broker_core::ids::NodeId;
use broker_core::time::Instant;
use proptest::prelude::{Strategy, any, prop};
use sim::history::{ClientNo, FaultId};
use sim::scenario::{Direction, Fault, FaultKind};

const NODE: NodeId = NodeId(1);

/// Which families of faults a scenario has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Families {
    crashes: bool,
    disk: bool,
    clocks: bool,
    network: bool,
    clients: bool,
}

pub(super) fn families() -> impl Strategy<Value = Families> {
    let rarely = || prop::bool::weighted(0.3);
    (any::<bool>(), rarely(), rarely(), any::<bool>(), rarely()).prop_map(
        |(crashes, disk, clocks, network, clients)| Families { crashes, disk, clocks, network, clients },
    )
}

/// What a kind of fault is drawn from: the client, a small number, a large one.
type Draw = (ClientNo, u32, u64);
type Make = fn(Draw) -> FaultKind;

const CRASHES: [Make; 6] = [
    |_| FaultKind::Kill { node: NODE },
    |_| FaultKind::PowerLoss { node: NODE },
    |_| FaultKind::Stop { node: NODE },
    |(_, ops, _)| FaultKind::CrashAtDiskOp { node: NODE, ops, power: true },
    |(_, ops, _)| FaultKind::CrashAtDiskOp { node: NODE, ops, power: false },
    |(_, ops, _)| FaultKind::CrashInRecovery { node: NODE, ops, times: 1 + ops % 3 },
];

const DISK: [Make; 5] = [
    |(_, _, extra)| FaultKind::SlowSync { node: NODE, extra_ms: extra % 200 },
    |_| FaultKind::FailSync { node: NODE },
    |_| FaultKind::FailWrite { node: NODE },
    |_| FaultKind::DiskFull { node: NODE },
    |_| FaultKind::Pause { node: NODE },
];

const CLOCKS: [Make; 3] = [
    |(_, _, by)| FaultKind::WallJump { node: NODE, by_ms: 100 + (by % 3_000) as i64 },
    |(_, _, by)| FaultKind::WallJump { node: NODE, by_ms: -100 - (by % 3_000_000) as i64 },
    |(_, small, _)| FaultKind::ClockRate { node: NODE, ppm: if small % 2 == 0 { 100_000 } else { -100_000 } },
];

const NETWORK: [Make; 8] = [
    |(client, _, extra)| FaultKind::Latency { client, extra_ms: 1 + extra % 300 },
    |(client, _, _)| FaultKind::Reset { client },
    |(client, _, _)| FaultKind::HalfOpen { client },
    |(client, _, _)| FaultKind::Stall { client, direction: Direction::ToBroker },
    |(client, _, _)| FaultKind::Stall { client, direction: Direction::ToClient },
    |(client, _, _)| FaultKind::Stall { client, direction: Direction::Both },
    |(client, small, _)| FaultKind::Fragment { client, bytes_max: small },
    |(client, small, _)| FaultKind::SlowReader { client, bytes_per_10ms: small * 20 },
];

const CLIENTS: [Make; 4] = [
    |(client, _, _)| FaultKind::ClientCrash { client },
    |(client, _, _)| FaultKind::ClientStall { client },
    |(client, _, extra)| FaultKind::LateAck { client, extra_ms: extra % 500 },
    |(client, _, _)| FaultKind::NoAck { client },
];

/// A fault of one of the families, for one of so many clients; `None` if all families are off.
pub(super) fn fault(families: Families, clients: usize) -> impl Strategy<Value = Option<Fault>> {
    let mut kinds: Vec<Make> = Vec::new();
    let groups: [(bool, &[Make]); 5] = [
        (families.crashes, &CRASHES),
        (families.disk, &DISK),
        (families.clocks, &CLOCKS),
        (families.network, &NETWORK),
        (families.clients, &CLIENTS),
    ];
    for (_, group) in groups.into_iter().filter(|(on, _)| *on) {
        kinds.extend(group);
    }
    let client = (0..clients).prop_map(|number| ClientNo(u32::try_from(number).expect("a small number")));
    let from_ms = 100..SAFETY_MS - 600;
    let lasts_ms = prop::sample::select(vec![0_u64, 10, 100, 400, 1_500]);
    (any::<prop::sample::Index>(), client, 1..=20_u32, any::<u64>(), from_ms, lasts_ms).prop_map(
        move |(kind, client, small, large, from_ms, lasts_ms)| {
            if kinds.is_empty() {
                return None;
            }
            let until_ms = (from_ms + lasts_ms).min(SAFETY_MS);
            Some(Fault {
                id: FaultId(0),
                from: Instant::from_millis(from_ms),
                until: Instant::from_millis(until_ms),
                kind: kind.get(&kinds)((client, small, large)),
            })
        },
    )
}
