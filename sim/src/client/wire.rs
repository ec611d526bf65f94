//! The codec of simulated clients.
//!
//! It is not the broker's: mqttbytes speaks for 3.1.1 and mqtt-proto for 5.0, so that the two ends of a link do not
//! share a mistake. Frames are cut here, so that neither crate sees a length before its bytes. mqtt-proto refuses a
//! PUBLISH with several subscription identifiers, which the norm allows: they are taken out before it reads the rest.

mod subscription_ids;
mod v3;
mod v5;

use crate::history::{Packet, Version};
use bytes::{Buf, Bytes, BytesMut};

/// Writes `packet`.
///
/// # Panics
/// If the packet cannot be said in this version or is no packet ([`Packet::Garbage`]): clients build their own.
pub(crate) fn encode(version: Version, packet: &Packet, user_name: &str) -> Bytes {
    match version {
        Version::V311 => v3::encode(packet, user_name),
        Version::V5 => v5::encode(packet, user_name),
    }
}

/// Cuts a stream into packets.
#[derive(Debug)]
pub(crate) struct Reader {
    version: Version,
    buffer: BytesMut,
}

impl Reader {
    pub(crate) fn new(version: Version) -> Self {
        Reader { version, buffer: BytesMut::new() }
    }

    /// Takes what arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet.
    ///
    /// # Errors
    /// The codec's words, if the bytes are no packet that a broker may send.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, String> {
        let Some(len) = frame_len(&self.buffer)? else {
            return Ok(None);
        };
        if self.buffer.len() < len {
            return Ok(None);
        }
        let frame = self.buffer.split_to(len).freeze();
        match self.version {
            Version::V311 => v3::decode(&frame),
            Version::V5 => v5::decode(&frame),
        }
        .map(Some)
    }
}

/// The length of the frame at the head of `bytes`, if its head is there. \[MQTT-1.5.5\]
fn frame_len(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut rest = bytes.get(1..).unwrap_or_default();
    let mut remaining = 0_usize;
    for place in 0..4 {
        if !rest.has_remaining() {
            return Ok(None);
        }
        let byte = rest.get_u8();
        remaining |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some(2 + place + remaining));
        }
    }
    Err("a remaining length of more than four bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Reader, encode};
    use crate::history::{
        Ack, Connect, Disconnect, Packet, Publish, Qos, Subscribe, Subscription, Unsubscribe, Version, Will,
    };

    fn samples(version: Version) -> Vec<Packet> {
        let v5 = version == Version::V5;
        let will = Will {
            topic: "w".into(),
            payload: "gone".into(),
            qos: Qos::AtLeastOnce,
            retain: true,
            delay_s: if v5 { 3 } else { 0 },
            expiry_s: v5.then_some(9),
        };
        vec![
            Packet::Connect(Connect {
                version,
                client_id: "x".into(),
                clean_start: false,
                session_expiry_s: if v5 { 60 } else { u32::MAX },
                keep_alive_s: 7,
                receive_max: if v5 { 5 } else { u16::MAX },
                packet_bytes_max: v5.then_some(1_000),
                topic_alias_max: if v5 { 4 } else { 0 },
                will: Some(will),
            }),
            Packet::Publish(Publish {
                dup: true,
                qos: Qos::ExactlyOnce,
                retain: true,
                topic: "a/b".into(),
                id: 9,
                payload: "p1.2".into(),
                expiry_s: v5.then_some(4),
                alias: v5.then_some(2),
                topic_on_wire: true,
                user_properties: if v5 { vec![("k".into(), "v".into())] } else { Vec::new() },
                ..Publish::default()
            }),
            Packet::PubAck(Ack::ok(1)),
            Packet::PubRec(Ack { id: 2, reason: if v5 { 0x83 } else { 0 } }),
            Packet::PubRel(Ack::ok(3)),
            Packet::PubComp(Ack::ok(4)),
            Packet::Subscribe(Subscribe {
                id: 5,
                filters: vec![
                    Subscription::plain("a/#", Qos::AtMostOnce),
                    Subscription { no_local: v5, ..Subscription::plain("$share/g/+", Qos::ExactlyOnce) },
                ],
                subscription_id: v5.then_some(300),
            }),
            Packet::Unsubscribe(Unsubscribe { id: 6, filters: vec!["a".into(), "b/+".into()] }),
            Packet::PingReq,
            Packet::Disconnect(Disconnect {
                reason: if v5 { 4 } else { 0 },
                session_expiry_s: v5.then_some(8),
            }),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_byte_by_byte() {
        for version in [Version::V311, Version::V5] {
            let mut reader = Reader::new(version);
            for packet in samples(version) {
                let bytes = encode(version, &packet, "me");
                let (last, head) = bytes.split_last().expect("no packet is empty");
                for byte in head {
                    reader.push(&[*byte]);
                    assert_eq!(reader.next(), Ok(None));
                }
                reader.push(&[*last]);
                assert_eq!(reader.next(), Ok(Some(packet)));
            }
        }
    }

    #[test]
    fn several_subscription_identifiers_are_all_read() {
        let mut reader = Reader::new(Version::V5);
        reader.push(&[0x30, 0x0d, 0, 1, 0x61, 6, 0x0b, 1, 0x0b, 2, 0x0b, 3, 0x70, 0x61, 0x79]);
        let Ok(Some(Packet::Publish(publish))) = reader.next() else {
            panic!("a PUBLISH was sent");
        };
        assert_eq!(publish.subscription_ids, [1, 2, 3]);
        assert_eq!(&publish.payload[..], b"pay");
    }

    #[test]
    fn an_endless_length_is_an_error() {
        let mut reader = Reader::new(Version::V5);
        reader.push(&[0x30, 0xff, 0xff, 0xff, 0xff, 1]);
        assert!(reader.next().is_err());
    }
}
