//! The codec's promises on single packets. Hostile bytes, arbitrary packets and other codecs' opinions are tested in
//! the `tests` crate.

use super::packet::{
    Ack, AckProperties, Auth, AuthProperties, ConnAck, Connect, Disconnect, Publish, PublishExtras,
    PublishProperties, SubAck, Subscribe, SubscribeFilter, SubscribeProperties, SubscriptionOptions,
};
use super::{
    DecodeError, Frame, PACKET_BYTES_MAX, Packet, PacketType, PublishHead, QoS, ReasonCode, Version,
    answer_version, check_from_client, decode, decode_connect, encode, encoded_len, fit,
};
use crate::base::ids::PacketId;
use crate::base::password::Password;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use std::num::NonZeroU16;

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not 0")
}

fn read(version: Version, bytes: &'static [u8]) -> Result<Packet, DecodeError> {
    decode(version, Frame::whole(&Bytes::from_static(bytes))?)
}

fn written(version: Version, packet: &Packet) -> Bytes {
    let mut out = BytesMut::new();
    encode(version, packet, &mut out);
    assert_eq!(out.len(), encoded_len(version, packet));
    out.freeze()
}

fn publish(properties: PublishProperties) -> Publish {
    Publish { qos: QoS::AtLeastOnce, id: Some(id(7)), properties, ..Publish::new("a/b", "payload") }
}

#[test]
fn packets_stay_small_enough_to_be_moved_about() {
    assert!(size_of::<Packet>() <= 160, "{}", size_of::<Packet>());
}

#[test]
fn topic_and_payload_are_slices_of_what_was_read() {
    let bytes = Bytes::from_static(b"\x30\x06\x00\x01a\x00pq");
    let Ok(Packet::Publish(publish)) = decode(Version::V5, Frame::whole(&bytes).expect("a frame")) else {
        panic!("a PUBLISH")
    };
    assert_eq!(publish.topic.as_bytes().as_ptr(), bytes[4..].as_ptr());
    assert_eq!(publish.payload.as_ptr(), bytes[6..].as_ptr());
}

#[test]
fn a_publish_may_match_several_subscriptions() {
    let Ok(Packet::Publish(publish)) = read(Version::V5, b"\x30\x0d\x00\x01a\x06\x0b\x01\x0b\x02\x0b\x03pay")
    else {
        panic!("a PUBLISH")
    };
    assert_eq!(publish.properties.subscription_ids, [1, 2, 3]);
    assert_eq!(
        check_from_client(&Packet::Publish(publish)).map_err(|error| error.reason),
        Err(ReasonCode::ProtocolError)
    );
}

#[test]
fn version_5_answers_are_written_in_their_shortest_form() {
    let reason = ReasonCode::SessionTakenOver;
    let cases = [
        (Packet::Disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)), b"\xE0\x00".as_slice()),
        (Packet::Disconnect(Disconnect::new(reason)), b"\xE0\x01\x8E"),
        (Packet::PubAck(Ack::new(id(1), ReasonCode::Success)), b"\x40\x02\x00\x01"),
        (Packet::PubRel(Ack::new(id(1), ReasonCode::PacketIdentifierNotFound)), b"\x62\x03\x00\x01\x92"),
        (
            Packet::Auth(Auth { reason: ReasonCode::Success, properties: AuthProperties::default() }),
            b"\xF0\x00",
        ),
    ];
    for (packet, bytes) in cases {
        assert_eq!(written(Version::V5, &packet), bytes, "{packet:?}");
        assert_eq!(read(Version::V5, bytes), Ok(packet));
    }
}

#[test]
fn version_3_says_no_more_than_it_can() {
    let properties =
        AckProperties { reason_string: Some("because".into()), user: vec![("a".into(), "b".into())] };
    let ack = Ack { id: id(1), reason: ReasonCode::NotAuthorized, properties: properties.clone() };
    let reasons = vec![ReasonCode::GrantedQoS1, ReasonCode::TopicFilterInvalid];
    let cases = [
        (Packet::PubAck(ack), b"\x40\x02\x00\x01".as_slice()),
        (Packet::SubAck(SubAck { id: id(1), properties, reasons }), b"\x90\x04\x00\x01\x01\x80"),
        (Packet::ConnAck(ConnAck::new(false, ReasonCode::Banned)), b"\x20\x02\x00\x05"),
        (Packet::Disconnect(Disconnect::new(ReasonCode::ServerBusy)), b"\xE0\x00"),
        (
            Packet::Publish(publish(PublishProperties {
                message_expiry_s: Some(1),
                ..PublishProperties::default()
            })),
            b"\x32\x0e\x00\x03a/b\x00\x07payload",
        ),
    ];
    for (packet, bytes) in cases {
        assert_eq!(written(Version::V3, &packet), bytes, "{packet:?}");
    }
}

#[test]
fn a_refused_connect_tells_in_which_version_to_answer() {
    let cases = [
        (b"\x10\x0c\x00\x04MQTT\x03\x02\x00\x00\x00\x00".as_slice(), Some(Version::V3)),
        (b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x00", Some(Version::V5)),
        (b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x00\x00\x00", Some(Version::V3)),
        (b"\x10\x0d\x00\x05AMQP!\x04\x02\x00\x00\x00\x00", None),
    ];
    for (bytes, version) in cases {
        let frame = Frame::whole(&Bytes::from_static(bytes)).expect("a frame");
        assert_eq!(answer_version(&frame), version, "{bytes:02x?}");
        let error = decode_connect(frame).expect_err("neither 3.1.1 nor 5.0");
        assert_eq!(error.reason, ReasonCode::UnsupportedProtocolVersion);
    }
    let publish = Frame::whole(&Bytes::from_static(b"\x30\x03\x00\x01a")).expect("a frame");
    assert_eq!(answer_version(&publish), None);
    assert_eq!(decode_connect(publish).map_err(|error| error.reason), Err(ReasonCode::ProtocolError));
}

#[test]
fn a_head_shared_by_many_receivers_is_the_packet_of_each() {
    let stored = PublishProperties {
        message_expiry_s: Some(100),
        topic_alias: NonZeroU16::new(9),
        user: vec![("k".into(), "v".into())],
        extras: PublishExtras { content_type: Some("text".into()), ..PublishExtras::default() }.boxed(),
        ..PublishProperties::default()
    };
    let delivered = publish(PublishProperties {
        message_expiry_s: Some(60),
        topic_alias: None,
        subscription_ids: vec![1, 300],
        ..stored.clone()
    });
    let head = PublishHead {
        properties: &stored,
        subscription_ids: &[1, 300],
        message_expiry_s: Some(60),
        topic_alias: None,
        ..PublishHead::of(&delivered)
    };
    for version in [Version::V3, Version::V5] {
        let whole = written(version, &Packet::Publish(delivered.clone()));
        let mut out = BytesMut::new();
        head.encode(version, &mut out);
        assert_eq!(head.packet_bytes(version), whole.len());
        out.extend_from_slice(&delivered.payload);
        assert_eq!(out, whole);
    }
}

#[test]
fn a_publish_fits_up_to_the_largest_packet_there_is() {
    let stored = PublishProperties::default();
    // Two bytes of the topic's length, one of the topic, one of properties.
    let message = Publish::new("a", "");
    let head = PublishHead { properties: &stored, ..PublishHead::of(&message) };
    let largest = PublishHead { payload_bytes: PACKET_BYTES_MAX as usize - 5 - 4, ..head };
    assert!(largest.fits(Version::V5, u32::MAX) && largest.fits(Version::V5, PACKET_BYTES_MAX));
    assert!(!largest.fits(Version::V5, PACKET_BYTES_MAX - 1));
    let larger = PublishHead { payload_bytes: largest.payload_bytes + 1, ..head };
    assert!(!larger.fits(Version::V5, u32::MAX));
}

#[test]
fn what_an_answer_can_do_without_is_left_out_to_make_it_fit() {
    let properties =
        AckProperties { reason_string: Some("because".into()), user: vec![("name".into(), "value".into())] };
    let whole =
        Packet::PubAck(Ack { id: id(1), reason: ReasonCode::QuotaExceeded, properties: properties.clone() });
    let mut without_user = whole.clone();
    let Packet::PubAck(ack) = &mut without_user else { panic!("a PUBACK") };
    ack.properties.user.clear();
    let bare = Packet::PubAck(Ack::new(id(1), ReasonCode::QuotaExceeded));
    let sizes = [&whole, &without_user, &bare].map(|packet| encoded_len(Version::V5, packet));
    for size in 0..=sizes[0] {
        let mut packet = whole.clone();
        let fits = fit(Version::V5, &mut packet, u32::try_from(size).expect("small"));
        assert_eq!(fits, size >= sizes[2]);
        let expected = match size {
            _ if size >= sizes[0] => &whole,
            _ if size >= sizes[1] => &without_user,
            _ => &bare,
        };
        assert_eq!(&packet, expected, "{size}");
    }
    let mut message =
        Packet::Publish(publish(PublishProperties { user: properties.user, ..PublishProperties::default() }));
    let before = message.clone();
    assert!(!fit(Version::V5, &mut message, 20), "a message's own properties are not ours to drop");
    assert_eq!(message, before);
}

#[test]
fn every_type_and_reason_has_one_number() {
    for (at, packet_type) in PacketType::ALL.iter().enumerate() {
        assert_eq!(usize::from(packet_type.number()), at + 1);
        assert_eq!(PacketType::new(packet_type.number()), Some(*packet_type));
    }
    assert_eq!((PacketType::new(0), PacketType::new(16)), (None, None));
    for reason in ReasonCode::ALL {
        assert_eq!(ReasonCode::new(reason.code()), Some(*reason));
        assert!(
            PacketType::ALL.iter().any(|packet| reason.belongs_to(*packet)),
            "{reason} belongs to some packet"
        );
    }
    assert_eq!(ReasonCode::ALL.len(), (0..=255).filter_map(ReasonCode::new).count());
    assert_eq!(ReasonCode::ProtocolError.to_string(), "0x82 protocol error");
}

#[test]
fn bounds_of_the_data_types_survive_the_wire() {
    let filters = vec![SubscribeFilter {
        filter: ByteString::from("x".repeat(65_535)),
        options: SubscriptionOptions::default(),
    }];
    for subscription_id in [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455] {
        let packet = Packet::Subscribe(Subscribe {
            id: id(65_535),
            properties: SubscribeProperties { subscription_id: Some(subscription_id), user: Vec::new() },
            filters: filters.clone(),
        });
        let frame = Frame::whole(&written(Version::V5, &packet)).expect("a frame");
        assert_eq!(decode(Version::V5, frame), Ok(packet));
    }
}

#[test]
fn a_password_is_any_bytes() {
    let mut connect = Connect::new(Version::V3, "c");
    connect.user_name = Some("u".into());
    connect.password = Some(Password::new(b"\xFF\xFE".as_slice()));
    let bytes = written(Version::V3, &Packet::Connect(Box::new(connect.clone())));
    assert!(bytes.ends_with(b"\x00\x02\xFF\xFE"));
    assert_eq!(decode_connect(Frame::whole(&bytes).expect("a frame")), Ok(connect));
}

#[test]
fn a_printed_connect_does_not_tell_the_password() {
    let mut connect = Connect::new(Version::V5, "c");
    connect.password = Some(Password::new("hunter2"));
    let bytes = written(Version::V5, &Packet::Connect(Box::new(connect)));
    let decoded = decode_connect(Frame::whole(&bytes).expect("a frame")).expect("what we wrote");
    let printed = format!("{decoded:?}");
    assert!(printed.contains("password: Some(<hidden>)") && !printed.contains("hunter2"), "{printed}");
}

#[test]
#[should_panic(expected = "an identifier goes with QoS 1 and 2")]
fn a_publish_that_cannot_be_expressed_is_our_bug() {
    let publish = Publish { qos: QoS::ExactlyOnce, ..Publish::new("a", "") };
    written(Version::V5, &Packet::Publish(publish));
}
