//! One node as a child process, heard line by line.

use super::layout::Node;
use rustix::process::{Pid, Signal, kill_process};
use std::future::Future as _;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::Stdio;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command};

/// A running node. If it is dropped, it is killed.
pub(super) struct Child {
    process: Process,
    pid: u32,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    stderr: Option<Lines<BufReader<ChildStderr>>>,
    /// How it ended.
    end: Option<String>,
    /// Held, not written: the node stops when it is closed, which the system does however this process ends.
    _stdin: ChildStdin,
}

/// What a node does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A line of standard output.
    Said(String),
    /// A line of its log.
    Logged(String),
    /// It has ended, like this, and has nothing more to say.
    Ended(String),
}

impl Child {
    pub(super) fn start(program: &Path, node: &Node) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--until-stdin-ends", "--config"]).arg(&node.config);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for the process that the terminal knows; that one tells its nodes, once.
        command.process_group(0).kill_on_drop(true);
        let mut process = command.spawn()?;
        let closed = || io::Error::other("it has ended already");
        Ok(Child {
            pid: process.id().ok_or_else(closed)?,
            _stdin: process.stdin.take().ok_or_else(closed)?,
            stdout: process.stdout.take().map(|pipe| BufReader::new(pipe).lines()),
            stderr: process.stderr.take().map(|pipe| BufReader::new(pipe).lines()),
            end: None,
            process,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to stop.
    pub(super) fn terminate(&self) -> io::Result<()> {
        // Until its end was reported its number is that of no other process.
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.map_or(Ok(()), |pid| kill_process(pid, Signal::TERM).map_err(io::Error::from))
    }

    /// Ends it, whatever it does.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.process.start_kill()
    }

    /// What it does next. Not to be asked again after its end.
    pub(super) fn poll_news(&mut self, context: &mut Context<'_>) -> Poll<News> {
        if let Poll::Ready(line) = poll_line(&mut self.stdout, context) {
            return Poll::Ready(News::Said(line));
        }
        if let Poll::Ready(line) = poll_line(&mut self.stderr, context) {
            return Poll::Ready(News::Logged(line));
        }
        if self.end.is_none() {
            self.end = Some(match ready!(pin!(self.process.wait()).poll(context)) {
                Ok(status) => match (status.code(), status.signal()) {
                    (Some(code), _) => format!("with status {code}"),
                    (None, Some(signal)) => format!("by signal {signal}"),
                    (None, None) => status.to_string(),
                },
                Err(error) => format!("nobody knows how: {error}"),
            });
        }
        match &self.end {
            Some(end) if self.stdout.is_none() && self.stderr.is_none() => {
                Poll::Ready(News::Ended(end.clone()))
            }
            _ => Poll::Pending,
        }
    }
}

/// The next line of a pipe; never again after its end.
fn poll_line<R>(lines: &mut Option<Lines<BufReader<R>>>, context: &mut Context<'_>) -> Poll<String>
where
    R: AsyncRead + Unpin,
{
    let Some(open) = lines else { return Poll::Pending };
    match ready!(Pin::new(open).poll_next_line(context)) {
        Ok(Some(line)) => Poll::Ready(line),
        // What cannot be read has ended.
        Ok(None) | Err(_) => {
            *lines = None;
            Poll::Pending
        }
    }
}
