//! PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT and AUTH. \[MQTT-3.4 to 3.7, 3.14, 3.15\]

use crate::codec::packet::{
    Ack, AckProperties, Auth, AuthProperties, Disconnect, DisconnectProperties, Version,
};
use crate::codec::property::PropertyId;
use crate::codec::reason::ReasonCode;
use crate::codec::write::{PropertyList, Sink};

pub(super) fn ack<S: Sink>(version: Version, ack: &Ack, sink: &mut S) {
    sink.u16(ack.id.get());
    if version == Version::V5 {
        optional(ack.reason, &ack.properties, sink);
    }
}

pub(super) fn disconnect<S: Sink>(version: Version, disconnect: &Disconnect, sink: &mut S) {
    if version == Version::V5 {
        optional(disconnect.reason, &disconnect.properties, sink);
    }
}

pub(super) fn auth<S: Sink>(version: Version, auth: &Auth, sink: &mut S) {
    assert_eq!(version, Version::V5, "3.1.1 has no AUTH");
    if auth.reason != ReasonCode::Success || !PropertyList::is_empty(&auth.properties) {
        sink.u8(auth.reason.code());
        sink.properties(&auth.properties);
    }
}

/// Reason and properties, in the shortest form that says them. \[MQTT-3.4.2.1, 3.14.2.1\]
fn optional<S: Sink>(reason: ReasonCode, properties: &impl PropertyList, sink: &mut S) {
    match (reason, properties.is_empty()) {
        (ReasonCode::Success, true) => {}
        (reason, true) => sink.u8(reason.code()),
        (reason, false) => {
            sink.u8(reason.code());
            sink.properties(properties);
        }
    }
}

impl PropertyList for AckProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.property_bytes(PropertyId::ReasonString, self.reason_string.as_ref());
        sink.property_user(&self.user);
    }
}

impl PropertyList for DisconnectProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.property_u32(PropertyId::SessionExpiry, self.session_expiry_s);
        sink.property_bytes(PropertyId::ReasonString, self.reason_string.as_ref());
        sink.property_bytes(PropertyId::ServerReference, self.server_reference.as_ref());
        sink.property_user(&self.user);
    }
}

impl PropertyList for AuthProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.property_bytes(PropertyId::AuthMethod, self.method.as_ref());
        sink.property_bytes(PropertyId::AuthData, self.data.as_ref());
        sink.property_bytes(PropertyId::ReasonString, self.reason_string.as_ref());
        sink.property_user(&self.user);
    }
}
