use super::{
    Challenge, HEADER_BYTES, HandshakeError, Header, Hello, Identity, Message, Nonce, OPERATOR, Peer,
    Refusal, Secret, answer, dial,
};
use broker_core::ids::NodeId;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::runtime::Builder;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(10);
const ROOM: usize = 4_096;

type Outcome = Result<Peer, HandshakeError>;

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async { timeout(LONG, test).await.expect("in time") })
}

fn secret(text: &str) -> Secret {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, text).expect("a new file");
    Secret::read(&path).expect("long enough")
}

/// Member `node` of three, in life 5.
fn member(node: u32) -> Identity {
    Identity { cluster: "lab".to_owned(), node: NodeId(node), life: 5, secret: secret("sixteen bytes....") }
}

/// `one` dials `two` and wants `wanted`; both have seen life `life_least` of every member.
fn meet_as(one: &Identity, two: &Identity, wanted: u32, life_least: u64) -> (Outcome, Outcome) {
    let (mut near, mut far) = duplex(ROOM);
    run(async {
        both(
            dial(&mut near, one, NodeId(wanted), [1; 32], life_least),
            answer(&mut far, two, [2; 32], |node| (1..=3).contains(&node.0).then_some(life_least)),
        )
        .await
    })
}

fn meet(one: &Identity, two: &Identity) -> (Outcome, Outcome) {
    meet_as(one, two, two.node.0, 0)
}

/// Who refused, and why, as both sides tell it: `one`, the dialler, first.
fn refused(outcomes: (Outcome, Outcome)) -> (&'static str, Refusal) {
    match outcomes {
        (Err(HandshakeError::Refused { why, .. }), Err(HandshakeError::RefusedByThem(Some(heard)))) => {
            assert_eq!(why, heard);
            ("the dialler", why)
        }
        (Err(HandshakeError::RefusedByThem(Some(heard))), Err(HandshakeError::Refused { why, .. })) => {
            assert_eq!(why, heard);
            ("the dialled", why)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn members_recognise_each_other() {
    let one = member(1);
    let two = Identity { life: 9, ..member(2) };
    let (to_one, to_two) = meet(&one, &two);
    assert_eq!(to_one.expect("a member"), Peer { node: NodeId(2), life: 9 });
    assert_eq!(to_two.expect("a member"), Peer { node: NodeId(1), life: 5 });
    let (one, two) =
        (Identity { secret: Secret::none(), ..member(1) }, Identity { secret: Secret::none(), ..member(2) });
    assert!(meet(&one, &two).0.is_ok(), "without a secret, too, if nobody has one");
}

#[test]
fn each_mistake_is_told_to_both_sides() {
    let (one, two) = (member(1), member(2));
    let other_cluster = Identity { cluster: "laboratory".to_owned(), ..member(1) };
    assert_eq!(refused(meet(&other_cluster, &two)), ("the dialled", Refusal::OtherCluster));
    assert_eq!(refused(meet_as(&one, &two, 3, 0)), ("the dialled", Refusal::OtherNode));
    assert_eq!(refused(meet(&member(2), &two)), ("the dialled", Refusal::SameNode));
    assert_eq!(refused(meet(&member(4), &two)), ("the dialled", Refusal::NotMember));
    let ignorant = Identity { secret: secret("another secret of some length"), ..member(1) };
    assert_eq!(refused(meet(&ignorant, &two)), ("the dialler", Refusal::WrongSecret));
    let without = Identity { secret: Secret::none(), ..member(1) };
    assert_eq!(refused(meet(&without, &two)), ("the dialler", Refusal::WrongSecret));
}

#[test]
fn an_operator_is_let_in_if_it_knows_the_secret_and_no_life_is_asked_of_it() {
    let operator = Identity { life: 0, ..member(OPERATOR.0) };
    let (to_two, to_operator) = meet_as(&operator, &member(2), 2, 5);
    assert_eq!(to_two.expect("a member"), Peer { node: NodeId(2), life: 5 });
    assert_eq!(to_operator.expect("it knows the secret"), Peer { node: OPERATOR, life: 0 });
    let ignorant = Identity { secret: secret("another secret of some length"), ..operator };
    assert_eq!(refused(meet(&ignorant, &member(2))), ("the dialler", Refusal::WrongSecret));
}

#[test]
fn an_older_life_is_refused_by_whoever_has_seen_a_later_one() {
    let (one, two) = (Identity { life: 6, ..member(1) }, member(2));
    assert_eq!(refused(meet_as(&one, &two, 2, 6)), ("the dialler", Refusal::OlderLife));
    assert_eq!(refused(meet_as(&two, &one, 1, 6)), ("the dialled", Refusal::OlderLife));
    let (to_one, to_two) = meet_as(&one, &Identity { life: 6, ..member(2) }, 2, 6);
    assert!(to_one.is_ok() && to_two.is_ok(), "the same life again is a new connection");
}

/// What a dialler without the secret is told, if it says `proof` for whatever it is asked.
async fn dial_with(proof: impl FnOnce(&Challenge) -> [u8; 32]) -> (Message, Outcome) {
    let (mut near, mut far) = duplex(ROOM);
    let two = member(2);
    let dialler = async {
        let hello = hello(7);
        near.write_all(&Message::Hello(hello).encode()).await.expect("room");
        let Message::Challenge(challenge) = next(&mut near).await else { panic!("it asks for a proof") };
        near.write_all(&Message::Proof(proof(&challenge)).encode()).await.expect("room");
        next(&mut near).await
    };
    both(dialler, answer(&mut far, &two, [9; 32], |_| Some(0))).await
}

fn hello(nonce: u8) -> Hello {
    Hello { cluster: b"lab".to_vec(), from: NodeId(1), to: NodeId(2), life: 5, nonce: [nonce; 32] }
}

async fn next(stream: &mut DuplexStream) -> Message {
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).await.expect("a message");
    let header = Header::decode(&head).expect("a message");
    let mut body = vec![0; header.body_bytes];
    stream.read_exact(&mut body).await.expect("a message");
    Message::decode(&header, &body).expect("a message")
}

#[test]
fn whoever_does_not_know_the_secret_cannot_prove_it() {
    run(async {
        // Guessed, and sent back as it came.
        let (told, outcome) = dial_with(|_| [0; 32]).await;
        assert_eq!(told, Message::Refused(Some(Refusal::WrongSecret)));
        assert!(matches!(outcome, Err(HandshakeError::Refused { why: Refusal::WrongSecret, .. })));
        let (told, _) = dial_with(|challenge| challenge.proof).await;
        assert_eq!(told, Message::Refused(Some(Refusal::WrongSecret)));
    });
}

/// Lets two members meet, and gives all that the dialler said.
async fn overheard(nonces: (Nonce, Nonce)) -> Vec<u8> {
    let (near, mut far) = duplex(ROOM);
    let mut near = Overheard { inner: near, said: Vec::new() };
    let (one, two) = (member(1), member(2));
    let outcomes =
        both(dial(&mut near, &one, NodeId(2), nonces.0, 0), answer(&mut far, &two, nonces.1, |_| Some(0)));
    let (dialler, answerer) = outcomes.await;
    assert!(dialler.is_ok() && answerer.is_ok(), "{dialler:?}, {answerer:?}");
    near.said
}

/// Writes down what is said.
struct Overheard {
    inner: DuplexStream,
    said: Vec<u8>,
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.said.extend_from_slice(&bytes[..*count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Runs both to their ends.
async fn both<A: Future, B: Future>(one: A, two: B) -> (A::Output, B::Output) {
    let (mut one, mut two) = (pin!(one), pin!(two));
    let (mut of_one, mut of_two) = (None, None);
    poll_fn(|context| {
        if of_one.is_none()
            && let Poll::Ready(output) = one.as_mut().poll(context)
        {
            of_one = Some(output);
        }
        if of_two.is_none()
            && let Poll::Ready(output) = two.as_mut().poll(context)
        {
            of_two = Some(output);
        }
        if of_one.is_some() && of_two.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (of_one.expect("it has ended"), of_two.expect("it has ended"))
}

/// Says to member 2 what was overheard.
async fn replay(heard: &[u8], nonce: Nonce) -> Outcome {
    let (mut near, mut far) = duplex(ROOM);
    near.write_all(heard).await.expect("room");
    answer(&mut far, &member(2), nonce, |_| Some(0)).await
}

#[test]
fn what_was_overheard_is_good_for_no_other_connection() {
    run(async {
        let heard = overheard(([1; 32], [2; 32])).await;
        assert!(replay(&heard, [2; 32]).await.is_ok(), "the same random number twice: it was heard whole");
        let again = replay(&heard, [3; 32]).await;
        assert!(matches!(again, Err(HandshakeError::Refused { why: Refusal::WrongSecret, .. })), "{again:?}");
    });
}

#[test]
fn an_impostor_that_was_dialled_is_found_out() {
    let (mut near, mut far) = duplex(ROOM);
    let (one, outcome) = (member(1), async {
        let Message::Hello(_) = next(&mut far).await else { panic!("it introduces itself") };
        let challenge = Challenge { life: 1, nonce: [4; 32], proof: [5; 32] };
        far.write_all(&Message::Challenge(challenge).encode()).await.expect("room");
        next(&mut far).await
    });
    let (dialled, told) = run(both(dial(&mut near, &one, NodeId(2), [1; 32], 0), outcome));
    assert!(matches!(dialled, Err(HandshakeError::Refused { why: Refusal::WrongSecret, .. })));
    assert_eq!(told, Message::Refused(Some(Refusal::WrongSecret)), "and hears no proof");
}

#[test]
fn a_life_that_is_changed_on_the_way_breaks_the_proof() {
    let outcome = run(async {
        let (mut near, mut far) = duplex(ROOM);
        let one = member(1);
        let forger = async {
            let Message::Hello(hello) = next(&mut far).await else { panic!("it introduces itself") };
            let mut challenge = Challenge { life: 5, nonce: [4; 32], proof: [0; 32] };
            let hello_bytes = Message::Hello(hello).encode();
            challenge.proof =
                member(2).secret.prove(&[super::DIALLED, &hello_bytes, &super::unproven(&challenge)]);
            challenge.life = 6;
            far.write_all(&Message::Challenge(challenge).encode()).await.expect("room");
            next(&mut far).await
        };
        both(dial(&mut near, &one, NodeId(2), [1; 32], 0), forger).await.0
    });
    assert!(matches!(outcome, Err(HandshakeError::Refused { why: Refusal::WrongSecret, .. })), "{outcome:?}");
}

#[test]
fn an_unknown_version_is_answered_in_words_that_every_version_knows() {
    run(async {
        let (mut near, mut far) = duplex(ROOM);
        let mut bytes = Message::Hello(hello(1)).encode();
        bytes[8] = 9;
        near.write_all(&bytes).await.expect("room");
        let outcome = answer(&mut far, &member(2), [2; 32], |_| Some(0)).await;
        assert!(
            matches!(outcome, Err(HandshakeError::Refused { why: Refusal::UnknownVersion, .. })),
            "{outcome:?}"
        );
        assert_eq!(next(&mut near).await, Message::Refused(Some(Refusal::UnknownVersion)));
    });
}

#[test]
fn bytes_of_other_programs_are_nonsense_and_get_no_answer() {
    let mqtt = b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02me....";
    let out_of_turn = Message::Welcome.encode();
    let mut oversized = Message::Proof([0; 32]).encode();
    oversized[11..13].copy_from_slice(&u16::MAX.to_le_bytes());
    for bytes in [&mqtt[..], &[0xFF; 600], &out_of_turn, &oversized] {
        run(async {
            let (mut near, mut far) = duplex(ROOM);
            near.write_all(bytes).await.expect("room");
            let outcome = answer(&mut far, &member(2), [2; 32], |_| Some(0)).await;
            assert!(matches!(outcome, Err(HandshakeError::Nonsense)), "{outcome:?}");
            drop(far);
            assert_eq!(near.read(&mut [0; 1]).await.expect("the end"), 0, "no word");
        });
    }
}

#[test]
fn a_handshake_that_ends_in_the_middle_is_lost() {
    run(async {
        let heard = overheard(([1; 32], [2; 32])).await;
        for cut in 0..heard.len() {
            let (mut near, mut far) = duplex(ROOM);
            near.write_all(&heard[..cut]).await.expect("room");
            drop(near);
            let outcome = answer(&mut far, &member(2), [2; 32], |_| Some(0)).await;
            assert!(matches!(outcome, Err(HandshakeError::Lost(_))), "cut at {cut}: {outcome:?}");
        }
    });
}
