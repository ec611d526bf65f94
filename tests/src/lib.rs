//! What the workspace tests share.

pub mod wire;
