//! Operators: they ask a member who is in the cluster, and for changes.

use super::{Node, SharedNode};
use crate::net::Stream;
use crate::peers::frames::read_frame;
use crate::peers::operator::{Answer, Question, decode, encode, is_feasible};
use broker_core::cluster::{Change, Refusal};
use broker_core::face::Input;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// An operator that asks nothing, or takes no answer, for so long is sent away.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long a change may take to be decided: a little longer than the core asks for it.
const DECISION_MAX: Duration = Duration::from_secs(6);

/// The changes that operators wait for.
#[derive(Debug, Default)]
pub(super) struct Operators {
    last_request: u64,
    asked: BTreeMap<u64, Asked>,
}

#[derive(Debug)]
struct Asked {
    result: Option<Result<u64, Refusal>>,
    waker: Waker,
}

impl Operators {
    /// What came of a change. Whoever asked may not wait for it any more.
    pub(super) fn decided(&mut self, request: u64, result: Result<u64, Refusal>) {
        if let Some(asked) = self.asked.get_mut(&request) {
            asked.result = Some(result);
            asked.waker.wake_by_ref();
        }
    }
}

impl<S: Stream> Node<S> {
    fn ask_for(&mut self, change: Change) -> u64 {
        self.operators.last_request += 1;
        let request = self.operators.last_request;
        self.operators.asked.insert(request, Asked { result: None, waker: Waker::noop().clone() });
        self.handle(Input::ChangeMembers { request, change });
        request
    }
}

/// Answers an operator until it ends the connection, is silent for too long, or says what cannot be read.
pub(super) async fn answer_operator<S: Stream>(mut stream: S, from: SocketAddr, shared: SharedNode<S>) {
    let answering = async {
        while let Some(frame) = in_time(read_frame(&mut stream)).await? {
            let question = decode(&frame);
            let answer = match question.clone() {
                Some(question) => answer(&shared, from, question).await,
                None => Answer::NotUnderstood,
            };
            in_time(stream.write_all(&encode(&answer))).await?;
            if question.is_none() {
                break;
            }
        }
        Ok::<_, io::Error>(())
    };
    if let Err(error) = answering.await {
        tracing::debug!(%from, "the connection with an operator ended: {error}");
    }
}

async fn in_time<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(SILENCE_MAX, future).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn answer<S: Stream>(shared: &SharedNode<S>, from: SocketAddr, question: Question) -> Answer {
    match question {
        Question::Members => {
            let node = shared.borrow();
            let directory = node.broker.directory().cloned();
            directory.map_or(Answer::NotUnderstood, |directory| Answer::Members(Box::new(directory)))
        }
        Question::Change(change) if is_feasible(&change) => {
            let request = shared.borrow_mut().ask_for(change.clone());
            let decision = timeout(DECISION_MAX, decision(shared, request)).await;
            shared.borrow_mut().operators.asked.remove(&request);
            let outcome = match &decision {
                Ok(Ok(version)) => format!("it is so by version {version} of the directory"),
                Ok(Err(refusal)) => format!("refused, because {refusal}"),
                Err(_) => "not decided in time".to_owned(),
            };
            tracing::info!(%from, ?change, "an operator asked for a change of the members: {outcome}");
            decision.map_or(Answer::Undecided, Answer::Changed)
        }
        Question::Change(_) => Answer::NotUnderstood,
    }
}

async fn decision<S: Stream>(shared: &SharedNode<S>, request: u64) -> Result<u64, Refusal> {
    poll_fn(|context| {
        let mut node = shared.borrow_mut();
        let asked = node.operators.asked.get_mut(&request).expect("who asked removes it");
        asked.waker.clone_from(context.waker());
        asked.result.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
