//! Nodes that join, are drained, leave and are replaced, while clients go on: nothing that was acknowledged is lost, nothing of QoS 2 comes
//! twice, and no more is moved than has to be.

use broker_core::codec::packet::Connect;
use broker_core::codec::{QoS, ReasonCode, Version};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};
use tests::cluster::Cluster;
use tests::link::Link;
use tests::numbered::{Publisher, Subscriber, violations};
use tests::process::Finished;
use tests::stage::{AbandonOnPanic, Stage};

/// How long an acknowledgement may take, or a client that is to go elsewhere.
const LIMIT: Duration = Duration::from_secs(60);

/// Replicas of 16 shards and of the group that keeps the directory, three of each.
const REPLICAS: usize = 17 * 3;

/// The publishers: what they speak, their topic, how they publish.
const PUBLISHERS: [(Version, &str, QoS); 4] = [
    (Version::V3, "numbers/a/1", QoS::AtLeastOnce),
    (Version::V5, "numbers/a/2", QoS::ExactlyOnce),
    (Version::V5, "numbers/b/1", QoS::AtLeastOnce),
    (Version::V3, "numbers/b/2", QoS::ExactlyOnce),
];

/// The subscribers: what they speak, their name, their filter, and which publishers they hear.
const SUBSCRIBERS: [(Version, &str, &str, &[usize]); 3] = [
    (Version::V5, "all", "numbers/#", &[0, 1, 2, 3]),
    (Version::V3, "of a", "numbers/a/+", &[0, 1]),
    (Version::V5, "of 2", "numbers/+/2", &[1, 3]),
];

/// The node that each client begins with, publishers first.
const PLACES: [u8; 7] = [1, 1, 2, 3, 1, 2, 3];

const SETTLED: &str = "everything is where it should be";

#[test]
fn nodes_come_and_go_while_clients_go_on_and_nothing_is_lost_or_doubled() {
    let mut cluster = Cluster::start(3);
    let stage = Stage::new(&cluster, &PLACES);
    let mut subscribers = SUBSCRIBERS.map(|(version, name, ..)| Subscriber::new(version, name));
    for (subscriber, (_, _, filter, _)) in subscribers.iter_mut().zip(SUBSCRIBERS) {
        subscriber.subscribe(cluster.address(2), &[filter]).expect("it may subscribe");
    }
    let (teller, news) = mpsc::channel();
    let (publishers, subscribers) = thread::scope(|scope| {
        let _abandon = AbandonOnPanic(&stage);
        let stage = &stage;
        let listening: Vec<_> = (PUBLISHERS.len()..)
            .zip(subscribers)
            .map(|(client, mut subscriber)| {
                let (_, _, _, hears) = SUBSCRIBERS[client - PUBLISHERS.len()];
                let teller = teller.clone();
                scope.spawn(move || {
                    let mut run =
                        |address| subscriber.run(address, hears.len(), || tell(&teller, client, address));
                    stage.persist(client, &mut run);
                    subscriber
                })
            })
            .collect();
        let publishing = [0, 1, 2, 3].map(|client| {
            let teller = teller.clone();
            scope.spawn(move || {
                let (version, topic, qos) = PUBLISHERS[client];
                let mut publisher = Publisher::new(version, topic, topic, qos);
                stage.persist(client, |address| {
                    publisher.run(address, || stage.goes_on(), || tell(&teller, client, address))
                });
                publisher
            })
        });
        story(&mut cluster, stage, &news);
        let begun = Instant::now();
        stage.finish();
        let publishers = publishing.map(|thread| thread.join().expect("a publisher comes to its end"));
        let subscribers = listening.into_iter().map(|thread| thread.join().expect("a subscriber ends"));
        let subscribers = subscribers.collect::<Vec<_>>();
        println!("clients came to their end after {} ms", begun.elapsed().as_millis());
        (publishers, subscribers)
    });
    for (subscriber, (_, name, _, hears)) in subscribers.iter().zip(SUBSCRIBERS) {
        for publisher in hears.iter().map(|client| &publishers[*client]) {
            let received = subscriber.received(publisher.topic());
            let found = violations(publisher.qos(), publisher.sent(), publisher.acknowledged(), received);
            assert!(found.is_empty(), "{name}, {}: {found:#?}", publisher.topic());
        }
    }
    let sent: u64 = publishers.iter().map(Publisher::sent).sum();
    let acknowledged: usize = publishers.iter().map(|publisher| publisher.acknowledged().len()).sum();
    assert_eq!(acknowledged as u64, sent, "in the end everything is");
    println!("{sent} messages, all acknowledged and received");
}

/// What becomes of the cluster meanwhile.
fn story(cluster: &mut Cluster, stage: &Stage, news: &Receiver<News>) {
    await_all(news, "with three nodes");
    let before = table(&cluster.members(1, &[]));
    assert_eq!(before.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);

    // A fourth joins: it is given its share, and nothing moves but to it.
    cluster.start_joiner(4, "");
    let not_yet = cluster.await_line(4, "no link with a member");
    assert!(not_yet.contains("take it in with `quorate members join`"), "{not_yet}");
    let address = cluster.members_address(4).to_string();
    let (moved, lines) = change(cluster, 1, &["join", "4", &address]);
    assert_eq!(lines[0], "node 4 joins");
    assert_eq!(moved, REPLICAS / 4, "the fourth's share, as the core's test of the plan has it");
    cluster.await_ready(4);
    stage.open(4, cluster.address(4));
    let after = table(&cluster.members(4, &[]));
    assert_eq!(after[&4], row(cluster, 4, "serves", moved, "12.8"));
    let held = |table: &BTreeMap<u8, Row>, node: u8| table[&node].replicas;
    let given: usize = (1..=3).map(|node| held(&before, node) - held(&after, node)).sum();
    assert_eq!(given, moved, "whatever moved went to the fourth: {after:?}");
    await_all(news, "with four nodes");

    // One is drained: its clients go elsewhere, and it holds nothing.
    let (_, lines) = change(cluster, 2, &["drain", "1"]);
    assert_eq!(lines[0], "node 1 is drained");
    assert_eq!(table(&cluster.members(2, &[]))[&1], row(cluster, 1, "drained", 0, "0.0"));
    let refused =
        Link::open(cluster.address(1), Connect::new(Version::V5, "late")).expect_err("it is drained");
    assert_eq!(Link::sent_away_with(&refused), Some(ReasonCode::UseAnotherServer), "{refused}");
    stage.close(1);
    await_elsewhere(cluster.address(1), stage, news);

    // With one less there would be too few, and whoever does not know the secret has nothing to say.
    let refused = cluster.members(2, &["leave", "2"]);
    let sentence = "quorate: 2 members would be left to hold 3 replicas of each shard; add a member first, or replace this one";
    assert_eq!((refused.status.code(), &refused.lines[..]), (Some(1), &[sentence.to_owned()][..]));
    fs::write(cluster.folder().join("wrong"), "another secret of some length")
        .expect("the folder is writable");
    let refused = cluster.members_with(2, "/secret\"", "/wrong\"");
    let sentence = format!(
        "quorate: node 1 at {}: the secrets differ; give all members the same `cluster.secret_file`",
        cluster.members_address(1)
    );
    assert_eq!((refused.status.code(), &refused.lines[..]), (Some(1), &[sentence][..]));

    // It leaves, and is switched off.
    let (moved, lines) = change(cluster, 1, &["leave", "1"]);
    assert_eq!((moved, lines[0].as_str()), (0, "node 1 leaves"));
    cluster.await_line(
        1,
        "this node is no member of the cluster any more, and holds nothing: it may be switched off",
    );
    cluster.stop(1);
    await_all(news, "without the first node");

    // One is lost, with its disk, and is not let in without it; another one takes its place, and only what it held moves.
    let held = table(&cluster.members(2, &[]))[&3].replicas;
    stage.close(3);
    cluster.lose(3);
    cluster.start_node(3);
    cluster.await_line(
        3,
        "the member refuses this node, saying: it has lost its data folder and begun another one",
    );
    cluster.await_line(2, "is refused: it has lost its data folder and begun another one");
    cluster.kill_9(3);
    cluster.start_joiner(5, "");
    let address = cluster.members_address(5).to_string();
    let (moved, lines) = change(cluster, 5, &["replace", "3", "5", &address]);
    assert_eq!((moved, lines[0].as_str()), (held, "node 5 takes the place of node 3"));
    cluster.await_ready(5);
    stage.open(5, cluster.address(5));
    let last = table(&cluster.members(4, &[]));
    assert_eq!(last.keys().copied().collect::<Vec<_>>(), [2, 4, 5]);
    assert_eq!(last[&5], row(cluster, 5, "serves", held, "17.0"));
    let refused = cluster.members(4, &["join", "3", &address]);
    let sentence = "quorate: the number 3 was that of a member that has left; give the node a number that was never used";
    assert_eq!((refused.status.code(), &refused.lines[..]), (Some(1), &[sentence.to_owned()][..]));
    await_all(news, "with the new node");
}

#[test]
fn a_node_of_another_shape_is_told_what_to_correct_and_can_be_taken_out_again() {
    let mut cluster = Cluster::start(3);
    cluster.start_joiner(4, "shards = 8\n");
    let address = cluster.members_address(4).to_string();
    let joined = cluster.members(1, &["join", "4", &address]);
    assert!(joined.status.success(), "{joined:?}");
    assert_eq!(joined.lines, ["node 4 joins", "12 replicas are still to move"]);
    let line = cluster.await_line(4, "ERROR");
    let expected = "the cluster has 16 shards of 3 replicas, and this node is configured for 8 of 3, so it cannot be a member: set \
                    `cluster.shards = 16` and `cluster.replicas = 3`, and start it on an empty data folder";
    assert!(line.contains(expected), "{line}");
    change(&cluster, 1, &["leave", "4"]);
    assert_eq!(table(&cluster.members(1, &[])).keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
}

/// Changes the members, and waits until everything is where it should be: how many replicas have moved, and all that was said.
fn change(cluster: &Cluster, node: u8, change: &[&str]) -> (usize, Vec<String>) {
    let begun = Instant::now();
    let done = cluster.members(node, &[change, &["--wait"]].concat());
    println!("{}: {} ms", change.join(" "), begun.elapsed().as_millis());
    assert!(done.status.success(), "{change:?}: {done:?}");
    let last = done.lines.last().expect("it says something");
    let moved = last.strip_prefix(SETTLED).and_then(|rest| {
        rest.strip_prefix(": ")?.strip_suffix(&format!(" of {REPLICAS} replicas have moved"))?.parse().ok()
    });
    (moved.unwrap_or_else(|| panic!("{change:?}: {done:?}")), done.lines)
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    address: String,
    standing: String,
    replicas: usize,
    share: String,
}

fn row(cluster: &Cluster, node: u8, standing: &str, replicas: usize, share: &str) -> Row {
    let (standing, share) = (standing.to_owned(), share.to_owned());
    Row { address: cluster.members_address(node).to_string(), standing, replicas, share }
}

/// What `quorate members` prints, where everything is where it should be.
fn table(printed: &Finished) -> BTreeMap<u8, Row> {
    let (title, rows, last) = match &printed.lines[..] {
        [title, rows @ .., last] => (title, rows, last),
        other => panic!("{other:?}"),
    };
    assert!(title.starts_with("node  address ") && last == SETTLED, "{printed:?}");
    let row = |line: &String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [node, address, standing, "1", "-", replicas, share] = words[..] else { panic!("{line}") };
        let (address, standing, share) = (address.to_owned(), standing.to_owned(), share.to_owned());
        let replicas = replicas.parse().expect("a number");
        (node.parse().expect("a number"), Row { address, standing, replicas, share })
    };
    rows.iter().map(row).collect()
}

/// A client had a message acknowledged, or received one, at this node.
struct News {
    client: usize,
    address: SocketAddr,
}

fn tell(teller: &Sender<News>, client: usize, address: SocketAddr) {
    // The test may have failed and be gone.
    let _ = teller.send(News { client, address });
}

/// Waits until every client has done something since now.
fn await_all(news: &Receiver<News>, when: &str) {
    news.try_iter().for_each(drop);
    let mut waiting: Vec<usize> = (0..PLACES.len()).collect();
    let end = Instant::now() + LIMIT;
    while !waiting.is_empty() {
        let next = news.recv_timeout(end.saturating_duration_since(Instant::now()));
        let next = next.unwrap_or_else(|error| panic!("clients {waiting:?} did not go on {when}: {error}"));
        waiting.retain(|client| *client != next.client);
    }
    println!("all clients went on {when}");
}

/// Waits until every client has done something at another node than that at `address`, where no more is to be done.
fn await_elsewhere(address: SocketAddr, stage: &Stage, news: &Receiver<News>) {
    await_all(news, "elsewhere");
    let mut here: Vec<usize> = (0..PLACES.len()).filter(|client| stage.node_of(*client) == 1).collect();
    let end = Instant::now() + LIMIT;
    while !here.is_empty() {
        let next = news.recv_timeout(end.saturating_duration_since(Instant::now()));
        let next = next.unwrap_or_else(|error| panic!("clients {here:?} are still at {address}: {error}"));
        here.retain(|client| *client != next.client || next.address == address);
    }
}
