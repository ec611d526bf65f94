//! Opens the data folder and, with what was in it, the core.

use crate::auth::{Anonymous, PasswordGate, Passwords};
use crate::belongs;
use crate::clock::{self, Clock};
use crate::config::{AclRule, ClusterOptions, Config};
use crate::disk::FileDisk;
use crate::failure::Failure;
use crate::net::Stream;
use crate::node::{Authenticator, Bounds, CheckBounds, Node, Parts, SharedNode};
use crate::storage::{DiskBounds, DiskQueue, DiskThread};
use broker_core::face::{Recovered, Setup};
use broker_core::ids::NodeId;
use broker_core::storage::{DataId, Wal, WalOptions};
use std::sync::Arc;
use std::time::Duration;

/// A node that holds everything itself.
const ALONE: NodeId = NodeId(1);

/// A node that can serve.
pub(super) struct Opened<S> {
    pub(super) node: SharedNode<S>,
    pub(super) disk: DiskThread,
    /// Which start on this data it is, if it is a member of a cluster.
    pub(super) life: u64,
}

/// Opens what the configuration names.
pub(super) fn open<S: Stream>(config: &Config, passwords: Option<Passwords>) -> Result<Opened<S>, Failure> {
    let node = config.cluster.as_ref().map_or(ALONE, |cluster| NodeId(cluster.node));
    let (wal, recovered) = open_wal(config, node)?;
    let clock = Clock::start();
    let setup = Setup {
        node,
        seed: random_u64()?,
        limits: config.limits.clone(),
        durability: config.durability.into(),
        snapshot_log_bytes: config.storage.snapshot_log_bytes,
        report_every: report_every(config.sys_interval_s),
        wall: clock::wall(),
        cluster: config.cluster.as_ref().map(ClusterOptions::setup),
    };
    let broker = broker_core::broker::open(setup, recovered, clock.now()).map_err(|error| {
        Failure::run(format!("cannot use the data in {}: {error}", config.data.display()))
    })?;
    let life = broker.life();
    let bounds = DiskBounds {
        queue_bytes_max: config.storage.queue_bytes_max,
        sync_delay_max: Duration::from_millis(u64::from(config.storage.sync_delay_max_ms)),
    };
    let (queue, disk): (DiskQueue, DiskThread) = DiskThread::start(wal, bounds).map_err(|error| {
        Failure::run(format!("cannot start the disk thread: {error}; see to the limits of this process"))
    })?;
    let parts = Parts {
        broker: Box::new(broker),
        storage: Box::new(queue),
        authenticator: authenticator(config, passwords),
        clock,
        bounds: Bounds {
            connections_max: config.limits.connections_max,
            outbox_bytes_max: config.limits.outbox_bytes_max,
            close_timeout: Duration::from_millis(u64::from(config.net.close_timeout_ms)),
        },
    };
    Ok(Opened { node: Node::new(parts), disk, life })
}

fn report_every(seconds: u32) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// A random number of the system's.
pub(super) fn random_u64() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| Failure::run(format!("the system gives no random numbers: {error}")))
}

fn open_wal(config: &Config, node: NodeId) -> Result<(Wal<FileDisk>, Recovered), Failure> {
    let mut disk = FileDisk::open(&config.data).map_err(|error| Failure::run(error.to_string()))?;
    belongs::check(&mut disk, config.cluster.as_ref())?;
    let options =
        WalOptions { node, data_id: DataId(random_u64()?), segment_bytes: config.storage.segment_bytes };
    let (wal, recovered) = Wal::open(disk, options).map_err(|error| {
        Failure::run(format!("cannot use the data in {}: {error}", config.data.display()))
    })?;
    tracing::info!(data = %config.data.display(), report = %wal.report(), "log opened");
    Ok((wal, recovered))
}

fn authenticator(config: &Config, passwords: Option<Passwords>) -> Authenticator {
    let acl: Arc<[AclRule]> = Arc::from(config.acl.as_slice());
    match passwords {
        None => Authenticator::anonymous(Anonymous::new(acl)),
        Some(passwords) => Authenticator::passwords(
            PasswordGate::new(acl, Arc::new(passwords), config.allow_anonymous),
            CheckBounds {
                at_once_max: u32::from(config.auth.checks_at_once_max),
                waiting_max: config.auth.checks_waiting_max,
            },
        ),
    }
}
