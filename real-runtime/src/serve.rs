//! `quorate serve`: opens the data folder and the listeners, serves until a signal, and stops in order.

use crate::accept::accept;
use crate::auth::{Anonymous, PasswordGate, Passwords};
use crate::cli::ServeArgs;
use crate::clock::{self, Clock};
use crate::config::{AclRule, Config, DurabilityOption, Source};
use crate::disk::FileDisk;
use crate::failure::Failure;
use crate::log;
use crate::net::{Listener as _, Net, Stream, TokioNet};
use crate::node::{Authenticator, Bounds, CheckBounds, Node, Parts, SharedNode, Turns};
use crate::process;
use crate::reload::reload_passwords;
use crate::signals::{ReloadSignal, StopSignals};
use crate::storage::{DiskBounds, DiskQueue, DiskThread};
use broker_core::face::{Recovered, Setup};
use broker_core::ids::NodeId;
use broker_core::storage::{DataId, Wal, WalOptions};
use std::future::{Future as _, poll_fn};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::JoinHandle;

/// The only node there is.
const NODE: NodeId = NodeId(1);

/// Files beside those of connections: the log's, the listeners', standard input and output.
const OWN_FILES: u64 = 64;

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// Says in one sentence what is wrong and what to do. Nothing on disk is changed by a start that fails.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    let config = configure(args)?;
    log::start(&config.log);
    let passwords = match &config.password_file {
        Some(path) => Some(Passwords::read(path).map_err(|error| Failure::run(error.to_string()))?),
        None => None,
    };
    raise_open_files(&config);
    let runtime = runtime(&config)
        .map_err(|error| Failure::run(format!("cannot start: {error}; see to the limits of this process")))?;
    let result = runtime.block_on(serve(&TokioNet, &config, passwords));
    // A password check that still runs is of no use to anybody.
    runtime.shutdown_background();
    result
}

fn raise_open_files(config: &Config) {
    let wanted = u64::from(config.limits.connections_max) + OWN_FILES;
    match process::raise_open_files() {
        Ok(Some(files)) if files < wanted => tracing::warn!(
            files,
            connections_max = config.limits.connections_max,
            "the system lets this process open fewer files than there may be connections; raise that limit (ulimit -n)"
        ),
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised, so fewer clients can connect");
        }
    }
}

/// The configuration of `args`: the file, and what the command line puts in its place.
fn configure(args: &ServeArgs) -> Result<Config, Failure> {
    let source = args.config.as_deref().map(Source::read).transpose()?;
    let mut config = match &source {
        Some(source) => source.parse()?,
        None => Config::default(),
    };
    if !args.listen.is_empty() {
        config.listen.clone_from(&args.listen);
    }
    if let Some(data) = &args.data {
        config.data.clone_from(data);
    }
    config.check().map_err(|complaint| match &source {
        Some(source) => source.failure(&complaint),
        None => Failure::usage(complaint.sentence),
    })?;
    Ok(config)
}

fn runtime(config: &Config) -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(usize::from(config.auth.checks_at_once_max))
        .build_local(LocalOptions::default())
}

async fn serve<N: Net>(net: &N, config: &Config, passwords: Option<Passwords>) -> Result<(), Failure> {
    // Before anything else: a port in use is told without touching the data.
    let listeners = bind(net, config).await?;
    let mut signals = StopSignals::catch().map_err(|error| signals_failure(&error))?;
    let (node, disk) = open(config, passwords)?;
    // Without passwords there is nothing to read anew, and a terminal that goes away ends the process as it does any.
    if let Some(path) = &config.password_file {
        let signal = ReloadSignal::catch().map_err(|error| signals_failure(&error))?;
        tokio::task::spawn_local(reload_passwords(signal, path.clone(), node.clone()));
    }
    let addresses = listeners
        .iter()
        .map(|listener| listener.local_addr())
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| Failure::run(format!("cannot tell the port in use: {error}")))?;
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::task::spawn_local(accept(listener, node.clone())))
        .collect();
    announce(&addresses)?;
    run_until_stopped(config, &node, &accepting, &mut signals).await?;
    disk.close().map_err(|error| disk_failure(config, &error))?;
    tracing::info!("stopped");
    Ok(())
}

fn signals_failure(error: &io::Error) -> Failure {
    Failure::run(format!("cannot catch signals: {error}; see to the limits of this process"))
}

async fn bind<N: Net>(net: &N, config: &Config) -> Result<Vec<N::Listener>, Failure> {
    let mut listeners = Vec::with_capacity(config.listen.len());
    for &address in &config.listen {
        match net.bind(address).await {
            Ok(listener) => listeners.push(listener),
            // The default asks for both families, and not every machine has both.
            Err(error)
                if config.listen == Config::default().listen
                    && matches!(
                        error.kind(),
                        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
                    ) =>
            {
                tracing::warn!(%address, %error, "this machine does not have the address; left out");
            }
            Err(error) => return Err(bind_failure(address, &error)),
        }
    }
    match listeners.is_empty() {
        true => Err(Failure::run("this machine has no loopback address; give one with --listen")),
        false => Ok(listeners),
    }
}

fn bind_failure(address: SocketAddr, error: &io::Error) -> Failure {
    let (what, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            ("another program uses it", "stop that program, or choose another port with --listen or `listen`")
        }
        io::ErrorKind::PermissionDenied => {
            ("permission denied", "choose a port above 1023, or give this program the right to use it")
        }
        io::ErrorKind::AddrNotAvailable => {
            ("this machine does not have the address", "correct it in --listen or `listen`")
        }
        _ => {
            return Failure::run(format!(
                "cannot listen on {address}: {error}; correct --listen or `listen`"
            ));
        }
    };
    Failure::run(format!("cannot listen on {address}: {what}; {remedy}"))
}

/// Opens the data folder and, with what was in it, the core.
fn open<S>(config: &Config, passwords: Option<Passwords>) -> Result<(SharedNode<S>, DiskThread), Failure>
where
    S: Stream,
{
    let (wal, recovered) = open_wal(config)?;
    let clock = Clock::start();
    let setup = Setup {
        node: NODE,
        seed: random_u64()?,
        limits: config.limits.clone(),
        durability: config.durability.into(),
        snapshot_log_bytes: config.storage.snapshot_log_bytes,
        wall: clock::wall(),
        cluster: None,
    };
    let broker = broker_core::broker::open(setup, recovered, clock.now()).map_err(|error| {
        Failure::run(format!("cannot use the data in {}: {error}", config.data.display()))
    })?;
    let bounds = DiskBounds {
        queue_bytes_max: config.storage.queue_bytes_max,
        sync_delay_max: Duration::from_millis(u64::from(config.storage.sync_delay_max_ms)),
    };
    let (queue, thread): (DiskQueue, DiskThread) = DiskThread::start(wal, bounds).map_err(|error| {
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
    Ok((Node::new(parts), thread))
}

fn open_wal(config: &Config) -> Result<(Wal<FileDisk>, Recovered), Failure> {
    let disk = FileDisk::open(&config.data).map_err(|error| Failure::run(error.to_string()))?;
    let options = WalOptions {
        node: NODE,
        data_id: DataId(random_u64()?),
        segment_bytes: config.storage.segment_bytes,
    };
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

/// Tells whoever started this process that it serves, and where.
fn announce(addresses: &[SocketAddr]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    addresses
        .iter()
        .try_for_each(|address| writeln!(stdout, "listening mqtt {address}"))
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::run(format!("cannot write to standard output: {error}")))
}

/// Runs the node until a signal, then lets it stop: no new connections, clients told and flushed within a bound.
async fn run_until_stopped<S>(
    config: &Config,
    node: &SharedNode<S>,
    accepting: &[JoinHandle<()>],
    signals: &mut StopSignals,
) -> Result<(), Failure>
where
    S: Stream,
{
    // Writing to more connections than a task's budget allows is still one turn.
    let mut turns = tokio::task::spawn_local(tokio::task::unconstrained(Turns::new(node.clone())));
    let signal = poll_fn(|context| {
        if let Poll::Ready(ended) = std::pin::Pin::new(&mut turns).poll(context) {
            return Poll::Ready(Err(ended));
        }
        signals.poll_next(context).map(Ok)
    });
    match signal.await {
        Ok(name) => tracing::info!(signal = name, "stopping"),
        Err(ended) => return turns_ended(config, ended),
    }
    accepting.iter().for_each(JoinHandle::abort);
    node.borrow_mut().shut_down();
    let timeout = Duration::from_millis(u64::from(config.net.shutdown_timeout_ms));
    let mut time_is_up = pin!(tokio::time::sleep(timeout));
    poll_fn(|context| {
        if let Poll::Ready(ended) = std::pin::Pin::new(&mut turns).poll(context) {
            return Poll::Ready(turns_ended(config, ended));
        }
        if signals.poll_next(context).is_ready() {
            let kept = kept(config);
            return Poll::Ready(Err(Failure::run(format!("stopped at once by a second signal; {kept}"))));
        }
        if time_is_up.as_mut().poll(context).is_ready() {
            let connections = node.borrow().connections();
            tracing::warn!(
                connections,
                "closed although not everything was sent: `net.shutdown_timeout_ms` is over"
            );
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    })
    .await
}

fn turns_ended(
    config: &Config,
    ended: Result<Result<(), crate::storage::StorageError>, tokio::task::JoinError>,
) -> Result<(), Failure> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(disk_failure(config, &error)),
        Err(error) => Err(Failure::run(format!("a bug ended the broker: {error}; {}", kept(config)))),
    }
}

/// What became of the messages, after an end in no order.
fn kept(config: &Config) -> &'static str {
    match config.durability {
        DurabilityOption::Sync => "what was acknowledged is on disk",
        DurabilityOption::Async => {
            "what was acknowledged in the last moments may be lost, as `durability` allows"
        }
    }
}

fn disk_failure(config: &Config, error: &crate::storage::StorageError) -> Failure {
    Failure::run(format!(
        "the data folder {} can no longer be written, so nothing more is acknowledged: {error}",
        config.data.display()
    ))
}

fn random_u64() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| Failure::run(format!("the system gives no random numbers: {error}")))
}
