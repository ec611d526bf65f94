//! A connection that another member dialled: frames come in, and nothing goes back.

use super::{Ending, LinkId};
use crate::net::Stream;
use crate::node::SharedNode;
use crate::peers::frames::Splitter;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// A connection over which nothing comes for so long is closed: whoever is there says something three times as often.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Reads before other connections have their turn.
const READS_A_POLL: usize = 4;

/// The connection, shared by its task and by the node, which lets it begin and can close it.
pub(super) struct Incoming<S> {
    id: LinkId,
    io: RefCell<Io<S>>,
}

struct Io<S> {
    /// `None` once it is closed.
    stream: Option<S>,
    splitter: Splitter,
    /// Both directions are open: what comes is for the core.
    begun: bool,
    heard: Instant,
    waker: Waker,
}

impl<S: Stream> Incoming<S> {
    pub(super) fn new(id: LinkId, stream: S) -> Self {
        let io = Io {
            stream: Some(stream),
            splitter: Splitter::default(),
            begun: false,
            heard: Instant::now(),
            waker: Waker::noop().clone(),
        };
        Incoming { id, io: RefCell::new(io) }
    }

    pub(super) fn id(&self) -> LinkId {
        self.id
    }

    /// The core knows of the member: reads from now on.
    pub(super) fn begin(&self) {
        let mut io = self.io.borrow_mut();
        io.begun = true;
        io.heard = Instant::now();
        io.waker.wake_by_ref();
    }

    /// Closes it, and its task ends.
    pub(super) fn close(&self) {
        let mut io = self.io.borrow_mut();
        io.stream = None;
        io.waker.wake_by_ref();
    }
}

/// The task of the connection: ends with it.
pub(super) struct IncomingTask<S> {
    link: Rc<Incoming<S>>,
    node: SharedNode<S>,
    silence: Pin<Box<Sleep>>,
}

impl<S: Stream> IncomingTask<S> {
    pub(super) fn new(link: Rc<Incoming<S>>, node: SharedNode<S>) -> Self {
        IncomingTask { link, node, silence: Box::pin(sleep(SILENCE_MAX)) }
    }

    /// `None` once the connection is closed.
    fn go_on(&mut self, context: &mut Context<'_>) -> Option<Result<(), Ending>> {
        let mut io = self.link.io.borrow_mut();
        let io = &mut *io;
        if !io.waker.will_wake(context.waker()) {
            io.waker.clone_from(context.waker());
        }
        let stream = io.stream.as_mut()?;
        if !io.begun {
            return Some(Ok(()));
        }
        for _ in 0..READS_A_POLL {
            let mut node = self.node.borrow_mut();
            if node.storage.is_full() {
                // What waits in the socket meanwhile is not silence.
                io.heard = Instant::now();
                node.peers.stalled.push(context.waker().clone());
                return Some(Ok(()));
            }
            match node.scratch.poll_read(stream, context) {
                Poll::Pending => return Some(Self::wait(&mut self.silence, io.heard, context)),
                Poll::Ready(Err(error)) => return Some(Err(Ending::Failed(error))),
                Poll::Ready(Ok(read)) if read.bytes.is_empty() => return Some(Err(Ending::Closed)),
                Poll::Ready(Ok(read)) => {
                    io.heard = Instant::now();
                    let peer = self.link.id.peer;
                    if let Err(error) = io.splitter.push(read.bytes, |frame| node.frame_arrived(peer, frame))
                    {
                        return Some(Err(Ending::TooLong(error)));
                    }
                }
            }
        }
        // The others come first.
        context.waker().wake_by_ref();
        Some(Ok(()))
    }

    /// Waits for what comes next, but not for ever. There is nothing to read now: a process that stood still finds what came
    /// meanwhile before it looks at the clock.
    fn wait(silence: &mut Pin<Box<Sleep>>, heard: Instant, context: &mut Context<'_>) -> Result<(), Ending> {
        while silence.as_mut().poll(context).is_ready() {
            let until = heard + SILENCE_MAX;
            if until <= Instant::now() {
                return Err(Ending::Silent);
            }
            silence.as_mut().reset(until);
        }
        Ok(())
    }
}

impl<S: Stream> Future for IncomingTask<S> {
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
