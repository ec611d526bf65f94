//! The architectures: where a session lives, who hears a publish, when it may be acknowledged, what survives a crash.
//! One file each, with the same verbs in the same order: `on_intent`, `on_persisted`, `on_timer`.

pub mod centralized;
mod effects;
pub mod ownership;
mod ticket;
