//! A network in memory whose ways can be cut, muted and clogged.

use super::port;
use crate::net::{Listener, Net};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// What is between two members, each way.
#[derive(Clone, Default)]
pub(super) struct Way {
    /// What is written is thrown away.
    pub(super) muted: Rc<Cell<bool>>,
    /// Nothing more can be written.
    pub(super) clogged: Rc<Cell<bool>>,
    /// Each connection ends.
    pub(super) cut: Rc<Cell<bool>>,
    waiting: Rc<RefCell<Vec<Waker>>>,
}

impl Way {
    pub(super) fn set(&self, what: &Cell<bool>, to: bool) {
        what.set(to);
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

/// A connection that was dialled over a way.
pub(super) struct Line {
    inner: DuplexStream,
    way: Way,
    is_dialler: bool,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.way.cut.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.way.waiting.borrow_mut().push(context.waker().clone());
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_dialler && self.way.clogged.get() {
            self.way.waiting.borrow_mut().push(context.waker().clone());
            return Poll::Pending;
        }
        if self.is_dialler && self.way.muted.get() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Connections that were dialled and not accepted yet.
#[derive(Default)]
struct Backlog {
    lines: VecDeque<Line>,
    waker: Option<Waker>,
}

/// A network in memory: addresses are ports, and each port has the way of those that dial it.
#[derive(Clone, Default)]
pub(super) struct Memory {
    backlogs: Rc<RefCell<BTreeMap<u16, Rc<RefCell<Backlog>>>>>,
    ways: Rc<RefCell<BTreeMap<u16, Way>>>,
}

impl Memory {
    /// Between whoever dials member `number` and that member.
    pub(super) fn way_to(&self, number: u32) -> Way {
        self.ways.borrow_mut().entry(port(number)).or_default().clone()
    }
}

pub(super) struct MemoryListener(Rc<RefCell<Backlog>>);

impl Net for Memory {
    type Stream = Line;
    type Listener = MemoryListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<MemoryListener> {
        let backlog = Rc::<RefCell<Backlog>>::default();
        // Whoever binds it last has it, as after a restart.
        self.backlogs.borrow_mut().insert(address.port(), backlog.clone());
        Ok(MemoryListener(backlog))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Line> {
        let way = self.ways.borrow_mut().entry(address.port()).or_default().clone();
        if way.cut.get() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let backlogs = self.backlogs.borrow();
        let backlog = backlogs.get(&address.port()).ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, far) = duplex(64 << 10);
        let mut backlog = backlog.borrow_mut();
        backlog.lines.push_back(Line { inner: far, way: way.clone(), is_dialler: false });
        backlog.waker.take().into_iter().for_each(Waker::wake);
        Ok(Line { inner: near, way, is_dialler: true })
    }
}

impl Listener for MemoryListener {
    type Stream = Line;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn accept(&mut self) -> io::Result<(Line, SocketAddr)> {
        poll_fn(|context| {
            let mut backlog = self.0.borrow_mut();
            match backlog.lines.pop_front() {
                Some(line) => Poll::Ready(Ok((line, (Ipv4Addr::LOCALHOST, 0).into()))),
                None => {
                    backlog.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
