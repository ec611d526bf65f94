//! The network as the runtime sees it, small enough that a simulated one fits behind it.

mod tcp;

pub use tcp::TokioNet;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection, as bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Stream for T {}

/// Makes listeners and streams.
pub trait Net {
    /// A connection.
    type Stream: Stream;
    /// What accepts connections.
    type Listener: Listener<Stream = Self::Stream> + 'static;

    /// Listens on `address`.
    fn bind(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>>;
    /// Connects to `address`.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// Accepts connections.
pub trait Listener {
    /// A connection.
    type Stream;

    /// The address it listens on, with the port the system chose if it was asked to choose.
    fn local_addr(&self) -> io::Result<SocketAddr>;
    /// The next connection and where it comes from. Nothing is lost if the future is dropped.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>>;
}
