//! Writing the norm's data types, to a buffer or to a counter: one description of each packet gives its bytes and its
//! length, which so cannot disagree. \[MQTT-1.5\]

use super::packet::UserProperties;
use super::property::PropertyId;
use super::read::VARINT_MAX;
use bytes::BytesMut;

/// Takes bytes.
pub(super) trait Sink: Sized {
    fn slice(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.slice(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.slice(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.slice(&value.to_be_bytes());
    }

    /// # Panics
    /// If `value` is more than 268,435,455: the packet is larger than its writer should have let it become.
    fn varint(&mut self, value: usize) {
        assert!(value <= VARINT_MAX as usize, "{value} is no variable byte integer");
        let mut left = value;
        while left > 0x7F {
            self.u8((left & 0x7F) as u8 | 0x80);
            left >>= 7;
        }
        self.u8(left as u8);
    }

    /// Text or binary data behind its length.
    ///
    /// # Panics
    /// If there are more than 65,535 bytes.
    fn bytes(&mut self, bytes: &[u8]) {
        self.u16(u16::try_from(bytes.len()).expect("texts and binary data have at most 65,535 bytes"));
        self.slice(bytes);
    }

    /// A list of properties behind its length.
    fn properties(&mut self, list: &impl PropertyList) {
        let mut count = Count(0);
        list.write(&mut count);
        self.varint(count.0);
        list.write(self);
    }

    fn property_u8(&mut self, id: PropertyId, value: Option<u8>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.u8(value);
        }
    }

    fn property_u16(&mut self, id: PropertyId, value: Option<u16>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.u16(value);
        }
    }

    fn property_u32(&mut self, id: PropertyId, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.u32(value);
        }
    }

    fn property_varint(&mut self, id: PropertyId, value: u32) {
        self.u8(id as u8);
        self.varint(value as usize);
    }

    fn property_bytes(&mut self, id: PropertyId, value: Option<impl AsRef<[u8]>>) {
        if let Some(value) = value {
            self.u8(id as u8);
            self.bytes(value.as_ref());
        }
    }

    fn property_user(&mut self, user: &UserProperties) {
        for (name, value) in user {
            self.u8(PropertyId::UserProperty as u8);
            self.bytes(name.as_bytes());
            self.bytes(value.as_bytes());
        }
    }
}

impl Sink for BytesMut {
    fn slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts the bytes it is given.
pub(super) struct Count(pub(super) usize);

impl Sink for Count {
    fn slice(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// The properties of one packet.
pub(super) trait PropertyList {
    fn write<S: Sink>(&self, sink: &mut S);

    fn is_empty(&self) -> bool {
        let mut count = Count(0);
        self.write(&mut count);
        count.0 == 0
    }
}
