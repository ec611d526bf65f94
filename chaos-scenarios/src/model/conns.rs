//! Connections, as their clients saw them, with places in the history.

use super::Place;
use super::ground::Ground;
use broker_core::ids::{ConnId, NodeId};
use broker_core::time::{Duration, Instant};
use sim::history::{ClientNo, Closer, ConnAck, Connect, Disconnect, History, Packet, Version, What};
use std::collections::BTreeMap;

/// Server unavailable, Server busy: a CONNECT that a cluster had no quorum for in time.
const PUT_OFF: [u8; 2] = [0x88, 0x89];

/// Session taken over, in DISCONNECT.
pub const TAKEN_OVER: u8 = 0x8e;

/// One connection.
#[derive(Debug)]
pub struct Conn<'a> {
    /// Its number.
    pub id: ConnId,
    /// Whose.
    pub client: ClientNo,
    /// To which node.
    pub node: NodeId,
    /// Where it was opened.
    pub opened: Place,
    /// When it was opened.
    pub opened_at: Instant,
    /// CONNECT, where and when it was sent.
    pub connect: Option<(Place, Instant, &'a Connect)>,
    /// CONNACK, where and when it was processed.
    pub connack: Option<(Place, Instant, &'a ConnAck)>,
    /// DISCONNECT as the client sent it.
    pub left: Option<(Place, &'a Disconnect)>,
    /// DISCONNECT as the broker sent it.
    pub dismissed: Option<(Place, &'a Disconnect)>,
    /// Where, when and by whom it was closed.
    pub closed: Option<(Place, Instant, Closer)>,
    /// A time at which the broker surely still held the connection: when the last request that it answered was sent.
    pub alive_at: Instant,
    /// Until when its client listened to it: until it was closed, or until somebody began to take its session over.
    pub kept_until: Instant,
    /// When the last PUBLISH or PUBREL came that is not told by a node of itself.
    pub heard_at: Option<Instant>,
    /// CONNACK said that the node could not find out in time.
    pub put_off: bool,
    /// All its places, rising.
    pub places: Vec<Place>,
}

impl<'a> Conn<'a> {
    /// The MQTT client identifier, given or assigned; `None` before CONNECT, or if it was left to a broker that did not
    /// answer.
    pub fn client_id(&self) -> Option<&'a str> {
        let (_, _, connect) = self.connect?;
        if !connect.client_id.is_empty() {
            return Some(&connect.client_id);
        }
        let (_, _, connack) = self.connack?;
        connack.assigned_client_id.as_deref()
    }

    /// Where CONNACK with reason 0 was processed.
    pub fn accepted(&self) -> Option<Place> {
        self.connack.filter(|(_, _, connack)| connack.reason == 0).map(|(place, _, _)| place)
    }

    /// Whether it was accepted with Session Present.
    pub fn resumed(&self) -> bool {
        self.connack.is_some_and(|(_, _, connack)| connack.reason == 0 && connack.session_present)
    }

    /// Whether CONNECT was sent and nobody said what came of it: the answer never came, or it was that the node could not
    /// find out in time (which says nothing of whether it will yet be carried out).
    pub fn unanswered(&self) -> bool {
        self.connect.is_some() && (self.connack.is_none() || self.put_off)
    }

    /// The least and the most the session may outlive the connection, in seconds (0xFFFFFFFF is for ever): the two differ
    /// if a DISCONNECT with another interval may or may not have arrived.
    pub fn expiry_s(&self) -> (u32, u32) {
        let asked = self.connect.map_or(0, |(_, _, connect)| connect.session_expiry_s);
        let agreed = self.connack.and_then(|(_, _, connack)| connack.session_expiry_s).unwrap_or(asked);
        match self.left.and_then(|(_, left)| left.session_expiry_s) {
            Some(changed) => (agreed.min(changed), agreed.max(changed)),
            None => (agreed, agreed),
        }
    }

    /// Whether its client was told, after this place, that another connection has taken its session over.
    pub fn taken_over_after(&self, place: Place) -> bool {
        self.dismissed.is_some_and(|(told, sent)| told > place && sent.reason == TAKEN_OVER)
    }

    /// Whether it speaks MQTT 5.0.
    pub fn is_v5(&self) -> bool {
        self.connect.is_some_and(|(_, _, connect)| connect.version == Version::V5)
    }

    /// The client's Receive Maximum.
    pub fn receive_max(&self) -> u16 {
        self.connect.map_or(u16::MAX, |(_, _, connect)| connect.receive_max)
    }

    /// Whether it was open at `place`, as its client saw it.
    pub fn open_at(&self, place: Place) -> bool {
        self.opened <= place && self.closed.is_none_or(|(closed, _, _)| place < closed)
    }

    /// Whether deliveries still came in the last second of the run: what is queued for the client may not all have come.
    pub fn hears_until_the_end(&self, ground: &Ground<'_>) -> bool {
        self.heard_at.is_some_and(|heard_at| heard_at + Duration::from_secs(1) > ground.last_at)
    }

    /// When the broker had surely noticed the end of the connection and done with all its bytes; `None` if it is open or
    /// the broker may never have noticed.
    pub fn settled_at(&self, ground: &Ground<'_>) -> Option<Instant> {
        ground.settles_at(self.noticed_at(ground)?)
    }

    /// When the node had surely noticed the end of the connection and read all its bytes.
    fn noticed_at(&self, ground: &Ground<'_>) -> Option<Instant> {
        // A node that goes down has no connections any more, whenever their clients notice. One that was not answered may
        // have been under way to the next process.
        let known_at = match (self.connack, self.closed) {
            (Some((_, answered_at, _)), _) => Some(answered_at),
            (None, closed) => closed.map(|(_, closed_at, _)| closed_at + ground.healthy_delay()),
        };
        let crash = ground.downs.iter().filter(|down| down.node == self.node);
        let crash = crash.filter(|down| known_at.is_some_and(|known_at| down.at >= known_at));
        let crashed_at = crash.map(|down| down.at).min();
        let Some((_, closed_at, by)) = self.closed else { return crashed_at };
        if by == Closer::Broker {
            return Some(crashed_at.map_or(closed_at, |crashed_at| crashed_at.min(closed_at)));
        }
        let quiet = |at: Instant| {
            let mut at = at + ground.healthy_delay();
            while let Some(until) = ground.delayed_until(self.client, self.node, self.opened_at, at) {
                let later = until + ground.healthy_delay() + Duration::from_secs(1);
                if later <= at {
                    break;
                }
                at = later;
            }
            at
        };
        let noticed_at = quiet(closed_at);
        let unheard = ground.half_open(self.client, self.opened_at, closed_at + ground.healthy_delay());
        match (crashed_at, unheard) {
            (Some(crashed_at), true) => Some(crashed_at),
            (Some(crashed_at), false) => Some(crashed_at.min(noticed_at)),
            (None, true) => None,
            (None, false) => Some(noticed_at),
        }
    }
}

/// All connections of `history`.
pub(super) fn read<'a>(history: &'a History, in_cluster: bool) -> BTreeMap<ConnId, Conn<'a>> {
    let mut conns: BTreeMap<ConnId, Conn<'a>> = BTreeMap::new();
    for (place, record) in history.records.iter().enumerate() {
        if let What::Opened { client, conn, node } = record.what {
            conns.insert(conn, opened(client, conn, node, place, record.at));
        }
        let Some(conn) = record.what.conn().and_then(|conn| conns.get_mut(&conn)) else { continue };
        conn.places.push(place);
        match &record.what {
            What::Sent { packet: Packet::Connect(connect), .. } if conn.connect.is_none() => {
                conn.connect = Some((place, record.at, connect));
            }
            What::Received { packet: Packet::ConnAck(connack), .. } if conn.connack.is_none() => {
                conn.connack = Some((place, record.at, connack));
                conn.put_off = in_cluster && PUT_OFF.contains(&connack.reason);
                conn.alive_at = conn.connect.map_or(record.at, |(_, at, _)| at);
            }
            What::Sent { packet: Packet::Disconnect(left), .. } => conn.left = Some((place, left)),
            What::Received { packet: Packet::Disconnect(sent), .. } => conn.dismissed = Some((place, sent)),
            What::Received { packet, .. } => {
                match packet {
                    Packet::Publish(publish) if publish.is_report() => {}
                    Packet::Publish(_) | Packet::PubRel(_) => conn.heard_at = Some(record.at),
                    _ => {}
                }
                if let Some(asked_at) = asked_at(history, conn, packet) {
                    conn.alive_at = conn.alive_at.max(asked_at);
                }
            }
            What::Closed { by, .. } if conn.closed.is_none() => {
                conn.closed = Some((place, record.at, *by));
            }
            _ => {}
        }
    }
    note_kept_until(history, &mut conns);
    conns
}

/// Until when each client listened to each connection.
fn note_kept_until<'a>(history: &'a History, conns: &mut BTreeMap<ConnId, Conn<'a>>) {
    let last_at = history.records.last().map_or(Instant::ZERO, |record| record.at);
    let mut latest_first: Vec<&mut Conn<'_>> = conns.values_mut().collect();
    latest_first.sort_unstable_by_key(|conn| std::cmp::Reverse(conn.opened));
    // When the next connection of the same client, or with the same client identifier, was opened.
    let mut by_client: BTreeMap<ClientNo, Instant> = BTreeMap::new();
    let mut by_client_id: BTreeMap<Option<&str>, Instant> = BTreeMap::new();
    for conn in latest_first {
        let closed_at = conn.closed.map_or(last_at, |(_, at, _)| at);
        let taken_at = [by_client.get(&conn.client), by_client_id.get(&conn.client_id())];
        conn.kept_until = taken_at.into_iter().flatten().copied().fold(closed_at, Instant::min);
        by_client.insert(conn.client, conn.opened_at);
        by_client_id.insert(conn.client_id(), conn.opened_at);
    }
}

fn opened<'a>(client: ClientNo, id: ConnId, node: NodeId, opened: Place, opened_at: Instant) -> Conn<'a> {
    Conn {
        id,
        client,
        node,
        opened,
        opened_at,
        connect: None,
        connack: None,
        left: None,
        dismissed: None,
        closed: None,
        alive_at: opened_at,
        kept_until: opened_at,
        heard_at: None,
        put_off: false,
        places: Vec::new(),
    }
}

/// When the request was sent that `answer` answers: the latest that fits, looking back over the connection's records.
fn asked_at(history: &History, conn: &Conn<'_>, answer: &Packet) -> Option<Instant> {
    let fits = |request: &Packet| match (request, answer) {
        (Packet::Publish(sent), Packet::PubAck(ack) | Packet::PubRec(ack)) => sent.id == ack.id,
        (Packet::PubRel(sent), Packet::PubComp(ack)) => sent.id == ack.id,
        (Packet::Subscribe(sent), Packet::SubAck(granted)) => sent.id == granted.id,
        (Packet::Unsubscribe(sent), Packet::UnsubAck(granted)) => sent.id == granted.id,
        _ => false,
    };
    let answers = matches!(
        answer,
        Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_) | Packet::SubAck(_) | Packet::UnsubAck(_)
    );
    if !answers {
        return None;
    }
    conn.places.iter().rev().find_map(|place| match &history.records[*place].what {
        What::Sent { packet, .. } if fits(packet) => Some(history.records[*place].at),
        _ => None,
    })
}
