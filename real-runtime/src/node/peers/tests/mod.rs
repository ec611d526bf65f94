//! Members over a network in memory that can be cut, muted and clogged, and over the loopback interface.

mod members;
mod memory;

use super::{Membership, Node, SharedNode};
use crate::auth::Anonymous;
use crate::clock::Clock;
use crate::net::{Listener, Net, Stream, TokioNet};
use crate::node::{Authenticator, Bounds, Parts, Turns};
use crate::peers::Secret;
use crate::peers::frames::FRAME_BYTES_MAX;
use crate::peers::handshake::{Identity, answer, dial};
use crate::storage::{Reports, Storage, StorageError};
use broker_core::event::Event;
use broker_core::face::{Broker, Input, Output, Record, Snapshot, TimerKind};
use broker_core::ids::{NodeId, ShardId, WriteId};
use broker_core::time::Instant;
use bytes::Bytes;
use memory::{Line, Memory};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(15);
const QUEUE_BYTES_MAX: usize = 100_000;

/// What the core of a member was told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Up(u32),
    Frame(u32, Bytes),
    Down(u32),
    /// An operator's request of this number.
    Asked(u64),
}

/// A core that writes down what it is told, and says what the test wants said.
#[derive(Clone, Default)]
struct Core {
    told: Rc<RefCell<Vec<Told>>>,
    outputs: Rc<RefCell<Vec<Output>>>,
    /// Sends every frame back.
    echoes: Rc<Cell<bool>>,
}

impl Broker for Core {
    fn handle(&mut self, _: Instant, input: Input) {
        self.told.borrow_mut().push(match input {
            Input::PeerUp { peer } => Told::Up(peer.0),
            Input::PeerFrame { peer, frame } => {
                if self.echoes.get() {
                    self.outputs.borrow_mut().push(Output::SendPeer { peer, frame: frame.clone() });
                }
                Told::Frame(peer.0, frame)
            }
            Input::PeerDown { peer } => Told::Down(peer.0),
            Input::ChangeMembers { request, .. } => Told::Asked(request),
            _ => return,
        });
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        out.append(&mut self.outputs.borrow_mut());
    }

    fn deadline(&self) -> Option<(Instant, TimerKind)> {
        None
    }
}

/// A disk that is never asked for anything, and can be behind.
#[derive(Clone, Default)]
struct Disk {
    full: Rc<Cell<bool>>,
    waker: Rc<RefCell<Option<Waker>>>,
}

impl Storage for Disk {
    fn persist(&mut self, _: WriteId, _: Vec<Record>, _: bool) {}

    fn snapshot(&mut self, _: Snapshot) {}

    fn poll(&mut self, context: &mut Context<'_>) -> Result<Reports, StorageError> {
        *self.waker.borrow_mut() = Some(context.waker().clone());
        Ok(Reports::default())
    }

    fn is_full(&self) -> bool {
        self.full.get()
    }
}

/// A member under test.
struct Member<S> {
    number: u32,
    core: Core,
    disk: Disk,
    node: SharedNode<S>,
    turns: JoinHandle<Result<(), StorageError>>,
}

impl<S: Stream> Member<S> {
    async fn start<N>(net: &N, number: u32, life: u64, addresses: &BTreeMap<NodeId, SocketAddr>) -> Self
    where
        N: Net<Stream = S> + Clone + 'static,
    {
        let listener = net.bind(addresses[&NodeId(number)]).await.expect("a free address");
        Self::start_on(net, listener, number, life, addresses)
    }

    fn start_on<N>(
        net: &N,
        listener: N::Listener,
        number: u32,
        life: u64,
        addresses: &BTreeMap<NodeId, SocketAddr>,
    ) -> Self
    where
        N: Net<Stream = S> + Clone + 'static,
    {
        let (core, disk) = (Core::default(), Disk::default());
        let bounds =
            Bounds { connections_max: 0, outbox_bytes_max: 0, close_timeout: Duration::from_millis(1) };
        let node = Node::new(Parts {
            broker: Box::new(core.clone()),
            storage: Box::new(disk.clone()),
            authenticator: Authenticator::anonymous(Anonymous::new(Arc::from([]))),
            clock: Clock::start(),
            bounds,
        });
        let turns = spawn_local(Turns::new(node.clone()));
        let membership = Membership {
            identity: identity(number, life),
            addresses: addresses.clone(),
            shards: 2,
            queue_bytes_max: QUEUE_BYTES_MAX as u64,
            seed: u64::from(number),
        };
        Node::join(&node, net, listener, membership);
        Member { number, core, disk, node, turns }
    }

    /// Has the core send frames in one turn.
    fn say(&self, to: u32, frames: &[Bytes]) {
        let outputs = frames.iter().map(|frame| Output::SendPeer { peer: NodeId(to), frame: frame.clone() });
        self.core.outputs.borrow_mut().extend(outputs);
        self.node.borrow_mut().mark();
    }

    fn told(&self) -> Vec<Told> {
        self.core.told.borrow().clone()
    }

    /// Lets everybody run until this member's core was told so.
    async fn until(&self, what: &str, reached: impl Fn(&[Told]) -> bool) {
        let wait = async {
            while !reached(&self.core.told.borrow()) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        if timeout(LONG, wait).await.is_err() {
            panic!("not reached: {what}; member {} was told {:?}", self.number, self.told());
        }
    }

    async fn until_up(&self, with: u32, times: usize) {
        self.until("up", |told| count(told, &Told::Up(with)) >= times).await;
    }
}

fn count(told: &[Told], what: &Told) -> usize {
    told.iter().filter(|other| *other == what).count()
}

fn identity(number: u32, life: u64) -> Identity {
    Identity { cluster: "lab".to_owned(), node: NodeId(number), life, secret: Secret::none() }
}

fn port(number: u32) -> u16 {
    7000 + u16::try_from(number).expect("a small number")
}

fn addresses(members: u32) -> BTreeMap<NodeId, SocketAddr> {
    (1..=members).map(|number| (NodeId(number), (Ipv4Addr::LOCALHOST, port(number)).into())).collect()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(test);
}

/// Two members that are up with each other.
async fn pair(net: &Memory) -> (Member<Line>, Member<Line>) {
    let one = Member::start(net, 1, 1, &addresses(2)).await;
    let two = Member::start(net, 2, 1, &addresses(2)).await;
    one.until_up(2, 1).await;
    two.until_up(1, 1).await;
    (one, two)
}

/// Frames of many sizes; each begins with its number.
fn frames() -> Vec<Bytes> {
    let sizes = [1, 2, 100, 4_096, 4_097, 5_000, 1, 70_000];
    let frames = sizes.iter().zip(0_u8..).map(|(size, number)| Bytes::from(vec![number; *size]));
    frames.collect()
}

#[test]
fn members_hear_each_other_s_frames_in_order() {
    run(async {
        let (one, two) = pair(&Memory::default()).await;
        one.say(2, &frames());
        two.say(1, &frames());
        for (hearer, speaker) in [(&one, 2), (&two, 1)] {
            hearer.until("all frames", |told| told.len() > frames().len()).await;
            let expected = [Told::Up(speaker)].into_iter();
            let expected = expected.chain(frames().into_iter().map(|frame| Told::Frame(speaker, frame)));
            assert_eq!(hearer.told(), expected.collect::<Vec<_>>());
        }
    });
}

#[test]
fn members_meet_over_loopback_sockets_too() {
    run(async {
        let listener = |_| TokioNet.bind((Ipv4Addr::LOCALHOST, 0).into());
        let (first, second) = (listener(1).await.expect("a port"), listener(2).await.expect("a port"));
        let address = |listener: &tokio::net::TcpListener| Listener::local_addr(listener).expect("bound");
        let addresses = BTreeMap::from([(NodeId(1), address(&first)), (NodeId(2), address(&second))]);
        let one = Member::start_on(&TokioNet, first, 1, 1, &addresses);
        let two = Member::start_on(&TokioNet, second, 2, 1, &addresses);
        one.until_up(2, 1).await;
        // It may be up here before it is there; what is said then waits.
        one.say(2, &frames());
        two.until("all frames", |told| told.len() > frames().len()).await;
        assert_eq!(two.told()[0], Told::Up(1), "never a frame before");
    });
}

#[test]
fn a_connection_that_breaks_ends_both_and_they_meet_again() {
    run(async {
        let net = Memory::default();
        let (one, two) = pair(&net).await;
        let way = net.way_to(2);
        way.set(&way.cut, true);
        one.until("down", |told| told.contains(&Told::Down(2))).await;
        two.until("down", |told| told.contains(&Told::Down(1))).await;
        one.say(2, &frames());
        way.set(&way.cut, false);
        one.until_up(2, 2).await;
        two.until_up(1, 2).await;
        one.say(2, &[Bytes::from_static(b"new")]);
        two.until("the new frame", |told| told.len() > 3).await;
        let expected = [Told::Up(1), Told::Down(1), Told::Up(1), Told::Frame(1, Bytes::from_static(b"new"))];
        assert_eq!(two.told(), expected, "what was said without a link is lost");
    });
}

#[test]
fn a_silent_member_is_given_up_and_an_idle_one_is_not() {
    run(async {
        let net = Memory::default();
        let (one, two) = pair(&net).await;
        sleep(super::incoming::SILENCE_MAX + Duration::from_millis(500)).await;
        assert_eq!(one.told(), [Told::Up(2)], "keep-alives are enough");
        let way = net.way_to(1);
        way.set(&way.muted, true);
        // Nothing was closed: only the silence tells.
        one.until("down", |told| told.contains(&Told::Down(2))).await;
        two.until("down", |told| told.contains(&Told::Down(1))).await;
    });
}

#[test]
fn a_member_that_takes_nothing_is_given_up_when_its_queue_is_full() {
    run(async {
        let net = Memory::default();
        let (one, _two) = pair(&net).await;
        let way = net.way_to(2);
        way.set(&way.clogged, true);
        let frame = Bytes::from(vec![1; QUEUE_BYTES_MAX / 4]);
        one.say(2, &vec![frame.clone(); 3]);
        sleep(Duration::from_millis(20)).await;
        assert_eq!(one.told(), [Told::Up(2)], "so much may wait");
        one.say(2, &vec![frame; 2]);
        one.until("down", |told| told.contains(&Told::Down(2))).await;
        way.set(&way.clogged, false);
        one.until_up(2, 2).await;
    });
}

#[test]
fn a_frame_larger_than_the_queue_goes_alone() {
    run(async {
        let (one, two) = pair(&Memory::default()).await;
        let frame = Bytes::from(vec![1; 3 * QUEUE_BYTES_MAX]);
        one.say(2, std::slice::from_ref(&frame));
        two.until("the frame", |told| told.contains(&Told::Frame(1, frame.clone()))).await;
    });
}

#[test]
fn no_member_is_read_while_the_disk_is_behind_and_that_is_not_silence() {
    run(async {
        let (one, two) = pair(&Memory::default()).await;
        two.disk.full.set(true);
        one.say(2, &[Bytes::from_static(b"x")]);
        sleep(super::incoming::SILENCE_MAX + Duration::from_millis(500)).await;
        assert_eq!(two.told(), [Told::Up(1)]);
        two.disk.full.set(false);
        two.disk.waker.borrow().as_ref().expect("it is polled").wake_by_ref();
        two.until("the frame", |told| told.len() > 1).await;
        assert_eq!(two.told()[1], Told::Frame(1, Bytes::from_static(b"x")));
    });
}

#[test]
fn a_later_life_takes_the_place_of_an_earlier_and_not_the_other_way() {
    run(async {
        let net = Memory::default();
        let (one, _two) = pair(&net).await;
        let later = Member::start(&net, 2, 2, &addresses(2)).await;
        later.until_up(1, 1).await;
        one.until_up(2, 2).await;
        assert_eq!(one.told(), [Told::Up(2), Told::Down(2), Told::Up(2)]);
        // The earlier one still dials, and is told to go.
        let mut line = net.connect(addresses(2)[&NodeId(1)]).await.expect("it listens");
        let refused = dial(&mut line, &identity(2, 1), NodeId(1), [0; 32], 0).await;
        assert!(format!("{refused:?}").contains("OlderLife"), "{refused:?}");
        assert_eq!(one.told().len(), 3);
    });
}

/// What a member does wrong, on the connection that it dialled and on the one that it was dialled on.
type Misdeed = fn(Line, Line) -> Pin<Box<dyn Future<Output = (Line, Option<Line>)>>>;

#[test]
fn a_member_that_does_not_keep_to_the_rules_is_given_up() {
    let too_long: Misdeed = |mut dialled, other| {
        Box::pin(async {
            let claim = u32::try_from(FRAME_BYTES_MAX + 1).expect("32 bits").to_le_bytes();
            dialled.write_all(&claim).await.expect("room");
            (other, Some(dialled))
        })
    };
    let speaks: Misdeed = |dialled, mut other| {
        Box::pin(async {
            other.write_all(b"x").await.expect("room");
            (other, Some(dialled))
        })
    };
    let half_a_frame: Misdeed = |mut dialled, other| {
        Box::pin(async {
            dialled.write_all(b"\x09\0\0\0half").await.expect("room");
            drop(dialled);
            (other, None)
        })
    };
    for misdeed in [too_long, speaks, half_a_frame] {
        run(async {
            let net = Memory::default();
            let one = Member::start(&net, 1, 1, &addresses(2)).await;
            let mut listener = net.bind(addresses(2)[&NodeId(2)]).await.expect("it is free");
            let (mut other, _) = listener.accept().await.expect("it dials");
            answer(&mut other, &identity(2, 1), [1; 32], |_| Some(0)).await.expect("a member");
            let mut dialled = net.connect(addresses(2)[&NodeId(1)]).await.expect("it listens");
            dial(&mut dialled, &identity(2, 1), NodeId(1), [0; 32], 0).await.expect("a member");
            one.until_up(2, 1).await;
            let kept_open = misdeed(dialled, other).await;
            one.until("down", |told| told.contains(&Told::Down(2))).await;
            assert_eq!(one.told(), [Told::Up(2), Told::Down(2)]);
            drop(kept_open);
        });
    }
}

#[test]
fn a_member_is_ready_when_it_knows_all_leaders() {
    run(async {
        let one = Member::start(&Memory::default(), 1, 1, &addresses(2)).await;
        let node = one.node.clone();
        let ready = spawn_local(async move { Node::leaders_known(&node).await });
        let known =
            |shard| Output::Event(Event::LeaderKnown { shard: ShardId(shard), leader: NodeId(1), term: 1 });
        for shards in [[0, 0], [0, 1]] {
            assert!(!ready.is_finished());
            one.core.outputs.borrow_mut().extend(shards.map(known));
            one.node.borrow_mut().mark();
            sleep(Duration::from_millis(5)).await;
        }
        timeout(LONG, ready).await.expect("in time").expect("no panic");
    });
}

#[test]
fn a_member_stops_although_the_others_never_fall_silent() {
    run(async {
        let (one, two) = pair(&Memory::default()).await;
        [&one, &two].iter().for_each(|member| member.core.echoes.set(true));
        one.say(2, &[Bytes::from_static(b"ball")]);
        one.until("a rally", |told| told.len() > 100).await;
        one.node.borrow_mut().shut_down();
        let ended = timeout(LONG, one.turns).await.expect("in time").expect("no panic");
        assert_eq!(ended, Ok(()));
    });
}
