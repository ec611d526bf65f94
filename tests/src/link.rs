//! One connection of a client of our own: blocking, bounded in time, and showing every packet.

use broker_core::codec::packet::{ConnAck, Connect};
use broker_core::codec::{Framer, PACKET_BYTES_MAX, Packet, ReasonCode, Version, decode, encode};
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the broker may be silent when something is due.
pub const SILENCE_MAX: Duration = Duration::from_secs(20);

/// An accepted connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    framer: Framer,
    version: Version,
}

impl Link {
    /// Connects to `address` and sends `connect`; gives what the broker answered, too.
    ///
    /// # Errors
    /// If there is no connection or it ends, if the broker is silent ([`io::ErrorKind::TimedOut`]), or if it refuses.
    pub fn open(address: SocketAddr, connect: Connect) -> io::Result<(Self, ConnAck)> {
        let version = connect.version;
        let stream = TcpStream::connect_timeout(&address, SILENCE_MAX)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        stream.set_nodelay(true)?;
        let mut link = Link { stream, framer: Framer::new(PACKET_BYTES_MAX), version };
        link.send(&[Packet::Connect(Box::new(connect))])?;
        match link.receive()? {
            Packet::ConnAck(answer) if answer.reason == ReasonCode::Success => Ok((link, answer)),
            Packet::ConnAck(answer) if sends_away(answer.reason) => {
                Err(io::Error::other(SentAway(answer.reason)))
            }
            other => Err(io::Error::other(format!("CONNECT was answered with {other:?}"))),
        }
    }

    /// Sends `packets` in one write.
    ///
    /// # Errors
    /// If the connection ended.
    pub fn send(&mut self, packets: &[Packet]) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        for packet in packets {
            encode(self.version, packet, &mut bytes);
        }
        self.stream.write_all(&bytes)
    }

    /// The next packet.
    ///
    /// # Errors
    /// If the connection ended, the broker sends the client away ([`Link::was_sent_away`]), is silent ([`io::ErrorKind::TimedOut`]), or says what is no packet
    /// ([`io::ErrorKind::InvalidData`]).
    pub fn receive(&mut self) -> io::Result<Packet> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        loop {
            if let Some(frame) = self.framer.next_frame().map_err(invalid)? {
                return match decode(self.version, frame).map_err(invalid)? {
                    Packet::Disconnect(goodbye) if sends_away(goodbye.reason) => {
                        Err(io::Error::other(SentAway(goodbye.reason)))
                    }
                    packet => Ok(packet),
                };
            }
            let mut chunk = [0; 16 * 1024];
            let count = self.stream.read(&mut chunk).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("the broker said nothing for {SILENCE_MAX:?}"),
                ),
                _ => error,
            })?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.framer.push(Bytes::copy_from_slice(&chunk[..count]));
        }
    }

    /// Whether `error` says that the connection ended, as it does when the broker is killed; otherwise the broker is
    /// wrong.
    pub fn was_lost(error: &io::Error) -> bool {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        )
    }

    /// Whether `error` says that the broker cannot serve the client now, and that another one may.
    pub fn was_sent_away(error: &io::Error) -> bool {
        Link::sent_away_with(error).is_some()
    }

    /// What the broker said, if `error` says that it cannot serve the client.
    pub fn sent_away_with(error: &io::Error) -> Option<ReasonCode> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<SentAway>()).map(|sent_away| sent_away.0)
    }
}

/// The broker cannot serve now.
#[derive(Debug)]
struct SentAway(ReasonCode);

impl fmt::Display for SentAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the broker sent the client away: {}", self.0)
    }
}

impl std::error::Error for SentAway {}

/// What a member of a cluster says that cannot keep its promises for a while.
fn sends_away(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::ServerShuttingDown
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
    )
}
