//! An application message, apart from any packet that carries it.

use crate::base::text;
use crate::base::time::{Duration, WallTime};
use crate::codec::packet::{PublishExtras, PublishProperties, QoS};
use crate::topic::TopicName;
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

/// What a user property costs beside its text.
const USER_PROPERTY_BYTES: usize = 64;

/// What a publisher published; held once, however many sessions want it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Where it was published.
    pub topic: TopicName,
    /// What was published.
    pub payload: Bytes,
    /// The QoS it was published with.
    pub qos: QoS,
    /// Whether RETAIN was set.
    pub retain: bool,
    /// What travels with it unaltered (no alias, no expiry, no subscription identifiers). \[MQTT-3.3.2-4, -15, -16, -17, -18, -20\]
    pub properties: PublishProperties,
    /// The client identifier of the publisher, for No Local.
    pub publisher: ByteString,
    /// When it expires. \[MQTT-3.3.2-5\]
    pub expires_at: Option<WallTime>,
}

impl Message {
    /// The same message in memory of its own: texts and small payloads are slices of what was read, and something that is
    /// kept must not keep a whole read buffer alive.
    #[must_use]
    pub fn owned(self) -> Self {
        let PublishProperties { user, extras, .. } = self.properties;
        let user = user.iter().map(|(name, value)| (text::own(name), text::own(value))).collect();
        let extras = extras.map(|extras| {
            Box::new(PublishExtras {
                response_topic: extras.response_topic.as_ref().map(text::own),
                correlation_data: extras.correlation_data.as_ref().map(text::own_bytes),
                content_type: extras.content_type.as_ref().map(text::own),
            })
        });
        Message {
            topic: self.topic.owned(),
            payload: text::own_bytes(&self.payload),
            properties: PublishProperties { user, extras, ..self.properties },
            ..self
        }
    }

    /// Whether its expiry interval has passed.
    pub fn is_expired(&self, now: WallTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// What is left of the expiry interval, in whole seconds, rounded up; at least 1, for one that was due is not sent
    /// and one in flight cannot carry less. \[MQTT-3.3.2-6\]
    pub fn expiry_left_s(&self, now: WallTime) -> Option<u32> {
        let left = self.expires_at?.saturating_since(now).as_millis().div_ceil(1_000);
        Some(u32::try_from(left).unwrap_or(u32::MAX).max(1))
    }

    /// The memory it is counted with, in bytes: topic, payload and what else it carries. A user property of five bytes
    /// costs many more to hold, so each is counted with those.
    pub fn size(&self) -> u64 {
        let properties = &self.properties;
        let user = properties.user.iter().map(|(name, value)| name.len() + value.len() + USER_PROPERTY_BYTES);
        let extras = properties.extras.as_ref().map_or(0, |extras| {
            let texts = [&extras.response_topic, &extras.content_type];
            let data = extras.correlation_data.as_ref().map_or(0, Bytes::len);
            texts.into_iter().flatten().map(|text| text.len()).sum::<usize>() + data
        });
        (self.topic.as_str().len() + self.payload.len() + user.sum::<usize>() + extras) as u64
    }
}

/// The time at which something with an expiry interval of `seconds`, received at `now`, expires.
pub fn expires_at(now: WallTime, seconds: Option<u32>) -> Option<WallTime> {
    seconds.map(|seconds| now + Duration::from_secs(u64::from(seconds)))
}
