//! The loop with a scripted core, in-memory streams and a scripted disk.

use super::{Authenticator, Bounds, CheckBounds, Node, Parts, SharedNode, Turns};
use crate::auth::{Anonymous, PasswordGate, Passwords};
use crate::clock::Clock;
use crate::storage::{Reports, Storage, StorageError};
use broker_core::auth::{Credentials, Decision, Password};
use broker_core::face::{Broker, Input, Output, Record, Snapshot, TimerKind};
use broker_core::ids::{ConnId, Lsn, WriteId};
use broker_core::time::Instant;
use bytes::Bytes;
use bytestring::ByteString;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_millis(50);
const CONNECTIONS_MAX: u32 = 20;
const OUTBOX_BYTES_MAX: u32 = 10_000;

/// What the scripted core saw.
#[derive(Default)]
struct Seen {
    received: usize,
    sent: usize,
    opened: BTreeSet<ConnId>,
    closed: BTreeSet<ConnId>,
    decisions: Vec<&'static str>,
    persisted: Option<WriteId>,
    wakes: usize,
    turns: usize,
}

type Script = dyn FnMut(Instant, &Input, &mut Vec<Output>);

/// A core that does what its script says.
struct Scripted {
    seen: Rc<RefCell<Seen>>,
    deadline: Option<Instant>,
    outputs: Vec<Output>,
    script: Box<Script>,
}

impl Broker for Scripted {
    fn handle(&mut self, now: Instant, input: Input) {
        let mut seen = self.seen.borrow_mut();
        match &input {
            Input::ClientOpened { conn, .. } => drop(seen.opened.insert(*conn)),
            Input::ClientBytes { bytes, .. } => seen.received += bytes.len(),
            Input::ClientSent { bytes, .. } => seen.sent += bytes,
            Input::ClientClosed { conn } => drop(seen.closed.insert(*conn)),
            Input::ChangeMembers { .. } => {}
            Input::Persisted { write } => seen.persisted = Some(*write),
            Input::Authenticated { decision, .. } => seen.decisions.push(match decision {
                Decision::Allowed(_) => "allowed",
                Decision::BadUserNameOrPassword => "bad password",
                Decision::NotAuthorized => "not authorized",
                Decision::Unavailable => "unavailable",
            }),
            Input::Wake => {
                seen.wakes += 1;
                assert!(
                    self.deadline.take().is_some_and(|deadline| deadline <= now),
                    "woken before its time"
                );
            }
            Input::PeerUp { .. } | Input::PeerFrame { .. } | Input::PeerDown { .. } => {}
            Input::SnapshotStored { .. } | Input::Shutdown => {}
        }
        drop(seen);
        (self.script)(now, &input, &mut self.outputs);
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        self.seen.borrow_mut().turns += 1;
        out.append(&mut self.outputs);
    }

    fn deadline(&self) -> Option<(Instant, TimerKind)> {
        self.deadline.map(|at| (at, TimerKind::Expiry))
    }
}

/// A disk that does what the test says.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<DiskState>>);

#[derive(Default)]
struct DiskState {
    asked: Vec<WriteId>,
    reports: Reports,
    failed: bool,
    full: bool,
    waker: Option<Waker>,
}

impl Disk {
    fn change(&self, change: impl FnOnce(&mut DiskState)) {
        let mut state = self.0.borrow_mut();
        change(&mut state);
        if let Some(waker) = &state.waker {
            waker.wake_by_ref();
        }
    }
}

impl Storage for Disk {
    fn persist(&mut self, write: WriteId, _: Vec<Record>, _: bool) {
        self.0.borrow_mut().asked.push(write);
    }

    fn snapshot(&mut self, _: Snapshot) {}

    fn poll(&mut self, context: &mut Context<'_>) -> Result<Reports, StorageError> {
        let mut state = self.0.borrow_mut();
        state.waker = Some(context.waker().clone());
        if state.failed { Err(StorageError::ThreadGone) } else { Ok(std::mem::take(&mut state.reports)) }
    }

    fn is_full(&self) -> bool {
        self.0.borrow().full
    }
}

/// A node of doubles with its turns running.
struct Bench<S: 'static> {
    node: SharedNode<S>,
    seen: Rc<RefCell<Seen>>,
    disk: Disk,
    turns: tokio::task::JoinHandle<Result<(), StorageError>>,
}

impl<S: crate::net::Stream> Bench<S> {
    fn new(script: impl FnMut(Instant, &Input, &mut Vec<Output>) + 'static) -> Self {
        Self::with(None, Authenticator::anonymous(Anonymous::new(Arc::from([]))), script)
    }

    fn with(
        deadline: Option<Instant>,
        authenticator: Authenticator,
        script: impl FnMut(Instant, &Input, &mut Vec<Output>) + 'static,
    ) -> Self {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let broker = Scripted { seen: seen.clone(), deadline, outputs: Vec::new(), script: Box::new(script) };
        let disk = Disk::default();
        let node = Node::new(Parts {
            broker: Box::new(broker),
            storage: Box::new(disk.clone()),
            authenticator,
            clock: Clock::start(),
            bounds: Bounds {
                connections_max: CONNECTIONS_MAX,
                outbox_bytes_max: OUTBOX_BYTES_MAX,
                close_timeout: CLOSE_TIMEOUT,
            },
        });
        let turns = tokio::task::spawn_local(Turns::new(node.clone()));
        Bench { node, seen, disk, turns }
    }

    fn open(&self, stream: S) -> bool {
        Node::open(&self.node, stream, "127.0.0.1:1".parse().expect("an address"))
    }

    /// Lets the node run until `reached` holds of what the core saw.
    async fn until(&self, what: &str, reached: impl Fn(&Seen) -> bool) {
        let wait = async {
            while !reached(&self.seen.borrow()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, wait).await.unwrap_or_else(|_| panic!("not reached: {what}"));
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(test);
}

fn echo(_: Instant, input: &Input, out: &mut Vec<Output>) {
    if let Input::ClientBytes { conn, bytes } = input {
        out.push(Output::SendClient { conn: *conn, bytes: bytes.clone() });
    }
}

fn silent(_: Instant, _: &Input, _: &mut Vec<Output>) {}

fn credentials(user: Option<&'static str>) -> Credentials {
    Credentials {
        client_id: ByteString::from_static("c"),
        user_name: user.map(ByteString::from_static),
        password: Some(Password::new("secret")),
        peer: String::new(),
    }
}

#[test]
fn bytes_come_back_whole_and_every_one_is_credited() {
    run(async {
        let bench = Bench::new(echo);
        let (near, far) = duplex(3_000);
        assert!(bench.open(far));
        let data: Vec<u8> = (0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let expected = data.clone();
        let (mut reading, mut writing) = tokio::io::split(near);
        let writer = tokio::task::spawn_local(async move { writing.write_all(&data).await.expect("taken") });
        let mut echoed = vec![0; expected.len()];
        timeout(LONG, reading.read_exact(&mut echoed)).await.expect("in time").expect("echoed");
        writer.await.expect("all was written");
        assert_eq!(echoed, expected);
        bench.until("all is credited", |seen| seen.sent == expected.len()).await;
    });
}

/// Counts the writes to a stream.
struct Counting {
    inner: DuplexStream,
    writes: Rc<RefCell<usize>>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        *self.writes.borrow_mut() += 1;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        *self.writes.borrow_mut() += 1;
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[test]
fn what_many_clients_sent_at_the_same_time_leaves_in_one_turn_and_one_write_a_client() {
    run(async {
        // Everybody hears everybody, in pieces.
        let bench = Bench::new(|_, input, out| {
            if let Input::ClientBytes { bytes, .. } = input {
                for conn in 1..=20 {
                    let pieces = [bytes.clone(), bytes.clone()];
                    out.extend(pieces.map(|bytes| Output::SendClient { conn: ConnId(conn), bytes }));
                }
            }
        });
        let writes = Rc::new(RefCell::new(0));
        let mut near = Vec::new();
        for _ in 0..20 {
            let (ours, theirs) = duplex(1_000);
            assert!(bench.open(Counting { inner: theirs, writes: writes.clone() }));
            near.push(ours);
        }
        bench
            .until("all are open, and the turn is over", |seen| seen.opened.len() == 20 && seen.turns >= 1)
            .await;
        let turns_before = bench.seen.borrow().turns;
        for stream in &mut near {
            stream.write_all(b"x").await.expect("room");
        }
        let mut heard = [0; 40];
        for stream in &mut near {
            timeout(LONG, stream.read_exact(&mut heard)).await.expect("in time").expect("heard");
        }
        assert_eq!(*writes.borrow(), 20, "800 pieces to 20 clients");
        let turns = bench.seen.borrow().turns - turns_before;
        assert!(turns <= 2, "one turn, and one after the credit, not {turns}");
    });
}

#[test]
fn a_client_that_does_not_read_is_not_read_either() {
    run(async {
        let bench = Bench::new(echo);
        let (mut near, far) = duplex(100);
        assert!(bench.open(far));
        let flood = async { near.write_all(&[0; 1_000_000]).await };
        assert!(timeout(Duration::from_millis(200), flood).await.is_err(), "the flood is stopped");
        let received = bench.seen.borrow().received;
        assert!(
            (OUTBOX_BYTES_MAX as usize..OUTBOX_BYTES_MAX as usize + 300).contains(&received),
            "{received}"
        );
        // It goes on where the client takes what waits for it.
        let mut sink = vec![0; 5_000];
        timeout(LONG, near.read_exact(&mut sink)).await.expect("in time").expect("echoed");
        bench.until("more is read", |seen| seen.received > received).await;
    });
}

#[test]
fn no_client_is_read_while_the_disk_is_behind() {
    run(async {
        let bench = Bench::new(echo);
        let (mut near, far) = duplex(1_000);
        assert!(bench.open(far));
        bench.disk.change(|disk| disk.full = true);
        near.write_all(b"hello").await.expect("room");
        assert!(timeout(Duration::from_millis(50), near.read_u8()).await.is_err());
        assert_eq!(bench.seen.borrow().received, 0);
        bench.disk.change(|disk| disk.full = false);
        assert_eq!(timeout(LONG, near.read_u8()).await.expect("in time").expect("echoed"), b'h');
    });
}

#[test]
fn the_core_can_stop_and_start_the_reading_of_a_connection() {
    run(async {
        let bench = Bench::new(|_, input, out| match input {
            Input::ClientBytes { conn, .. } => out.push(Output::ReadClient { conn: *conn, on: false }),
            Input::Persisted { .. } => out.push(Output::ReadClient { conn: ConnId(1), on: true }),
            _ => {}
        });
        let (mut near, far) = duplex(10);
        assert!(bench.open(far));
        near.write_all(b"first").await.expect("room");
        bench.until("the first is read", |seen| seen.received == 5).await;
        // The stop takes effect at the end of the turn.
        tokio::task::yield_now().await;
        near.write_all(b"second").await.expect("room");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(bench.seen.borrow().received, 5);
        bench.disk.change(|disk| disk.reports.persisted = Some(WriteId(1)));
        bench.until("the second is read", |seen| seen.received == 11).await;
    });
}

#[test]
fn a_closed_client_still_gets_its_last_bytes_and_then_the_end() {
    run(async {
        let bench = Bench::new(|_, input, out| {
            if let Input::ClientBytes { conn, .. } = input {
                let bytes = Bytes::from_static(&[9; 5_000]);
                out.push(Output::SendClient { conn: *conn, bytes });
                out.push(Output::CloseClient { conn: *conn });
            }
        });
        let (mut near, far) = duplex(64);
        assert!(bench.open(far));
        near.write_all(b"x").await.expect("room");
        let mut all = Vec::new();
        timeout(LONG, near.read_to_end(&mut all)).await.expect("in time").expect("no error");
        assert_eq!(all, [9; 5_000]);
        drop(near);
        let ended = async {
            while bench.node.borrow().connections() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, ended).await.expect("the task ends with the stream");
        assert!(bench.seen.borrow().closed.is_empty(), "the core knew already");
    });
}

#[test]
fn a_closed_client_that_does_not_read_is_given_up_in_time() {
    run(async {
        let bench = Bench::new(|_, input, out| {
            if let Input::ClientOpened { conn, .. } = input {
                out.push(Output::SendClient { conn: *conn, bytes: Bytes::from_static(&[9; 5_000]) });
                out.push(Output::CloseClient { conn: *conn });
            }
        });
        let (_near, far) = duplex(64);
        assert!(bench.open(far));
        let begun = tokio::time::Instant::now();
        while bench.node.borrow().connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(begun.elapsed() < LONG, "never given up");
        }
        assert!(begun.elapsed() >= CLOSE_TIMEOUT, "it had its time");
    });
}

#[test]
fn the_core_is_told_once_when_a_client_goes() {
    run(async {
        let bench = Bench::new(silent);
        let (near, far) = duplex(64);
        assert!(bench.open(far));
        drop(near);
        bench.until("closed", |seen| seen.closed.contains(&ConnId(1))).await;
    });
}

#[test]
fn too_many_connections_are_turned_away() {
    run(async {
        let bench = Bench::new(silent);
        let mut near = Vec::new();
        let mut open = || {
            let (ours, theirs) = duplex(1);
            near.push(ours);
            bench.open(theirs)
        };
        // The accepted ones, and some more that the core refuses in words.
        assert_eq!(
            (0..100).filter(|_| open()).count(),
            CONNECTIONS_MAX as usize + super::CONNECTIONS_TO_REFUSE_MAX
        );
    });
}

#[test]
fn a_deadline_wakes_the_core_once_and_not_early() {
    run(async {
        let at = Instant::from_millis(30);
        let anonymous = Authenticator::anonymous(Anonymous::new(Arc::from([])));
        let bench: Bench<DuplexStream> = Bench::with(Some(at), anonymous, silent);
        bench.until("woken", |seen| seen.wakes > 0).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(bench.seen.borrow().wakes, 1);
    });
}

#[test]
fn writes_are_asked_for_and_reported() {
    run(async {
        let bench = Bench::new(|_, input, out| {
            if let Input::ClientBytes { bytes, .. } = input {
                let records = vec![Record { lsn: Lsn(1), body: bytes.clone() }];
                out.push(Output::Persist { write: WriteId(7), records, urgent: true });
            }
        });
        let (mut near, far) = duplex(64);
        assert!(bench.open(far));
        near.write_all(b"x").await.expect("room");
        bench.until("read", |seen| seen.received == 1).await;
        tokio::task::yield_now().await;
        assert_eq!(bench.disk.0.borrow().asked, [WriteId(7)]);
        assert_eq!(bench.seen.borrow().persisted, None);
        bench.disk.change(|disk| disk.reports.persisted = Some(WriteId(7)));
        bench.until("reported", |seen| seen.persisted == Some(WriteId(7))).await;
    });
}

#[test]
fn a_disk_that_failed_ends_the_node_before_it_says_another_word() {
    run(async {
        let bench = Bench::new(echo);
        let (mut near, far) = duplex(64);
        assert!(bench.open(far));
        bench.until("open", |seen| seen.opened.len() == 1).await;
        bench.disk.0.borrow_mut().failed = true;
        near.write_all(b"x").await.expect("room");
        let ended = timeout(LONG, bench.turns).await.expect("in time").expect("no panic");
        assert_eq!(ended, Err(StorageError::ThreadGone));
        assert!(timeout(Duration::from_millis(20), near.read_u8()).await.is_err(), "nothing was sent");
    });
}

#[test]
fn a_node_that_stops_ends_when_its_last_client_is_gone() {
    run(async {
        let bench = Bench::new(|_, input, out| {
            if let Input::Shutdown = input {
                out.push(Output::SendClient { conn: ConnId(1), bytes: Bytes::from_static(b"bye") });
                out.push(Output::CloseClient { conn: ConnId(1) });
            }
        });
        let (mut near, far) = duplex(64);
        assert!(bench.open(far));
        bench.node.borrow_mut().shut_down();
        assert!(!bench.open(duplex(1).1), "no new client");
        let mut all = Vec::new();
        timeout(LONG, near.read_to_end(&mut all)).await.expect("in time").expect("no error");
        assert_eq!(all, b"bye");
        drop(near);
        let ended = timeout(LONG, bench.turns).await.expect("in time").expect("no panic");
        assert_eq!(ended, Ok(()));
    });
}

#[test]
fn passwords_are_checked_aside_and_only_so_many_may_wait() {
    run(async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("passwords");
        Passwords::set(&path, "alice", b"secret").expect("a new file");
        let passwords = Arc::new(Passwords::read(&path).expect("what we wrote"));
        let gate = PasswordGate::new(Arc::from([]), passwords, false);
        let ask_all = |_: Instant, input: &Input, out: &mut Vec<Output>| {
            if let Input::ClientOpened { conn, .. } = input {
                let users = [None, Some("alice"), Some("bob"), Some("alice")];
                out.extend(
                    users.map(|user| Output::Authenticate { conn: *conn, credentials: credentials(user) }),
                );
            }
        };
        let bench = Bench::with(
            None,
            Authenticator::passwords(gate, CheckBounds { at_once_max: 2, waiting_max: 2 }),
            ask_all,
        );
        let (_near, far) = duplex(1);
        assert!(bench.open(far));
        bench.until("all are answered", |seen| seen.decisions.len() == 4).await;
        let mut decisions = bench.seen.borrow().decisions.clone();
        // Without a name, and one too many: at once. The other two when their checks end, in any order.
        assert_eq!(decisions[..2], ["not authorized", "unavailable"]);
        decisions[2..].sort_unstable();
        assert_eq!(decisions[2..], ["allowed", "bad password"]);
    });
}

#[test]
fn the_password_of_a_client_that_has_gone_is_not_checked() {
    run(async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("passwords");
        Passwords::set(&path, "alice", b"secret").expect("a new file");
        let gate = PasswordGate::new(Arc::from([]), Arc::new(Passwords::read(&path).expect("ours")), false);
        let ask_and_close = |_: Instant, input: &Input, out: &mut Vec<Output>| {
            if let Input::ClientOpened { conn, .. } = input {
                let conn = *conn;
                // The second one's answer would come before the third's, and be another.
                let user = if conn == ConnId(2) { "bob" } else { "alice" };
                out.push(Output::Authenticate { conn, credentials: credentials(Some(user)) });
                if conn == ConnId(2) {
                    out.push(Output::CloseClient { conn });
                }
            }
        };
        let bounds = CheckBounds { at_once_max: 1, waiting_max: 3 };
        let bench = Bench::with(None, Authenticator::passwords(gate, bounds), ask_and_close);
        let near_ends: Vec<_> =
            (0..3).map(|_| duplex(1)).map(|(near, far)| (near, bench.open(far))).collect();
        assert!(near_ends.iter().all(|(_, taken)| *taken));
        bench.until("those who are there are answered", |seen| seen.decisions.len() == 2).await;
        assert_eq!(bench.seen.borrow().decisions, ["allowed", "allowed"]);
    });
}
