//! What each life received: first copies, resends, and further copies.

use super::{LifeNo, Model, Place};
use broker_core::ids::ConnId;
use sim::history::{ClientNo, Packet, Publish, Qos, Tag, What};
use std::collections::{BTreeMap, BTreeSet};

/// One PUBLISH that a client processed.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// Where.
    pub place: Place,
    /// On which connection.
    pub conn: ConnId,
    /// By which client of the scenario.
    pub client: ClientNo,
    /// The packet.
    pub publish: &'a Publish,
    /// The message; `None` for an empty payload.
    pub tag: Option<Tag>,
    /// What kind of copy.
    pub copy: Copy,
    /// Whether it may be a retained message, sent because of a SUBSCRIBE: RETAIN is set.
    pub retained: bool,
}

/// What a PUBLISH is to the life that receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The first of its message, of its kind (live or retained).
    First,
    /// A resend of an exchange that the life had begun: same identifier, same message, QoS 1 or 2, the exchange not seen
    /// to end.
    Resend {
        /// Where the exchange began.
        of: Place,
    },
    /// A further copy of a message that the life had: neither the first nor a resend.
    Further {
        /// Where the first was.
        of: Place,
    },
}

impl Delivery<'_> {
    /// Whether a broker's sending of it began an exchange.
    pub fn begins(&self) -> bool {
        !matches!(self.copy, Copy::Resend { .. })
    }
}

impl<'a> Model<'a> {
    /// What a life received.
    pub fn deliveries_of(&self, life: LifeNo) -> &[Delivery<'a>] {
        &self.deliveries[life.0]
    }
}

pub(super) fn read<'a>(model: &Model<'a>) -> Vec<Vec<Delivery<'a>>> {
    model.lives.iter().map(|life| read_life(model, &life.conns)).collect()
}

/// An exchange that the broker began with a client.
struct Exchange {
    tag: Option<Tag>,
    place: Place,
    /// Whether the client's last word was sent, and on which connection: on another one a resend is still right.
    over_on: Option<ConnId>,
}

fn read_life<'a>(model: &Model<'a>, conns: &[ConnId]) -> Vec<Delivery<'a>> {
    let mut places: Vec<Place> =
        conns.iter().flat_map(|conn| model.conns[conn].places.iter().copied()).collect();
    places.sort_unstable();
    let mut deliveries = Vec::new();
    let mut firsts: BTreeMap<(Tag, bool), Place> = BTreeMap::new();
    let mut exchanges: BTreeMap<u16, Exchange> = BTreeMap::new();
    let mut seen_on: BTreeSet<(ConnId, u16, Option<Tag>)> = BTreeSet::new();
    for place in places {
        match &model.record(place).what {
            // What a node tells of itself nobody published.
            What::Received { packet: Packet::Publish(publish), .. } if publish.is_report() => {}
            What::Received { client, conn, packet: Packet::Publish(publish) } => {
                let tag = publish.tag();
                let first = tag.map(|tag| *firsts.entry((tag, publish.retain)).or_insert(place));
                let open = exchanges.get(&publish.id).filter(|_| publish.qos != Qos::AtMostOnce);
                // A resend is what a new connection calls for, or what DUP says it is.
                let resend = open.filter(|exchange| {
                    let elsewhere = !seen_on.contains(&(*conn, publish.id, tag));
                    exchange.tag == tag && (elsewhere || publish.dup) && exchange.over_on != Some(*conn)
                });
                let copy = match (resend, first) {
                    (Some(exchange), _) => Copy::Resend { of: exchange.place },
                    (None, Some(first)) if first != place => Copy::Further { of: first },
                    _ => Copy::First,
                };
                if publish.qos != Qos::AtMostOnce {
                    let began = match copy {
                        Copy::Resend { of } => of,
                        Copy::First | Copy::Further { .. } => place,
                    };
                    exchanges.insert(publish.id, Exchange { tag, place: began, over_on: None });
                    seen_on.insert((*conn, publish.id, tag));
                }
                let (conn, client, retained) = (*conn, *client, publish.retain);
                deliveries.push(Delivery { place, conn, client, publish, tag, copy, retained });
            }
            What::Sent { conn, packet: Packet::PubAck(ack) | Packet::PubComp(ack), .. } => {
                if let Some(exchange) = exchanges.get_mut(&ack.id) {
                    exchange.over_on = Some(*conn);
                }
            }
            _ => {}
        }
    }
    deliveries
}
