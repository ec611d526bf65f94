//! From a frame to a packet.

mod connect;
mod publish;
mod reply;
mod subscribe;

pub use super::property::USER_PROPERTIES_MAX;
pub use connect::answer_version;
pub use subscribe::FILTERS_MAX;

use super::error::DecodeError;
use super::framing::Frame;
use super::packet::{Connect, Packet, PacketType, Version};
use super::read::Reader;

/// Reads the packet in `frame`, which must end where the packet ends. A CONNECT is read in the version it names.
///
/// Texts, payload and binary data are slices of the frame, and so keep the chunk it came in alive.
///
/// # Errors
/// Names the culprit, and the reason to close the connection with.
pub fn decode(version: Version, frame: Frame) -> Result<Packet, DecodeError> {
    let Frame { packet_type, flags, body } = frame;
    let mut body = Reader::new(body);
    let packet = match packet_type {
        PacketType::Connect => Packet::Connect(Box::new(connect::connect(&mut body)?)),
        PacketType::ConnAck => Packet::ConnAck(connect::conn_ack(version, &mut body)?),
        PacketType::Publish => Packet::Publish(publish::publish(version, flags, &mut body)?),
        PacketType::PubAck => Packet::PubAck(reply::ack(version, packet_type, &mut body)?),
        PacketType::PubRec => Packet::PubRec(reply::ack(version, packet_type, &mut body)?),
        PacketType::PubRel => Packet::PubRel(reply::ack(version, packet_type, &mut body)?),
        PacketType::PubComp => Packet::PubComp(reply::ack(version, packet_type, &mut body)?),
        PacketType::Subscribe => Packet::Subscribe(subscribe::subscribe(version, &mut body)?),
        PacketType::SubAck => Packet::SubAck(subscribe::sub_ack(version, &mut body)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(subscribe::unsubscribe(version, &mut body)?),
        PacketType::UnsubAck => Packet::UnsubAck(subscribe::unsub_ack(version, &mut body)?),
        PacketType::PingReq => Packet::PingReq,
        PacketType::PingResp => Packet::PingResp,
        PacketType::Disconnect => Packet::Disconnect(reply::disconnect(version, &mut body)?),
        PacketType::Auth => Packet::Auth(reply::auth(version, &mut body)?),
    };
    body.end()?;
    Ok(packet)
}

/// Reads the first packet of a connection, which must be a CONNECT. \[MQTT-3.1.0-1\]
///
/// # Errors
/// 0x82 for any other packet, 0x84 for a version that is neither 3.1.1 nor 5.0, else as [`decode`]. If an answer is
/// due, [`answer_version`] tells the language to give it in.
pub fn decode_connect(frame: Frame) -> Result<Connect, DecodeError> {
    if frame.packet_type() != PacketType::Connect {
        return Err(DecodeError::protocol("first packet", "is not CONNECT"));
    }
    let mut body = Reader::new(frame.body);
    let connect = connect::connect(&mut body)?;
    body.end()?;
    Ok(connect)
}
