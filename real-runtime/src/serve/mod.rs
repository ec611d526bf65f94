//! `quorate serve`: opens the data folder and the listeners, serves until a signal, and stops in order.

mod open;
mod stop;

use crate::accept::accept;
use crate::auth::Passwords;
use crate::cli::ServeArgs;
use crate::config::{ClusterOptions, Config, Source};
use crate::failure::Failure;
use crate::log;
use crate::net::{Listener, Net, Stream, TokioNet};
use crate::node::{Membership, Node, SharedNode};
use crate::peers::Secret;
use crate::peers::handshake::Identity;
use crate::process;
use crate::reload::reload_passwords;
use crate::signals::{ReloadSignal, StopSignals};
use broker_core::ids::NodeId;
use open::{Opened, open, random_u64};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use stop::{disk_failure, run_until_stopped};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::spawn_local;

/// Files beside those of connections: the log's, the listeners', standard input and output.
const OWN_FILES: u64 = 64;

/// Serves until SIGINT or SIGTERM, or until standard input ends, if the command line says so.
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
    let secret = secret(&config)?;
    raise_open_files(&config);
    let runtime = runtime(&config)
        .map_err(|error| Failure::run(format!("cannot start: {error}; see to the limits of this process")))?;
    let serving = async {
        let mut signals = StopSignals::catch().map_err(|error| signals_failure(&error))?;
        if args.until_stdin_ends {
            signals = signals.and_end_of_input().map_err(|error| {
                Failure::usage(format!(
                    "cannot wait for the end of standard input: {error}; leave out --until-stdin-ends"
                ))
            })?;
        }
        serve(&TokioNet, &config, passwords, secret, signals).await
    };
    let result = runtime.block_on(serving);
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

/// The secret of the cluster, if this node is a member of one.
fn secret(config: &Config) -> Result<Secret, Failure> {
    let Some(cluster) = &config.cluster else { return Ok(Secret::none()) };
    if let Some(warning) = cluster.warning() {
        tracing::warn!("{warning}");
    }
    cluster.secret()
}

async fn serve<N>(
    net: &N,
    config: &Config,
    passwords: Option<Passwords>,
    secret: Secret,
    mut signals: StopSignals,
) -> Result<(), Failure>
where
    N: Net + Clone + 'static,
{
    // Before anything else: a port in use is told without touching the data.
    let listeners = bind(net, config).await?;
    let for_members = match &config.cluster {
        Some(cluster) => Some((cluster, bind_for_members(net, cluster).await?)),
        None => None,
    };
    let Opened { node, disk, life } = open(config, passwords)?;
    // Without passwords there is nothing to read anew, and a terminal that goes away ends the process as it does any.
    if let Some(path) = &config.password_file {
        let signal = ReloadSignal::catch().map_err(|error| signals_failure(&error))?;
        spawn_local(reload_passwords(signal, path.clone(), node.clone()));
    }
    let mut lines = Vec::new();
    for listener in &listeners {
        lines.push(format!("listening mqtt {}", local_address(listener)?));
    }
    let mut accepting: Vec<_> =
        listeners.into_iter().map(|listener| spawn_local(accept(listener, node.clone()))).collect();
    if let Some((cluster, listener)) = for_members {
        lines.push(format!("listening peers {}", local_address(&listener)?));
        Node::join(&node, net, listener, membership(cluster, secret, life)?);
        accepting.push(spawn_local(announce_ready(node.clone())));
    }
    say(&lines).map_err(|error| Failure::run(format!("cannot write to standard output: {error}")))?;
    run_until_stopped(config, &node, &accepting, &mut signals).await?;
    disk.close().map_err(|error| disk_failure(config, &error))?;
    tracing::info!("stopped");
    Ok(())
}

fn membership(cluster: &ClusterOptions, secret: Secret, life: u64) -> Result<Membership, Failure> {
    let addresses = cluster.addresses();
    let identity = Identity { cluster: cluster.name.clone(), node: NodeId(cluster.node), life, secret };
    let (shards, queue_bytes_max) = (cluster.shards, cluster.queue_bytes_max);
    Ok(Membership { identity, addresses, shards, queue_bytes_max, seed: random_u64()? })
}

/// Tells once that this member knows a leader for every shard.
async fn announce_ready<S: Stream>(node: SharedNode<S>) {
    Node::leaders_known(&node).await;
    if let Err(error) = say(&["cluster ready".to_owned()]) {
        tracing::warn!(%error, "cannot write \"cluster ready\" to standard output");
    }
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
            Err(error) => return Err(bind_failure(address, &error, "--listen or `listen`")),
        }
    }
    match listeners.is_empty() {
        true => Err(Failure::run("this machine has no loopback address; give one with --listen")),
        false => Ok(listeners),
    }
}

async fn bind_for_members<N: Net>(net: &N, cluster: &ClusterOptions) -> Result<N::Listener, Failure> {
    let address = cluster.listen;
    net.bind(address).await.map_err(|error| bind_failure(address, &error, "`cluster.listen`"))
}

/// `place`: where the address is set.
fn bind_failure(address: SocketAddr, error: &io::Error, place: &str) -> Failure {
    let (what, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            ("another program uses it", format!("stop that program, or choose another port with {place}"))
        }
        io::ErrorKind::PermissionDenied => (
            "permission denied",
            "choose a port above 1023, or give this program the right to use it".to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => {
            ("this machine does not have the address", format!("correct it in {place}"))
        }
        _ => return Failure::run(format!("cannot listen on {address}: {error}; correct {place}")),
    };
    Failure::run(format!("cannot listen on {address}: {what}; {remedy}"))
}

fn local_address(listener: &impl Listener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::run(format!("cannot tell the port in use: {error}")))
}

/// Tells whoever started this process.
fn say(lines: &[String]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(stdout, "{line}")).and_then(|()| stdout.flush())
}
