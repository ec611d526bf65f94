//! `kill -9` of members of a cluster in the middle of traffic, again and again: clients go on elsewhere, nothing that was acknowledged
//! is lost, and nothing of QoS 2 comes twice.
//!
//! Each test is of a few rounds, unless the environment variable `QUORATE_KILL_ROUNDS` gives another number: CI sets 20.

use broker_core::codec::{QoS, Version};
use broker_core::rng::Rng;
use std::env;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};
use tests::cluster::Cluster;
use tests::numbered::{Publisher, Subscriber, violations};
use tests::stage::{AbandonOnPanic, Stage};

const NODES: u8 = 3;

/// Rounds where nobody asks for more.
const ROUNDS: u64 = 4;

/// How long an acknowledgement, or a node to go to, may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The publishers: what they speak, their topic, how they publish.
const PUBLISHERS: [(Version, &str, QoS); 2] =
    [(Version::V3, "numbers/1", QoS::AtLeastOnce), (Version::V5, "numbers/2", QoS::ExactlyOnce)];

/// The clients' places in [`Stage`]: the publishers are 0 and 1.
const SUBSCRIBER: usize = 2;

/// Who is killed in each round.
#[derive(Clone, Copy, Debug)]
enum Victim {
    NodeOfTheSubscriber,
    NodeOfAPublisher,
    LeaderOfTheBusiestShard,
    All,
}

#[test]
fn killing_the_node_with_the_subscriber_loses_and_doubles_nothing() {
    survives(Victim::NodeOfTheSubscriber, 1);
}

#[test]
fn killing_the_node_with_a_publisher_loses_and_doubles_nothing() {
    survives(Victim::NodeOfAPublisher, 2);
}

#[test]
fn killing_the_leader_of_the_busiest_shard_loses_and_doubles_nothing() {
    survives(Victim::LeaderOfTheBusiestShard, 3);
}

#[test]
fn killing_all_nodes_at_once_loses_and_doubles_nothing() {
    survives(Victim::All, 4);
}

/// Kills `victim` in every round, and judges what came.
fn survives(victim: Victim, seed: u64) {
    let rounds = env::var("QUORATE_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"));
    let mut cluster = Cluster::start(NODES);
    let stage = Stage::new(&cluster, &[1, 1, 2]);
    let mut subscriber = Subscriber::new(Version::V5, "subscriber");
    subscriber.subscribe(cluster.address(2), &["numbers/#"]).expect("it may subscribe");
    let (teller, news) = mpsc::channel();
    let begun = Instant::now();
    let (publishers, subscriber, pauses) = thread::scope(|scope| {
        let _abandon = AbandonOnPanic(&stage);
        let received = teller.clone();
        let stage = &stage;
        let listening = scope.spawn(move || {
            stage.persist(SUBSCRIBER, |address| {
                subscriber.run(address, PUBLISHERS.len(), || tell(&received, News::Received(address)))
            });
            subscriber
        });
        let publishing = [0, 1].map(|number| {
            let acknowledged = teller.clone();
            scope.spawn(move || publish(stage, number, &acknowledged))
        });
        let mut rng = Rng::from_seed(seed);
        let mut pauses = Vec::new();
        let mut counts = [0; 2];
        for _ in 0..rounds {
            count(rng.between(20, 300), &news, &mut counts);
            pauses.push(kill(victim, &mut cluster, stage, &news, &mut counts));
        }
        stage.finish();
        let publishers = publishing.map(|thread| thread.join().expect("a publisher comes to its end"));
        (publishers, listening.join().expect("the subscriber comes to its end"), pauses)
    });

    let mut sent = 0;
    for publisher in &publishers {
        let received = subscriber.received(publisher.topic());
        let found = violations(publisher.qos(), publisher.sent(), publisher.acknowledged(), received);
        assert!(found.is_empty(), "{}, {} sent: {found:#?}", publisher.topic(), publisher.sent());
        assert_eq!(publisher.acknowledged().len() as u64, publisher.sent(), "in the end everything is");
        sent += publisher.sent();
    }
    let acknowledged = pauses.iter().map(|pauses| pauses.acknowledged).collect();
    let received = pauses.iter().filter_map(|pauses| pauses.received).collect();
    println!(
        "{victim:?}: {rounds} rounds and {sent} messages in {} s; after a kill publishers were acknowledged again {}, the subscriber of \
         the killed node received again {}",
        begun.elapsed().as_secs(),
        spread(acknowledged),
        spread(received)
    );
}

/// The median and the longest.
fn spread(mut pauses: Vec<Duration>) -> String {
    pauses.sort_unstable();
    match (pauses.get(pauses.len() / 2), pauses.last()) {
        (Some(median), Some(longest)) => {
            format!("after {} ms (median), {} ms (longest)", median.as_millis(), longest.as_millis())
        }
        _ => "(not this time)".to_owned(),
    }
}

/// What a client has to tell.
enum News {
    /// This publisher had a message acknowledged.
    Acknowledged(usize),
    /// The subscriber received something from the node at this address.
    Received(SocketAddr),
}

fn tell(teller: &Sender<News>, news: News) {
    // The test may have failed and be gone.
    let _ = teller.send(news);
}

/// From a kill until clients went on.
#[derive(Clone, Copy, Debug)]
struct Pauses {
    /// Until each publisher had something acknowledged.
    acknowledged: Duration,
    /// Until the subscriber received something elsewhere, if its node was killed.
    received: Option<Duration>,
}

/// One publisher, to its end.
fn publish(stage: &Stage, number: usize, teller: &Sender<News>) -> Publisher {
    let (version, topic, qos) = PUBLISHERS[number];
    let mut publisher = Publisher::new(version, topic, topic, qos);
    let note = || tell(teller, News::Acknowledged(number));
    stage.persist(number, |address| publisher.run(address, || stage.goes_on(), note));
    publisher
}

/// Kills, waits until all clients go on, and brings back what was killed.
fn kill(
    victim: Victim,
    cluster: &mut Cluster,
    stage: &Stage,
    news: &Receiver<News>,
    counts: &mut [u64; 2],
) -> Pauses {
    let home = stage.node_of(SUBSCRIBER);
    let killed: Vec<u8> = match victim {
        Victim::NodeOfTheSubscriber => vec![home],
        Victim::NodeOfAPublisher => vec![stage.node_of(1)],
        Victim::LeaderOfTheBusiestShard => {
            let busiest = usize::from(counts[1] > counts[0]);
            vec![cluster.leader_of(PUBLISHERS[busiest].1)]
        }
        Victim::All => cluster.nodes().collect(),
    };
    let begun = Instant::now();
    for node in &killed {
        cluster.kill_9(*node);
        stage.close(*node);
    }
    // What was acknowledged before is no sign of life.
    while let Ok(news) = news.try_recv() {
        note(&news, counts);
    }
    let all_down = killed.len() == usize::from(NODES);
    if all_down {
        restart(&killed, cluster, stage);
    }
    let pauses = await_all(cluster.address(home), killed == [home], begun, news, counts);
    count(20, news, counts);
    if !all_down {
        restart(&killed, cluster, stage);
    }
    killed.iter().for_each(|node| cluster.await_ready(*node));
    pauses
}

/// Waits until both publishers are acknowledged again, and until the subscriber, if it `moves`, hears from another node than `home`.
fn await_all(
    home: SocketAddr,
    moves: bool,
    begun: Instant,
    news: &Receiver<News>,
    counts: &mut [u64; 2],
) -> Pauses {
    let (mut acknowledged, mut received) = ([None; 2], None);
    while acknowledged.contains(&None) || moves && received.is_none() {
        let next = next(news);
        note(&next, counts);
        let went_on = match next {
            News::Acknowledged(number) => &mut acknowledged[number],
            News::Received(address) if address != home => &mut received,
            News::Received(_) => continue,
        };
        went_on.get_or_insert_with(|| begun.elapsed());
    }
    let acknowledged = acknowledged.into_iter().flatten().max().expect("there are publishers");
    Pauses { acknowledged, received: received.filter(|_| moves) }
}

fn restart(nodes: &[u8], cluster: &mut Cluster, stage: &Stage) {
    for node in nodes {
        cluster.start_node(*node);
        stage.open(*node, cluster.address(*node));
    }
}

/// Waits for so many acknowledgements.
fn count(how_many: u64, news: &Receiver<News>, counts: &mut [u64; 2]) {
    let end = counts.iter().sum::<u64>() + how_many;
    while counts.iter().sum::<u64>() < end {
        note(&next(news), counts);
    }
}

fn note(news: &News, counts: &mut [u64; 2]) {
    if let News::Acknowledged(number) = news {
        counts[*number] += 1;
    }
}

fn next(news: &Receiver<News>) -> News {
    news.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("no client went on: {error}"))
}
