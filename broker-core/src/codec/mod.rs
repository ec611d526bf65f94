//! MQTT 3.1.1 and 5.0 on the wire: bytes to packets and back, strict in what it takes, for both directions.
//!
//! [`Framer`] cuts a stream into frames and is the only place that knows "incomplete"; [`decode`] reads a frame that
//! must end exactly where its packet ends; [`encode`] writes what [`decode`] reads. The codec knows the grammar and
//! the rules a packet can break by itself. It knows no session: a packet out of order, an alias above the agreed
//! maximum or a filter that is not valid are not its business, and [`check_from_client`] is asked apart because only
//! its caller knows who sent the packet.

mod decode;
mod direction;
mod encode;
mod error;
mod framing;
pub mod packet;
mod property;
mod read;
mod reason;
#[cfg(test)]
mod tests;
mod write;

pub use decode::{FILTERS_MAX, USER_PROPERTIES_MAX, answer_version, decode, decode_connect};
pub use direction::check_from_client;
pub use encode::{PublishHead, encode, encoded_len, fit};
pub use error::DecodeError;
pub use framing::{Frame, Framer, PACKET_BYTES_MAX};
pub use packet::{Packet, PacketType, QoS, Version};
pub use reason::ReasonCode;
