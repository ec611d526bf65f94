//! Clients of numbered messages, which know what was promised to them: a publisher that notes what was acknowledged,
//! a subscriber that notes what came, and the judgement on both. They outlive their connections, as persistent
//! sessions do, and resume as the norm says. \[MQTT-4.4\]

use crate::link::Link;
use broker_core::codec::packet::{Ack, Connect, Publish, Subscribe, SubscribeFilter, SubscriptionOptions};
use broker_core::codec::{Packet, QoS, ReasonCode, Version};
use broker_core::ids::PacketId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;

/// Messages that a publisher has in flight.
const WINDOW: usize = 16;

/// Packet identifiers that a publisher uses in turn: few, so that one which the broker failed to forget meets a new
/// message soon.
const IDENTIFIERS: u16 = 40;

/// The payload of a publisher's last message.
const END: &str = "end";

/// A publisher of the messages 0, 1, 2 ... and `end` to one topic, with a session that persists.
#[derive(Debug)]
pub struct Publisher {
    version: Version,
    client_id: &'static str,
    topic: &'static str,
    qos: QoS,
    has_session: bool,
    has_ended: bool,
    next_number: u64,
    next_id: u16,
    /// What was sent and not acknowledged, in the order of sending.
    open: VecDeque<Open>,
    acknowledged: BTreeSet<u64>,
}

/// One message on its way.
#[derive(Clone, Copy, Debug)]
struct Open {
    id: PacketId,
    /// `None` for the last message.
    number: Option<u64>,
    /// QoS 2: PUBREC came, and PUBCOMP is due.
    received: bool,
}

impl Publisher {
    /// A publisher that has sent nothing yet; `qos` is 1 or 2.
    pub fn new(version: Version, client_id: &'static str, topic: &'static str, qos: QoS) -> Self {
        Publisher {
            version,
            client_id,
            topic,
            qos,
            has_session: false,
            has_ended: false,
            next_number: 0,
            next_id: 1,
            open: VecDeque::new(),
            acknowledged: BTreeSet::new(),
        }
    }

    /// Resumes at the broker at `address`, and publishes until `go_on`, asked before each new message, says no; then
    /// publishes its last message, and waits until everything is acknowledged. Calls `acknowledged` for each message.
    ///
    /// # Errors
    /// If the connection ends ([`Link::was_lost`]) or the broker is wrong; it can be resumed in the first case.
    pub fn run(
        &mut self,
        address: SocketAddr,
        mut go_on: impl FnMut() -> bool,
        mut acknowledged: impl FnMut(),
    ) -> io::Result<()> {
        let (mut link, answer) = Link::open(address, persistent(self.version, self.client_id))?;
        if self.has_session && !answer.session_present {
            return Err(io::Error::other(format!("the session of {} is gone", self.client_id)));
        }
        self.has_session = true;
        let again: Vec<Packet> = self.open.iter().map(|open| self.packet(*open, true)).collect();
        link.send(&again)?;
        loop {
            let mut new = Vec::new();
            while self.open.len() < WINDOW && !self.has_ended {
                self.has_ended = !go_on();
                new.push(self.publish_next());
            }
            link.send(&new)?;
            if self.open.is_empty() {
                return Ok(());
            }
            if let Some(release) = self.answered(&link.receive()?, &mut acknowledged)? {
                link.send(&[release])?;
            }
        }
    }

    /// Where it publishes.
    pub fn topic(&self) -> &'static str {
        self.topic
    }

    /// How it publishes.
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// The messages that were acknowledged.
    pub fn acknowledged(&self) -> &BTreeSet<u64> {
        &self.acknowledged
    }

    /// How many numbers it sent, acknowledged or not.
    pub fn sent(&self) -> u64 {
        self.next_number
    }

    fn publish_next(&mut self) -> Packet {
        let is_free = |id: &u16| self.open.iter().all(|open| open.id.get() != *id);
        let in_turn = (self.next_id..=IDENTIFIERS).chain(1..self.next_id);
        let id =
            in_turn.into_iter().find(is_free).expect("there are more identifiers than the window has places");
        self.next_id = id % IDENTIFIERS + 1;
        let number = (!self.has_ended).then_some(self.next_number);
        self.next_number += u64::from(number.is_some());
        let open = Open { id: PacketId::new(id).expect("it is not 0"), number, received: false };
        self.open.push_back(open);
        self.packet(open, false)
    }

    fn packet(&self, open: Open, dup: bool) -> Packet {
        if open.received {
            return Packet::PubRel(Ack::new(open.id, ReasonCode::Success));
        }
        let payload = open.number.map_or_else(|| END.to_owned(), |number| number.to_string());
        Packet::Publish(Publish {
            dup,
            qos: self.qos,
            id: Some(open.id),
            ..Publish::new(self.topic, payload)
        })
    }

    /// Takes an acknowledgement; gives the PUBREL that it calls for.
    fn answered(&mut self, packet: &Packet, acknowledged: &mut impl FnMut()) -> io::Result<Option<Packet>> {
        let unexpected = || io::Error::other(format!("{} did not expect {packet:?}", self.client_id));
        let (Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack)) = packet else {
            return Err(unexpected());
        };
        let place = self.open.iter().position(|open| open.id == ack.id).ok_or_else(unexpected)?;
        match (packet, self.qos, self.open[place].received) {
            (Packet::PubRec(ack), QoS::ExactlyOnce, _) if !ack.reason.is_error() => {
                self.open[place].received = true;
                Ok(Some(self.packet(self.open[place], false)))
            }
            (Packet::PubAck(ack), QoS::AtLeastOnce, _) if !ack.reason.is_error() => {
                self.complete(place, acknowledged);
                Ok(None)
            }
            // Packet Identifier Not Found is as good: an earlier PUBREL arrived, and its PUBCOMP was lost.
            (Packet::PubComp(_), QoS::ExactlyOnce, true) => {
                self.complete(place, acknowledged);
                Ok(None)
            }
            _ => Err(unexpected()),
        }
    }

    fn complete(&mut self, place: usize, acknowledged: &mut impl FnMut()) {
        let open = self.open.remove(place).expect("it was found there");
        self.acknowledged.extend(open.number);
        acknowledged();
    }
}

/// A subscriber to some topics with QoS 2, with a session that persists.
#[derive(Debug)]
pub struct Subscriber {
    version: Version,
    client_id: &'static str,
    subscribed: bool,
    /// Identifiers of QoS 2 messages that were taken and not released. \[MQTT-4.3.3-2\]
    taken: BTreeSet<PacketId>,
    received: BTreeMap<String, Vec<u64>>,
    ended: BTreeSet<String>,
}

impl Subscriber {
    /// A subscriber that has not subscribed yet.
    pub fn new(version: Version, client_id: &'static str) -> Self {
        let (taken, received, ended) = Default::default();
        Subscriber { version, client_id, subscribed: false, taken, received, ended }
    }

    /// Subscribes to `topics` and leaves.
    ///
    /// # Errors
    /// If the connection ends, or the broker does not grant QoS 2.
    pub fn subscribe(&mut self, address: SocketAddr, topics: &[&str]) -> io::Result<()> {
        let (mut link, _) = Link::open(address, persistent(self.version, self.client_id))?;
        let options = SubscriptionOptions { qos: QoS::ExactlyOnce, ..SubscriptionOptions::default() };
        let filters = topics.iter().map(|topic| SubscribeFilter { filter: (*topic).into(), options });
        let id = PacketId::new(1).expect("it is not 0");
        let subscribe = Subscribe { id, properties: Default::default(), filters: filters.collect() };
        link.send(&[Packet::Subscribe(subscribe)])?;
        match link.receive()? {
            Packet::SubAck(answer)
                if answer.reasons.iter().all(|reason| *reason == ReasonCode::GrantedQoS2) =>
            {
                self.subscribed = true;
                Ok(())
            }
            other => Err(io::Error::other(format!("SUBSCRIBE was answered with {other:?}"))),
        }
    }

    /// Resumes at the broker at `address` and takes what comes, until the last message of `publishers` publishers came. Calls
    /// `received` for each PUBLISH.
    ///
    /// # Errors
    /// If the connection ends ([`Link::was_lost`]) or the broker is wrong; it can be resumed in the first case.
    pub fn run(
        &mut self,
        address: SocketAddr,
        publishers: usize,
        mut received: impl FnMut(),
    ) -> io::Result<()> {
        let (mut link, answer) = Link::open(address, persistent(self.version, self.client_id))?;
        if self.subscribed && !answer.session_present {
            return Err(io::Error::other(format!("the session of {} is gone", self.client_id)));
        }
        while self.ended.len() < publishers {
            match link.receive()? {
                Packet::Publish(publish) => {
                    received();
                    if let Some(answer) = self.take(&publish)? {
                        link.send(&[answer])?;
                    }
                }
                Packet::PubRel(release) => {
                    self.taken.remove(&release.id);
                    link.send(&[Packet::PubComp(Ack::new(release.id, ReasonCode::Success))])?;
                }
                other => {
                    return Err(io::Error::other(format!("{} did not expect {other:?}", self.client_id)));
                }
            }
        }
        Ok(())
    }

    /// The numbers that came from `topic`, in order.
    pub fn received(&self, topic: &str) -> &[u64] {
        self.received.get(topic).map_or(&[], Vec::as_slice)
    }

    fn take(&mut self, publish: &Publish) -> io::Result<Option<Packet>> {
        let again = publish.qos == QoS::ExactlyOnce && publish.id.is_some_and(|id| !self.taken.insert(id));
        if !again {
            let text = String::from_utf8_lossy(&publish.payload);
            if text == END {
                self.ended.insert(publish.topic.to_string());
            } else {
                let number =
                    text.parse().map_err(|_| io::Error::other(format!("nobody sent {publish:?}")))?;
                self.received.entry(publish.topic.to_string()).or_default().push(number);
            }
        }
        let ack = publish.id.map(|id| Ack::new(id, ReasonCode::Success));
        Ok(match publish.qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => ack.map(Packet::PubAck),
            QoS::ExactlyOnce => ack.map(Packet::PubRec),
        })
    }
}

/// A CONNECT that resumes a session, or makes one that persists.
fn persistent(version: Version, client_id: &'static str) -> Connect {
    let mut connect = Connect { clean_start: false, ..Connect::new(version, client_id) };
    connect.properties.session_expiry_s = (version == Version::V5).then_some(u32::MAX);
    connect
}

/// What is wrong with the numbers `received`, of which `sent` were sent in order and some were `acknowledged`: nothing
/// acknowledged is missing, nothing comes that was not sent, first arrivals are in order \[MQTT-4.6.0-2, -3\], and
/// with QoS 2 there are no second ones. \[MQTT-4.3.3\]
pub fn violations(qos: QoS, sent: u64, acknowledged: &BTreeSet<u64>, received: &[u64]) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for &number in received {
        if number >= sent {
            found.push(format!("{number} came, which nobody sent"));
        }
        let greatest = seen.last().copied();
        let is_new = seen.insert(number);
        if !is_new && qos == QoS::ExactlyOnce {
            found.push(format!("{number} came twice"));
        }
        if let Some(greatest) = greatest.filter(|&greatest| is_new && number < greatest) {
            found.push(format!("{number} came first after {greatest}"));
        }
    }
    found.extend(
        acknowledged.difference(&seen).map(|number| format!("{number} was acknowledged and never came")),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::{QoS, violations};
    use std::collections::BTreeSet;

    #[test]
    fn each_broken_promise_is_named() {
        let acknowledged = BTreeSet::from([0, 1, 2]);
        let judge = |qos, received: &[u64]| violations(qos, 4, &acknowledged, received);
        assert!(judge(QoS::ExactlyOnce, &[0, 1, 2, 3]).is_empty());
        assert!(judge(QoS::ExactlyOnce, &[0, 1, 2]).is_empty(), "3 was not promised");
        assert!(judge(QoS::AtLeastOnce, &[0, 1, 0, 1, 2]).is_empty(), "QoS 1 may come again");
        assert_eq!(judge(QoS::ExactlyOnce, &[0, 1, 1, 2]), ["1 came twice"]);
        assert_eq!(judge(QoS::AtLeastOnce, &[0, 2]), ["1 was acknowledged and never came"]);
        assert_eq!(judge(QoS::AtLeastOnce, &[0, 2, 1]), ["1 came first after 2"]);
        assert_eq!(judge(QoS::AtLeastOnce, &[0, 1, 2, 4]), ["4 came, which nobody sent"]);
    }
}
