//! A connection that this node dialled: frames go out, and nothing comes back but the end.

use super::{Ending, LinkId};
use crate::net::Stream;
use crate::node::SharedNode;
use crate::node::outbox::Outbox;
use crate::peers::frames::{KEEP_ALIVE, put_header};
use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep};

/// Without anything to send for so long, a keep-alive is sent.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Frames up to this size are copied behind each other; larger ones are sent from where they are.
const COPIED_MAX: usize = 4 << 10;

/// The connection, shared by its task and by the turns that write to it.
pub(super) struct Outgoing<S> {
    id: LinkId,
    io: RefCell<Io<S>>,
}

struct Io<S> {
    /// `None` once it is closed.
    stream: Option<S>,
    /// Frames that are not in the outbox yet.
    batch: BytesMut,
    outbox: Outbox,
    /// Among the connections that the current turn writes to.
    touched: bool,
    /// Something was sent since the last look.
    spoke: bool,
    waker: Waker,
}

impl<S: Stream> Outgoing<S> {
    pub(super) fn new(id: LinkId, stream: S) -> Self {
        let io = Io {
            stream: Some(stream),
            batch: BytesMut::new(),
            outbox: Outbox::default(),
            touched: false,
            spoke: false,
            waker: Waker::noop().clone(),
        };
        Outgoing { id, io: RefCell::new(io) }
    }

    pub(super) fn id(&self) -> LinkId {
        self.id
    }

    /// Queues `frame`. True if the connection was not among the touched ones yet. A frame that alone is larger than the queue may be
    /// still goes, if nothing else waits: otherwise it never could.
    pub(super) fn push(&self, frame: Bytes, queue_bytes_max: usize) -> Result<bool, Ending> {
        let mut io = self.io.borrow_mut();
        let waiting = io.batch.len() + io.outbox.len();
        if waiting > 0 && waiting + frame.len() > queue_bytes_max {
            return Err(Ending::QueueFull { bytes: frame.len() });
        }
        put_header(frame.len(), &mut io.batch).map_err(Ending::TooLong)?;
        if frame.len() <= COPIED_MAX {
            io.batch.extend_from_slice(&frame);
        } else {
            io.seal();
            io.outbox.push(frame);
        }
        io.spoke = true;
        Ok(!std::mem::replace(&mut io.touched, true))
    }

    /// Writes what is queued, at the end of a turn.
    pub(super) fn flush(&self) -> Result<(), Ending> {
        let mut io = self.io.borrow_mut();
        io.touched = false;
        io.send()
    }

    /// Closes it; what is queued is dropped, and its task ends.
    pub(super) fn close(&self) {
        let mut io = self.io.borrow_mut();
        io.stream = None;
        io.waker.wake_by_ref();
    }
}

impl<S: Stream> Io<S> {
    fn seal(&mut self) {
        if !self.batch.is_empty() {
            self.outbox.push(self.batch.split().freeze());
        }
    }

    /// Writes until everything is written or the socket is full; then it wakes the connection's own task, which goes on.
    fn send(&mut self) -> Result<(), Ending> {
        self.seal();
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let mut context = Context::from_waker(&self.waker);
        match self.outbox.poll_send(stream, &mut context, &mut 0) {
            Poll::Ready(Err(error)) => Err(Ending::Failed(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Whether the other side has ended the connection.
    fn hear(&mut self, context: &mut Context<'_>) -> Result<(), Ending> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let mut byte = [0; 1];
        let mut read = ReadBuf::new(&mut byte);
        match Pin::new(stream).poll_read(context, &mut read) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) if read.filled().is_empty() => Err(Ending::Closed),
            Poll::Ready(Ok(())) => Err(Ending::Spoke),
            Poll::Ready(Err(error)) => Err(Ending::Failed(error)),
        }
    }
}

/// The task of the connection: ends with it.
pub(super) struct OutgoingTask<S> {
    link: Rc<Outgoing<S>>,
    node: SharedNode<S>,
    keep_alive: Pin<Box<Sleep>>,
}

impl<S: Stream> OutgoingTask<S> {
    pub(super) fn new(link: Rc<Outgoing<S>>, node: SharedNode<S>) -> Self {
        OutgoingTask { link, node, keep_alive: Box::pin(sleep(KEEP_ALIVE_EVERY)) }
    }

    /// `None` once the connection is closed.
    fn go_on(&mut self, context: &mut Context<'_>) -> Option<Result<(), Ending>> {
        let mut io = self.link.io.borrow_mut();
        io.stream.as_ref()?;
        if !io.waker.will_wake(context.waker()) {
            io.waker.clone_from(context.waker());
        }
        while self.keep_alive.as_mut().poll(context).is_ready() {
            self.keep_alive.as_mut().reset(Instant::now() + KEEP_ALIVE_EVERY);
            if !std::mem::replace(&mut io.spoke, false) && io.outbox.is_empty() {
                io.batch.extend_from_slice(&KEEP_ALIVE);
            }
        }
        Some(io.hear(context).and_then(|()| io.send()))
    }
}

impl<S: Stream> Future for OutgoingTask<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.go_on(context) {
            None => Poll::Ready(()),
            Some(Ok(())) => Poll::Pending,
            Some(Err(ending)) => {
                let id = self.link.id;
                self.node.borrow_mut().link_ended(id, &ending);
                Poll::Ready(())
            }
        }
    }
}
