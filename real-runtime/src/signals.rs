//! The signals that ask the process to stop, or to read something anew.

use std::io;
use std::task::{Context, Poll};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP, caught from now on.
#[derive(Debug)]
pub struct ReloadSignal(Signal);

impl ReloadSignal {
    /// Catches it.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(ReloadSignal)
    }

    /// Waits for the next one; several that came meanwhile are one. `None` if none can come any more.
    pub async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }
}

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
