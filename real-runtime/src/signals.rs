//! The signals that ask the process to stop.

use std::io;
use std::task::{Context, Poll};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM, caught from now on.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Catches them.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch() -> io::Result<Self> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal's name.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        if self.interrupt.poll_recv(context).is_ready() {
            return Poll::Ready("SIGINT");
        }
        self.terminate.poll_recv(context).map(|_| "SIGTERM")
    }
}
