//! What the shard of a session holds of it.

use super::entry::{Attachment, Will};
use super::peer::PeerOp;
use super::shard_set::ShardSet;
use super::stream::GatewayId;
use crate::base::ids::{Epoch, Incarnation};
use crate::base::time::{Duration, WallTime};
use crate::codec::packet::SubscriptionOptions;
use crate::topic::TopicFilter;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The session expiry that never comes. \[MQTT-3.1.2-23\]
pub const NEVER_S: u32 = u32::MAX;

/// One subscription of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Granted QoS, No Local, Retain As Published, Retain Handling.
    pub options: SubscriptionOptions,
    /// The subscription identifier.
    pub id: Option<u32>,
}

/// A session. Its messages are where their topics are: see [`Participant`](super::Participant).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Whose.
    pub client_id: ByteString,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Its latest attach.
    pub epoch: Epoch,
    /// Created with an expiry: its messages and QoS 2 identifiers are held by shards. A clean session has them at its gateway.
    pub durable: bool,
    /// Where it is connected, if it is.
    pub gateway: Option<GatewayId>,
    /// Seconds it outlives its connection.
    pub expiry_s: u32,
    /// When it ends, while it has no connection.
    pub expires_at: Option<WallTime>,
    /// The will of the last connection, until it is sent or deleted.
    pub will: Option<Will>,
    /// When the will is due, while there is no connection.
    pub will_due: Option<WallTime>,
    /// The most unacknowledged messages its client takes at a time.
    pub window: u16,
    /// Its subscriptions; of a clean session the shared ones only.
    pub subscriptions: BTreeMap<TopicFilter, Subscription>,
    /// The shards in which a subscription that it has or had can match: each may have a queue for it.
    pub consuming: ShardSet,
    /// The shards to which its QoS 2 publishes may have gone: each may hold packet identifiers of it.
    pub touched: ShardSet,
}

impl SessionRecord {
    /// The current attachment.
    pub fn attachment(&self) -> Attachment {
        Attachment { incarnation: self.incarnation, epoch: self.epoch }
    }

    /// The shards that may hold something of it.
    pub(super) fn reached(&self) -> ShardSet {
        self.consuming.union(self.touched)
    }

    /// Whether something counts from the end of the connection that it has: a session expiry, or the delay of a will.
    pub(super) fn is_timed(&self) -> bool {
        let delayed = self.will.as_ref().is_some_and(|will| will.delay_s > 0);
        self.gateway.is_some() && self.expiry_s > 0 && (self.expiry_s != NEVER_S || delayed)
    }

    /// Starts the clock of the session's expiry, and of its will.
    pub(super) fn detach(&mut self, closed_at: WallTime) {
        self.gateway = None;
        self.expires_at = match self.expiry_s {
            NEVER_S => None,
            seconds => Some(closed_at + Duration::from_secs(u64::from(seconds))),
        };
        self.will_due = self.will.as_ref().map(|will| {
            let due = closed_at + Duration::from_secs(u64::from(will.delay_s));
            self.expires_at.map_or(due, |end| end.min(due))
        });
    }

    /// What a shard must know before it can hold something of it.
    pub(super) fn bind(&self) -> PeerOp {
        PeerOp::Bind {
            attachment: self.attachment(),
            client_id: self.client_id.clone(),
            window: self.window,
            gateway: self.gateway,
        }
    }
}
