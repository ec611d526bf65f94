//! The real network.

use super::{Listener, Net};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 1024;

/// TCP of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioNet;

impl Net for TokioNet {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart need not wait for the connections of the last run to time out.
        socket.set_reuse_address(true)?;
        // Accepted connections inherit it: a client without a keep alive of its own, whose machine is gone, is noticed.
        socket.set_keepalive(true)?;
        if address.is_ipv6() {
            // [::] and 0.0.0.0 can both be listened on, whatever the system's default.
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // Bytes are written once a turn, so there is nothing for Nagle's algorithm to gather.
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }
}

#[cfg(test)]
mod tests {
    use super::{Listener, Net as _, TokioNet};
    use socket2::SockRef;
    use tokio::runtime::Builder;

    #[test]
    fn the_system_looks_after_connections_that_fall_silent() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut listener =
                TokioNet.bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
            let address = listener.local_addr().expect("bound");
            let _peer = TokioNet.connect(address).await.expect("it listens");
            let (stream, _) = Listener::accept(&mut listener).await.expect("a connection");
            assert!(SockRef::from(&stream).keepalive().expect("an option"));
        });
    }
}
