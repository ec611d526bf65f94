//! 5.0 by mqtt-proto.

use super::subscription_ids;
use crate::history::{
    Ack, ConnAck, Connect, Disconnect, Granted, Packet, Publish, Qos, Subscribe, Subscription, Unsubscribe,
    Version, Will,
};
use bytes::Bytes;
use bytestring::ByteString;
use mqtt_proto::{Pid, Protocol, QoS, QosPid, TopicFilter, TopicName, v5};
use std::sync::Arc;

const OURS: &str = "a client's own packets are well formed";

pub(super) fn encode(packet: &Packet, user_name: &str) -> Bytes {
    let packet: v5::Packet = match packet {
        Packet::Connect(connect) => connect_to(connect, user_name).into(),
        Packet::Publish(publish) => publish_to(publish).into(),
        Packet::PubAck(ack) => {
            v5::Puback::new(pid(ack.id), v5::PubackReasonCode::from_u8(ack.reason).expect(OURS)).into()
        }
        Packet::PubRec(ack) => {
            v5::Pubrec::new(pid(ack.id), v5::PubrecReasonCode::from_u8(ack.reason).expect(OURS)).into()
        }
        Packet::PubRel(ack) => {
            v5::Pubrel::new(pid(ack.id), v5::PubrelReasonCode::from_u8(ack.reason).expect(OURS)).into()
        }
        Packet::PubComp(ack) => {
            v5::Pubcomp::new(pid(ack.id), v5::PubcompReasonCode::from_u8(ack.reason).expect(OURS)).into()
        }
        Packet::Subscribe(subscribe) => subscribe_to(subscribe).into(),
        Packet::Unsubscribe(unsubscribe) => {
            let filters = unsubscribe.filters.iter().map(|filter| filter_to(filter)).collect();
            v5::Unsubscribe::new(pid(unsubscribe.id), filters).into()
        }
        Packet::PingReq => v5::Packet::Pingreq,
        Packet::Disconnect(disconnect) => {
            let reason = v5::DisconnectReasonCode::from_u8(disconnect.reason).expect(OURS);
            let mut out = v5::Disconnect::new(reason);
            out.properties.session_expiry_interval = disconnect.session_expiry_s;
            out.into()
        }
        other => panic!("a 5.0 client does not send {other:?}"),
    };
    Bytes::copy_from_slice(packet.encode().expect(OURS).as_ref())
}

pub(super) fn decode(frame: &Bytes) -> Result<Packet, String> {
    let packet = match v5::Packet::decode(frame) {
        Ok(Some(packet)) => packet,
        Ok(None) => return Err("mqtt-proto: the packet wants more bytes than its length says".to_owned()),
        // mqtt-proto holds one subscription identifier; the norm allows one for each matching subscription.
        Err(v5::ErrorV5::DuplicatedProperty(v5::PropertyId::SubscriptionIdentifier)) => {
            return several_subscription_ids(frame);
        }
        Err(error) => return Err(format!("mqtt-proto: {error}")),
    };
    Ok(match packet {
        v5::Packet::Connect(connect) => Packet::Connect(connect_from(&connect)),
        v5::Packet::Connack(connack) => Packet::ConnAck(connack_from(&connack)),
        v5::Packet::Publish(publish) => Packet::Publish(publish_from(publish)),
        v5::Packet::Puback(ack) => Packet::PubAck(Ack { id: ack.pid.value(), reason: ack.reason_code as u8 }),
        v5::Packet::Pubrec(ack) => Packet::PubRec(Ack { id: ack.pid.value(), reason: ack.reason_code as u8 }),
        v5::Packet::Pubrel(ack) => Packet::PubRel(Ack { id: ack.pid.value(), reason: ack.reason_code as u8 }),
        v5::Packet::Pubcomp(ack) => {
            Packet::PubComp(Ack { id: ack.pid.value(), reason: ack.reason_code as u8 })
        }
        v5::Packet::Subscribe(subscribe) => Packet::Subscribe(subscribe_from(&subscribe)),
        v5::Packet::Suback(suback) => Packet::SubAck(Granted {
            id: suback.pid.value(),
            reasons: suback.topics.iter().map(|code| *code as u8).collect(),
        }),
        v5::Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(Unsubscribe {
            id: unsubscribe.pid.value(),
            filters: unsubscribe.topics.iter().map(|filter| ByteString::from(&filter[..])).collect(),
        }),
        v5::Packet::Unsuback(unsuback) => Packet::UnsubAck(Granted {
            id: unsuback.pid.value(),
            reasons: unsuback.topics.iter().map(|code| *code as u8).collect(),
        }),
        v5::Packet::Pingreq => Packet::PingReq,
        v5::Packet::Pingresp => Packet::PingResp,
        v5::Packet::Disconnect(disconnect) => Packet::Disconnect(Disconnect {
            reason: disconnect.reason_code as u8,
            session_expiry_s: disconnect.properties.session_expiry_interval,
        }),
        v5::Packet::Auth(auth) => Packet::Auth { reason: auth.reason_code as u8 },
    })
}

/// Reads a PUBLISH with its subscription identifiers taken out, and puts them back.
fn several_subscription_ids(frame: &Bytes) -> Result<Packet, String> {
    let (frame, ids) = subscription_ids::take_out(frame).ok_or("a PUBLISH whose properties do not add up")?;
    match v5::Packet::decode(&frame) {
        Ok(Some(v5::Packet::Publish(publish))) => {
            Ok(Packet::Publish(Publish { subscription_ids: ids, ..publish_from(publish) }))
        }
        other => Err(format!("mqtt-proto: {other:?} instead of a PUBLISH")),
    }
}

fn connect_to(connect: &Connect, user_name: &str) -> v5::Connect {
    let properties = v5::ConnectProperties {
        session_expiry_interval: (connect.session_expiry_s != 0).then_some(connect.session_expiry_s),
        receive_max: (connect.receive_max != u16::MAX).then_some(connect.receive_max),
        max_packet_size: connect.packet_bytes_max,
        topic_alias_max: (connect.topic_alias_max != 0).then_some(connect.topic_alias_max),
        ..v5::ConnectProperties::default()
    };
    v5::Connect {
        protocol: Protocol::V500,
        clean_start: connect.clean_start,
        keep_alive: connect.keep_alive_s,
        properties,
        client_id: Arc::from(&connect.client_id[..]),
        last_will: connect.will.as_ref().map(will_to),
        username: Some(Arc::from(user_name)),
        password: None,
    }
}

fn connect_from(connect: &v5::Connect) -> Connect {
    Connect {
        version: Version::V5,
        client_id: ByteString::from(&connect.client_id[..]),
        clean_start: connect.clean_start,
        session_expiry_s: connect.properties.session_expiry_interval.unwrap_or(0),
        keep_alive_s: connect.keep_alive,
        receive_max: connect.properties.receive_max.unwrap_or(u16::MAX),
        packet_bytes_max: connect.properties.max_packet_size,
        topic_alias_max: connect.properties.topic_alias_max.unwrap_or(0),
        will: connect.last_will.as_ref().map(will_from),
    }
}

fn will_to(will: &Will) -> v5::LastWill {
    let mut out = v5::LastWill::new(qos_to(will.qos), topic_to(&will.topic), will.payload.clone());
    out.retain = will.retain;
    out.properties.delay_interval = (will.delay_s != 0).then_some(will.delay_s);
    out.properties.message_expiry_interval = will.expiry_s;
    out
}

fn will_from(will: &v5::LastWill) -> Will {
    Will {
        topic: ByteString::from(&will.topic_name[..]),
        payload: will.payload.clone(),
        qos: qos_from(will.qos),
        retain: will.retain,
        delay_s: will.properties.delay_interval.unwrap_or(0),
        expiry_s: will.properties.message_expiry_interval,
    }
}

fn connack_from(connack: &v5::Connack) -> ConnAck {
    let properties = &connack.properties;
    ConnAck {
        session_present: connack.session_present,
        reason: connack.reason_code as u8,
        receive_max: properties.receive_max.unwrap_or(u16::MAX),
        packet_bytes_max: properties.max_packet_size,
        topic_alias_max: properties.topic_alias_max.unwrap_or(0),
        session_expiry_s: properties.session_expiry_interval,
        keep_alive_s: properties.server_keep_alive,
        assigned_client_id: properties.assigned_client_id.as_ref().map(|id| ByteString::from(&id[..])),
    }
}

fn publish_to(publish: &Publish) -> v5::Publish {
    let qos_pid = match publish.qos {
        Qos::AtMostOnce => QosPid::Level0,
        Qos::AtLeastOnce => QosPid::Level1(pid(publish.id)),
        Qos::ExactlyOnce => QosPid::Level2(pid(publish.id)),
    };
    let topic = if publish.topic_on_wire { topic_to(&publish.topic) } else { topic_to("") };
    let mut out = v5::Publish::new(qos_pid, topic, publish.payload.clone());
    out.dup = publish.dup;
    out.retain = publish.retain;
    out.properties.message_expiry_interval = publish.expiry_s;
    out.properties.topic_alias = publish.alias;
    out.properties.response_topic = publish.response_topic.as_ref().map(|topic| topic_to(topic));
    out.properties.correlation_data = publish.correlation.clone();
    let user = publish.user_properties.iter();
    let user = user.map(|(name, value)| v5::UserProperty { name: name[..].into(), value: value[..].into() });
    out.properties.user_properties = user.collect();
    out
}

fn publish_from(publish: v5::Publish) -> Publish {
    let properties = publish.properties;
    let user = properties.user_properties.iter();
    let user = user.map(|one| (ByteString::from(&one.name[..]), ByteString::from(&one.value[..])));
    Publish {
        dup: publish.dup,
        qos: qos_from(publish.qos_pid.qos()),
        retain: publish.retain,
        topic: ByteString::from(&publish.topic_name[..]),
        id: publish.qos_pid.pid().map_or(0, Pid::value),
        payload: publish.payload,
        expiry_s: properties.message_expiry_interval,
        alias: properties.topic_alias,
        topic_on_wire: !publish.topic_name.is_empty(),
        subscription_ids: properties.subscription_id.map(v5::VarByteInt::value).into_iter().collect(),
        response_topic: properties.response_topic.map(|topic| ByteString::from(&topic[..])),
        correlation: properties.correlation_data,
        user_properties: user.collect(),
    }
}

fn subscribe_to(subscribe: &Subscribe) -> v5::Subscribe {
    let filters = subscribe.filters.iter().map(|one| {
        let retain_handling = v5::RetainHandling::from_u8(one.retain_handling).expect(OURS);
        let options = v5::SubscriptionOptions {
            max_qos: qos_to(one.qos),
            no_local: one.no_local,
            retain_as_published: one.retain_as_published,
            retain_handling,
        };
        (filter_to(&one.filter), options)
    });
    let mut out = v5::Subscribe::new(pid(subscribe.id), filters.collect());
    out.properties.subscription_id =
        subscribe.subscription_id.map(|id| v5::VarByteInt::try_from(id).expect(OURS));
    out
}

fn subscribe_from(subscribe: &v5::Subscribe) -> Subscribe {
    let filters = subscribe.topics.iter().map(|(filter, options)| Subscription {
        filter: ByteString::from(&filter[..]),
        qos: qos_from(options.max_qos),
        no_local: options.no_local,
        retain_as_published: options.retain_as_published,
        retain_handling: options.retain_handling as u8,
    });
    Subscribe {
        id: subscribe.pid.value(),
        filters: filters.collect(),
        subscription_id: subscribe.properties.subscription_id.map(v5::VarByteInt::value),
    }
}

fn pid(id: u16) -> Pid {
    Pid::try_from(id).expect(OURS)
}

fn topic_to(topic: &str) -> TopicName {
    TopicName::try_from(topic).expect(OURS)
}

fn filter_to(filter: &str) -> TopicFilter {
    TopicFilter::try_from(filter).expect(OURS)
}

const fn qos_to(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::Level0,
        Qos::AtLeastOnce => QoS::Level1,
        Qos::ExactlyOnce => QoS::Level2,
    }
}

const fn qos_from(qos: QoS) -> Qos {
    match qos {
        QoS::Level0 => Qos::AtMostOnce,
        QoS::Level1 => Qos::AtLeastOnce,
        QoS::Level2 => Qos::ExactlyOnce,
    }
}
