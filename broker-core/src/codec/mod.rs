//! MQTT 3.1.1 and 5.0 on the wire: bytes to packets and back, strict in what it takes, for both directions.

mod error;
pub mod packet;
mod reason;

pub use error::DecodeError;
pub use packet::{Packet, PacketType, QoS, Version};
pub use reason::ReasonCode;
