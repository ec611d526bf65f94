//! The rounds: every broker and every workload, in turn, again and again.

use crate::load::{Load, Shape, Workload};
use crate::probe::{self, Trace};
use crate::subject::Subject;
use crate::{Options, client::Client, failed};
use real_runtime::failure::Failure;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// Deliveries under strace, which makes everything slow; divided out again.
const TRACED_DELIVERIES: u64 = 5_000;

/// Messages that wait for each other take longer: fewer are enough.
const ONE_BY_ONE_SHARE: u64 = 10;

/// All figures.
pub(crate) struct Results {
    pub(crate) options: Options,
    pub(crate) costs: Vec<Cost>,
    pub(crate) idle: Vec<Idle>,
    /// Brokers and tools that were not there.
    pub(crate) missing: Vec<&'static str>,
}

/// What one workload cost one broker.
pub(crate) struct Cost {
    pub(crate) subject: Subject,
    pub(crate) workload: Workload,
    /// CPU time a delivery in microseconds, one a round, sorted.
    pub(crate) cpu_us: Vec<f64>,
    /// System calls a delivery, if strace could count them.
    pub(crate) calls: Option<f64>,
}

/// What an idle connection costs one broker.
pub(crate) struct Idle {
    pub(crate) subject: Subject,
    /// Bytes of resident memory a connection, one a round, sorted.
    pub(crate) bytes: Vec<f64>,
}

/// Measures everything that `options` ask for.
pub(crate) fn run(options: &Options) -> Result<Results, Failure> {
    real_runtime::process::raise_open_files()
        .map_err(|error| failed("raise the limit of open files", error))?;
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
        .map_err(|error| failed("start", error))?;
    let (mut subjects, mut missing) = (Vec::new(), Vec::new());
    for subject in Subject::ALL {
        let wanted = options.only.as_deref().is_none_or(|only| subject.name().contains(only));
        match subject.program() {
            Some(_) if wanted => subjects.push(subject),
            None if wanted => missing.push(subject.name()),
            _ => {}
        }
    }
    if missing.contains(&Subject::QuorateSync.name()) {
        return Err(failed("find quorate", "build it first: cargo build --release -p real-runtime"));
    }
    let pairs = || {
        Workload::ALL
            .into_iter()
            .flat_map(|workload| subjects.iter().map(move |&subject| (subject, workload)))
    };
    let mut costs: Vec<Cost> = pairs()
        .map(|(subject, workload)| Cost { subject, workload, cpu_us: Vec::new(), calls: None })
        .collect();
    let mut idle: Vec<Idle> = subjects.iter().map(|&subject| Idle { subject, bytes: Vec::new() }).collect();
    for round in 0..options.rounds {
        for cost in &mut costs {
            eprintln!("round {}: {}, {}", round + 1, cost.workload.name(), cost.subject.name());
            let share = if cost.workload.shape == Shape::OneByOne { ONE_BY_ONE_SHARE } else { 1 };
            cost.cpu_us.push(cpu(&runtime, cost, options.deliveries.div_ceil(share))?);
        }
        for idle in &mut idle {
            idle.bytes.push(idle_bytes(&runtime, idle.subject, options.idle)?);
        }
    }
    for cost in &mut costs {
        cost.calls = calls(&runtime, cost)?;
        cost.cpu_us.sort_by(f64::total_cmp);
    }
    idle.iter_mut().for_each(|idle| idle.bytes.sort_by(f64::total_cmp));
    if costs.iter().any(|cost| cost.calls.is_none()) {
        missing.push("strace");
    }
    Ok(Results { options: options.clone(), costs, idle, missing })
}

/// CPU time a delivery, in microseconds.
fn cpu(runtime: &LocalRuntime, cost: &Cost, deliveries: u64) -> Result<f64, Failure> {
    let broker = cost.subject.start()?;
    runtime.block_on(async {
        let load = prepare(cost, broker.address()).await?;
        let before = probe::cpu(broker.process())?;
        let delivered = load.run(deliveries).await.map_err(|error| failed(&doing(cost), error))?;
        let used = probe::cpu(broker.process())? - before;
        Ok(used.as_secs_f64() * 1e6 / delivered as f64)
    })
}

/// System calls a delivery.
fn calls(runtime: &LocalRuntime, cost: &Cost) -> Result<Option<f64>, Failure> {
    let broker = cost.subject.start()?;
    runtime.block_on(async {
        let load = prepare(cost, broker.address()).await?;
        let Some(trace) = Trace::attach(broker.process())? else { return Ok(None) };
        let delivered = load.run(TRACED_DELIVERIES).await.map_err(|error| failed(&doing(cost), error))?;
        Ok(Some(trace.detach()? as f64 / delivered as f64))
    })
}

/// Resident memory an idle connection.
fn idle_bytes(runtime: &LocalRuntime, subject: Subject, connections: usize) -> Result<f64, Failure> {
    let broker = subject.start()?;
    runtime.block_on(async {
        let mut clients = Vec::with_capacity(connections + 1);
        // The first client pays for what is made once.
        let mut before = 0;
        for index in 0..=connections {
            let connecting = Client::connect(broker.address(), format!("idle-{index}"), true);
            clients.push(
                connecting.await.map_err(|error| failed(&format!("connect to {}", subject.name()), error))?,
            );
            if index == 0 {
                before = probe::resident(broker.process())?;
            }
        }
        let used = probe::resident(broker.process())?.saturating_sub(before);
        Ok(used as f64 / connections as f64)
    })
}

async fn prepare(cost: &Cost, address: std::net::SocketAddr) -> Result<Load, Failure> {
    Load::prepare(address, cost.workload).await.map_err(|error| failed(&doing(cost), error))
}

fn doing(cost: &Cost) -> String {
    format!("run {} on {}", cost.workload.name(), cost.subject.name())
}
