//! Arbitrary packets that the norm allows, as proptest strategies.

mod connect;

pub use connect::{conn_ack, connect};

use broker_core::codec::packet::{
    Ack, AckProperties, Auth, AuthProperties, Disconnect, DisconnectProperties, PayloadFormat, Publish,
    PublishExtras, PublishProperties, RetainHandling, SubAck, Subscribe, SubscribeFilter,
    SubscribeProperties, SubscriptionOptions, UnsubAck, Unsubscribe, UserProperties,
};
use broker_core::codec::{Packet, PacketType, QoS, ReasonCode, Version};
use broker_core::ids::PacketId;
use bytes::Bytes;
use bytestring::ByteString;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use std::num::NonZeroU16;

/// Any packet that `version` can express, with only what it can express.
pub fn packet(version: Version) -> BoxedStrategy<Packet> {
    let common = prop_oneof![
        connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))),
        conn_ack(version).prop_map(Packet::ConnAck),
        publish(version).prop_map(Packet::Publish),
        ack(version, PacketType::PubAck).prop_map(Packet::PubAck),
        ack(version, PacketType::PubRec).prop_map(Packet::PubRec),
        ack(version, PacketType::PubRel).prop_map(Packet::PubRel),
        ack(version, PacketType::PubComp).prop_map(Packet::PubComp),
        subscribe(version).prop_map(Packet::Subscribe),
        sub_ack(version).prop_map(Packet::SubAck),
    ];
    let rest = prop_oneof![
        4 => unsubscribe(version).prop_map(Packet::Unsubscribe),
        4 => unsub_ack(version).prop_map(Packet::UnsubAck),
        1 => Just(Packet::PingReq),
        1 => Just(Packet::PingResp),
        4 => disconnect(version).prop_map(Packet::Disconnect),
    ];
    match version {
        Version::V3 => prop_oneof![9 => common, 4 => rest].boxed(),
        Version::V5 => prop_oneof![9 => common, 4 => rest, 1 => auth().prop_map(Packet::Auth)].boxed(),
    }
}

/// Any PUBLISH.
pub fn publish(version: Version) -> impl Strategy<Value = Publish> {
    let head = (qos(), any::<bool>(), any::<bool>(), packet_id());
    let properties = of_v5(version, publish_properties());
    (head, topic(), properties, payload()).prop_map(|((qos, dup, retain, id), topic, properties, payload)| {
        let delivered_again = qos > QoS::AtMostOnce;
        Publish {
            dup: dup && delivered_again,
            qos,
            retain,
            // An alias may stand for the topic.
            topic: if properties.topic_alias.is_some() && retain { ByteString::new() } else { topic },
            id: delivered_again.then_some(id),
            properties,
            payload,
        }
    })
}

fn publish_properties() -> impl Strategy<Value = PublishProperties> {
    let extras = (option::of(topic()), option::of(data()), option::of(text())).prop_map(
        |(response_topic, correlation_data, content_type)| {
            PublishExtras { response_topic, correlation_data, content_type }.boxed()
        },
    );
    let ids = vec(1..=268_435_455_u32, 0..4);
    (
        option::of(payload_format()),
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        user(),
        ids,
        extras,
    )
        .prop_map(|(payload_format, message_expiry_s, topic_alias, user, subscription_ids, extras)| {
            PublishProperties {
                payload_format,
                message_expiry_s,
                topic_alias,
                user,
                subscription_ids,
                extras,
            }
        })
}

fn ack(version: Version, packet: PacketType) -> impl Strategy<Value = Ack> {
    (packet_id(), of_v5_or(version, reason(packet), ReasonCode::Success), ack_properties(version))
        .prop_map(|(id, reason, properties)| Ack { id, reason, properties })
}

fn ack_properties(version: Version) -> impl Strategy<Value = AckProperties> {
    let properties =
        (option::of(text()), user()).prop_map(|(reason_string, user)| AckProperties { reason_string, user });
    of_v5(version, properties)
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe> {
    let properties = (option::of(1..=268_435_455_u32), user())
        .prop_map(|(subscription_id, user)| SubscribeProperties { subscription_id, user });
    let filters = vec((filter(), options(version)), 1..5).prop_map(|filters| {
        let with_options = |(filter, mut options): (ByteString, SubscriptionOptions)| {
            options.no_local &= !filter.starts_with("$share/");
            SubscribeFilter { filter, options }
        };
        filters.into_iter().map(with_options).collect()
    });
    (packet_id(), of_v5(version, properties), filters).prop_map(|(id, properties, filters)| Subscribe {
        id,
        properties,
        filters,
    })
}

fn options(version: Version) -> impl Strategy<Value = SubscriptionOptions> {
    let handling = select(vec![RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never]);
    let rest = of_v5(version, (any::<bool>(), any::<bool>(), handling));
    (qos(), rest).prop_map(|(qos, (no_local, retain_as_published, retain_handling))| SubscriptionOptions {
        qos,
        no_local,
        retain_as_published,
        retain_handling,
    })
}

fn sub_ack(version: Version) -> impl Strategy<Value = SubAck> {
    let granted = [ReasonCode::GRANTED_QOS_0, ReasonCode::GrantedQoS1, ReasonCode::GrantedQoS2];
    let reason = match version {
        Version::V3 => select([&granted[..], &[ReasonCode::UnspecifiedError]].concat()).boxed(),
        Version::V5 => reason(PacketType::SubAck).boxed(),
    };
    (packet_id(), ack_properties(version), vec(reason, 1..5)).prop_map(|(id, properties, reasons)| SubAck {
        id,
        properties,
        reasons,
    })
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe> {
    (packet_id(), of_v5(version, user()), vec(filter(), 1..5)).prop_map(|(id, user, filters)| Unsubscribe {
        id,
        user,
        filters,
    })
}

fn unsub_ack(version: Version) -> impl Strategy<Value = UnsubAck> {
    let reasons = of_v5(version, vec(reason(PacketType::UnsubAck), 1..5));
    (packet_id(), ack_properties(version), reasons).prop_map(|(id, properties, reasons)| UnsubAck {
        id,
        properties,
        reasons,
    })
}

fn disconnect(version: Version) -> impl Strategy<Value = Disconnect> {
    let properties = (option::of(any::<u32>()), option::of(text()), user(), option::of(text())).prop_map(
        |(session_expiry_s, reason_string, user, server_reference)| DisconnectProperties {
            session_expiry_s,
            reason_string,
            user,
            server_reference,
        },
    );
    let reason = of_v5_or(version, reason(PacketType::Disconnect), ReasonCode::NORMAL_DISCONNECTION);
    (reason, of_v5(version, properties)).prop_map(|(reason, properties)| Disconnect { reason, properties })
}

fn auth() -> impl Strategy<Value = Auth> {
    let properties = (text(), option::of(data()), option::of(text()), user()).prop_map(
        |(method, data, reason_string, user)| AuthProperties {
            method: Some(method),
            data,
            reason_string,
            user,
        },
    );
    (reason(PacketType::Auth), properties).prop_map(|(reason, properties)| Auth { reason, properties })
}

/// A reason that `packet` may have, plain success as often as not.
fn reason(packet: PacketType) -> BoxedStrategy<ReasonCode> {
    let reasons: Vec<_> =
        ReasonCode::ALL.iter().copied().filter(|reason| reason.belongs_to(packet)).collect();
    prop_oneof![Just(ReasonCode::Success), select(reasons)].boxed()
}

/// What `strategy` gives in 5.0, and the default in 3.1.1.
fn of_v5<T, S>(version: Version, strategy: S) -> BoxedStrategy<T>
where
    T: Clone + Default + std::fmt::Debug + 'static,
    S: Strategy<Value = T> + 'static,
{
    of_v5_or(version, strategy, T::default())
}

fn of_v5_or<T, S>(version: Version, strategy: S, otherwise: T) -> BoxedStrategy<T>
where
    T: Clone + std::fmt::Debug + 'static,
    S: Strategy<Value = T> + 'static,
{
    match version {
        Version::V3 => Just(otherwise).boxed(),
        Version::V5 => strategy.boxed(),
    }
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).expect("not 0"))
}

fn payload_format() -> impl Strategy<Value = PayloadFormat> {
    select(vec![PayloadFormat::Bytes, PayloadFormat::Utf8])
}

fn user() -> impl Strategy<Value = UserProperties> {
    prop_oneof![3 => Just(Vec::new()), 1 => vec((text(), text()), 1..4)]
}

/// Binary data.
fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..12).prop_map(Bytes::from)
}

/// A payload; some are long enough for a remaining length of two and three bytes.
fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => data(),
        2 => vec(any::<u8>(), 100..200).prop_map(Bytes::from),
        1 => (16_000..17_000_usize).prop_map(|len| Bytes::from(vec![b'x'; len])),
    ]
}

/// Text without U+0000.
fn text() -> impl Strategy<Value = ByteString> {
    chars(0..8).prop_map(ByteString::from)
}

/// A topic name.
fn topic() -> impl Strategy<Value = ByteString> {
    chars(1..10).prop_map(|text| ByteString::from(text.replace(['+', '#'], "x")))
}

/// A topic filter, valid or not: the codec does not look into it.
fn filter() -> impl Strategy<Value = ByteString> {
    let valid = ["a/+/b", "#", "$share/g/a/#", "+", "/", "$SYS/#"].map(ByteString::from_static);
    prop_oneof![select(valid.to_vec()), topic(), text()]
}

fn chars(len: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let any_char = any::<char>().prop_map(|c| if c == '\0' { '0' } else { c });
    let usual = select("ab/$+#é".chars().collect::<Vec<_>>());
    vec(prop_oneof![3 => usual, 1 => any_char], len).prop_map(|chars| chars.into_iter().collect())
}
