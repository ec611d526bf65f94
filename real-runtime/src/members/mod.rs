//! `quorate members`: shows who is in a cluster and who holds what, and changes it.

mod client;
mod table;

use crate::cli::MembersArgs;
use crate::config::Source;
use crate::failure::Failure;
use crate::net::{Net, TokioNet};
use broker_core::cluster::{Change, Directory};
use client::Client;
use std::io::{self, Write as _};
use std::path::Path;
use table::table;
use tokio::runtime::Builder;

/// Does what the command line asks for.
///
/// # Errors
/// Says in one sentence what is wrong and what to do: no member answers, or the cluster refuses the change.
pub fn run(args: &MembersArgs) -> Result<(), Failure> {
    let Some(path) = &args.config else {
        return Err(Failure::usage("whose members? Give the configuration of any member with --config FILE"));
    };
    let client = client_of(path)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run(format!("cannot start: {error}; see to the limits of this process")))?;
    runtime.block_on(operate(client, args))
}

/// Who asks the members of the configuration at `path`.
///
/// # Errors
/// If it is no member's configuration, or its secret cannot be read.
pub(crate) fn client_of(path: &Path) -> Result<Client<TokioNet>, Failure> {
    let source = Source::read(path)?;
    let config = source.parse()?;
    config.check().map_err(|complaint| source.failure(&complaint))?;
    let Some(cluster) = &config.cluster else {
        return Err(Failure::usage(format!(
            "{} is the configuration of a node that stands alone; give that of a member of a cluster, with a section [cluster]",
            path.display()
        )));
    };
    Ok(Client::new(TokioNet, cluster, cluster.secret()?))
}

async fn operate<N: Net>(mut client: Client<N>, args: &MembersArgs) -> Result<(), Failure> {
    let before = client.directory().await?;
    let mut version = before.version();
    if let Some(change) = &args.change {
        if let Change::Leave(old) | Change::Replace { old, .. } = change {
            // It may be the last to hear that it has left.
            client.avoid(*old);
        }
        version = client.decide(change, say).await?;
        say(&done(change))?;
    }
    if args.wait {
        let after = client.settled(version, say).await?;
        let (moved, replicas) = (after.moved_since(&before), after.replicas());
        return say(&format!("everything is where it should be: {moved} of {replicas} replicas have moved"));
    }
    let now = client.directory_since(version).await?;
    if args.change.is_none() {
        say(&table(&now))?;
    }
    say(&progress(&now))
}

/// What has been decided.
fn done(change: &Change) -> String {
    match change {
        Change::Join { node, .. } => format!("node {node} joins"),
        Change::Drain(node) => format!("node {node} is drained"),
        Change::Serve(node) => format!("node {node} serves"),
        Change::Leave(node) => format!("node {node} leaves"),
        Change::Replace { old, new, .. } => format!("node {new} takes the place of node {old}"),
    }
}

/// How far everything is from where it should be.
fn progress(directory: &Directory) -> String {
    match directory.to_move() {
        0 if directory.is_at_rest() => "everything is where it should be".to_owned(),
        0 => "nothing is left to move, and who leaves is about to be gone".to_owned(),
        1 => "1 replica is still to move".to_owned(),
        moves => format!("{moves} replicas are still to move"),
    }
}

fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::run(format!("cannot write to standard output: {error}")))
}
