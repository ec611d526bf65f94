//! Whatever the norm lets a packet say is read as it was written.

use broker_core::codec::{
    Frame, Framer, Packet, PublishHead, Version, decode, decode_connect, encode, encoded_len,
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::{ProptestConfig, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::RngSeed;
use tests::packets::{packet, publish};

fn written(version: Version, packet: &Packet) -> Bytes {
    let mut out = BytesMut::new();
    encode(version, packet, &mut out);
    out.freeze()
}

fn any_version() -> impl Strategy<Value = (Version, Packet)> {
    prop_oneof![
        packet(Version::V3).prop_map(|packet| (Version::V3, packet)),
        packet(Version::V5).prop_map(|packet| (Version::V5, packet)),
    ]
}

/// The same cases in every run: `ci/fuzz` is for new ones.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 5_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_packet_is_read_as_it_was_written((version, packet) in any_version()) {
        let bytes = written(version, &packet);
        prop_assert_eq!(bytes.len(), encoded_len(version, &packet));
        let frame = Frame::whole(&bytes).expect("a whole frame");
        prop_assert_eq!(frame.packet_type(), packet.packet_type());
        if let Packet::Connect(connect) = &packet {
            prop_assert_eq!(decode_connect(frame.clone()), Ok((**connect).clone()));
        }
        prop_assert_eq!(decode(version, frame), Ok(packet));
    }

    #[test]
    fn a_packet_that_is_cut_short_is_refused_or_awaited((version, packet) in any_version(), at in 0..1_000_usize) {
        let bytes = written(version, &packet);
        let cut = bytes.len() * at / 1_000;
        let part = bytes.slice(..cut);
        prop_assert!(Frame::whole(&part).is_err());
        let mut framer = Framer::new(u32::MAX);
        framer.push(part);
        prop_assert_eq!(framer.next_frame(), Ok(None));
        framer.push(bytes.slice(cut..));
        let frame = framer.next_frame().expect("well formed").expect("complete");
        prop_assert_eq!(decode(version, frame), Ok(packet));
    }

    #[test]
    fn a_head_and_its_payload_are_the_packet(publish in publish(Version::V5)) {
        let mut out = BytesMut::new();
        PublishHead::of(&publish).encode(Version::V5, &mut out);
        out.extend_from_slice(&publish.payload);
        prop_assert_eq!(out.freeze(), written(Version::V5, &Packet::Publish(publish)));
    }

    #[test]
    fn a_stream_of_packets_is_the_same_in_chunks_of_any_size(
        packets in proptest::collection::vec(packet(Version::V5), 1..6),
        sizes in proptest::collection::vec(1..500_usize, 1..20),
    ) {
        let mut stream = BytesMut::new();
        packets.iter().for_each(|packet| encode(Version::V5, packet, &mut stream));
        let mut stream = stream.freeze();
        let mut framer = Framer::new(u32::MAX);
        let mut read = Vec::new();
        for size in sizes.iter().cycle() {
            framer.push(stream.split_to((*size).min(stream.len())));
            while let Some(frame) = framer.next_frame().expect("well formed") {
                read.push(decode(Version::V5, frame).expect("a packet"));
            }
            if stream.is_empty() {
                break;
            }
        }
        prop_assert_eq!(framer.held_bytes(), 0);
        prop_assert_eq!(read, packets);
    }
}
