//! What the workspace tests share.

pub mod packets;
pub mod wire;
