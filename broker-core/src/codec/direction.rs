//! What only the other side may say.

use super::error::DecodeError;
use super::packet::{Packet, PacketType};
use super::reason::ReasonCode;

/// Whether a client may send `packet` at all. The order of packets is the session's business.
///
/// # Errors
/// 0x82, for a packet, a property or a reason that only servers send.
pub fn check_from_client(packet: &Packet) -> Result<(), DecodeError> {
    match packet {
        Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
            Err(DecodeError::protocol(name(packet.packet_type()), "is sent by servers only"))
        }
        Packet::Publish(publish) if !publish.properties.subscription_ids.is_empty() => {
            // [MQTT-3.3.4-6]
            Err(DecodeError::protocol("subscription identifier", "is set by servers only"))
        }
        Packet::Disconnect(disconnect) if disconnect.properties.server_reference.is_some() => {
            Err(DecodeError::protocol("server reference", "is set by servers only"))
        }
        Packet::Disconnect(disconnect) if !client_disconnects_with(disconnect.reason) => {
            Err(DecodeError::protocol("DISCONNECT", "has a reason that only servers have"))
        }
        Packet::Auth(auth) if auth.reason == ReasonCode::Success => {
            Err(DecodeError::protocol("AUTH", "has a reason that only servers have")) // [MQTT-3.15.2-1]
        }
        _ => Ok(()),
    }
}

/// The reasons of a client's DISCONNECT. \[MQTT-3.14.2.1\]
fn client_disconnects_with(reason: ReasonCode) -> bool {
    matches!(
        reason.code(),
        0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99
    )
}

fn name(packet: PacketType) -> &'static str {
    match packet {
        PacketType::ConnAck => "CONNACK",
        PacketType::SubAck => "SUBACK",
        PacketType::UnsubAck => "UNSUBACK",
        _ => "PINGRESP",
    }
}
