//! One client that is connected: what its connection remembers.

use super::alias;
use super::behind::Behind;
use super::feed::Feeds;
use super::hub::Heard;
use super::intent::Intent;
use super::window::Window;
use crate::auth::Permissions;
use crate::base::ids::PacketId;
use crate::base::time::{Duration, Instant};
use crate::codec::packet::{QoS, Version};
use crate::message::Message;
use crate::shard::{Attachment, SentUpto};
use crate::topic::TopicFilter;
use bytestring::ByteString;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// What the client said it takes.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Unacknowledged QoS 1 and 2 messages towards it. \[MQTT-3.3.4-9\]
    pub receive_max: u16,
    /// Topic aliases.
    pub topic_alias_max: u16,
    /// Whether it wants reason strings with packets other than CONNACK and DISCONNECT. \[MQTT-3.1.2-29\]
    pub problem_information: bool,
}

/// A message that waits for its turn in a clean session.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What.
    pub message: Rc<Message>,
    /// The QoS to deliver with.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// Subscription identifiers to send.
    pub subscription_ids: Vec<u32>,
}

/// A connected client.
#[derive(Debug)]
pub struct Link {
    /// Its client identifier.
    pub client_id: ByteString,
    /// Its session.
    pub session: Attachment,
    /// Whether its session outlives the connection.
    pub durable: bool,
    /// The session expiry in force, seconds.
    pub expiry_s: u32,
    pub(super) version: Version,
    pub(super) permissions: Arc<Permissions>,
    /// How long it may be silent.
    pub(super) silence_max: Option<Duration>,
    pub(super) last_heard: Instant,
    pub(super) limits: ClientLimits,
    pub(super) aliases_in: alias::Incoming,
    pub(super) aliases_out: alias::Outgoing,
    /// QoS 2 publishes of a clean session that were received and not released.
    pub(super) inbound: BTreeSet<PacketId>,
    /// QoS 1 and 2 publishes that were received and not answered to the end. \[MQTT-4.9.0-2\]
    pub(super) unanswered: u32,
    /// Publishes, and what follows them, that wait for the log.
    pub(super) uncommitted: u32,
    /// Subscriptions of a clean session, without shared ones.
    pub(super) subscriptions: BTreeMap<TopicFilter, Heard>,
    pub(super) local: Window,
    pub(super) local_queue: VecDeque<Delivery>,
    /// Of what is in it, and of what is behind.
    pub(super) local_queue_bytes: u64,
    pub(super) behind: Behind,
    /// From the shards that have a queue for it: of every durable session, and of a clean one with a shared subscription.
    pub(super) feeds: Feeds,
}

impl Link {
    /// How many more QoS 1 and 2 messages may be sent now.
    pub(super) fn quota(&self) -> u16 {
        self.limits.receive_max.saturating_sub(self.local.open() + self.feeds.open())
    }

    /// Whether the next message of a clean session's own queue may be sent as far as the client is concerned.
    pub(super) fn local_may_go(&self) -> bool {
        self.quota() > 0 && self.local.has_room()
    }

    /// The steps that the feeds have gathered, to be proposed.
    pub(super) fn take_progress(&mut self) -> impl Iterator<Item = Intent> {
        let session = self.session;
        let feeds = self.feeds.iter_mut().filter(|feed| !feed.progress.is_empty());
        feeds.map(move |feed| {
            let (shard, steps) = (feed.shard, std::mem::take(&mut feed.progress));
            Intent::Progress { session, shard, receipt: None, steps }
        })
    }

    /// How far the shards' queues were sent, for `Detach`.
    pub(super) fn sent(&self) -> SentUpto {
        self.feeds.iter().map(|feed| (feed.shard, feed.window.next())).collect()
    }

    /// How much progress is written down at once, at the latest.
    pub(super) fn progress_max(&self) -> usize {
        usize::from(self.limits.receive_max / 2) + 8
    }
}
