//! What members of a cluster say to each other before and around the core's frames. Each member dials every other one and sends
//! its frames on the connection that it dialled, so two members have two connections:
//!
//! ```text
//!   member 1 ── dialled by 1: frames and keep-alives ──► member 2
//!   member 1 ◄── dialled by 2: frames and keep-alives ── member 2
//! ```
//!
//! A connection begins with a [`handshake`], in which both sides prove that they know the cluster's secret without sending it,
//! and then carries [`frames`] from the dialler to the other side. Operators dial members too, and their connections carry questions one way and
//! answers the other ([`operator`]). All of it is written for any stream of bytes, so TLS can
//! stand between it and the socket. The secret authenticates the two sides; it does not encrypt what follows.

pub mod frames;
pub mod handshake;
mod hello;
pub mod operator;
mod refusal;
mod secret;

pub use refusal::Refusal;
pub use secret::{SECRET_BYTES_LEAST, Secret};
