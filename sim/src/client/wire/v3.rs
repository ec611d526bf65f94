//! 3.1.1 by mqttbytes.

use crate::history::{
    Ack, ConnAck, Connect, Disconnect, Granted, Packet, Publish, Qos, Subscribe, Subscription, Unsubscribe,
    Version, Will,
};
use bytes::{Bytes, BytesMut};
use mqttbytes::QoS;
use mqttbytes::v4;

pub(super) fn encode(packet: &Packet, user_name: &str) -> Bytes {
    let mut out = BytesMut::new();
    let written = match packet {
        Packet::Connect(connect) => connect_to(connect, user_name).write(&mut out),
        Packet::Publish(publish) => publish_to(publish).write(&mut out),
        Packet::PubAck(ack) => v4::PubAck::new(ack.id).write(&mut out),
        Packet::PubRec(ack) => v4::PubRec::new(ack.id).write(&mut out),
        Packet::PubRel(ack) => v4::PubRel::new(ack.id).write(&mut out),
        Packet::PubComp(ack) => v4::PubComp::new(ack.id).write(&mut out),
        Packet::Subscribe(subscribe) => subscribe_to(subscribe).write(&mut out),
        Packet::Unsubscribe(unsubscribe) => {
            let topics = unsubscribe.filters.iter().map(ToString::to_string).collect();
            v4::Unsubscribe { pkid: unsubscribe.id, topics }.write(&mut out)
        }
        Packet::PingReq => v4::PingReq.write(&mut out),
        Packet::Disconnect(_) => v4::Disconnect.write(&mut out),
        other => panic!("a 3.1.1 client does not send {other:?}"),
    };
    written.expect("a client's own packets are well formed");
    out.freeze()
}

pub(super) fn decode(frame: &Bytes) -> Result<Packet, String> {
    let mut stream = BytesMut::from(&frame[..]);
    let packet = v4::read(&mut stream, frame.len()).map_err(|error| format!("mqttbytes: {error:?}"))?;
    Ok(match packet {
        v4::Packet::Connect(connect) => Packet::Connect(connect_from(connect)),
        v4::Packet::ConnAck(connack) => Packet::ConnAck(connack_from(&connack)),
        v4::Packet::Publish(publish) => Packet::Publish(publish_from(publish)),
        v4::Packet::PubAck(ack) => Packet::PubAck(Ack::ok(ack.pkid)),
        v4::Packet::PubRec(ack) => Packet::PubRec(Ack::ok(ack.pkid)),
        v4::Packet::PubRel(ack) => Packet::PubRel(Ack::ok(ack.pkid)),
        v4::Packet::PubComp(ack) => Packet::PubComp(Ack::ok(ack.pkid)),
        v4::Packet::Subscribe(subscribe) => Packet::Subscribe(subscribe_from(subscribe)),
        v4::Packet::SubAck(suback) => Packet::SubAck(suback_from(&suback)),
        v4::Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(Unsubscribe {
            id: unsubscribe.pkid,
            filters: unsubscribe.topics.into_iter().map(Into::into).collect(),
        }),
        v4::Packet::UnsubAck(unsuback) => {
            Packet::UnsubAck(Granted { id: unsuback.pkid, reasons: Vec::new() })
        }
        v4::Packet::PingReq => Packet::PingReq,
        v4::Packet::PingResp => Packet::PingResp,
        v4::Packet::Disconnect => Packet::Disconnect(Disconnect::default()),
    })
}

fn connect_to(connect: &Connect, user_name: &str) -> v4::Connect {
    v4::Connect {
        protocol: mqttbytes::Protocol::V4,
        keep_alive: connect.keep_alive_s,
        client_id: connect.client_id.to_string(),
        clean_session: connect.clean_start,
        last_will: connect.will.as_ref().map(|will| v4::LastWill {
            topic: will.topic.to_string(),
            message: will.payload.clone(),
            qos: qos_to(will.qos),
            retain: will.retain,
        }),
        login: Some(v4::Login::new(user_name, "")),
    }
}

fn connect_from(connect: v4::Connect) -> Connect {
    Connect {
        version: Version::V311,
        client_id: connect.client_id.into(),
        clean_start: connect.clean_session,
        session_expiry_s: if connect.clean_session { 0 } else { u32::MAX },
        keep_alive_s: connect.keep_alive,
        receive_max: u16::MAX,
        packet_bytes_max: None,
        topic_alias_max: 0,
        will: connect.last_will.map(|will| Will {
            topic: will.topic.into(),
            payload: will.message,
            qos: qos_from(will.qos),
            retain: will.retain,
            delay_s: 0,
            expiry_s: None,
        }),
    }
}

fn connack_from(connack: &v4::ConnAck) -> ConnAck {
    let reason = match connack.code {
        v4::ConnectReturnCode::Success => 0x00,
        v4::ConnectReturnCode::RefusedProtocolVersion => 0x84,
        v4::ConnectReturnCode::BadClientId => 0x85,
        v4::ConnectReturnCode::ServiceUnavailable => 0x88,
        v4::ConnectReturnCode::BadUserNamePassword => 0x86,
        v4::ConnectReturnCode::NotAuthorized => 0x87,
    };
    ConnAck { session_present: connack.session_present, ..ConnAck::bare(reason) }
}

fn publish_to(publish: &Publish) -> v4::Publish {
    v4::Publish {
        dup: publish.dup,
        qos: qos_to(publish.qos),
        retain: publish.retain,
        topic: publish.topic.to_string(),
        pkid: publish.id,
        payload: publish.payload.clone(),
    }
}

fn publish_from(publish: v4::Publish) -> Publish {
    Publish {
        dup: publish.dup,
        qos: qos_from(publish.qos),
        retain: publish.retain,
        topic: publish.topic.into(),
        id: publish.pkid,
        payload: publish.payload,
        topic_on_wire: true,
        ..Publish::default()
    }
}

fn subscribe_to(subscribe: &Subscribe) -> v4::Subscribe {
    let filters = subscribe.filters.iter();
    let filters = filters.map(|one| v4::SubscribeFilter::new(one.filter.to_string(), qos_to(one.qos)));
    v4::Subscribe { pkid: subscribe.id, filters: filters.collect() }
}

fn subscribe_from(subscribe: v4::Subscribe) -> Subscribe {
    let filters = subscribe.filters.into_iter();
    let filters = filters.map(|one| Subscription::plain(one.path, qos_from(one.qos))).collect();
    Subscribe { id: subscribe.pkid, filters, subscription_id: None }
}

fn suback_from(suback: &v4::SubAck) -> Granted {
    let reasons = suback.return_codes.iter().map(|code| match code {
        v4::SubscribeReasonCode::Success(qos) => *qos as u8,
        v4::SubscribeReasonCode::Failure => 0x80,
    });
    Granted { id: suback.pkid, reasons: reasons.collect() }
}

const fn qos_to(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

const fn qos_from(qos: QoS) -> Qos {
    match qos {
        QoS::AtMostOnce => Qos::AtMostOnce,
        QoS::AtLeastOnce => Qos::AtLeastOnce,
        QoS::ExactlyOnce => Qos::ExactlyOnce,
    }
}
