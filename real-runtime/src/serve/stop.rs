//! Runs a node until it is to stop, and stops it in order.

use crate::config::{Config, DurabilityOption};
use crate::failure::Failure;
use crate::net::Stream;
use crate::node::{SharedNode, Turns};
use crate::signals::StopSignals;
use crate::storage::StorageError;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};

/// Runs the node until a signal, then lets it stop: no new connections, clients told and flushed within a bound.
pub(super) async fn run_until_stopped<S>(
    config: &Config,
    node: &SharedNode<S>,
    accepting: &[JoinHandle<()>],
    signals: &mut StopSignals,
) -> Result<(), Failure>
where
    S: Stream,
{
    // Writing to more connections than a task's budget allows is still one turn.
    let mut turns = tokio::task::spawn_local(tokio::task::unconstrained(Turns::new(node.clone())));
    let signal = poll_fn(|context| {
        if let Poll::Ready(ended) = std::pin::Pin::new(&mut turns).poll(context) {
            return Poll::Ready(Err(ended));
        }
        signals.poll_next(context).map(Ok)
    });
    match signal.await {
        Ok(name) => tracing::info!(signal = name, "stopping"),
        Err(ended) => return turns_ended(config, ended),
    }
    accepting.iter().for_each(JoinHandle::abort);
    node.borrow_mut().shut_down();
    let timeout = Duration::from_millis(u64::from(config.net.shutdown_timeout_ms));
    let mut time_is_up = pin!(tokio::time::sleep(timeout));
    poll_fn(|context| {
        if let Poll::Ready(ended) = std::pin::Pin::new(&mut turns).poll(context) {
            return Poll::Ready(turns_ended(config, ended));
        }
        if signals.poll_next(context).is_ready() {
            let kept = kept(config);
            return Poll::Ready(Err(Failure::run(format!("stopped at once by a second signal; {kept}"))));
        }
        if time_is_up.as_mut().poll(context).is_ready() {
            let connections = node.borrow().connections();
            tracing::warn!(
                connections,
                "closed although not everything was sent: `net.shutdown_timeout_ms` is over"
            );
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    })
    .await
}

fn turns_ended(config: &Config, ended: Result<Result<(), StorageError>, JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(disk_failure(config, &error)),
        Err(error) => Err(Failure::run(format!("a bug ended the broker: {error}; {}", kept(config)))),
    }
}

/// What became of the messages, after an end in no order.
fn kept(config: &Config) -> &'static str {
    match config.durability {
        DurabilityOption::Sync => "what was acknowledged is on disk",
        DurabilityOption::Async => {
            "what was acknowledged in the last moments may be lost, as `durability` allows"
        }
    }
}

pub(super) fn disk_failure(config: &Config, error: &StorageError) -> Failure {
    Failure::run(format!(
        "the data folder {} can no longer be written, so nothing more is acknowledged: {error}",
        config.data.display()
    ))
}
