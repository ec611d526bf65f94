//! Arbitrary CONNECT and CONNACK.

use super::{data, of_v5, payload_format, qos, reason, text, topic, user};
use broker_core::auth::Password;
use broker_core::codec::packet::{
    ConnAck, ConnAckProperties, Connect, ConnectProperties, Will, WillProperties,
};
use broker_core::codec::{PacketType, QoS, ReasonCode, Version};
use broker_core::topic::TopicName;
use proptest::option;
use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use std::num::{NonZeroU16, NonZeroU32};

/// Any CONNECT of `version`.
pub fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let login = (option::of(text()), option::of(data()));
    let head = (any::<bool>(), any::<u16>(), text());
    (head, login, option::of(will(version)), of_v5(version, connect_properties())).prop_map(
        move |((clean_start, keep_alive_s, client_id), (user_name, password), will, properties)| {
            // A password needs a user name in 3.1.1.
            let password =
                password.filter(|_| version == Version::V5 || user_name.is_some()).map(Password::new);
            Connect { version, clean_start, keep_alive_s, client_id, user_name, password, will, properties }
        },
    )
}

/// Any CONNACK of `version`.
pub fn conn_ack(version: Version) -> impl Strategy<Value = ConnAck> {
    let reason = match version {
        Version::V3 => select((0..=5).filter_map(ReasonCode::from_connack_v3).collect::<Vec<_>>()).boxed(),
        Version::V5 => reason(PacketType::ConnAck),
    };
    (any::<bool>(), reason, of_v5(version, conn_ack_properties())).prop_map(
        |(session_present, reason, properties)| ConnAck {
            session_present: session_present && reason == ReasonCode::Success,
            reason,
            properties: Box::new(properties),
        },
    )
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    let head = (qos(), any::<bool>(), topic(), data());
    (head, of_v5(version, will_properties())).prop_map(|((qos, retain, topic, payload), properties)| Will {
        qos,
        retain,
        topic: TopicName::parse(topic).expect("a topic name"),
        payload,
        properties,
    })
}

fn will_properties() -> impl Strategy<Value = WillProperties> {
    let numbers = (option::of(any::<u32>()), option::of(any::<u32>()), option::of(payload_format()));
    let texts = (option::of(text()), option::of(topic()), option::of(data()), user());
    (numbers, texts).prop_map(
        |(
            (delay_s, message_expiry_s, payload_format),
            (content_type, response_topic, correlation_data, user),
        )| {
            WillProperties {
                delay_s,
                payload_format,
                message_expiry_s,
                content_type,
                response_topic,
                correlation_data,
                user,
            }
        },
    )
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    let sizes = (
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        option::of(any::<NonZeroU32>()),
        option::of(any::<u16>()),
    );
    let wishes = (option::of(any::<bool>()), option::of(any::<bool>()));
    let auth = option::of((text(), option::of(data())));
    (sizes, wishes, user(), auth).prop_map(|(sizes, wishes, user, auth)| {
        let (session_expiry_s, receive_max, packet_bytes_max, topic_alias_max) = sizes;
        let (request_response_information, request_problem_information) = wishes;
        let (auth_method, auth_data) = auth.map_or((None, None), |(method, data)| (Some(method), data));
        ConnectProperties {
            session_expiry_s,
            receive_max,
            packet_bytes_max,
            topic_alias_max,
            request_response_information,
            request_problem_information,
            user,
            auth_method,
            auth_data,
        }
    })
}

fn conn_ack_properties() -> impl Strategy<Value = ConnAckProperties> {
    let sizes = (
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        option::of(select(vec![QoS::AtMostOnce, QoS::AtLeastOnce])),
        option::of(any::<NonZeroU32>()),
        option::of(any::<u16>()),
        option::of(any::<u16>()),
    );
    let flag = || option::of(any::<bool>());
    let available = (flag(), flag(), flag(), flag());
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let auth = (option::of(text()), option::of(data()));
    (sizes, available, texts, user(), auth).prop_map(|(sizes, available, texts, user, auth)| {
        let (session_expiry_s, receive_max, qos_max, packet_bytes_max, topic_alias_max, server_keep_alive_s) =
            sizes;
        let (
            retain_available,
            wildcard_subscriptions_available,
            subscription_ids_available,
            shared_subscriptions_available,
        ) = available;
        let (assigned_client_id, reason_string, response_information, server_reference) = texts;
        let (auth_method, auth_data) = auth;
        ConnAckProperties {
            session_expiry_s,
            receive_max,
            qos_max,
            retain_available,
            packet_bytes_max,
            assigned_client_id,
            topic_alias_max,
            reason_string,
            user,
            wildcard_subscriptions_available,
            subscription_ids_available,
            shared_subscriptions_available,
            server_keep_alive_s,
            response_information,
            server_reference,
            auth_method,
            auth_data,
        }
    })
}
