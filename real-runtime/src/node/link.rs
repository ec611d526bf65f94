//! One connection: its socket, its outbox, and the task that reads from it.
//!
//! ```text
//!            core: CloseClient           everything sent
//!   Open ───────────────────► Closing ──────────────────► Draining ──► (task ends)
//!     │                          │                            end of stream, or time is up
//!     │ end of stream, error     │ error, time is up
//!     └──► (core is told, task ends)
//! ```

use super::outbox::Outbox;
use super::{Node, SharedNode};
use crate::net::Stream;
use broker_core::ids::ConnId;
use bytes::Bytes;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// Reads before other connections have their turn.
const READS_A_POLL: usize = 4;

/// A connection, shared by its task and by the turns that write to it.
#[derive(Debug)]
pub(super) struct Link<S> {
    conn: ConnId,
    io: RefCell<Io<S>>,
}

#[derive(Debug)]
struct Io<S> {
    stream: S,
    outbox: Outbox,
    phase: Phase,
    /// The core lets us read.
    reading: bool,
    /// Among the links that the current turn writes to.
    touched: bool,
    /// Among those that wait for the disk.
    stalled: bool,
    /// The connection's task, also woken when a socket that a turn found full has room again.
    waker: Waker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The core knows it.
    Open,
    /// The core has forgotten it; the rest of the outbox is being sent.
    Closing,
    /// Our side is closed, and what the peer still sends is thrown away: closing a socket with unread bytes resets it,
    /// and the peer might never see our last packet.
    Draining,
    /// The socket failed while a turn wrote to it.
    Failed,
}

impl<S: Stream> Link<S> {
    pub(super) fn new(conn: ConnId, stream: S) -> Self {
        let io = Io {
            stream,
            outbox: Outbox::default(),
            phase: Phase::Open,
            reading: true,
            touched: false,
            stalled: false,
            waker: Waker::noop().clone(),
        };
        Link { conn, io: RefCell::new(io) }
    }

    pub(super) fn conn(&self) -> ConnId {
        self.conn
    }

    /// Queues `bytes`. True if the link was not among the touched ones yet.
    pub(super) fn push(&self, bytes: Bytes) -> bool {
        let mut io = self.io.borrow_mut();
        io.outbox.push(bytes);
        !std::mem::replace(&mut io.touched, true)
    }

    /// Stops or goes on reading.
    pub(super) fn set_reading(&self, on: bool) {
        let mut io = self.io.borrow_mut();
        io.reading = on;
        if on {
            io.waker.wake_by_ref();
        }
    }

    /// Goes on reading when the disk has caught up.
    pub(super) fn resume(&self) {
        let mut io = self.io.borrow_mut();
        io.stalled = false;
        io.waker.wake_by_ref();
    }

    /// Begins to close: the core has forgotten the connection.
    pub(super) fn close(&self) {
        let mut io = self.io.borrow_mut();
        io.phase = Phase::Closing;
        io.waker.wake_by_ref();
    }

    /// Writes what is queued, at the end of a turn. Gives the number of bytes the core may count as sent.
    pub(super) fn flush(&self) -> usize {
        let mut io = self.io.borrow_mut();
        let io = &mut *io;
        io.touched = false;
        // A socket without room wakes the connection's own task, which then goes on.
        let mut context = Context::from_waker(&io.waker);
        let mut sent = 0;
        if let Poll::Ready(Err(_)) = io.outbox.poll_send(&mut io.stream, &mut context, &mut sent) {
            if io.phase == Phase::Open {
                io.phase = Phase::Failed;
            }
            // In Closing the task finds the same error itself.
            io.waker.wake_by_ref();
        }
        if io.phase == Phase::Open { sent } else { 0 }
    }
}

/// The task of one connection. Kept small: there is one for each silent client.
pub(super) struct LinkTask<S: Stream> {
    link: Rc<Link<S>>,
    node: SharedNode<S>,
    /// Set once the connection is being closed.
    time_left: Option<Pin<Box<Sleep>>>,
}

impl<S: Stream> LinkTask<S> {
    pub(super) fn new(link: Rc<Link<S>>, node: SharedNode<S>) -> Self {
        LinkTask { link, node, time_left: None }
    }

    fn poll_open(
        io: &mut Io<S>,
        link: &Rc<Link<S>>,
        node: &SharedNode<S>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let conn = link.conn;
        if !io.outbox.is_empty() {
            let mut sent = 0;
            let sending = io.outbox.poll_send(&mut io.stream, context, &mut sent);
            let mut node = node.borrow_mut();
            if sent > 0 {
                node.sent(conn, sent);
            }
            if let Poll::Ready(Err(_)) = sending {
                node.closed(conn);
                return Poll::Ready(());
            }
        }
        for _ in 0..READS_A_POLL {
            let mut node = node.borrow_mut();
            if !Self::may_read(io, link, &mut node) {
                return Poll::Pending;
            }
            match ready!(node.scratch.poll_read(&mut io.stream, context)) {
                Ok(read) if !read.bytes.is_empty() => {
                    node.received(conn, read.bytes);
                    if read.filled {
                        break;
                    }
                }
                Ok(_) | Err(_) => {
                    node.closed(conn);
                    return Poll::Ready(());
                }
            }
        }
        // The others come first.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether to read, or to wait for something that will wake the task: the core, the peer, or the disk.
    fn may_read(io: &mut Io<S>, link: &Rc<Link<S>>, node: &mut Node<S>) -> bool {
        if !io.reading || io.outbox.len() > node.outbox_bytes_max {
            return false;
        }
        if node.storage.is_full() {
            if !std::mem::replace(&mut io.stalled, true) {
                node.stalled.push(link.clone());
            }
            return false;
        }
        true
    }

    fn poll_closing(io: &mut Io<S>, node: &SharedNode<S>, context: &mut Context<'_>) -> Poll<()> {
        if io.phase == Phase::Closing {
            let mut sent = 0;
            if ready!(io.outbox.poll_send(&mut io.stream, context, &mut sent)).is_err() {
                return Poll::Ready(());
            }
            if ready!(Pin::new(&mut io.stream).poll_shutdown(context)).is_err() {
                return Poll::Ready(());
            }
            io.phase = Phase::Draining;
        }
        for _ in 0..READS_A_POLL {
            match ready!(node.borrow_mut().scratch.poll_read(&mut io.stream, context)) {
                Ok(read) if !read.bytes.is_empty() => {}
                Ok(_) | Err(_) => return Poll::Ready(()),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Stream> Future for LinkTask<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = &mut *self;
        let mut io = task.link.io.borrow_mut();
        let io = &mut *io;
        if !io.waker.will_wake(context.waker()) {
            io.waker.clone_from(context.waker());
        }
        match io.phase {
            Phase::Open => Self::poll_open(io, &task.link, &task.node, context),
            Phase::Failed => {
                task.node.borrow_mut().closed(task.link.conn);
                Poll::Ready(())
            }
            Phase::Closing | Phase::Draining => {
                let time_left = task.time_left.get_or_insert_with(|| {
                    let timeout: Duration = task.node.borrow().close_timeout;
                    Box::pin(tokio::time::sleep(timeout))
                });
                if time_left.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                Self::poll_closing(io, &task.node, context)
            }
        }
    }
}

impl<S: Stream> Drop for LinkTask<S> {
    fn drop(&mut self) {
        // Not while the node is in use: then the whole runtime is going away.
        if let Ok(mut node) = self.node.try_borrow_mut() {
            node.ended();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Link, LinkTask};
    use tokio::net::TcpStream;

    #[test]
    fn a_silent_connection_costs_the_loop_little_memory() {
        assert!(size_of::<Link<TcpStream>>() <= 192, "{}", size_of::<Link<TcpStream>>());
        assert!(size_of::<LinkTask<TcpStream>>() <= 32, "{}", size_of::<LinkTask<TcpStream>>());
    }
}
