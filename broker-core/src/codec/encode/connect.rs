//! CONNECT and CONNACK. \[MQTT-3.1, 3.2\]

use crate::codec::packet::{
    ConnAck, ConnAckProperties, Connect, ConnectProperties, QoS, Version, Will, WillProperties,
};
use crate::codec::property::PropertyId;
use crate::codec::write::{PropertyList, Sink};
use std::num::{NonZeroU16, NonZeroU32};

/// The return code of 3.1.1 for what it has no code for: Server unavailable.
const CONNACK_V3_OTHER: u8 = 3;

pub(super) fn connect<S: Sink>(connect: &Connect, sink: &mut S) {
    sink.bytes(b"MQTT");
    sink.u8(connect.version.level());
    sink.u8(flags(connect));
    sink.u16(connect.keep_alive_s);
    if connect.version == Version::V5 {
        sink.properties(&connect.properties);
    }
    sink.bytes(connect.client_id.as_bytes());
    if let Some(will) = &connect.will {
        if connect.version == Version::V5 {
            sink.properties(&will.properties);
        }
        sink.bytes(will.topic.as_str().as_bytes());
        sink.bytes(&will.payload);
    }
    if let Some(user_name) = &connect.user_name {
        sink.bytes(user_name.as_bytes());
    }
    if let Some(password) = &connect.password {
        sink.bytes(password.reveal());
    }
}

pub(super) fn conn_ack<S: Sink>(version: Version, ack: &ConnAck, sink: &mut S) {
    sink.u8(u8::from(ack.session_present));
    match version {
        Version::V3 => sink.u8(ack.reason.connack_v3().unwrap_or(CONNACK_V3_OTHER)),
        Version::V5 => {
            sink.u8(ack.reason.code());
            sink.properties(&*ack.properties);
        }
    }
}

fn flags(connect: &Connect) -> u8 {
    let will = connect
        .will
        .as_ref()
        .map_or(0, |Will { qos, retain, .. }| 0x04 | (*qos as u8) << 3 | u8::from(*retain) << 5);
    u8::from(connect.clean_start) << 1
        | will
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.user_name.is_some()) << 7
}

impl PropertyList for WillProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(PropertyId::WillDelay, self.delay_s);
        sink.property_u8(PropertyId::PayloadFormat, self.payload_format.map(|format| format as u8));
        sink.property_u32(PropertyId::MessageExpiry, self.message_expiry_s);
        sink.property_bytes(PropertyId::ContentType, self.content_type.as_ref());
        sink.property_bytes(PropertyId::ResponseTopic, self.response_topic.as_ref());
        sink.property_bytes(PropertyId::CorrelationData, self.correlation_data.as_ref());
        sink.property_user(&self.user);
    }
}

impl PropertyList for ConnectProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(PropertyId::SessionExpiry, self.session_expiry_s);
        sink.property_u16(PropertyId::ReceiveMaximum, self.receive_max.map(NonZeroU16::get));
        sink.property_u32(PropertyId::MaximumPacketSize, self.packet_bytes_max.map(NonZeroU32::get));
        sink.property_u16(PropertyId::TopicAliasMaximum, self.topic_alias_max);
        sink.property_u8(
            PropertyId::RequestResponseInformation,
            self.request_response_information.map(u8::from),
        );
        sink.property_u8(
            PropertyId::RequestProblemInformation,
            self.request_problem_information.map(u8::from),
        );
        sink.property_bytes(PropertyId::AuthMethod, self.auth_method.as_ref());
        sink.property_bytes(PropertyId::AuthData, self.auth_data.as_ref());
        sink.property_user(&self.user);
    }
}

impl PropertyList for ConnAckProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(PropertyId::SessionExpiry, self.session_expiry_s);
        sink.property_u16(PropertyId::ReceiveMaximum, self.receive_max.map(NonZeroU16::get));
        // QoS 2 is what its absence says, and cannot be said otherwise.
        let qos_max = self.qos_max.filter(|qos| *qos < QoS::ExactlyOnce);
        sink.property_u8(PropertyId::MaximumQoS, qos_max.map(|qos| qos as u8));
        sink.property_u8(PropertyId::RetainAvailable, self.retain_available.map(u8::from));
        sink.property_u32(PropertyId::MaximumPacketSize, self.packet_bytes_max.map(NonZeroU32::get));
        sink.property_bytes(PropertyId::AssignedClientId, self.assigned_client_id.as_ref());
        sink.property_u16(PropertyId::TopicAliasMaximum, self.topic_alias_max);
        sink.property_bytes(PropertyId::ReasonString, self.reason_string.as_ref());
        sink.property_u8(
            PropertyId::WildcardSubscriptionAvailable,
            self.wildcard_subscriptions_available.map(u8::from),
        );
        sink.property_u8(PropertyId::SubscriptionIdsAvailable, self.subscription_ids_available.map(u8::from));
        sink.property_u8(
            PropertyId::SharedSubscriptionAvailable,
            self.shared_subscriptions_available.map(u8::from),
        );
        sink.property_u16(PropertyId::ServerKeepAlive, self.server_keep_alive_s);
        sink.property_bytes(PropertyId::ResponseInformation, self.response_information.as_ref());
        sink.property_bytes(PropertyId::ServerReference, self.server_reference.as_ref());
        sink.property_bytes(PropertyId::AuthMethod, self.auth_method.as_ref());
        sink.property_bytes(PropertyId::AuthData, self.auth_data.as_ref());
        sink.property_user(&self.user);
    }
}
