//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK. \[MQTT-3.8 to 3.11\]

use crate::codec::packet::{
    SubAck, Subscribe, SubscribeProperties, SubscriptionOptions, UnsubAck, Unsubscribe, UserProperties,
    Version,
};
use crate::codec::property::PropertyId;
use crate::codec::write::{PropertyList, Sink};

pub(super) fn subscribe<S: Sink>(version: Version, subscribe: &Subscribe, sink: &mut S) {
    sink.u16(subscribe.id.get());
    if version == Version::V5 {
        sink.properties(&subscribe.properties);
    }
    for wanted in &subscribe.filters {
        sink.bytes(wanted.filter.as_bytes());
        sink.u8(options(version, wanted.options));
    }
}

pub(super) fn sub_ack<S: Sink>(version: Version, ack: &SubAck, sink: &mut S) {
    sink.u16(ack.id.get());
    if version == Version::V5 {
        sink.properties(&ack.properties);
    }
    for reason in &ack.reasons {
        sink.u8(match version {
            Version::V3 => reason.suback_v3(),
            Version::V5 => reason.code(),
        });
    }
}

pub(super) fn unsubscribe<S: Sink>(version: Version, unsubscribe: &Unsubscribe, sink: &mut S) {
    sink.u16(unsubscribe.id.get());
    if version == Version::V5 {
        sink.properties(&unsubscribe.user);
    }
    for filter in &unsubscribe.filters {
        sink.bytes(filter.as_bytes());
    }
}

pub(super) fn unsub_ack<S: Sink>(version: Version, ack: &UnsubAck, sink: &mut S) {
    sink.u16(ack.id.get());
    if version == Version::V5 {
        sink.properties(&ack.properties);
        for reason in &ack.reasons {
            sink.u8(reason.code());
        }
    }
}

fn options(version: Version, options: SubscriptionOptions) -> u8 {
    let qos = options.qos as u8;
    match version {
        Version::V3 => qos,
        Version::V5 => {
            qos | u8::from(options.no_local) << 2
                | u8::from(options.retain_as_published) << 3
                | (options.retain_handling as u8) << 4
        }
    }
}

impl PropertyList for SubscribeProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        if let Some(id) = self.subscription_id {
            sink.property_varint(PropertyId::SubscriptionId, id);
        }
        sink.property_user(&self.user);
    }
}

impl PropertyList for UserProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.property_user(self);
    }
}
