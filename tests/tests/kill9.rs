//! `kill -9` of the broker in the middle of traffic, again and again: nothing that it acknowledged is lost, and nothing
//! of QoS 2 comes twice.

use broker_core::codec::packet::{
    Connect, Publish, Subscribe, SubscribeFilter, SubscribeProperties, SubscriptionOptions,
};
use broker_core::codec::{Packet, QoS, Version};
use broker_core::ids::PacketId;
use broker_core::rng::Rng;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::tempdir;
use tests::broker::Broker;
use tests::link::Link;
use tests::numbered::{Publisher, Subscriber, violations};

/// How often the broker is killed.
const KILLS: u64 = 20;

/// How long an acknowledgement, or the next broker, may take.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn twenty_kills_lose_nothing_acknowledged_and_double_nothing_of_qos_2() {
    let publishers =
        [(Version::V3, "numbers/1", QoS::AtLeastOnce), (Version::V5, "numbers/2", QoS::ExactlyOnce)];
    let data = tempdir().expect("there is room for a folder");
    let mut broker = Broker::start(data.path());
    let mut subscriber = Subscriber::new(Version::V5, "subscriber");
    subscriber.subscribe(broker.address(), &["numbers/#"]).expect("it may subscribe");

    let stage = Stage::default();
    let (acknowledged, acknowledgements) = mpsc::channel();
    let (publishers, subscriber) = thread::scope(|scope| {
        let listening = scope.spawn(|| {
            // It stays away from every third broker, whose messages wait for it through the next kill.
            persist(
                &stage,
                |round| round % 3 != 0,
                |address| subscriber.run(address, publishers.len(), || {}),
            );
            subscriber
        });
        let publishing = publishers.map(|(version, topic, qos)| {
            let (stage, acknowledged) = (&stage, acknowledged.clone());
            scope.spawn(move || {
                let mut publisher = Publisher::new(version, topic, topic, qos);
                let note = || acknowledged.send(()).expect("the test listens to its end");
                persist(stage, |_| true, |address| publisher.run(address, || stage.goes_on(), note));
                publisher
            })
        });
        let mut rng = Rng::from_seed(9);
        for _ in 0..KILLS {
            stage.open(broker.address());
            await_acknowledgements(rng.between(20, 300), &acknowledgements);
            broker.kill_9();
            broker = Broker::start(data.path());
        }
        stage.open_for_the_last_time(broker.address());
        let publishers = publishing.map(|thread| thread.join().expect("a publisher comes to its end"));
        (publishers, listening.join().expect("the subscriber comes to its end"))
    });

    for publisher in &publishers {
        let received = subscriber.received(publisher.topic());
        let found = violations(publisher.qos(), publisher.sent(), publisher.acknowledged(), received);
        assert!(found.is_empty(), "{}, {} sent: {found:#?}", publisher.topic(), publisher.sent());
        assert_eq!(publisher.acknowledged().len() as u64, publisher.sent(), "in the end everything is");
    }
}

#[test]
fn retained_messages_are_after_a_kill_what_was_acknowledged_before() {
    let data = tempdir().expect("there is room for a folder");
    let broker = Broker::start(data.path());
    let (mut link, _) =
        Link::open(broker.address(), Connect::new(Version::V5, "writer")).expect("it may connect");
    for (topic, payload) in [("r/kept", "old"), ("r/kept", "new"), ("r/cleared", "gone"), ("r/cleared", "")] {
        retain(&mut link, topic, payload).expect("it may publish");
    }
    broker.kill_9();

    let broker = Broker::start(data.path());
    let (mut link, _) =
        Link::open(broker.address(), Connect::new(Version::V5, "reader")).expect("it may connect");
    let subscribe = Subscribe {
        id: PacketId::new(1).expect("it is not 0"),
        properties: SubscribeProperties::default(),
        filters: vec![SubscribeFilter { filter: "r/#".into(), options: SubscriptionOptions::default() }],
    };
    link.send(&[Packet::Subscribe(subscribe)]).expect("the connection stands");
    assert!(matches!(link.receive().expect("an answer"), Packet::SubAck(_)));
    link.send(&[Packet::Publish(Publish::new("r/end", "end"))]).expect("the connection stands");
    let mut retained = Vec::new();
    loop {
        match link.receive().expect("the connection stands") {
            Packet::Publish(publish) if publish.topic == "r/end" => break,
            Packet::Publish(publish) => {
                retained.push((publish.topic.to_string(), publish.payload, publish.retain));
            }
            other => panic!("{other:?} was not expected"),
        }
    }
    assert_eq!(retained, [("r/kept".to_owned(), "new".into(), true)]);
}

/// Publishes with RETAIN and QoS 1, and waits for the acknowledgement.
fn retain(link: &mut Link, topic: &str, payload: &'static str) -> io::Result<()> {
    let publish = Publish {
        qos: QoS::AtLeastOnce,
        retain: true,
        id: PacketId::new(7),
        ..Publish::new(topic.to_owned(), payload)
    };
    link.send(&[Packet::Publish(publish)])?;
    match link.receive()? {
        Packet::PubAck(ack) if !ack.reason.is_error() => Ok(()),
        other => Err(io::Error::other(format!("PUBLISH was answered with {other:?}"))),
    }
}

/// Which broker the clients are to use.
#[derive(Default)]
struct Stage {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// How many brokers there have been.
    round: u64,
    address: Option<SocketAddr>,
    is_last: bool,
}

impl Stage {
    fn open(&self, address: SocketAddr) {
        self.set(address, false);
    }

    fn open_for_the_last_time(&self, address: SocketAddr) {
        self.set(address, true);
    }

    fn goes_on(&self) -> bool {
        !self.state.lock().expect("nobody panics with it").is_last
    }

    /// The first broker after that of `round`.
    fn after(&self, round: u64) -> Option<State> {
        let state = self.state.lock().expect("nobody panics with it");
        let waited = self.changed.wait_timeout_while(state, LIMIT, |state| state.round <= round);
        let (state, timeout) = waited.expect("nobody panics with it");
        (!timeout.timed_out()).then_some(*state)
    }

    fn set(&self, address: SocketAddr, is_last: bool) {
        let mut state = self.state.lock().expect("nobody panics with it");
        *state = State { round: state.round + 1, address: Some(address), is_last };
        self.changed.notify_all();
    }
}

/// Calls `run` with one broker after the other, but for those whose round is none that it `attends`, until it ends in
/// peace. The last broker is for everybody.
fn persist(stage: &Stage, attends: impl Fn(u64) -> bool, mut run: impl FnMut(SocketAddr) -> io::Result<()>) {
    let mut round = 0;
    let mut why = String::from("there was none");
    loop {
        let state = stage.after(round).unwrap_or_else(|| panic!("no broker after round {round}: {why}"));
        round = state.round;
        if !attends(round) && !state.is_last {
            continue;
        }
        match run(state.address.expect("each round has one")) {
            Ok(()) => return,
            Err(error) if Link::was_lost(&error) => why = error.to_string(),
            Err(error) => panic!("in round {round}: {error}"),
        }
    }
}

fn await_acknowledgements(count: u64, acknowledgements: &Receiver<()>) {
    for so_far in 0..count {
        if let Err(error) = acknowledgements.recv_timeout(LIMIT) {
            panic!("{so_far} of {count} acknowledgements came: {error}");
        }
    }
}
