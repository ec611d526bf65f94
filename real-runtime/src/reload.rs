//! The password file is read anew while clients are served: on SIGHUP.

use crate::auth::Passwords;
use crate::net::Stream;
use crate::node::SharedNode;
use crate::signals::ReloadSignal;
use std::path::PathBuf;
use std::sync::Arc;

/// Reads the password file at `path` anew whenever the signal comes, for ever. What cannot be used changes nothing: the
/// passwords that were read before hold on, and the log says why. Who is connected stays so.
pub async fn reload_passwords<S: Stream>(mut signal: ReloadSignal, path: PathBuf, node: SharedNode<S>) {
    // A signal that comes while the file is read has it read once more.
    while signal.next().await.is_some() {
        match read(path.clone()).await {
            Ok(passwords) => {
                let users = passwords.users();
                node.borrow_mut().replace_passwords(Arc::new(passwords));
                tracing::info!(users, file = %path.display(), "the password file was read anew");
            }
            Err(why) => tracing::error!("the passwords stay as they were read before: {why}"),
        }
    }
}

/// Aside, for the disk may be slow and the file long.
async fn read(path: PathBuf) -> Result<Passwords, String> {
    match tokio::task::spawn_blocking(move || Passwords::read(&path)).await {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(error) => Err(format!("reading the file broke off: {error}")),
    }
}
