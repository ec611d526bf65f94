//! Streams of nearly valid packets through framer, decoder and encoder, in search of a panic, of a packet that is not
//! written as it was read, or of memory that the input did not pay for.
//!
//! `cargo test` runs a fixed number of streams, the same each time. `ci/fuzz SECONDS [SEED]` runs new ones, by way of
//! `QUORATE_FUZZ_SECONDS` and `QUORATE_FUZZ_SEED`.

use broker_core::codec::{
    DecodeError, Frame, Framer, Packet, Version, answer_version, check_from_client, decode, decode_connect,
    encode, encoded_len, fit,
};
use broker_core::rng::Rng;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tests::mutate::{Parts, corpus, mutant};

/// How many streams `cargo test` runs.
const STREAMS: u64 = 40_000;
/// How many packets mutants are made of, for each version.
const CORPUS: usize = 1_000;

#[test]
fn nearly_valid_streams_break_nothing() {
    let seconds = setting("QUORATE_FUZZ_SECONDS");
    let seed = setting("QUORATE_FUZZ_SEED").unwrap_or(1);
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut fuzz = Fuzz::new(seed);
    while end.map_or(fuzz.streams < STREAMS, |end| Instant::now() < end) {
        fuzz.run_stream();
    }
    println!(
        "seed {seed}: {} streams, {} packets accepted, {} refused for {} reasons",
        fuzz.streams,
        fuzz.accepted,
        fuzz.refused,
        fuzz.refusals.len()
    );
    // A fuzzer that no longer reaches the rules, or breaks everything at once, would pass for ever.
    assert!(seconds.is_some() || fuzz.refusals.len() > 150, "only {} reasons", fuzz.refusals.len());
    assert!(seconds.is_some() || fuzz.accepted > STREAMS / 2, "only {} accepted", fuzz.accepted);
}

/// The number in this environment variable, if it is set.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// What the search knows.
struct Fuzz {
    rng: Rng,
    seed: u64,
    corpora: [(Version, Vec<Parts>); 2],
    streams: u64,
    accepted: u64,
    refused: u64,
    /// Version, culprit and rule of each refusal seen.
    refusals: BTreeSet<(Version, &'static str, &'static str)>,
}

impl Fuzz {
    fn new(seed: u64) -> Self {
        let corpora = [Version::V3, Version::V5].map(|version| (version, corpus(version, seed, CORPUS)));
        let rng = Rng::from_seed(seed).fork("fuzz");
        Fuzz { rng, seed, corpora, streams: 0, accepted: 0, refused: 0, refusals: BTreeSet::new() }
    }

    fn run_stream(&mut self) {
        let rng = &mut self.rng;
        let (version, corpus) = rng.pick(&self.corpora);
        let version = *version;
        let packets: Vec<_> = (0..rng.between(1, 4)).map(|_| any_bytes(version, corpus, rng)).collect();
        let stream = Bytes::from(packets.concat());
        let packet_bytes_max = *rng.pick(&[16, 64, 1_000, 1 << 20, u32::MAX]);
        let sizes: Vec<_> = (0..8).map(|_| rng.between(1, 40) as usize).collect();

        let told = OnPanic { seed: self.seed, number: self.streams, version, stream: stream.clone() };
        let whole = frames(packet_bytes_max, std::slice::from_ref(&stream));
        let chunks = cut(&stream, &sizes);
        assert_eq!(frames(packet_bytes_max, &chunks), whole, "in chunks of {sizes:?}");
        let mut results = Vec::new();
        for frame in whole.0 {
            results.push(look_at(version, &frame, rng));
        }
        drop(told);

        self.streams += 1;
        results.extend(whole.1.map(Err));
        for result in results {
            self.note(version, result, &packets);
        }
    }

    /// Counts, and keeps the packets of a stream that showed something new to make more of them.
    fn note(&mut self, version: Version, result: Result<(), DecodeError>, packets: &[Vec<u8>]) {
        let new = match result {
            Ok(()) => {
                self.accepted += 1;
                self.rng.chance(1, 50)
            }
            Err(error) => {
                self.refused += 1;
                self.refusals.insert((version, error.what, error.why))
            }
        };
        let packet: &Vec<u8> = self.rng.pick(packets);
        let Some(parts) = Parts::of(packet).filter(|_| new) else { return };
        let of_version = |(of, _): &&mut (Version, Vec<Parts>)| *of == version;
        let (_, corpus) = self.corpora.iter_mut().find(of_version).expect("a corpus for each version");
        let at = self.rng.below(corpus.len() as u64) as usize;
        corpus[at] = parts;
    }
}

fn any_bytes(version: Version, corpus: &[Parts], rng: &mut Rng) -> Vec<u8> {
    match rng.below(20) {
        0 => (0..rng.below(40)).map(|_| rng.next_u64() as u8).collect(),
        1..=5 => rng.pick(corpus).bytes(),
        _ => mutant(version, corpus, rng),
    }
}

/// Cuts `stream` into chunks of these sizes, over and over.
fn cut(stream: &Bytes, sizes: &[usize]) -> Vec<Bytes> {
    let mut rest = stream.clone();
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        chunks.push(rest.split_to((*size).min(rest.len())));
    }
    chunks
}

/// The frames in the stream, and how it ends.
fn frames(packet_bytes_max: u32, chunks: &[Bytes]) -> (Vec<Frame>, Option<DecodeError>) {
    let mut framer = Framer::new(packet_bytes_max);
    let mut frames = Vec::new();
    let mut received = 0;
    for chunk in chunks {
        received += chunk.len();
        framer.push(chunk.clone());
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(framer.next_frame(), Err(error), "the stream cannot be taken up again");
                    return (frames, Some(error));
                }
            }
        }
        let (held, reserved) = (framer.held_bytes(), framer.reserved_bytes());
        assert!(held <= received, "{held} held of {received}");
        assert!(reserved <= 2 * held, "{reserved} reserved for {held}");
    }
    (frames, None)
}

/// Decodes, and if there is a packet, demands of it what holds for all packets.
fn look_at(version: Version, frame: &Frame, rng: &mut Rng) -> Result<(), DecodeError> {
    // Neither may panic, whatever the frame.
    let (named, connect) = (answer_version(frame), decode_connect(frame.clone()));
    assert!(connect.is_err() || named == connect.ok().map(|connect| connect.version));

    let packet = decode(version, frame.clone())?;
    let bytes = written(version, &packet);
    assert!(bytes.len() <= frame.packet_bytes(), "longer than it came");
    assert!(footprint(&packet) <= 1_024 + 32 * frame.packet_bytes(), "takes {} bytes", footprint(&packet));
    let again = Frame::whole(&bytes).and_then(|frame| decode(version, frame));
    assert_eq!(again.as_ref(), Ok(&packet), "written as {bytes:02x?}");
    assert_eq!(written(version, &packet), bytes);
    check_fit(version, packet.clone(), rng);
    check_in_3_1_1(&packet);
    let from_server =
        matches!(packet, Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp);
    assert!(!from_server || check_from_client(&packet).is_err());
    Ok(())
}

fn written(version: Version, packet: &Packet) -> Bytes {
    let mut out = BytesMut::new();
    encode(version, packet, &mut out);
    assert_eq!(out.len(), encoded_len(version, packet));
    out.freeze()
}

fn check_fit(version: Version, mut packet: Packet, rng: &mut Rng) {
    let len = encoded_len(version, &packet);
    let bytes_max = rng.below(len as u64 + 2) as u32;
    let fits = fit(version, &mut packet, bytes_max);
    assert_eq!(fits, encoded_len(version, &packet) <= bytes_max as usize);
    assert!(fits || len > bytes_max as usize);
}

/// A message from a 5.0 client reaches 3.1.1 clients with its topic and payload.
fn check_in_3_1_1(packet: &Packet) {
    let Packet::Publish(publish) = packet else { return };
    if publish.topic.is_empty() {
        return;
    }
    let frame = Frame::whole(&written(Version::V3, packet)).expect("a whole frame");
    let Ok(Packet::Publish(read)) = decode(Version::V3, frame) else { panic!("not a PUBLISH in 3.1.1") };
    assert_eq!((&read.topic, &read.payload), (&publish.topic, &publish.payload));
    assert_eq!(
        (read.qos, read.dup, read.retain, read.id),
        (publish.qos, publish.dup, publish.retain, publish.id)
    );
}

/// The memory of the lists a packet has, which its sender can make long.
fn footprint(packet: &Packet) -> usize {
    match packet {
        Packet::Connect(connect) => {
            memory(&connect.properties.user)
                + connect.will.as_ref().map_or(0, |will| memory(&will.properties.user))
        }
        Packet::ConnAck(ack) => memory(&ack.properties.user),
        Packet::Publish(publish) => {
            memory(&publish.properties.user) + memory(&publish.properties.subscription_ids)
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            memory(&ack.properties.user)
        }
        Packet::Subscribe(subscribe) => memory(&subscribe.properties.user) + memory(&subscribe.filters),
        Packet::SubAck(ack) => memory(&ack.properties.user) + memory(&ack.reasons),
        Packet::Unsubscribe(unsubscribe) => memory(&unsubscribe.user) + memory(&unsubscribe.filters),
        Packet::UnsubAck(ack) => memory(&ack.properties.user) + memory(&ack.reasons),
        Packet::PingReq | Packet::PingResp => 0,
        Packet::Disconnect(disconnect) => memory(&disconnect.properties.user),
        Packet::Auth(auth) => memory(&auth.properties.user),
    }
}

fn memory<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

/// Tells which stream it was, if there is a panic.
struct OnPanic {
    seed: u64,
    number: u64,
    version: Version,
    stream: Bytes,
}

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.stream.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("seed {}, stream {}, {:?}: {hex}", self.seed, self.number, self.version);
        }
    }
}
