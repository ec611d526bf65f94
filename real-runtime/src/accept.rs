//! Accepting connections.

use crate::net::{Listener, Stream};
use crate::node::{Node, SharedNode};
use std::io;
use std::time::Duration;

/// How long to leave the system alone when it cannot give another connection, mostly for want of file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts connections of `listener` for `node`, for ever.
pub async fn accept<L>(mut listener: L, node: SharedNode<L::Stream>)
where
    L: Listener,
    L::Stream: Stream,
{
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                Node::open(&node, stream, peer);
            }
            // The peer changed its mind before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; trying again in {} ms", BACK_OFF.as_millis());
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}
