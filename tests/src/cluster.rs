//! A cluster of real `quorate serve` processes on this machine.

use crate::broker::quorate_binary;
use crate::process::{Finished, Process};
use broker_core::cluster::Placement;
use broker_core::ids::ShardId;
use broker_core::topic::TopicName;
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a node may take to serve, or a cluster to have its leaders.
const LIMIT: Duration = Duration::from_secs(30);

/// Where every node listens, on an address of its own.
const CLIENTS_PORT: u16 = 1883;
const MEMBERS_PORT: u16 = 7001;

/// No test has more nodes.
const NODES_MAX: u8 = 9;

/// The defaults of a cluster.
const SHARDS: u16 = 16;

/// A cluster. Dropping it kills all nodes.
pub struct Cluster {
    folder: TempDir,
    host: Ipv4Addr,
    processes: BTreeMap<u8, Option<Process>>,
    placement: Placement,
}

impl Cluster {
    /// Starts a cluster of so many nodes, and waits until each knows a leader for every shard.
    ///
    /// # Panics
    /// If it is not ready in time.
    pub fn start(nodes: u8) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        fs::write(folder.path().join("secret"), "a secret of one test run\n").expect("it is ours");
        let host = free_host();
        let placement = Placement::new(SHARDS);
        let processes = (1..=nodes).map(|node| (node, None)).collect();
        let mut cluster = Cluster { folder, host, processes, placement };
        let nodes: Vec<u8> = cluster.nodes().collect();
        nodes.iter().for_each(|node| cluster.configure(*node, &nodes, ""));
        nodes.iter().for_each(|node| cluster.start_node(*node));
        nodes.iter().for_each(|node| cluster.await_ready(*node));
        cluster
    }

    /// Starts a node that is to join, with the others that run as those to ask, and `more` in its section of the cluster. It is not taken in by that.
    ///
    /// # Panics
    /// If it does not listen in time.
    pub fn start_joiner(&mut self, node: u8, more: &str) {
        let running = self.processes.iter().filter(|(_, process)| process.is_some());
        let seeds: Vec<u8> = running.map(|(node, _)| *node).collect();
        self.configure(node, &seeds, &format!("joins = true\n{more}"));
        self.start_node(node);
    }

    /// Runs `quorate members` with the configuration of `node` to its end.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn members(&self, node: u8, arguments: &[&str]) -> Finished {
        self.members_by(&self.configuration(node), arguments)
    }

    /// As [`Cluster::members`], with a configuration of which something is replaced.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn members_with(&self, node: u8, what: &str, by: &str) -> Finished {
        let text = fs::read_to_string(self.configuration(node)).expect("it was written");
        assert!(text.contains(what), "{what} is in {text}");
        let path = self.folder.path().join("other.toml");
        fs::write(&path, text.replace(what, by)).expect("the folder is writable");
        self.members_by(&path, &[])
    }

    fn members_by(&self, configuration: &Path, arguments: &[&str]) -> Finished {
        let mut command = Command::new(binary());
        command.args(["members", "--config"]).arg(configuration).args(arguments);
        Process::start("quorate members", &mut command).finish(LIMIT)
    }

    /// The folder of everything that the cluster has.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The numbers of all nodes that there ever were.
    pub fn nodes(&self) -> impl Iterator<Item = u8> + use<> {
        self.processes.keys().copied().collect::<Vec<_>>().into_iter()
    }

    /// Where other members reach a node.
    pub fn members_address(&self, node: u8) -> SocketAddr {
        (host_of(self.host, node), MEMBERS_PORT).into()
    }

    /// Where a node listens for clients.
    pub fn address(&self, node: u8) -> SocketAddr {
        (host_of(self.host, node), CLIENTS_PORT).into()
    }

    /// Starts a node that does not run, and waits until it listens.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn start_node(&mut self, node: u8) {
        let mut command = Command::new(binary());
        command.args(["serve", "--config"]).arg(self.configuration(node));
        let mut process = Process::start(format!("node {node}"), &mut command);
        let is_listening = |line: &str| line.starts_with("listening peers ").then_some(());
        process.expect("listening peers ADDR:PORT", LIMIT, is_listening);
        self.processes.insert(node, Some(process));
    }

    /// Waits until a node that was started knows a leader for every shard.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn await_ready(&mut self, node: u8) {
        let process = self.place(node).as_mut().expect("it runs");
        process.expect("cluster ready", LIMIT, |line| (line == "cluster ready").then_some(()));
    }

    /// Ends a node as `kill -9` does.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill_9(&mut self, node: u8) {
        self.place(node).take().expect("it runs").kill_9();
    }

    /// Ends a node as `kill -9` does, and deletes its data.
    ///
    /// # Panics
    /// If it does not run.
    pub fn lose(&mut self, node: u8) {
        self.kill_9(node);
        fs::remove_dir_all(self.folder.path().join(node.to_string())).expect("it has data");
    }

    /// Ends a node in order.
    ///
    /// # Panics
    /// If it does not run, or does not end in order.
    pub fn stop(&mut self, node: u8) {
        let process = self.place(node).take().expect("it runs");
        let status = Command::new("kill").arg(process.pid().to_string()).status();
        assert!(status.expect("there is a kill").success());
        let finished = process.finish(LIMIT);
        assert!(finished.status.success(), "{finished:?}");
    }

    /// Waits until a node says a line that has `text`, from the beginning on.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn await_line(&mut self, node: u8, text: &str) -> String {
        let process = self.place(node).as_mut().expect("it runs");
        let wanted = |line: &str| line.contains(text).then(|| line.to_owned());
        let heard = process.lines().iter().find_map(|line| wanted(line));
        heard.unwrap_or_else(|| process.expect(text, LIMIT, wanted))
    }

    /// The node that leads the shard of `topic`, as the others know. Waits while it is one that does not run.
    ///
    /// # Panics
    /// If that lasts.
    pub fn leader_of(&mut self, topic: &str) -> u8 {
        let shard = self.placement.topic_shard(&TopicName::parse(topic.into()).expect("a topic"));
        let end = Instant::now() + LIMIT;
        loop {
            match self.latest_leader(shard) {
                Some(leader) if self.place(leader).is_some() => return leader,
                other => assert!(Instant::now() < end, "shard {shard} is led by {other:?}"),
            }
            // The log is what tells, and it does not wake anybody.
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whoever led in the latest term that any node has logged.
    fn latest_leader(&mut self, shard: ShardId) -> Option<u8> {
        let running = self.processes.values_mut().flatten();
        let known = running.flat_map(|process| process.lines().iter().filter_map(|line| leader_known(line)));
        let of_shard = known.filter(|known| known.shard == shard.0);
        of_shard.max_by_key(|known| known.term).map(|known| known.leader)
    }

    fn place(&mut self, node: u8) -> &mut Option<Process> {
        self.processes.get_mut(&node).expect("it was started once")
    }

    fn configuration(&self, node: u8) -> PathBuf {
        self.folder.path().join(format!("{node}.toml"))
    }

    fn configure(&self, node: u8, members: &[u8], more: &str) {
        let folder = self.folder.path().display();
        let mut text = format!(
            "listen = [\"{}\"]\ndata = \"{folder}/{node}\"\n\
             [log]\nlevel = \"debug\"\n\
             [limits]\nconnections_max = 900\n\
             [storage]\nsegment_bytes = 1048576\nsnapshot_log_bytes = 4194304\n\
             [cluster]\nname = \"kill\"\nnode = {node}\nsecret_file = \"{folder}/secret\"\nlisten = \"{}\"\n{more}members = [",
            self.address(node),
            self.members_address(node)
        );
        for member in members {
            let address = self.members_address(*member);
            write!(text, "{{ node = {member}, address = \"{address}\" }}, ").expect("a String takes it");
        }
        text.push_str("]\n");
        fs::write(self.configuration(node), text).expect("the folder is writable");
    }
}

/// A line of the log that tells who leads a shard.
#[derive(Debug, PartialEq, Eq)]
struct LeaderKnown {
    shard: u16,
    leader: u8,
    term: u64,
}

fn leader_known(line: &str) -> Option<LeaderKnown> {
    let (_, fields) = line.split_once("leader known ")?;
    let field = |name: &str| fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    Some(LeaderKnown {
        shard: field("shard")?.parse().ok()?,
        leader: field("leader")?.parse().ok()?,
        term: field("term")?.parse().ok()?,
    })
}

/// The `quorate` under test.
fn binary() -> PathBuf {
    match env::var_os("BROKER_UNDER_TEST") {
        Some(path) if Path::new(&path).is_absolute() => PathBuf::from(path),
        _ => quorate_binary().to_owned(),
    }
}

/// The first three bytes of addresses that no other test uses. Not 127.0.0.x: whoever connects from there borrows any port, also
/// one that a node that was killed wants again.
fn free_host() -> Ipv4Addr {
    static CLUSTERS: AtomicU32 = AtomicU32::new(0);
    // Other processes begin elsewhere; where two meet after all, the addresses in use are passed over.
    let first = std::process::id().wrapping_mul(32);
    let hosts = std::iter::repeat_with(|| {
        let number = first.wrapping_add(CLUSTERS.fetch_add(1, Ordering::Relaxed));
        let [.., high, low] = number.to_be_bytes();
        Ipv4Addr::new(127, 1 + high % 254, low, 0)
    });
    let is_free = |host: &Ipv4Addr| {
        (1..=NODES_MAX).all(|node| TcpListener::bind((host_of(*host, node), MEMBERS_PORT)).is_ok())
    };
    hosts.take(0xFFFF).find(is_free).expect("the addresses 127.x.y.z are many")
}

fn host_of(host: Ipv4Addr, node: u8) -> Ipv4Addr {
    let [a, b, c, _] = host.octets();
    Ipv4Addr::new(a, b, c, node)
}

#[cfg(test)]
mod tests {
    use super::{LeaderKnown, leader_known};

    #[test]
    fn the_log_tells_who_leads() {
        let line = "2026-11-23T06:58:16.341862Z DEBUG leader known shard=3 leader=2 term=17";
        assert_eq!(leader_known(line), Some(LeaderKnown { shard: 3, leader: 2, term: 17 }));
        assert_eq!(leader_known("2026-11-23T06:58:16.341862Z DEBUG leading shard=3 term=17"), None);
    }
}
