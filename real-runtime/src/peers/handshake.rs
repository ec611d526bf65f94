//! The beginning of a connection between two members.
//!
//! ```text
//!   dialler                                   dialled
//!     Hello: cluster, from, to, life, nonce ──►
//!     ◄── Challenge: life, nonce, proof             or Refused
//!     Proof ──►                                     or Refused
//!     ◄── Welcome                                   or Refused
//! ```
//!
//! A proof is an HMAC-SHA-256, under the cluster's secret, over the role of whoever proves and all that was said before it. Each
//! side has put a fresh random number into that, so no proof is good for another connection; the role and both nodes are in it,
//! so none can be sent back to whom it came from.
//!
//! Who dials as [`OPERATOR`] is no member, but somebody who wants to see and change the members: whoever knows the secret may. What follows
//! then are not a member's frames but an operator's ([`super::operator`]).

use super::hello::{BODY_BYTES_MAX, Challenge, HEADER_BYTES, Header, Hello, Message};
pub use super::hello::{NAME_BYTES_MAX, Nonce};
use super::refusal::Refusal;
use super::secret::{PROOF_BYTES, Secret};
use broker_core::ids::NodeId;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// What the proof of each role begins with.
const DIALLER: &[u8] = b"quorate link: dialler";
const DIALLED: &[u8] = b"quorate link: dialled";

/// A handshake takes no longer, connecting included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Who dials to see and to change the members: no member has this number.
pub const OPERATOR: NodeId = NodeId(0);

/// Who this node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name of the cluster, of at most [`NAME_BYTES_MAX`] bytes.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
    /// Which start of the node this is.
    pub life: u64,
    /// What all members know.
    pub secret: Secret,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which member.
    pub node: NodeId,
    /// In which of its lives.
    pub life: u64,
}

/// Why a handshake came to nothing.
#[derive(Debug)]
pub enum HandshakeError {
    /// The connection broke, or ended in the middle.
    Lost(io::Error),
    /// The other side says what no member says.
    Nonsense,
    /// This side refused the other one, which says that it is this node.
    Refused {
        /// Who it says it is; not proven.
        who: Option<NodeId>,
        /// Why.
        why: Refusal,
    },
    /// The other side refused this one. `None`: for a reason that this program does not know.
    RefusedByThem(Option<Refusal>),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Lost(error) => write!(f, "the connection broke during the handshake: {error}"),
            HandshakeError::Nonsense => {
                f.write_str("what answers does not speak as a member of a cluster; correct the address")
            }
            HandshakeError::Refused { why, .. } => write!(f, "refused: {why}"),
            HandshakeError::RefusedByThem(Some(why)) => write!(f, "it refused: {why}"),
            HandshakeError::RefusedByThem(None) => {
                f.write_str("it refused, for a reason that this version does not know")
            }
        }
    }
}

impl std::error::Error for HandshakeError {}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        HandshakeError::Lost(error)
    }
}

/// Introduces this node to `wanted` on a connection that it dialled. `nonce`: fresh and random; `life_least`: the highest life of
/// `wanted` that was ever seen.
///
/// # Errors
/// If either side refuses the other, or the connection breaks. It is of no more use then.
pub async fn dial<S>(
    stream: &mut S,
    us: &Identity,
    wanted: NodeId,
    nonce: Nonce,
    life_least: u64,
) -> Result<Peer, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (cluster, from, life) = (us.cluster.as_bytes().to_vec(), us.node, us.life);
    let hello = Hello { cluster, from, to: wanted, life, nonce };
    let hello_bytes = send(stream, &Message::Hello(hello)).await?;
    let Message::Challenge(challenge) = receive(stream, Some(wanted)).await? else {
        return Err(HandshakeError::Nonsense);
    };
    if !us.secret.verify(&[DIALLED, &hello_bytes, &unproven(&challenge)], &challenge.proof) {
        return refuse(stream, Some(wanted), Refusal::WrongSecret).await;
    }
    if challenge.life < life_least {
        return refuse(stream, Some(wanted), Refusal::OlderLife).await;
    }
    let challenge_bytes = Message::Challenge(challenge.clone()).encode();
    let proof = us.secret.prove(&[DIALLER, &hello_bytes, &challenge_bytes]);
    send(stream, &Message::Proof(proof)).await?;
    match receive(stream, Some(wanted)).await? {
        Message::Welcome => Ok(Peer { node: wanted, life: challenge.life }),
        _ => Err(HandshakeError::Nonsense),
    }
}

/// Learns who has dialled this node: a member, or [`OPERATOR`], of whose life nothing is asked. `nonce`: fresh and random; `life_least` tells the
/// highest life of a member that was ever seen, and `None` of a node that is no member.
///
/// # Errors
/// If either side refuses the other, or the connection breaks. It is of no more use then.
pub async fn answer<S>(
    stream: &mut S,
    us: &Identity,
    nonce: Nonce,
    life_least: impl Fn(NodeId) -> Option<u64>,
) -> Result<Peer, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Message::Hello(hello) = receive(stream, None).await? else {
        return Err(HandshakeError::Nonsense);
    };
    let peer = Peer { node: hello.from, life: hello.life };
    let is_member = peer.node == OPERATOR || life_least(peer.node).is_some();
    if let Some(why) = objection(us, &hello, is_member) {
        return refuse(stream, Some(peer.node), why).await;
    }
    // Encoded anew it is what was received: there is one way to write it.
    let hello_bytes = Message::Hello(hello).encode();
    let mut challenge = Challenge { life: us.life, nonce, proof: [0; PROOF_BYTES] };
    challenge.proof = us.secret.prove(&[DIALLED, &hello_bytes, &unproven(&challenge)]);
    let challenge_bytes = send(stream, &Message::Challenge(challenge)).await?;
    let Message::Proof(proof) = receive(stream, Some(peer.node)).await? else {
        return Err(HandshakeError::Nonsense);
    };
    if !us.secret.verify(&[DIALLER, &hello_bytes, &challenge_bytes], &proof) {
        return refuse(stream, Some(peer.node), Refusal::WrongSecret).await;
    }
    // Only of who has proven to be a member a life is believed.
    if life_least(peer.node).is_some_and(|least| peer.life < least) {
        return refuse(stream, Some(peer.node), Refusal::OlderLife).await;
    }
    send(stream, &Message::Welcome).await?;
    Ok(peer)
}

/// Waits for a handshake, connecting included, but not for ever.
///
/// # Errors
/// Those of the handshake; that it takes too long is a connection that was lost.
pub async fn in_time<T>(
    handshake: impl Future<Output = Result<T, HandshakeError>>,
) -> Result<T, HandshakeError> {
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(outcome) => outcome,
        Err(_) => Err(HandshakeError::Lost(io::ErrorKind::TimedOut.into())),
    }
}

/// A random number that no other handshake has.
///
/// # Errors
/// If the system gives none.
pub fn nonce() -> io::Result<Nonce> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(nonce)
}

fn objection(us: &Identity, hello: &Hello, is_member: bool) -> Option<Refusal> {
    if hello.cluster != us.cluster.as_bytes() {
        Some(Refusal::OtherCluster)
    } else if hello.to != us.node {
        Some(Refusal::OtherNode)
    } else if hello.from == us.node {
        Some(Refusal::SameNode)
    } else if !is_member {
        Some(Refusal::NotMember)
    } else {
        None
    }
}

/// What the side that was dialled proves to have said: its challenge without the proof.
fn unproven(challenge: &Challenge) -> Vec<u8> {
    Message::Challenge(Challenge { proof: [0; PROOF_BYTES], ..challenge.clone() }).encode()
}

async fn send<S>(stream: &mut S, message: &Message) -> Result<Vec<u8>, HandshakeError>
where
    S: AsyncWrite + Unpin,
{
    let bytes = message.encode();
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(bytes)
}

async fn receive<S>(stream: &mut S, who: Option<NodeId>) -> Result<Message, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).await?;
    let header = Header::decode(&head).ok_or(HandshakeError::Nonsense)?;
    let mut body = [0; BODY_BYTES_MAX];
    let body = &mut body[..header.body_bytes];
    stream.read_exact(body).await?;
    if !header.is_known() {
        return refuse(stream, who, Refusal::UnknownVersion).await;
    }
    match Message::decode(&header, body).ok_or(HandshakeError::Nonsense)? {
        Message::Refused(why) => Err(HandshakeError::RefusedByThem(why)),
        message => Ok(message),
    }
}

/// Tells the other side why, and ends our side, so that it hears it before the end.
async fn refuse<S, T>(stream: &mut S, who: Option<NodeId>, why: Refusal) -> Result<T, HandshakeError>
where
    S: AsyncWrite + Unpin,
{
    // If it does not hear it, this side's log still tells.
    if send(stream, &Message::Refused(Some(why))).await.is_ok() {
        let _ = stream.shutdown().await;
    }
    Err(HandshakeError::Refused { who, why })
}

#[cfg(test)]
mod tests;
