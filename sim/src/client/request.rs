//! SUBSCRIBE and UNSUBSCRIBE as a client wants them, whatever packet identifier they get.

use crate::history::{Packet, Subscribe, Subscription, Unsubscribe, Version};
use crate::scenario::StepId;
use bytestring::ByteString;

/// A request that is repeated until it is answered.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) step: Option<StepId>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// SUBSCRIBE.
    Subscribe { filters: Vec<Subscription>, subscription_id: Option<u32> },
    /// UNSUBSCRIBE.
    Unsubscribe { filters: Vec<ByteString> },
}

impl Kind {
    /// SUBSCRIBE as `version` can say it: 3.1.1 has no options and no identifiers.
    pub(super) fn subscribe(
        version: Version,
        filters: &[Subscription],
        subscription_id: Option<u32>,
    ) -> Self {
        match version {
            Version::V5 => Kind::Subscribe { filters: filters.to_vec(), subscription_id },
            Version::V311 => {
                let plain = filters.iter().map(|one| Subscription::plain(one.filter.clone(), one.qos));
                Kind::Subscribe { filters: plain.collect(), subscription_id: None }
            }
        }
    }
}

impl Request {
    /// The packet, with `id`.
    pub(super) fn packet(&self, id: u16) -> Packet {
        match &self.kind {
            Kind::Subscribe { filters, subscription_id } => Packet::Subscribe(Subscribe {
                id,
                filters: filters.clone(),
                subscription_id: *subscription_id,
            }),
            Kind::Unsubscribe { filters } => {
                Packet::Unsubscribe(Unsubscribe { id, filters: filters.clone() })
            }
        }
    }
}
