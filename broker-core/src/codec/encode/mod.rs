//! From a packet to bytes.

mod connect;
mod publish;
mod reply;
mod subscribe;

pub use publish::PublishHead;

use super::packet::{AckProperties, Packet, UserProperties, Version};
use super::write::{Count, Sink};
use bytes::BytesMut;
use bytestring::ByteString;

/// Appends `packet` to `out` as `version` writes it: what 3.1.1 cannot say is left out. CONNECT is written in the
/// version it names.
///
/// # Panics
/// If the packet cannot be expressed, which its maker could have known: a text or binary data of more than 65,535
/// bytes, a body of more than 268,435,455, a PUBLISH whose packet identifier does not fit its QoS, one for 3.1.1 without
/// topic, AUTH in 3.1.1.
pub fn encode(version: Version, packet: &Packet, out: &mut BytesMut) {
    let body_bytes = body_bytes(version, packet);
    out.reserve(packet_bytes(body_bytes));
    out.u8(first_byte(version, packet));
    out.varint(body_bytes);
    body(version, packet, out);
}

/// How many bytes [`encode`] would append.
///
/// # Panics
/// As [`encode`].
pub fn encoded_len(version: Version, packet: &Packet) -> usize {
    packet_bytes(body_bytes(version, packet))
}

/// Makes `packet` fit into `bytes_max`, the receiver's Maximum Packet Size, by leaving out first the user properties and then
/// the reason string of an answer. Says whether it fits; if not, it must not be sent.
/// \[MQTT-3.1.2-24, 3.2.2-19, 3.2.2-20, 3.4.2-2, 3.4.2-3, 3.14.2-3, 3.14.2-4\]
///
/// # Panics
/// As [`encode`].
pub fn fit(version: Version, packet: &mut Packet, bytes_max: u32) -> bool {
    let fits = |packet: &Packet| encoded_len(version, packet) <= bytes_max as usize;
    if fits(packet) {
        return true;
    }
    let Some((user, _)) = expendable(packet) else { return false };
    user.clear();
    if fits(packet) {
        return true;
    }
    if let Some((_, reason_string)) = expendable(packet) {
        *reason_string = None;
    }
    fits(packet)
}

/// What an answer can do without.
fn expendable(packet: &mut Packet) -> Option<(&mut UserProperties, &mut Option<ByteString>)> {
    match packet {
        Packet::ConnAck(ack) => Some((&mut ack.properties.user, &mut ack.properties.reason_string)),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            Some(expendable_of_ack(&mut ack.properties))
        }
        Packet::SubAck(ack) => Some(expendable_of_ack(&mut ack.properties)),
        Packet::UnsubAck(ack) => Some(expendable_of_ack(&mut ack.properties)),
        Packet::Disconnect(end) => Some((&mut end.properties.user, &mut end.properties.reason_string)),
        Packet::Auth(auth) => Some((&mut auth.properties.user, &mut auth.properties.reason_string)),
        // User properties of these belong to the application.
        Packet::Connect(_) | Packet::Publish(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) => None,
        Packet::PingReq | Packet::PingResp => None,
    }
}

fn expendable_of_ack(properties: &mut AckProperties) -> (&mut UserProperties, &mut Option<ByteString>) {
    (&mut properties.user, &mut properties.reason_string)
}

/// Type and flags.
fn first_byte(version: Version, packet: &Packet) -> u8 {
    let packet_type = packet.packet_type();
    match packet {
        Packet::Publish(publish) => PublishHead::of(publish).first_byte(version),
        _ => packet_type.number() << 4 | packet_type.flags().unwrap_or_default(),
    }
}

/// The size of a packet with this body.
pub(super) fn packet_bytes(body_bytes: usize) -> usize {
    let mut head = Count(1);
    head.varint(body_bytes);
    head.0 + body_bytes
}

fn body_bytes(version: Version, packet: &Packet) -> usize {
    let mut count = Count(0);
    body(version, packet, &mut count);
    count.0
}

fn body<S: Sink>(version: Version, packet: &Packet, sink: &mut S) {
    match packet {
        Packet::Connect(connect) => connect::connect(connect, sink),
        Packet::ConnAck(ack) => connect::conn_ack(version, ack, sink),
        Packet::Publish(publish) => {
            PublishHead::of(publish).variable_header(version, sink);
            sink.slice(&publish.payload);
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            reply::ack(version, ack, sink);
        }
        Packet::Subscribe(subscribe) => subscribe::subscribe(version, subscribe, sink),
        Packet::SubAck(ack) => subscribe::sub_ack(version, ack, sink),
        Packet::Unsubscribe(unsubscribe) => subscribe::unsubscribe(version, unsubscribe, sink),
        Packet::UnsubAck(ack) => subscribe::unsub_ack(version, ack, sink),
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(disconnect) => reply::disconnect(version, disconnect, sink),
        Packet::Auth(auth) => reply::auth(version, auth, sink),
    }
}
