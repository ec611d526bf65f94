//! The messages of the handshake, as bytes. All begin alike, in every version:
//!
//! ```text
//! "QRTLINK\0"   8 bytes
//! version       2 bytes, little-endian like all numbers
//! kind          1 byte
//! length        2 bytes: of what follows
//! ```

use super::refusal::Refusal;
use super::secret::PROOF_BYTES;
use broker_core::ids::NodeId;
use bytes::{Buf as _, BufMut as _};

/// What a handshake begins with.
pub(super) const MAGIC: [u8; 8] = *b"QRTLINK\0";
/// The version of the link: of the handshake and of what follows it.
pub(super) const VERSION: u16 = 1;
/// Bytes before the body of a message.
pub(super) const HEADER_BYTES: usize = 13;
/// Bytes of a body, at most; checked before any is read.
pub(super) const BODY_BYTES_MAX: usize = 512;
/// Bytes of a cluster's name, at most.
pub const NAME_BYTES_MAX: usize = 64;

/// A random number that no other handshake has.
pub type Nonce = [u8; 32];

/// The first bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) kind: u8,
    pub(super) body_bytes: usize,
}

/// What the dialler says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) cluster: Vec<u8>,
    /// Who dials: a member, or 0, an operator.
    pub(super) from: NodeId,
    /// Whom it wants.
    pub(super) to: NodeId,
    pub(super) life: u64,
    pub(super) nonce: Nonce,
}

/// What the side that was dialled answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) life: u64,
    pub(super) nonce: Nonce,
    pub(super) proof: [u8; PROOF_BYTES],
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Hello(Hello),
    Challenge(Challenge),
    /// The dialler's.
    Proof([u8; PROOF_BYTES]),
    /// The connection carries frames from here on.
    Welcome,
    /// The last message; its meaning is the same in every version. A code that this program does not know has none.
    Refused(Option<Refusal>),
}

const HELLO: u8 = 1;
const CHALLENGE: u8 = 2;
const PROOF: u8 = 3;
const WELCOME: u8 = 4;
const REFUSED: u8 = 255;

impl Header {
    /// The header in `bytes`; `None` if whoever sent them does not speak of links.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || !bytes.starts_with(&MAGIC) {
            return None;
        }
        bytes.advance(MAGIC.len());
        let (version, kind, body_bytes) =
            (bytes.get_u16_le(), bytes.get_u8(), usize::from(bytes.get_u16_le()));
        (body_bytes <= BODY_BYTES_MAX).then_some(Header { version, kind, body_bytes })
    }

    /// Whether this program can read what follows.
    pub(super) fn is_known(&self) -> bool {
        self.version == VERSION || self.kind == REFUSED
    }
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + BODY_BYTES_MAX);
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_u8(self.kind());
        out.put_u16_le(0);
        self.encode_body(&mut out);
        let body_bytes = u16::try_from(out.len() - HEADER_BYTES).expect("a short message");
        out[HEADER_BYTES - 2..HEADER_BYTES].copy_from_slice(&body_bytes.to_le_bytes());
        out
    }

    /// The message with this header and body; `None` if it is none.
    pub(super) fn decode(header: &Header, mut body: &[u8]) -> Option<Self> {
        let message = match header.kind {
            HELLO => Message::Hello(Hello::decode(&mut body)?),
            CHALLENGE => Message::Challenge(Challenge {
                life: body.try_get_u64_le().ok()?,
                nonce: take(&mut body)?,
                proof: take(&mut body)?,
            }),
            PROOF => Message::Proof(take(&mut body)?),
            WELCOME => Message::Welcome,
            // Later versions may say more.
            REFUSED => return Some(Message::Refused(Refusal::of_code(*body.first()?))),
            _ => return None,
        };
        body.is_empty().then_some(message)
    }

    fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => HELLO,
            Message::Challenge(_) => CHALLENGE,
            Message::Proof(_) => PROOF,
            Message::Welcome => WELCOME,
            Message::Refused(_) => REFUSED,
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Message::Hello(hello) => hello.encode(out),
            Message::Challenge(challenge) => {
                out.put_u64_le(challenge.life);
                out.put_slice(&challenge.nonce);
                out.put_slice(&challenge.proof);
            }
            Message::Proof(proof) => out.put_slice(proof),
            Message::Welcome => {}
            Message::Refused(refusal) => out.put_u8(refusal.map_or(0, Refusal::code)),
        }
    }
}

impl Hello {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::try_from(self.cluster.len()).expect("the configuration bounds the name"));
        out.put_slice(&self.cluster);
        out.put_u32_le(self.from.0);
        out.put_u32_le(self.to.0);
        out.put_u64_le(self.life);
        out.put_slice(&self.nonce);
    }

    fn decode(body: &mut &[u8]) -> Option<Self> {
        let name_bytes = usize::from(body.try_get_u8().ok()?);
        let (cluster, rest) = body.split_at_checked(name_bytes)?;
        *body = rest;
        Some(Hello {
            cluster: cluster.to_vec(),
            from: NodeId(body.try_get_u32_le().ok()?),
            to: NodeId(body.try_get_u32_le().ok()?),
            life: body.try_get_u64_le().ok()?,
            nonce: take(body)?,
        })
    }
}

fn take<const N: usize>(body: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::{BODY_BYTES_MAX, Challenge, HEADER_BYTES, Header, Hello, Message, NodeId, Refusal, VERSION};

    fn messages() -> [Message; 5] {
        [
            Message::Hello(Hello {
                cluster: b"lab".to_vec(),
                from: NodeId(1),
                to: NodeId(2),
                life: 7,
                nonce: [8; 32],
            }),
            Message::Challenge(Challenge { life: 9, nonce: [1; 32], proof: [2; 32] }),
            Message::Proof([3; 32]),
            Message::Welcome,
            Message::Refused(Some(Refusal::OtherCluster)),
        ]
    }

    fn decode(bytes: &[u8]) -> Option<Message> {
        let header = Header::decode(bytes)?;
        let body = &bytes[HEADER_BYTES..];
        (body.len() == header.body_bytes).then(|| Message::decode(&header, body))?
    }

    #[test]
    fn messages_come_back_as_they_were() {
        for message in messages() {
            assert_eq!(decode(&message.encode()), Some(message));
        }
    }

    #[test]
    fn a_message_cut_anywhere_or_with_more_at_its_end_is_none() {
        for message in messages() {
            let bytes = message.encode();
            let header = Header::decode(&bytes).expect("ours");
            let body = &bytes[HEADER_BYTES..];
            for cut in 0..body.len() {
                assert_eq!(Message::decode(&header, &body[..cut]), None, "{message:?} cut at {cut}");
            }
            let longer = [body, &[0]].concat();
            let is_refused = matches!(message, Message::Refused(_));
            assert_eq!(Message::decode(&header, &longer).is_some(), is_refused, "{message:?}");
            assert!((0..HEADER_BYTES).all(|cut| Header::decode(&bytes[..cut]).is_none()));
        }
    }

    #[test]
    fn other_programs_and_too_much_are_told_by_the_header() {
        let ours = Message::Welcome.encode();
        for place in 0..8 {
            let mut other = ours.clone();
            other[place] ^= 1;
            assert_eq!(Header::decode(&other), None);
        }
        let mut long = ours;
        let most = u16::try_from(BODY_BYTES_MAX).expect("a small number");
        long[11..13].copy_from_slice(&most.to_le_bytes());
        assert!(Header::decode(&long).is_some());
        long[11..13].copy_from_slice(&(most + 1).to_le_bytes());
        assert_eq!(Header::decode(&long), None);
    }

    #[test]
    fn a_refusal_is_understood_in_every_version() {
        let mut bytes = Message::Refused(Some(Refusal::UnknownVersion)).encode();
        bytes[8..10].copy_from_slice(&(VERSION + 1).to_le_bytes());
        let header = Header::decode(&bytes).expect("all versions begin alike");
        assert!(header.is_known());
        let body = [bytes[HEADER_BYTES], 1, 2, 3];
        assert_eq!(Message::decode(&header, &body), Some(Message::Refused(Some(Refusal::UnknownVersion))));
        assert_eq!(Message::decode(&header, &[99]), Some(Message::Refused(None)));
    }
}
