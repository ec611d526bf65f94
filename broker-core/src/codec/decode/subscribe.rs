//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK. \[MQTT-3.8 to 3.11\]

use super::reply::{ack_properties, reason_for};
use crate::codec::error::DecodeError;
use crate::codec::packet::{
    AckProperties, PacketType, QoS, RetainHandling, SubAck, Subscribe, SubscribeFilter, SubscribeProperties,
    SubscriptionOptions, UnsubAck, Unsubscribe, UserProperties, Version,
};
use crate::codec::property::{Properties, PropertyId};
use crate::codec::read::Reader;
use crate::codec::reason::ReasonCode;

/// How many filters one SUBSCRIBE or UNSUBSCRIBE may have; one more is refused with 0x97. The same holds for the
/// reasons of their answers.
pub const FILTERS_MAX: usize = 4_096;

pub(super) fn subscribe(version: Version, body: &mut Reader) -> Result<Subscribe, DecodeError> {
    let id = body.packet_id()?;
    let properties = match version {
        Version::V3 => SubscribeProperties::default(),
        Version::V5 => subscribe_properties(body)?,
    };
    let filters = many(body, "topic filter", |body| {
        let filter = body.string("topic filter")?;
        let options = options(version, body.u8("subscription options")?)?;
        if options.no_local && filter.starts_with("$share/") {
            return Err(DecodeError::protocol("no local", "is set for a shared subscription")); // [MQTT-3.8.3-4]
        }
        Ok(SubscribeFilter { filter, options })
    })?;
    Ok(Subscribe { id, properties, filters })
}

pub(super) fn sub_ack(version: Version, body: &mut Reader) -> Result<SubAck, DecodeError> {
    let id = body.packet_id()?;
    let properties = match version {
        Version::V3 => AckProperties::default(),
        Version::V5 => ack_properties(body)?,
    };
    let reasons = many(body, "reason code", |body| {
        let code = body.u8("reason code")?;
        match version {
            Version::V3 => suback_v3(code),
            Version::V5 => reason_for(PacketType::SubAck, code),
        }
    })?;
    Ok(SubAck { id, properties, reasons })
}

pub(super) fn unsubscribe(version: Version, body: &mut Reader) -> Result<Unsubscribe, DecodeError> {
    let id = body.packet_id()?;
    let user = match version {
        Version::V3 => UserProperties::new(),
        Version::V5 => user_properties(body)?,
    };
    let filters = many(body, "topic filter", |body| body.string("topic filter"))?;
    Ok(Unsubscribe { id, user, filters })
}

pub(super) fn unsub_ack(version: Version, body: &mut Reader) -> Result<UnsubAck, DecodeError> {
    let id = body.packet_id()?;
    let (properties, reasons) = match version {
        Version::V3 => (AckProperties::default(), Vec::new()),
        Version::V5 => {
            let properties = ack_properties(body)?;
            let reasons =
                many(body, "reason code", |body| reason_for(PacketType::UnsubAck, body.u8("reason code")?))?;
            (properties, reasons)
        }
    };
    Ok(UnsubAck { id, properties, reasons })
}

/// Reads one item after the other to the end of the packet: at least one. \[MQTT-3.8.3-2, 3.10.3-2\]
fn many<T>(
    body: &mut Reader,
    what: &'static str,
    mut item: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    while !body.is_empty() {
        if items.len() == FILTERS_MAX {
            let why = "is there more often than accepted";
            return Err(DecodeError { reason: ReasonCode::QuotaExceeded, what, why });
        }
        items.push(item(body)?);
    }
    if items.is_empty() {
        return Err(DecodeError::protocol(what, "is missing"));
    }
    Ok(items)
}

/// The options of a filter. \[MQTT-3.8.3.1\]
fn options(version: Version, bits: u8) -> Result<SubscriptionOptions, DecodeError> {
    let reserved = match version {
        Version::V3 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if bits & reserved != 0 {
        // [MQTT-3.8.3-5, 3.8.3-4 of 3.1.1]
        return Err(DecodeError::malformed("subscription options", "has a reserved bit set"));
    }
    Ok(SubscriptionOptions {
        qos: QoS::try_from(bits & 0b11)
            .map_err(|_| DecodeError::protocol("subscription options", "has QoS 3"))?,
        no_local: bits & 0b100 != 0,
        retain_as_published: bits & 0b1000 != 0,
        retain_handling: match bits >> 4 & 0b11 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return Err(DecodeError::protocol("subscription options", "has retain handling 3")),
        },
    })
}

/// The return codes of 3.1.1: a QoS, or failure. \[MQTT-3.9.3-2 of 3.1.1\]
fn suback_v3(code: u8) -> Result<ReasonCode, DecodeError> {
    match code {
        0..=2 | 0x80 => ReasonCode::new(code),
        _ => None,
    }
    .ok_or(DecodeError::malformed("return code", "is unknown"))
}

fn subscribe_properties(body: &mut Reader) -> Result<SubscribeProperties, DecodeError> {
    let mut properties = SubscribeProperties::default();
    let mut list = Properties::read(body)?;
    while let Some(id) = list.next_id()? {
        match id {
            PropertyId::SubscriptionId => properties.subscription_id = Some(list.subscription_id()?),
            PropertyId::UserProperty => list.user(&mut properties.user)?,
            foreign => return Err(foreign.foreign()),
        }
    }
    Ok(properties)
}

fn user_properties(body: &mut Reader) -> Result<UserProperties, DecodeError> {
    let mut user = UserProperties::new();
    let mut list = Properties::read(body)?;
    while let Some(id) = list.next_id()? {
        match id {
            PropertyId::UserProperty => list.user(&mut user)?,
            foreign => return Err(foreign.foreign()),
        }
    }
    Ok(user)
}
