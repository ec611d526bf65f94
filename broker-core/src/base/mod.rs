//! The ground floor: numbers with names, time and randomness as arguments, limits. Knows nothing of MQTT packets.

pub mod ids;
pub mod limits;
pub mod password;
pub mod rng;
pub mod text;
pub mod time;
pub mod timers;
