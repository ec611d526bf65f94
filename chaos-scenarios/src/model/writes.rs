//! Writes of retained messages: which were surely before which.

use super::Place;
use broker_core::ids::ConnId;
use sim::history::{ClientNo, History, Packet, Qos, Tag, What};
use std::collections::BTreeMap;

/// One write of a topic's retained message; an empty payload clears it.
#[derive(Clone, Debug)]
pub struct Write {
    /// The message; `None` for one that clears.
    pub tag: Option<Tag>,
    /// Its quality of service.
    pub qos: Qos,
    /// Message Expiry Interval in seconds.
    pub expiry_s: Option<u32>,
    /// By whom.
    pub client: ClientNo,
    /// Where and on which connections it was sent, in order. For a will: the CONNECT.
    pub sent: Vec<(Place, ConnId)>,
    /// Where it was acknowledged; never for QoS 0 and wills.
    pub acknowledged: Option<Place>,
    /// Whether it was refused with a reason code, or its sender may not be allowed to publish it.
    pub refused: bool,
    /// Whether it is a will.
    pub will: bool,
}

impl Write {
    /// Where it was sent first.
    pub fn first(&self) -> Place {
        self.sent[0].0
    }

    /// Whether it took effect for the last time before `other` did for the first.
    pub fn surely_before(&self, other: &Write) -> bool {
        if self.will {
            return false;
        }
        let answered = self.acknowledged.is_some_and(|place| place < other.first());
        // One connection is worked through in order.
        let in_line = self.client == other.client
            && self.sent.len() == 1
            && !other.will
            && self.sent[0].1 == other.sent[0].1
            && self.first() < other.first();
        answered || in_line
    }

    /// Whether it surely took effect before `place`.
    pub fn surely_done(&self, place: Place) -> bool {
        self.acknowledged.is_some_and(|done| done < place) && !self.refused
    }
}

/// Whose session a packet identifier belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
    /// That of whoever connects with this client identifier.
    Named(&'a str),
    /// The client's own: the broker makes its identifier up.
    Unnamed(ClientNo),
}

impl<'a> Owner<'a> {
    fn new(client: ClientNo, client_id: &'a str) -> Self {
        if client_id.is_empty() { Owner::Unnamed(client) } else { Owner::Named(client_id) }
    }
}

/// The writes of each topic, in the order of their first sending.
pub(super) fn read(history: &History) -> BTreeMap<&str, Vec<Write>> {
    let mut writes: BTreeMap<&str, Vec<Write>> = BTreeMap::new();
    // Clients with one identifier share a session: what one has sent, another sends again.
    let mut owners: BTreeMap<ClientNo, Owner<'_>> = BTreeMap::new();
    // What a packet identifier means: a topic and a place in its list; `None` if not a retained message.
    let mut open: BTreeMap<(Owner<'_>, u16), Option<(&str, usize)>> = BTreeMap::new();
    for (place, record) in history.records.iter().enumerate() {
        match &record.what {
            What::Sent { client, conn, packet: Packet::Connect(connect) } => {
                owners.insert(*client, Owner::new(*client, &connect.client_id));
                if let Some(will) = connect.will.as_ref().filter(|will| will.retain) {
                    writes.entry(&will.topic).or_default().push(Write {
                        tag: Tag::parse(&will.payload),
                        qos: will.qos,
                        expiry_s: will.expiry_s,
                        client: *client,
                        sent: vec![(place, *conn)],
                        acknowledged: None,
                        refused: false,
                        will: true,
                    });
                }
            }
            What::Sent { client, conn, packet: Packet::Publish(publish) } => {
                let key = (owners[client], publish.id);
                if !publish.retain {
                    open.insert(key, None);
                    continue;
                }
                let list = writes.entry(&publish.topic).or_default();
                // Two writes that clear have the same name, none: only DUP tells a resend.
                let resent = publish.id != 0 && (publish.dup || publish.tag().is_some());
                let again = open.get(&key).copied().flatten().filter(|(topic, at)| {
                    resent && *topic == &publish.topic[..] && list[*at].tag == publish.tag()
                });
                match again {
                    Some((_, at)) => list[at].sent.push((place, *conn)),
                    None => {
                        open.insert(key, Some((&publish.topic, list.len())));
                        list.push(Write {
                            tag: publish.tag(),
                            qos: publish.qos,
                            expiry_s: publish.expiry_s,
                            client: *client,
                            sent: vec![(place, *conn)],
                            acknowledged: None,
                            refused: false,
                            will: false,
                        });
                    }
                }
            }
            What::Received { client, packet: Packet::PubAck(ack) | Packet::PubRec(ack), .. } => {
                let known = open.get(&(owners[client], ack.id)).copied().flatten();
                if let Some(write) = known.and_then(|(topic, at)| writes.get_mut(topic)?.get_mut(at)) {
                    write.refused |= ack.is_error();
                    write.acknowledged.get_or_insert(place);
                }
            }
            _ => {}
        }
    }
    writes
}
