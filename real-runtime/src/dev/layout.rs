//! The folder of a cluster on this machine:
//!
//! ```text
//! DIR/lock                   held by the `quorate dev` that runs there
//! DIR/secret                 random, made at the first start, readable by its owner only
//! DIR/node-1/quorate.toml    written at each start
//! DIR/node-1/data/           the node's log
//! DIR/node-2/...
//! ```
//!
//! The cluster begins with the nodes of the first start; those that a later start asks for beyond them join it.

use super::leftover;
use crate::cli::DevArgs;
use crate::config::{Config, Source};
use crate::failure::Failure;
use crate::lock::FolderLock;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::{Table, Value};

/// From a node's port for clients to that for members.
const MEMBER_PORTS_ABOVE: u16 = 100;
/// A node that is asked to stop closes its clients within this time, in milliseconds.
const SHUTDOWN_TIMEOUT_MS: i64 = 3_000;
/// Clients of one node: as many as a machine lets a process have that is not set up for a broker.
const CONNECTIONS_MAX: i64 = 900;
/// How long the nodes of the run before may take to end.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(10);
const SECRET: &str = "secret";
const CONFIGURATION: &str = "quorate.toml";
const NODE_PREFIX: &str = "node-";
const DATA: &str = "data";

/// A node that is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) number: u16,
    pub(super) config: PathBuf,
    /// Where other members reach it, if it is one that joins the cluster.
    pub(super) joins_at: Option<SocketAddr>,
}

/// A folder that is ready for its nodes.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) nodes: Vec<Node>,
    /// Kept for as long as they run.
    pub(super) lock: FolderLock,
}

/// Makes the folder what `args` ask for, if that can be.
pub(super) fn prepare(args: &DevArgs) -> Result<Prepared, Failure> {
    let shown = args.data.display();
    let cannot = |error: io::Error| {
        Failure::run(format!("cannot prepare the folder {shown}: {error}; choose another one with --data"))
    };
    let folder = std::path::absolute(&args.data).map_err(cannot)?;
    let lock = || FolderLock::take(&folder).map_err(|error| Failure::run(error.to_string()));
    let is_new = !folder.try_exists().map_err(cannot)?;
    let held = if is_new { None } else { Some(lock()?) };
    let found = nodes_in(&folder).map_err(cannot)?;
    leftover::await_end(found.iter().map(|number| data_of(&folder, *number)), LEFTOVER_TIMEOUT)?;
    let count = u16::try_from(found.len()).unwrap_or(u16::MAX);
    if count > args.nodes || found != (1..=count).collect() {
        return Err(Failure::run(format!(
            "the data in {shown} is that of a cluster of {count} nodes, and cannot be that of {}; give --nodes {count}, or another folder with \
             --data, or take the last nodes out with `quorate members leave` and delete their folders",
            args.nodes
        )));
    }
    let founders = founders(args, &folder)?;
    check_joined(args, &folder, found.iter().filter(|node| !founders.contains(node)))?;
    check_ports(args)?;
    let mut private = DirBuilder::new();
    private.recursive(true).mode(0o700);
    private.create(&folder).map_err(cannot)?;
    let lock = held.map_or_else(lock, Ok)?;
    make_secret(&folder).map_err(cannot)?;
    let mut nodes = Vec::new();
    for number in 1..=args.nodes {
        let own = folder.join(format!("{NODE_PREFIX}{number}"));
        private.create(&own).map_err(cannot)?;
        let config = own.join(CONFIGURATION);
        let text = configuration(args, &folder, number, &founders).map_err(cannot)?;
        fs::write(&config, text).map_err(cannot)?;
        let joins_at = (!founders.contains(&number)).then(|| members_address(args, number));
        nodes.push(Node { number, config, joins_at });
    }
    Ok(Prepared { nodes, lock })
}

fn data_of(folder: &Path, number: u16) -> PathBuf {
    folder.join(format!("{NODE_PREFIX}{number}")).join(DATA)
}

/// The configuration of a node as it was written last, if there is one.
fn written(folder: &Path, number: u16) -> Result<Option<Config>, Failure> {
    let path = folder.join(format!("{NODE_PREFIX}{number}")).join(CONFIGURATION);
    if path.try_exists().is_ok_and(|exists| exists) {
        Source::read(&path)?.parse().map(Some)
    } else {
        Ok(None)
    }
}

/// The nodes with which the cluster began, or begins.
fn founders(args: &DevArgs, folder: &Path) -> Result<BTreeSet<u16>, Failure> {
    let cluster = written(folder, 1)?.and_then(|config| config.cluster);
    let members = cluster.map(|cluster| cluster.members).unwrap_or_default();
    let founders: BTreeSet<u16> =
        members.iter().filter_map(|member| u16::try_from(member.node).ok()).collect();
    Ok(if founders.is_empty() { (1..=args.nodes).collect() } else { founders })
}

/// Refuses ports at which the others do not know the nodes that have joined.
fn check_joined<'a>(
    args: &DevArgs,
    folder: &Path,
    mut joined: impl Iterator<Item = &'a u16>,
) -> Result<(), Failure> {
    joined.try_for_each(|number| {
        let cluster = written(folder, *number)?.and_then(|config| config.cluster);
        let Some(known) = cluster.map(|cluster| cluster.listen) else { return Ok(()) };
        if known == members_address(args, *number) {
            return Ok(());
        }
        let port = known.port().saturating_sub(MEMBER_PORTS_ABOVE + *number - 1);
        Err(Failure::run(format!(
            "node {number} has joined the cluster at {known}, and the others know it there; give --port {port}, or another folder with \
             --data"
        )))
    })
}

fn clients_address(args: &DevArgs, number: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, args.port + number - 1).into()
}

fn members_address(args: &DevArgs, number: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, args.port + MEMBER_PORTS_ABOVE + number - 1).into()
}

/// The nodes that have a folder there.
fn nodes_in(folder: &Path) -> io::Result<BTreeSet<u16>> {
    let mut nodes = BTreeSet::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nodes),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NODE_PREFIX));
        nodes.extend(number.and_then(|number| number.parse::<u16>().ok()));
    }
    Ok(nodes)
}

/// A node would find it out, too, but only after the others were started.
fn check_ports(args: &DevArgs) -> Result<(), Failure> {
    for number in 1..=args.nodes {
        for address in [clients_address(args, number), members_address(args, number)] {
            let Err(error) = TcpListener::bind(address) else { continue };
            let why = match error.kind() {
                io::ErrorKind::AddrInUse => "another program uses it; stop that program, or".to_owned(),
                io::ErrorKind::PermissionDenied => "permission denied;".to_owned(),
                _ => format!("{error};"),
            };
            return Err(Failure::run(format!(
                "cannot listen on {address} for node {number}: {why} choose other ports with --port"
            )));
        }
    }
    Ok(())
}

/// Makes the secret, if there is none: whole, or not at all.
fn make_secret(folder: &Path) -> io::Result<()> {
    let path = folder.join(SECRET);
    if path.try_exists()? {
        return Ok(());
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let text = bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    });
    let temporary = folder.join("secret.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

fn configuration(args: &DevArgs, folder: &Path, number: u16, founders: &BTreeSet<u16>) -> io::Result<String> {
    let path = |path: PathBuf| {
        let text = path.to_str().ok_or_else(|| io::Error::other("its name is not UTF-8"))?;
        Ok::<_, io::Error>(Value::from(text))
    };
    let members = founders.iter().map(|node| {
        let address = Value::from(members_address(args, *node).to_string());
        Value::from(Table::from_iter([
            ("node".to_owned(), Value::from(i64::from(*node))),
            ("address".to_owned(), address),
        ]))
    });
    let cluster = Table::from_iter([
        ("name".to_owned(), Value::from("dev")),
        ("node".to_owned(), Value::from(i64::from(number))),
        ("listen".to_owned(), Value::from(members_address(args, number).to_string())),
        ("joins".to_owned(), Value::from(!founders.contains(&number))),
        ("members".to_owned(), Value::Array(members.collect())),
        ("secret_file".to_owned(), path(folder.join(SECRET))?),
    ]);
    let net = Table::from_iter([("shutdown_timeout_ms".to_owned(), Value::from(SHUTDOWN_TIMEOUT_MS))]);
    let limits = Table::from_iter([("connections_max".to_owned(), Value::from(CONNECTIONS_MAX))]);
    let config = Table::from_iter([
        ("listen".to_owned(), Value::from(vec![clients_address(args, number).to_string()])),
        ("data".to_owned(), path(data_of(folder, number))?),
        ("limits".to_owned(), Value::from(limits)),
        ("net".to_owned(), Value::from(net)),
        ("cluster".to_owned(), Value::from(cluster)),
    ]);
    Ok(format!("# Written anew by `quorate dev` at each start.\n{config}"))
}

#[cfg(test)]
mod tests {
    use super::{DevArgs, Ipv4Addr, Node, TcpListener, prepare};
    use crate::config::Config;
    use crate::peers::Secret;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    /// Ports that were free a moment ago.
    fn args(folder: &Path, nodes: u16) -> DevArgs {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port().min(65_000);
        DevArgs { nodes, port, data: folder.join("dev"), restart: true }
    }

    fn config(node: &Node) -> Config {
        let text = fs::read_to_string(&node.config).expect("it was written");
        toml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn each_node_gets_a_configuration_that_is_accepted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let args = args(folder.path(), 3);
        let nodes = prepare(&args).expect("free ports").nodes;
        assert_eq!(nodes.iter().map(|node| node.number).collect::<Vec<_>>(), [1, 2, 3]);
        for node in &nodes {
            let config = config(node);
            assert_eq!(config.check(), Ok(()));
            assert_eq!(config.listen[0].port(), args.port + node.number - 1);
            let cluster = config.cluster.expect("a member");
            assert_eq!((cluster.node, cluster.members.len()), (u32::from(node.number), 3));
            assert_eq!(cluster.listen, cluster.members[usize::from(node.number) - 1].address);
            let secret = cluster.secret_file.expect("there is one");
            Secret::read(&secret).expect("long enough");
            assert_eq!(fs::metadata(&secret).expect("it is there").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_secret_is_kept_between_runs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let args = args(folder.path(), 1);
        let secret = || {
            prepare(&args).expect("free ports");
            fs::read(folder.path().join("dev/secret")).expect("it is there")
        };
        assert_eq!(secret(), secret());
    }

    #[test]
    fn a_folder_in_which_another_one_runs_is_refused_with_its_process() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let args = args(folder.path(), 3);
        let running = prepare(&args).expect("free ports");
        let refused = prepare(&args).expect_err("it is held").to_string();
        assert!(refused.contains(&format!("is in use by process {}", std::process::id())), "{refused}");
        drop(running);
        prepare(&args).expect("free ports");
    }

    #[test]
    fn fewer_nodes_than_there_are_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        prepare(&args(folder.path(), 3)).expect("free ports");
        let refused = prepare(&args(folder.path(), 2)).expect_err("it is of three").to_string();
        assert!(
            refused.contains("of a cluster of 3 nodes, and cannot be that of 2; give --nodes 3"),
            "{refused}"
        );
        assert!(refused.contains("`quorate members leave`"), "{refused}");
    }

    #[test]
    fn more_nodes_than_there_were_join_those_and_stay_where_they_joined() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let args = args(folder.path(), 2);
        prepare(&args).expect("free ports");
        let more = DevArgs { nodes: 4, ..args };
        for _ in 0..2 {
            let nodes = prepare(&more).expect("free ports").nodes;
            let joins: Vec<bool> = nodes.iter().map(|node| node.joins_at.is_some()).collect();
            assert_eq!(joins, [false, false, true, true]);
            for (node, joins) in nodes.iter().zip(joins) {
                let config = config(node);
                assert_eq!(config.check(), Ok(()));
                let cluster = config.cluster.expect("a member");
                assert_eq!((cluster.joins, cluster.members.len()), (joins, 2));
                assert!(node.joins_at.is_none_or(|address| address == cluster.listen));
            }
        }
        let elsewhere = DevArgs { port: more.port + 10, ..more.clone() };
        let refused = prepare(&elsewhere).expect_err("it is known elsewhere").to_string();
        assert!(
            refused.contains(&format!("the others know it there; give --port {}", more.port)),
            "{refused}"
        );
    }

    #[test]
    fn a_port_in_use_is_told_before_anything_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let args = DevArgs { port: port - 100, ..args(folder.path(), 1) };
        let refused = prepare(&args).expect_err("it is taken").to_string();
        let expected = format!("cannot listen on 127.0.0.1:{port} for node 1: another program uses it");
        assert!(refused.contains(&expected), "{refused}");
        assert!(!args.data.exists());
    }
}
