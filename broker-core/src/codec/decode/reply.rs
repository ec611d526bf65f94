//! PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT and AUTH: a reason, and why. \[MQTT-3.4 to 3.7, 3.14, 3.15\]

use crate::codec::error::DecodeError;
use crate::codec::packet::{
    Ack, AckProperties, Auth, AuthProperties, Disconnect, DisconnectProperties, PacketType, Version,
};
use crate::codec::property::{Properties, PropertyId};
use crate::codec::read::Reader;
use crate::codec::reason::ReasonCode;

pub(super) fn ack(version: Version, packet: PacketType, body: &mut Reader) -> Result<Ack, DecodeError> {
    let id = body.packet_id()?;
    let reason = match version {
        Version::V3 => ReasonCode::Success,
        Version::V5 => optional_reason(packet, body)?,
    };
    Ok(Ack { id, reason, properties: optional(version, body, ack_properties)? })
}

pub(super) fn disconnect(version: Version, body: &mut Reader) -> Result<Disconnect, DecodeError> {
    let reason = match version {
        Version::V3 => ReasonCode::NORMAL_DISCONNECTION,
        Version::V5 => optional_reason(PacketType::Disconnect, body)?,
    };
    Ok(Disconnect { reason, properties: optional(version, body, disconnect_properties)? })
}

pub(super) fn auth(version: Version, body: &mut Reader) -> Result<Auth, DecodeError> {
    if version == Version::V3 {
        return Err(DecodeError::malformed("packet type", "is 15, which 3.1.1 reserves"));
    }
    if body.is_empty() {
        return Ok(Auth { reason: ReasonCode::Success, properties: AuthProperties::default() });
    }
    let reason = reason_for(PacketType::Auth, body.u8("reason code")?)?;
    let properties = auth_properties(body)?;
    // [MQTT-3.15.2.2.2] demands the method, 3.15.2.1 lets everything be left out of a plain success.
    let plain = reason == ReasonCode::Success && properties == AuthProperties::default();
    if properties.method.is_none() && !plain {
        return Err(DecodeError::protocol("authentication method", "is missing"));
    }
    Ok(Auth { reason, properties })
}

/// The reason `code`, if a packet of this type may have it.
pub(super) fn reason_for(packet: PacketType, code: u8) -> Result<ReasonCode, DecodeError> {
    ReasonCode::new(code)
        .filter(|reason| reason.belongs_to(packet))
        .ok_or(DecodeError::malformed("reason code", "is not one of this packet's"))
}

/// The properties of every acknowledgement.
pub(super) fn ack_properties(body: &mut Reader) -> Result<AckProperties, DecodeError> {
    let mut properties = AckProperties::default();
    let mut list = Properties::read(body)?;
    while let Some(id) = list.next_id()? {
        match id {
            PropertyId::ReasonString => properties.reason_string = Some(list.string()?),
            PropertyId::UserProperty => list.user(&mut properties.user)?,
            foreign => return Err(foreign.foreign()),
        }
    }
    Ok(properties)
}

/// A reason that is success where it is left out. \[MQTT-3.4.2.1, 3.14.2.1\]
fn optional_reason(packet: PacketType, body: &mut Reader) -> Result<ReasonCode, DecodeError> {
    if body.is_empty() {
        return Ok(ReasonCode::Success);
    }
    reason_for(packet, body.u8("reason code")?)
}

/// Properties that may be left out, their length too. \[MQTT-3.4.2.2.1, 3.14.2.2.1\]
fn optional<T: Default>(
    version: Version,
    body: &mut Reader,
    read: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    if version == Version::V3 || body.is_empty() { Ok(T::default()) } else { read(body) }
}

fn disconnect_properties(body: &mut Reader) -> Result<DisconnectProperties, DecodeError> {
    let mut properties = DisconnectProperties::default();
    let mut list = Properties::read(body)?;
    while let Some(id) = list.next_id()? {
        match id {
            PropertyId::SessionExpiry => properties.session_expiry_s = Some(list.u32()?),
            PropertyId::ReasonString => properties.reason_string = Some(list.string()?),
            PropertyId::UserProperty => list.user(&mut properties.user)?,
            PropertyId::ServerReference => properties.server_reference = Some(list.string()?),
            foreign => return Err(foreign.foreign()),
        }
    }
    Ok(properties)
}

fn auth_properties(body: &mut Reader) -> Result<AuthProperties, DecodeError> {
    let mut properties = AuthProperties::default();
    let mut list = Properties::read(body)?;
    while let Some(id) = list.next_id()? {
        match id {
            PropertyId::AuthMethod => properties.method = Some(list.string()?),
            PropertyId::AuthData => properties.data = Some(list.bytes()?),
            PropertyId::ReasonString => properties.reason_string = Some(list.string()?),
            PropertyId::UserProperty => list.user(&mut properties.user)?,
            foreign => return Err(foreign.foreign()),
        }
    }
    Ok(properties)
}
