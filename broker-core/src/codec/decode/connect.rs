//! CONNECT and CONNACK. \[MQTT-3.1, 3.2\]

use crate::base::password::Password;
use crate::codec::error::DecodeError;
use crate::codec::framing::Frame;
use crate::codec::packet::{
    ConnAck, ConnAckProperties, Connect, ConnectProperties, PacketType, QoS, Version, Will, WillProperties,
};
use crate::codec::property::{Properties, PropertyId};
use crate::codec::read::Reader;
use crate::codec::reason::ReasonCode;

use super::reply::reason_for;

/// The version in which to answer `frame`, a CONNECT that [`super::decode_connect`] refused: the one it names, or the
/// nearest that exists. `None` if it is no CONNECT of any MQTT, and deserves no answer.
pub fn answer_version(frame: &Frame) -> Option<Version> {
    if frame.packet_type() != PacketType::Connect {
        return None;
    }
    match protocol(&mut Reader::new(frame.body.clone())).ok()? {
        Protocol::Mqtt(level) if level <= Version::V3.level() => Some(Version::V3),
        Protocol::Mqtt(_) => Some(Version::V5),
        Protocol::MqIsdp => Some(Version::V3),
        Protocol::Other => None,
    }
}

pub(super) fn connect(body: &mut Reader) -> Result<Connect, DecodeError> {
    let version = match protocol(body)? {
        Protocol::Mqtt(4) => Version::V3,
        Protocol::Mqtt(5) => Version::V5,
        Protocol::Mqtt(_) => return Err(unsupported("protocol version", "is neither 4 nor 5")),
        Protocol::MqIsdp => return Err(unsupported("protocol name", "is that of MQTT 3.1")),
        Protocol::Other => return Err(unsupported("protocol name", "is not MQTT")),
    };
    let flags = ConnectFlags::read(version, body)?;
    let keep_alive_s = body.u16("keep alive")?;
    let properties = match version {
        Version::V3 => ConnectProperties::default(),
        Version::V5 => connect_properties(body)?,
    };
    // The payload's order is fixed. [MQTT-3.1.3-1]
    let client_id = body.string("client identifier")?;
    let will = flags.will.map(|(qos, retain)| will(version, qos, retain, body)).transpose()?;
    let user_name = flags.user_name.then(|| body.string("user name")).transpose()?;
    let password = flags.password.then(|| body.bytes("password").map(Password::new)).transpose()?;
    let clean_start = flags.clean_start;
    Ok(Connect { version, clean_start, keep_alive_s, client_id, user_name, password, will, properties })
}

pub(super) fn conn_ack(version: Version, body: &mut Reader) -> Result<ConnAck, DecodeError> {
    let session_present = match body.u8("connect acknowledge flags")? {
        0 => false,
        1 => true,
        _ => return Err(DecodeError::malformed("connect acknowledge flags", "has a reserved bit set")),
    };
    let code = body.u8("reason code")?;
    let (reason, properties) = match version {
        Version::V3 => {
            let reason = ReasonCode::from_connack_v3(code)
                .ok_or(DecodeError::malformed("return code", "is unknown"))?;
            (reason, ConnAckProperties::default())
        }
        Version::V5 => (reason_for(PacketType::ConnAck, code)?, conn_ack_properties(body)?),
    };
    if session_present && reason != ReasonCode::Success {
        // [MQTT-3.2.2-6]
        return Err(DecodeError::protocol("session present", "is set in a refusal"));
    }
    Ok(ConnAck { session_present, reason, properties: Box::new(properties) })
}

/// What a CONNECT says it speaks.
enum Protocol {
    /// MQTT of this level.
    Mqtt(u8),
    /// MQTT 3.1 by its former name, or an offspring of it.
    MqIsdp,
    Other,
}

fn protocol(body: &mut Reader) -> Result<Protocol, DecodeError> {
    let name = body.string("protocol name")?;
    let level = body.u8("protocol version")?;
    Ok(match &*name {
        "MQTT" => Protocol::Mqtt(level),
        "MQIsdp" => Protocol::MqIsdp,
        _ => Protocol::Other,
    })
}

fn unsupported(what: &'static str, why: &'static str) -> DecodeError {
    DecodeError { reason: ReasonCode::UnsupportedProtocolVersion, what, why }
}

/// The connect flags: which fields follow. \[MQTT-3.1.2.3\]
struct ConnectFlags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    user_name: bool,
    password: bool,
}

impl ConnectFlags {
    fn read(version: Version, body: &mut Reader) -> Result<Self, DecodeError> {
        let bits = body.u8("connect flags")?;
        if bits & 0x01 != 0 {
            // [MQTT-3.1.2-3]
            return Err(DecodeError::malformed("connect flags", "has the reserved bit set"));
        }
        let will_qos =
            QoS::try_from(bits >> 3 & 0x03).map_err(|_| DecodeError::malformed("will QoS", "is 3"))?; // [MQTT-3.1.2-12]
        let will_retain = bits & 0x20 != 0;
        let will = bits & 0x04 != 0;
        if !will && (will_retain || will_qos != QoS::AtMostOnce) {
            // [MQTT-3.1.2-11, 3.1.2-13]
            return Err(DecodeError::malformed(
                "connect flags",
                "has will QoS or will retain without a will",
            ));
        }
        let (user_name, password) = (bits & 0x80 != 0, bits & 0x40 != 0);
        if version == Version::V3 && password && !user_name {
            // [MQTT-3.1.2-22 of 3.1.1]
            return Err(DecodeError::malformed("connect flags", "has a password without a user name"));
        }
        Ok(ConnectFlags {
            clean_start: bits & 0x02 != 0,
            will: will.then_some((will_qos, will_retain)),
            user_name,
            password,
        })
    }
}

fn will(version: Version, qos: QoS, retain: bool, body: &mut Reader) -> Result<Will, DecodeError> {
    let properties = match version {
        Version::V3 => WillProperties::default(),
        Version::V5 => will_properties(body)?,
    };
    let topic = body.topic("will topic")?;
    let payload = body.bytes("will payload")?;
    Ok(Will { qos, retain, topic, payload, properties })
}

fn will_properties(body: &mut Reader) -> Result<WillProperties, DecodeError> {
    let mut properties = WillProperties::default();
    let mut list = Properties::read(body)?;
    while let Some(id) = list.next_id()? {
        match id {
            PropertyId::WillDelay => properties.delay_s = Some(list.u32()?),
            PropertyId::PayloadFormat => properties.payload_format = Some(list.payload_format()?),
            PropertyId::MessageExpiry => properties.message_expiry_s = Some(list.u32()?),
            PropertyId::ContentType => properties.content_type = Some(list.string()?),
            PropertyId::ResponseTopic => properties.response_topic = Some(list.topic()?),
            PropertyId::CorrelationData => properties.correlation_data = Some(list.bytes()?),
            PropertyId::UserProperty => list.user(&mut properties.user)?,
            foreign => return Err(foreign.foreign()),
        }
    }
    Ok(properties)
}

fn connect_properties(body: &mut Reader) -> Result<ConnectProperties, DecodeError> {
    let mut properties = ConnectProperties::default();
    let mut list = Properties::read(body)?;
    while let Some(id) = list.next_id()? {
        match id {
            PropertyId::SessionExpiry => properties.session_expiry_s = Some(list.u32()?),
            PropertyId::ReceiveMaximum => properties.receive_max = Some(list.nonzero_u16()?),
            PropertyId::MaximumPacketSize => properties.packet_bytes_max = Some(list.nonzero_u32()?),
            PropertyId::TopicAliasMaximum => properties.topic_alias_max = Some(list.u16()?),
            PropertyId::RequestResponseInformation => {
                properties.request_response_information = Some(list.flag()?);
            }
            PropertyId::RequestProblemInformation => {
                properties.request_problem_information = Some(list.flag()?);
            }
            PropertyId::UserProperty => list.user(&mut properties.user)?,
            PropertyId::AuthMethod => properties.auth_method = Some(list.string()?),
            PropertyId::AuthData => properties.auth_data = Some(list.bytes()?),
            foreign => return Err(foreign.foreign()),
        }
    }
    if properties.auth_data.is_some() && properties.auth_method.is_none() {
        // [MQTT-3.1.2.11.10]
        return Err(DecodeError::protocol("authentication data", "is there without a method"));
    }
    Ok(properties)
}

fn conn_ack_properties(body: &mut Reader) -> Result<ConnAckProperties, DecodeError> {
    let mut properties = ConnAckProperties::default();
    let mut list = Properties::read(body)?;
    while let Some(id) = list.next_id()? {
        match id {
            PropertyId::SessionExpiry => properties.session_expiry_s = Some(list.u32()?),
            PropertyId::ReceiveMaximum => properties.receive_max = Some(list.nonzero_u16()?),
            // Absent is 2; the norm has no other way to say so. [MQTT-3.2.2.3.4]
            PropertyId::MaximumQoS => {
                properties.qos_max = Some(if list.flag()? { QoS::AtLeastOnce } else { QoS::AtMostOnce });
            }
            PropertyId::RetainAvailable => properties.retain_available = Some(list.flag()?),
            PropertyId::MaximumPacketSize => properties.packet_bytes_max = Some(list.nonzero_u32()?),
            PropertyId::AssignedClientId => properties.assigned_client_id = Some(list.string()?),
            PropertyId::TopicAliasMaximum => properties.topic_alias_max = Some(list.u16()?),
            PropertyId::ReasonString => properties.reason_string = Some(list.string()?),
            PropertyId::UserProperty => list.user(&mut properties.user)?,
            PropertyId::WildcardSubscriptionAvailable => {
                properties.wildcard_subscriptions_available = Some(list.flag()?);
            }
            PropertyId::SubscriptionIdsAvailable => {
                properties.subscription_ids_available = Some(list.flag()?);
            }
            PropertyId::SharedSubscriptionAvailable => {
                properties.shared_subscriptions_available = Some(list.flag()?);
            }
            PropertyId::ServerKeepAlive => properties.server_keep_alive_s = Some(list.u16()?),
            PropertyId::ResponseInformation => properties.response_information = Some(list.string()?),
            PropertyId::ServerReference => properties.server_reference = Some(list.string()?),
            PropertyId::AuthMethod => properties.auth_method = Some(list.string()?),
            PropertyId::AuthData => properties.auth_data = Some(list.bytes()?),
            foreign => return Err(foreign.foreign()),
        }
    }
    Ok(properties)
}
