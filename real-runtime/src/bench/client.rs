//! A client of the load: the core's codec over a socket, many packets a call.

use broker_core::codec::packet::{
    Connect, Subscribe, SubscribeFilter, SubscribeProperties, SubscriptionOptions,
};
use broker_core::codec::{Framer, PACKET_BYTES_MAX, Packet, QoS, Version, decode, encode};
use broker_core::ids::PacketId;
use bytes::BytesMut;
use bytestring::ByteString;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const READ_BYTES: usize = 64 << 10;

/// A connected client of MQTT 3.1.1.
pub(crate) struct Client {
    stream: TcpStream,
    framer: Framer,
    buffer: BytesMut,
    out: BytesMut,
}

impl Client {
    /// Connects, with a session that ends with the connection if `clean`, and waits for CONNACK.
    pub(crate) async fn connect(address: SocketAddr, id: String, clean: bool) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let framer = Framer::new(PACKET_BYTES_MAX);
        let mut client = Client { stream, framer, buffer: BytesMut::new(), out: BytesMut::new() };
        let mut connect = Connect::new(Version::V3, id);
        connect.clean_start = clean;
        // rumqttd refuses 0.
        connect.keep_alive_s = 600;
        client.queue(&Packet::Connect(Box::new(connect)));
        client.send().await?;
        match client.wait().await? {
            Packet::ConnAck(_) => Ok(client),
            other => Err(unexpected("CONNACK", &other)),
        }
    }

    /// Subscribes and waits for SUBACK.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) -> io::Result<()> {
        let filter = SubscribeFilter {
            filter: ByteString::from(filter),
            options: SubscriptionOptions { qos, ..SubscriptionOptions::default() },
        };
        let id = PacketId::new(1).expect("1 is an identifier");
        let subscribe = Subscribe { id, properties: SubscribeProperties::default(), filters: vec![filter] };
        self.queue(&Packet::Subscribe(subscribe));
        self.send().await?;
        match self.wait().await? {
            Packet::SubAck(_) => Ok(()),
            other => Err(unexpected("SUBACK", &other)),
        }
    }

    /// Adds a packet to those that [`Client::send`] sends.
    pub(crate) fn queue(&mut self, packet: &Packet) {
        encode(Version::V3, packet, &mut self.out);
    }

    /// Sends what was queued, in one call if the socket takes it.
    pub(crate) async fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// Reads once and takes every whole packet.
    pub(crate) async fn receive(&mut self, into: &mut Vec<Packet>) -> io::Result<()> {
        self.buffer.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.framer.push(self.buffer.split().freeze());
        while let Some(frame) = self.framer.next_frame().map_err(io::Error::other)? {
            into.push(decode(Version::V3, frame).map_err(io::Error::other)?);
        }
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<Packet> {
        let mut packets = Vec::new();
        while packets.is_empty() {
            self.receive(&mut packets).await?;
        }
        Ok(packets.remove(0))
    }
}

fn unexpected(wanted: &str, found: &Packet) -> io::Error {
    io::Error::other(format!("{:?} instead of {wanted}", found.packet_type()))
}
