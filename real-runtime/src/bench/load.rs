//! The workloads: who publishes to whom, as fast as the broker delivers.
//!
//! The load is closed: only so many deliveries may be outstanding, so no broker has reason to drop anything, and each
//! one is asked for the same work.

use crate::client::Client;
use broker_core::codec::packet::{Ack, Publish};
use broker_core::codec::{Packet, QoS, ReasonCode};
use broker_core::ids::PacketId;
use bytes::Bytes;
use bytestring::ByteString;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Deliveries that may be outstanding, per subscriber.
const OUTSTANDING_MAX: u64 = 400;
/// Messages a publisher sends in one call.
pub(crate) const BATCH: u64 = 4;
/// Unacknowledged messages of one publisher.
const UNACKNOWLEDGED_MAX: u64 = 64;
const PAYLOAD_BYTES: usize = 64;
/// A broker that needs longer for one workload has lost something.
const LONG: Duration = Duration::from_secs(120);

/// Who publishes to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// 50 publishers, one subscriber.
    FanIn,
    /// One publisher, 50 subscribers.
    FanOut,
    /// 25 publishers with a subscriber each.
    Pairs,
    /// The same, with subscribers whose sessions outlive their connections.
    DurablePairs,
    /// One publisher that sends a message when the last one has arrived.
    OneByOne,
}

/// One workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) shape: Shape,
    pub(crate) qos: QoS,
}

impl Workload {
    pub(crate) const ALL: [Workload; 9] = [
        Workload { shape: Shape::FanIn, qos: QoS::AtMostOnce },
        Workload { shape: Shape::FanIn, qos: QoS::AtLeastOnce },
        Workload { shape: Shape::FanOut, qos: QoS::AtMostOnce },
        Workload { shape: Shape::FanOut, qos: QoS::AtLeastOnce },
        Workload { shape: Shape::Pairs, qos: QoS::AtMostOnce },
        Workload { shape: Shape::Pairs, qos: QoS::AtLeastOnce },
        Workload { shape: Shape::DurablePairs, qos: QoS::AtLeastOnce },
        Workload { shape: Shape::OneByOne, qos: QoS::AtMostOnce },
        Workload { shape: Shape::OneByOne, qos: QoS::AtLeastOnce },
    ];

    pub(crate) fn name(self) -> String {
        let shape = match self.shape {
            Shape::FanIn => "fan-in 50:1",
            Shape::FanOut => "fan-out 1:50",
            Shape::Pairs => "25 pairs",
            Shape::DurablePairs => "25 pairs, durable sessions",
            Shape::OneByOne => "one by one",
        };
        format!("{shape}, QoS {}", self.qos as u8)
    }

    fn publishers(self) -> u64 {
        match self.shape {
            Shape::FanIn => 50,
            Shape::FanOut | Shape::OneByOne => 1,
            Shape::Pairs | Shape::DurablePairs => 25,
        }
    }

    fn subscribers(self) -> u64 {
        match self.shape {
            Shape::FanIn | Shape::OneByOne => 1,
            Shape::FanOut => 50,
            Shape::Pairs | Shape::DurablePairs => 25,
        }
    }

    /// Messages sent in one call.
    fn batch(self) -> u64 {
        if self.shape == Shape::OneByOne { 1 } else { BATCH }
    }

    /// Deliveries that may be outstanding.
    fn outstanding_max(self) -> u64 {
        if self.shape == Shape::OneByOne { 1 } else { OUTSTANDING_MAX * self.subscribers() }
    }

    fn deliveries_a_message(self) -> u64 {
        if self.shape == Shape::FanOut { self.subscribers() } else { 1 }
    }
}

/// A workload whose clients are connected and subscribed.
pub(crate) struct Load {
    workload: Workload,
    publishers: Vec<Client>,
    subscribers: Vec<Client>,
}

/// Deliveries of one workload, counted by its tasks.
#[derive(Default)]
struct Count {
    sent: Cell<u64>,
    received: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Count {
    fn receive(&self, deliveries: u64) {
        self.received.set(self.received.get() + deliveries);
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    async fn until(&self, reached: impl Fn(&Count) -> bool) {
        poll_fn(|context| {
            if reached(self) {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Load {
    /// Connects the clients of `workload`.
    pub(crate) async fn prepare(address: SocketAddr, workload: Workload) -> io::Result<Self> {
        let mut load = Load { workload, publishers: Vec::new(), subscribers: Vec::new() };
        for index in 0..workload.subscribers() {
            let clean = workload.shape != Shape::DurablePairs;
            let mut client = Client::connect(address, format!("sub-{index}"), clean).await?;
            let filter = match workload.shape {
                Shape::FanIn => "bench/+".to_owned(),
                Shape::FanOut | Shape::OneByOne => "bench/0".to_owned(),
                Shape::Pairs | Shape::DurablePairs => format!("bench/{index}"),
            };
            client.subscribe(&filter, workload.qos).await?;
            load.subscribers.push(client);
        }
        for index in 0..workload.publishers() {
            load.publishers.push(Client::connect(address, format!("pub-{index}"), true).await?);
        }
        Ok(load)
    }

    /// Publishes until `deliveries` have arrived (rounded up to whole batches); gives their number.
    pub(crate) async fn run(self, deliveries: u64) -> io::Result<u64> {
        let workload = self.workload;
        let messages = deliveries / workload.deliveries_a_message() / workload.publishers();
        let messages = messages.div_ceil(workload.batch()) * workload.batch();
        let expected = messages * workload.publishers() * workload.deliveries_a_message();
        let count = Rc::new(Count::default());
        let listening: Vec<JoinHandle<io::Result<()>>> = self
            .subscribers
            .into_iter()
            .map(|client| tokio::task::spawn_local(subscribe(client, count.clone())))
            .collect();
        let publishing: Vec<_> = (0..)
            .zip(self.publishers)
            .map(|(index, client)| {
                tokio::task::spawn_local(publish(client, workload, index, messages, count.clone()))
            })
            .collect();
        let all = async {
            let mut publishers = Vec::with_capacity(publishing.len());
            for publisher in publishing {
                publishers.push(publisher.await.map_err(io::Error::other)??);
            }
            count.until(|count| count.received.get() >= expected).await;
            Ok(publishers)
        };
        let done = timeout(LONG, all).await;
        listening.iter().for_each(JoinHandle::abort);
        match done {
            Ok(Ok(_)) => Ok(expected),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other(format!("{} of {expected} deliveries", count.received.get()))),
        }
    }
}

async fn subscribe(mut client: Client, count: Rc<Count>) -> io::Result<()> {
    let mut packets = Vec::new();
    loop {
        client.receive(&mut packets).await?;
        let mut deliveries = 0;
        for packet in packets.drain(..) {
            let Packet::Publish(publish) = packet else { continue };
            deliveries += 1;
            if let Some(id) = publish.id {
                client.queue(&Packet::PubAck(Ack::new(id, ReasonCode::Success)));
            }
        }
        client.send().await?;
        count.receive(deliveries);
    }
}

async fn publish(
    mut client: Client,
    workload: Workload,
    index: u64,
    messages: u64,
    count: Rc<Count>,
) -> io::Result<Client> {
    let topic = ByteString::from(format!("bench/{index}"));
    let payload = Bytes::from_static(&[b'x'; PAYLOAD_BYTES]);
    let deliveries = workload.batch() * workload.deliveries_a_message();
    let outstanding_max = workload.outstanding_max();
    let mut unacknowledged = 0;
    let mut packets = Vec::new();
    for batch in 0..messages / workload.batch() {
        count.until(|count| count.sent.get() + deliveries <= count.received.get() + outstanding_max).await;
        count.sent.set(count.sent.get() + deliveries);
        for message in batch * workload.batch()..(batch + 1) * workload.batch() {
            let mut publish = Publish::new(topic.clone(), payload.clone());
            publish.qos = workload.qos;
            if workload.qos != QoS::AtMostOnce {
                let id = u16::try_from(message % 60_000 + 1).expect("below 65,536");
                publish.id = PacketId::new(id);
                unacknowledged += 1;
            }
            client.queue(&Packet::Publish(publish));
        }
        client.send().await?;
        // The others' turn: a publisher that sends all it may at once makes it too easy for a broker that reads much.
        tokio::task::yield_now().await;
        while unacknowledged + BATCH > UNACKNOWLEDGED_MAX {
            client.receive(&mut packets).await?;
            unacknowledged -=
                packets.drain(..).filter(|packet| matches!(packet, Packet::PubAck(_))).count() as u64;
        }
    }
    while unacknowledged > 0 {
        client.receive(&mut packets).await?;
        unacknowledged -=
            packets.drain(..).filter(|packet| matches!(packet, Packet::PubAck(_))).count() as u64;
    }
    Ok(client)
}
