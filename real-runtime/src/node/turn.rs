//! The turns: what the core wants done is carried out once for all connections that were read, not once a message.

use super::SharedNode;
use crate::net::Stream;
use crate::storage::StorageError;
use broker_core::time::Instant;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Sleep;

/// The task that ends turns. Woken once by the first connection that brought something, it runs after all other
/// connections that were ready at the same time, since tasks run in the order they were woken.
///
/// Ends when the node was told to stop and every connection is gone, or when the disk failed.
pub struct Turns<S> {
    node: SharedNode<S>,
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` fires. Deadlines mostly move away (each packet renews a keep alive), so it is left to fire too
    /// early rather than set anew at every turn.
    armed: Option<Instant>,
}

impl<S: Stream> Turns<S> {
    /// The turns of `node`. There must be one such task a node.
    pub fn new(node: SharedNode<S>) -> Self {
        Turns { node, sleep: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)), armed: None }
    }

    /// Sees to it that this task is woken at the core's deadline.
    fn arm(&mut self, context: &mut Context<'_>) {
        loop {
            let node = self.node.borrow();
            let Some(deadline) = node.deadline() else { return };
            if self.armed.is_none_or(|armed| deadline < armed) {
                self.armed = Some(deadline);
                self.sleep.as_mut().reset(node.clock.timer(deadline));
            }
            if self.sleep.as_mut().poll(context).is_pending() {
                return;
            }
            // It fired, for this deadline or for one that has moved since.
            self.armed = None;
            if deadline <= node.clock.now() {
                context.waker().wake_by_ref();
                return;
            }
        }
    }
}

impl<S: Stream> Future for Turns<S> {
    type Output = Result<(), StorageError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let turns = &mut *self;
        let questions = {
            let mut node = turns.node.borrow_mut();
            if let Err(error) = node.turn(context) {
                return Poll::Ready(Err(error));
            }
            if node.is_finished() {
                return Poll::Ready(Ok(()));
            }
            std::mem::take(&mut node.questions)
        };
        for (conn, credentials) in questions {
            super::ask(&turns.node, conn, credentials);
        }
        turns.arm(context);
        Poll::Pending
    }
}
