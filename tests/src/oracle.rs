//! Two other codecs, asked for their opinion. They are wrong often enough; what counts is that each difference is one
//! that is known and decided.

use broker_core::codec::Version;
use bytes::{Bytes, BytesMut};
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Another codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// The crate mqttbytes.
    MqttBytes,
    /// The crate mqtt-proto.
    MqttProto,
}

impl Oracle {
    /// What it makes of `bytes`: the packet as it writes it, or the name of its error; "panic" if it panics.
    pub fn ask(self, version: Version, bytes: &[u8]) -> Result<Bytes, String> {
        without_panicking(|| match (self, version) {
            (Oracle::MqttBytes, Version::V3) => mqttbytes_v3(bytes),
            (Oracle::MqttBytes, Version::V5) => mqttbytes_v5(bytes),
            (Oracle::MqttProto, Version::V3) => mqtt_proto_v3(bytes),
            (Oracle::MqttProto, Version::V5) => mqtt_proto_v5(bytes),
        })
    }
}

fn mqttbytes_v3(bytes: &[u8]) -> Result<Bytes, String> {
    use mqttbytes::v4::{Packet, read};
    let mut out = BytesMut::new();
    match read(&mut BytesMut::from(bytes), usize::MAX).map_err(|error| name(&error))? {
        Packet::Connect(packet) => packet.write(&mut out),
        Packet::ConnAck(packet) => packet.write(&mut out),
        Packet::Publish(packet) => packet.write(&mut out),
        Packet::PubAck(packet) => packet.write(&mut out),
        Packet::PubRec(packet) => packet.write(&mut out),
        Packet::PubRel(packet) => packet.write(&mut out),
        Packet::PubComp(packet) => packet.write(&mut out),
        Packet::Subscribe(packet) => packet.write(&mut out),
        Packet::SubAck(packet) => packet.write(&mut out),
        Packet::Unsubscribe(packet) => packet.write(&mut out),
        Packet::UnsubAck(packet) => packet.write(&mut out),
        Packet::PingReq => mqttbytes::v4::PingReq.write(&mut out),
        Packet::PingResp => mqttbytes::v4::PingResp.write(&mut out),
        Packet::Disconnect => mqttbytes::v4::Disconnect.write(&mut out),
    }
    .map_err(|error| format!("writing: {}", name(&error)))?;
    Ok(out.freeze())
}

fn mqttbytes_v5(bytes: &[u8]) -> Result<Bytes, String> {
    use mqttbytes::v5::{Packet, read};
    let mut out = BytesMut::new();
    match read(&mut BytesMut::from(bytes), usize::MAX).map_err(|error| name(&error))? {
        Packet::Connect(packet) => packet.write(&mut out),
        Packet::ConnAck(packet) => packet.write(&mut out),
        Packet::Publish(packet) => packet.write(&mut out),
        Packet::PubAck(packet) => packet.write(&mut out),
        Packet::PubRec(packet) => packet.write(&mut out),
        Packet::PubRel(packet) => packet.write(&mut out),
        Packet::PubComp(packet) => packet.write(&mut out),
        Packet::Subscribe(packet) => packet.write(&mut out),
        Packet::SubAck(packet) => packet.write(&mut out),
        Packet::Unsubscribe(packet) => packet.write(&mut out),
        Packet::UnsubAck(packet) => packet.write(&mut out),
        Packet::PingReq => mqttbytes::v5::PingReq.write(&mut out),
        Packet::PingResp => mqttbytes::v5::PingResp.write(&mut out),
        Packet::Disconnect(packet) => packet.write(&mut out),
    }
    .map_err(|error| format!("writing: {}", name(&error)))?;
    Ok(out.freeze())
}

fn mqtt_proto_v3(bytes: &[u8]) -> Result<Bytes, String> {
    let packet = mqtt_proto::v3::Packet::decode(bytes).map_err(|error| name(&error))?;
    let packet = packet.ok_or("Incomplete")?;
    let bytes = packet.encode().map_err(|error| format!("writing: {}", name(&error)))?;
    Ok(Bytes::copy_from_slice(bytes.as_ref()))
}

fn mqtt_proto_v5(bytes: &[u8]) -> Result<Bytes, String> {
    use mqtt_proto::v5::ErrorV5;
    let packet = mqtt_proto::v5::Packet::decode(bytes).map_err(|error| match error {
        ErrorV5::Common(error) => name(&error),
        error => name(&error),
    })?;
    let packet = packet.ok_or("Incomplete")?;
    let bytes = packet.encode().map_err(|error| format!("writing: {}", name(&error)))?;
    Ok(Bytes::copy_from_slice(bytes.as_ref()))
}

/// The name of an error's variant, without its fields.
fn name(error: &dyn std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `ask`; a panic in it is an answer, and is not printed.
fn without_panicking(ask: impl FnOnce() -> Result<Bytes, String>) -> Result<Bytes, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let answer = panic::catch_unwind(AssertUnwindSafe(ask));
    QUIET.set(false);
    answer.unwrap_or_else(|_| Err("panic".to_owned()))
}
