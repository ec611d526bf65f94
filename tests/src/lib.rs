//! What the workspace tests share.

pub mod mutate;
pub mod oracle;
pub mod packets;
pub mod wire;
