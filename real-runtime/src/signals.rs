//! What asks the process to stop, or to read something anew.

use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::unix::pipe;
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

/// SIGINT and SIGTERM, caught from now on, and the end of standard input, if that counts.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if it does not count, or has ended.
    input: Option<pipe::Receiver>,
}

impl StopSignals {
    /// Catches the signals.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch() -> io::Result<Self> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            input: None,
        })
    }

    /// The end of standard input is to count too: a pipe, whose other end is closed by the system however its owner ends.
    ///
    /// # Errors
    /// If standard input is no pipe.
    pub fn and_end_of_input(self) -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let input = pipe::Receiver::from_owned_fd(input)
            .map_err(|error| io::Error::other(format!("standard input has to be a pipe: {error}")))?;
        Ok(StopSignals { input: Some(input), ..self })
    }

    /// The next signal's name.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        if self.interrupt.poll_recv(context).is_ready() {
            return Poll::Ready("SIGINT");
        }
        if self.terminate.poll_recv(context).is_ready() {
            return Poll::Ready("SIGTERM");
        }
        if self.input_ended(context) {
            self.input = None;
            return Poll::Ready("the end of standard input");
        }
        Poll::Pending
    }

    /// Reads standard input, whatever it says, to its end.
    fn input_ended(&mut self, context: &mut Context<'_>) -> bool {
        let Some(input) = &mut self.input else { return false };
        loop {
            let mut bytes = [0; 64];
            let mut read = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *input).poll_read(context, &mut read) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
                // What cannot be read has ended.
                Poll::Ready(_) => return true,
            }
        }
    }
}
