//! Keeps the nodes running, tells how they do, and ends them.

use super::child::{Child, News};
use super::join::take_in;
use super::layout::Node;
use super::say;
use crate::failure::Failure;
use crate::signals::StopSignals;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How long a node that has ended stays away.
const RESTART_AFTER: Duration = Duration::from_secs(2);
/// How long the nodes may take to stop; what is left then is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// All nodes. Ends when they have ended.
pub(super) struct Supervisor {
    program: PathBuf,
    nodes: Vec<Supervised>,
    restart: bool,
    signals: StopSignals,
    joining: Joining,
    stopping: Option<Stopping>,
}

/// The taking in of nodes that join a cluster that is there.
enum Joining {
    /// Those with which it began are not ready yet.
    Waiting,
    Asking(Pin<Box<dyn Future<Output = ()>>>),
    Done,
}

/// A node and what it is at.
struct Supervised {
    node: Node,
    state: State,
    /// It has served once.
    has_served: bool,
    ready: bool,
}

enum State {
    Running(Box<Child>),
    Waiting(Pin<Box<Sleep>>),
    Gone,
}

struct Stopping {
    time_is_up: Pin<Box<Sleep>>,
    /// Why, if nobody asked for it.
    failure: Option<Failure>,
    killed: bool,
}

impl Supervisor {
    /// Starts all nodes.
    pub(super) fn start(
        program: PathBuf,
        nodes: Vec<Node>,
        restart: bool,
        signals: StopSignals,
    ) -> Result<Self, Failure> {
        let (joining, stopping) = (Joining::Waiting, None);
        let mut supervisor = Supervisor { program, nodes: Vec::new(), restart, signals, joining, stopping };
        for node in nodes {
            let state = supervisor.begin(&node)?;
            supervisor.nodes.push(Supervised { node, state, has_served: false, ready: false });
        }
        Ok(supervisor)
    }

    fn begin(&self, node: &Node) -> Result<State, Failure> {
        let child = Child::start(&self.program, node).map_err(|error| {
            Failure::run(format!("cannot start {} for node {}: {error}", self.program.display(), node.number))
        })?;
        Ok(State::Running(Box::new(child)))
    }

    /// Takes everything that node number `index` has to tell.
    fn hear(&mut self, index: usize, context: &mut Context<'_>) -> Result<(), Failure> {
        loop {
            let supervised = &mut self.nodes[index];
            let number = supervised.node.number;
            match &mut supervised.state {
                State::Gone => return Ok(()),
                State::Waiting(sleep) => {
                    if sleep.as_mut().poll(context).is_pending() {
                        return Ok(());
                    }
                    let state = self.begin(&self.nodes[index].node)?;
                    self.nodes[index].state = state;
                }
                State::Running(child) => {
                    let pid = child.pid();
                    let Poll::Ready(news) = child.poll_news(context) else { return Ok(()) };
                    match news {
                        News::Logged(line) => {
                            // A log that nobody takes any more is no reason to end.
                            let _ = writeln!(io::stderr(), "node {number}: {line}");
                        }
                        News::Said(line) => self.said(index, pid, &line)?,
                        News::Ended(how) => self.ended(index, &format!("{number} pid {pid} ended {how}"))?,
                    }
                }
            }
        }
    }

    fn said(&mut self, index: usize, pid: u32, line: &str) -> Result<(), Failure> {
        let supervised = &mut self.nodes[index];
        if let Some(address) = line.strip_prefix("listening mqtt ") {
            supervised.has_served = true;
            say(&format!("node {} mqtt {address} pid {pid}", supervised.node.number))?;
        } else if line == "cluster ready" {
            supervised.ready = true;
            let is_founder = |supervised: &&Supervised| supervised.node.joins_at.is_none();
            if matches!(self.joining, Joining::Waiting)
                && self.nodes.iter().filter(is_founder).all(|supervised| supervised.ready)
            {
                let nodes = self.nodes.iter().map(|supervised| supervised.node.clone()).collect();
                self.joining = Joining::Asking(Box::pin(take_in(nodes)));
            }
            if self.nodes.iter().all(|supervised| supervised.ready) {
                say("cluster ready")?;
            }
        }
        Ok(())
    }

    fn ended(&mut self, index: usize, what: &str) -> Result<(), Failure> {
        let is_stopping = self.stopping.is_some();
        let supervised = &mut self.nodes[index];
        supervised.ready = false;
        supervised.state = State::Gone;
        if is_stopping {
            return Ok(());
        }
        if !supervised.has_served {
            return Err(Failure::run(format!("node {what} before it served; its last line above says why")));
        }
        if self.restart {
            supervised.state = State::Waiting(Box::pin(sleep(RESTART_AFTER)));
            return say(&format!("node {what}; it is started again in {} s", RESTART_AFTER.as_secs()));
        }
        say(&format!("node {what}"))?;
        match self.nodes.iter().all(|supervised| matches!(supervised.state, State::Gone)) {
            true => Err(Failure::run("all nodes have ended; start them again, or leave out --no-restart")),
            false => Ok(()),
        }
    }

    fn stop(&mut self, failure: Option<Failure>) {
        for supervised in &mut self.nodes {
            match &supervised.state {
                State::Running(child) => warn_unless_done(child.terminate()),
                State::Waiting(_) => supervised.state = State::Gone,
                State::Gone => {}
            }
        }
        let time_is_up = Box::pin(sleep(STOP_TIMEOUT));
        self.stopping = Some(Stopping { time_is_up, failure, killed: false });
    }

    /// Kills what has not stopped, when its time is up or a second signal comes.
    fn hurry(&mut self, context: &mut Context<'_>) {
        let signal = self.signals.poll_next(context).is_ready();
        let Some(stopping) = self.stopping.as_mut().filter(|stopping| !stopping.killed) else { return };
        if !signal && stopping.time_is_up.as_mut().poll(context).is_pending() {
            return;
        }
        stopping.killed = true;
        for supervised in &mut self.nodes {
            if let State::Running(child) = &mut supervised.state {
                let _ = writeln!(
                    io::stderr(),
                    "node {} did not stop in time and is killed",
                    supervised.node.number
                );
                warn_unless_done(child.kill());
            }
        }
    }

    fn is_over(&self) -> bool {
        self.nodes.iter().all(|supervised| matches!(supervised.state, State::Gone))
    }
}

impl Future for Supervisor {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let supervisor = &mut *self;
        if supervisor.stopping.is_none() && supervisor.signals.poll_next(context).is_ready() {
            supervisor.stop(None);
        }
        for index in 0..supervisor.nodes.len() {
            if let Err(failure) = supervisor.hear(index, context)
                && supervisor.stopping.is_none()
            {
                supervisor.stop(Some(failure));
                // What the nodes before this one do now is to be heard as well.
                context.waker().wake_by_ref();
            }
        }
        if supervisor.stopping.is_none() {
            if let Joining::Asking(asking) = &mut supervisor.joining
                && asking.as_mut().poll(context).is_ready()
            {
                supervisor.joining = Joining::Done;
            }
            return Poll::Pending;
        }
        supervisor.hurry(context);
        match (supervisor.is_over(), &mut supervisor.stopping) {
            (true, Some(stopping)) => Poll::Ready(stopping.failure.take().map_or(Ok(()), Err)),
            _ => Poll::Pending,
        }
    }
}

/// A node that cannot be told to end sees the end of its standard input when this process has ended.
fn warn_unless_done(result: io::Result<()>) {
    if let Err(error) = result {
        let _ = writeln!(io::stderr(), "a node cannot be told to end: {error}");
    }
}
