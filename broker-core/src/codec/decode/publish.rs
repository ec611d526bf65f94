//! PUBLISH. \[MQTT-3.3\]

use crate::codec::error::DecodeError;
use crate::codec::packet::{Publish, PublishExtras, PublishProperties, QoS, Version};
use crate::codec::property::{Properties, PropertyId};
use crate::codec::read::Reader;
use bytestring::ByteString;

pub(super) fn publish(version: Version, flags: u8, body: &mut Reader) -> Result<Publish, DecodeError> {
    let dup = flags & 0b1000 != 0;
    let qos = QoS::try_from(flags >> 1 & 0b11).map_err(|_| DecodeError::malformed("QoS", "is 3"))?; // [MQTT-3.3.1-4]
    if dup && qos == QoS::AtMostOnce {
        return Err(DecodeError::malformed("DUP", "is set with QoS 0")); // [MQTT-3.3.1-2]
    }
    let topic = topic(version, body)?;
    let id = (qos != QoS::AtMostOnce).then(|| body.packet_id()).transpose()?;
    let properties = match version {
        Version::V3 => PublishProperties::default(),
        Version::V5 => publish_properties(body)?,
    };
    if topic.is_empty() && properties.topic_alias.is_none() {
        return Err(DecodeError::protocol("topic name", "is empty and no alias stands for it")); // [MQTT-3.3.2-8]
    }
    Ok(Publish { dup, qos, retain: flags & 0b0001 != 0, topic, id, properties, payload: body.rest() })
}

/// A topic name, or in 5.0 nothing: whether an alias stands for it is known after the properties.
fn topic(version: Version, body: &mut Reader) -> Result<ByteString, DecodeError> {
    if version == Version::V5 && body.skip_empty_string() {
        return Ok(ByteString::new());
    }
    Ok(body.topic("topic name")?.into_text())
}

fn publish_properties(body: &mut Reader) -> Result<PublishProperties, DecodeError> {
    let mut properties = PublishProperties::default();
    let mut extras = PublishExtras::default();
    let mut list = Properties::read(body)?.with_many_subscription_ids();
    while let Some(id) = list.next_id()? {
        match id {
            PropertyId::PayloadFormat => properties.payload_format = Some(list.payload_format()?),
            PropertyId::MessageExpiry => properties.message_expiry_s = Some(list.u32()?),
            PropertyId::TopicAlias => properties.topic_alias = Some(list.nonzero_u16()?), // [MQTT-3.3.2-8]
            PropertyId::UserProperty => list.user(&mut properties.user)?,
            PropertyId::SubscriptionId => properties.subscription_ids.push(list.subscription_id()?),
            PropertyId::ResponseTopic => extras.response_topic = Some(list.topic()?),
            PropertyId::CorrelationData => extras.correlation_data = Some(list.bytes()?),
            PropertyId::ContentType => extras.content_type = Some(list.string()?),
            foreign => return Err(foreign.foreign()),
        }
    }
    properties.extras = extras.boxed();
    Ok(properties)
}
