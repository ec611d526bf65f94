//! `quorate dev`: a cluster on this machine, of which one can kill parts.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use tests::broker::quorate_binary;
use tests::process::Process;

/// How long a step may take.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_killed_node_comes_back_and_all_end_with_the_one_that_started_them() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let mut dev = start(folder.path());
    let nodes = await_nodes(&mut dev);
    signal("KILL", nodes[1].pid);
    let ended = format!("node 2 pid {} ended by signal 9; it is started again in 2 s", nodes[1].pid);
    dev.expect(&ended, LIMIT, |line| (line == ended).then_some(()));
    let again = dev.expect("node 2 again", LIMIT, node_line);
    assert_eq!((again.number, again.address), (2, nodes[1].address));
    assert_ne!(again.pid, nodes[1].pid);
    dev.expect("cluster ready", LIMIT, |line| (line == "cluster ready").then_some(()));
    dev.kill_9();

    // Its nodes are still ending; the next run waits for that, and the data is that of the same cluster.
    let mut dev = start(folder.path());
    let nodes = await_nodes(&mut dev);
    signal("TERM", dev.pid());
    let finished = dev.finish(LIMIT);
    assert!(finished.status.success(), "{finished:?}");
    await_free(&nodes);
}

#[test]
fn a_fourth_node_joins_the_three_that_are_there() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let port = free_port();
    let mut dev = start_with(folder.path(), port, 3);
    await_nodes(&mut dev);
    signal("TERM", dev.pid());
    assert!(dev.finish(LIMIT).status.success());

    let mut dev = start_with(folder.path(), port, 4);
    for expected in ["node 4 joins", "cluster ready", "node 4 holds 12 of 51 replicas"] {
        dev.expect(expected, LIMIT, |line| (line == expected).then_some(()));
    }
    signal("TERM", dev.pid());
    assert!(dev.finish(LIMIT).status.success());

    // It is one of them from now on.
    let mut dev = start_with(folder.path(), port, 4);
    dev.expect("cluster ready", LIMIT, |line| (line == "cluster ready").then_some(()));
    assert!(!dev.heard().iter().any(|line| line.ends_with(" joins")), "{}", dev.transcript());
    signal("TERM", dev.pid());
    assert!(dev.finish(LIMIT).status.success());
    let refused = start_with(folder.path(), port, 3).finish(LIMIT);
    let last = refused.lines.last().expect("it says why");
    assert!(
        last.contains("is that of a cluster of 4 nodes, and cannot be that of 3; give --nodes 4"),
        "{last}"
    );
    assert!(last.contains("`quorate members leave`"), "{last}");
}

/// `node ID mqtt ADDR:PORT pid PID`
#[derive(Debug)]
struct Node {
    number: u16,
    address: SocketAddr,
    pid: u32,
}

fn node_line(line: &str) -> Option<Node> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["node", number, "mqtt", address, "pid", pid] = words[..] else { return None };
    Some(Node { number: number.parse().ok()?, address: address.parse().ok()?, pid: pid.parse().ok()? })
}

fn start(folder: &Path) -> Process {
    start_with(folder, free_port(), 3)
}

fn start_with(folder: &Path, port: u16, nodes: u16) -> Process {
    let mut command = Command::new(quorate_binary());
    let (port, nodes) = (port.to_string(), nodes.to_string());
    command.args(["dev", "--port", &port, "--nodes", &nodes, "--data"]).arg(folder.join("dev"));
    Process::start("quorate dev", &mut command)
}

fn await_nodes(dev: &mut Process) -> Vec<Node> {
    let mut nodes: Vec<Node> = (0..3).map(|_| dev.expect("three nodes", LIMIT, node_line)).collect();
    nodes.sort_by_key(|node| node.number);
    dev.expect("cluster ready", LIMIT, |line| (line == "cluster ready").then_some(()));
    nodes
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(status.expect("there is a shell").success());
}

/// Waits until nobody listens there any more.
fn await_free(nodes: &[Node]) {
    let end = Instant::now() + LIMIT;
    for node in nodes {
        while TcpListener::bind(node.address).is_err() {
            assert!(Instant::now() < end, "node {} still listens on {}", node.number, node.address);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The first of four ports that are free and no other test here has, with those for members 100 above. None that whoever connects from here could borrow.
fn free_port() -> u16 {
    static TAKEN: Mutex<Option<u16>> = Mutex::new(None);
    let mut taken = TAKEN.lock().expect("nobody panics with it");
    let first = 20_000 + u16::try_from(std::process::id() % 1_000).expect("below 1,000") * 10;
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let port = (taken.map_or(first, |port| port + 4)..32_000)
        .step_by(4)
        .find(|port| (0..4).all(|node| is_free(port + node) && is_free(port + 100 + node)))
        .expect("some ports are free");
    *taken = Some(port);
    port
}
