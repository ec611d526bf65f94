//! What lives and dies with a connection: the handshake, quotas, aliases, keep alive, the windows of outgoing messages, and all
//! of a clean session.
//!
//! Session code decides nothing that must survive and acknowledges nothing by itself: it turns packets into
//! [`Intent`]s, and carries out what routing answers.

pub mod alias;
pub mod attach;
mod behind;
mod client;
pub mod confirm;
pub mod feed;
mod gateway;
mod handshake;
pub mod hub;
mod inbound;
pub mod intent;
pub mod link;
pub mod mirror;
pub mod outbound;
pub mod outbox;
mod pause;
mod publishing;
mod refuse;
mod report;
mod wake;
pub mod window;

pub use feed::Parts;
pub use gateway::Gateway;
pub use intent::Intent;
pub use report::Led;
