//! Connections and sessions of a history.

use super::{ClientNo, Closer, ConnAck, Connect, History, Packet, Record, What};
use broker_core::ids::{ConnId, NodeId};
use broker_core::time::Instant;
use std::collections::BTreeMap;

/// Where to find what in a history.
#[derive(Debug)]
pub struct Index<'a> {
    history: &'a History,
    connections: BTreeMap<ConnId, Connection<'a>>,
}

/// One connection, as its client saw it.
#[derive(Clone, Debug)]
pub struct Connection<'a> {
    /// Its number.
    pub conn: ConnId,
    /// Whose.
    pub client: ClientNo,
    /// To which node.
    pub node: NodeId,
    /// When it was opened.
    pub opened_at: Instant,
    /// The CONNECT sent on it, if it got that far.
    pub connect: Option<&'a Connect>,
    /// When CONNECT was sent.
    pub connect_at: Option<Instant>,
    /// The CONNACK received on it.
    pub connack: Option<&'a ConnAck>,
    /// When CONNACK was received.
    pub connack_at: Option<Instant>,
    /// When and by whom it was closed; `None` if it was open at the end.
    pub closed: Option<(Instant, Closer)>,
    /// Places in `History::records` of all records of this connection, rising.
    pub records: Vec<usize>,
}

/// One MQTT client identifier and the connections that used it (a session may have had several lives among them).
#[derive(Clone, Debug)]
pub struct Session<'a> {
    /// The MQTT client identifier, given or assigned.
    pub client_id: &'a str,
    /// Its accepted connections (CONNACK with reason 0 received), in the order in which they were opened.
    pub connections: Vec<ConnId>,
}

impl<'a> Index<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let mut connections: BTreeMap<ConnId, Connection<'a>> = BTreeMap::new();
        for (place, record) in history.records.iter().enumerate() {
            if let What::Opened { client, conn, node } = &record.what {
                connections.insert(*conn, Connection::opened(*client, *conn, *node, record.at));
            }
            if let Some(connection) = record.what.conn().and_then(|conn| connections.get_mut(&conn)) {
                connection.note(place, record);
            }
        }
        Index { history, connections }
    }

    /// All connections, in the order in which they were opened.
    pub fn connections(&self) -> impl Iterator<Item = &Connection<'a>> {
        self.connections.values()
    }

    /// One connection.
    pub fn connection(&self, conn: ConnId) -> Option<&Connection<'a>> {
        self.connections.get(&conn)
    }

    /// The records of one connection with their places in the history, in order.
    pub fn records(&self, conn: ConnId) -> impl Iterator<Item = (usize, &'a Record)> + '_ {
        let places = self.connections.get(&conn).map_or(&[][..], |connection| &connection.records);
        places.iter().map(|place| (*place, &self.history.records[*place]))
    }

    /// The sessions by MQTT client identifier, in the order of the identifiers.
    pub fn sessions(&self) -> Vec<Session<'a>> {
        let mut sessions: BTreeMap<&'a str, Vec<ConnId>> = BTreeMap::new();
        for connection in self.connections.values() {
            if let Some(client_id) = connection.accepted_as() {
                sessions.entry(client_id).or_default().push(connection.conn);
            }
        }
        sessions.into_iter().map(|(client_id, connections)| Session { client_id, connections }).collect()
    }
}

impl<'a> Connection<'a> {
    /// The MQTT client identifier, given or assigned, if CONNACK with reason 0 was received.
    pub fn accepted_as(&self) -> Option<&'a str> {
        let (connect, connack) = (self.connect?, self.connack?);
        if connack.reason != 0 {
            return None;
        }
        Some(connack.assigned_client_id.as_ref().map_or(&connect.client_id[..], |assigned| &assigned[..]))
    }

    fn opened(client: ClientNo, conn: ConnId, node: NodeId, at: Instant) -> Self {
        Connection {
            conn,
            client,
            node,
            opened_at: at,
            connect: None,
            connect_at: None,
            connack: None,
            connack_at: None,
            closed: None,
            records: Vec::new(),
        }
    }

    fn note(&mut self, place: usize, record: &'a Record) {
        self.records.push(place);
        match &record.what {
            What::Sent { packet: Packet::Connect(connect), .. } if self.connect.is_none() => {
                self.connect = Some(connect);
                self.connect_at = Some(record.at);
            }
            What::Received { packet: Packet::ConnAck(connack), .. } if self.connack.is_none() => {
                self.connack = Some(connack);
                self.connack_at = Some(record.at);
            }
            What::Closed { by, .. } if self.closed.is_none() => self.closed = Some((record.at, *by)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientNo, Closer, ConnAck, Connect, History, Packet, What};
    use broker_core::ids::{ConnId, NodeId};
    use broker_core::time::Instant;

    #[test]
    fn two_clients_with_one_identifier_share_a_session() {
        let mut history = History::default();
        for (at, number) in [(1, 0), (2, 1)] {
            let (client, conn) = (ClientNo(number), ConnId(u64::from(number)));
            let at = Instant::from_millis(at);
            let connect = Connect { client_id: "x".into(), ..Connect::default() };
            let connack = ConnAck { session_present: number == 1, ..ConnAck::bare(0) };
            history.push(at, What::Opened { client, conn, node: NodeId(1) });
            history.push(at, What::Sent { client, conn, packet: Packet::Connect(connect) });
            history.push(at, What::Received { client, conn, packet: Packet::ConnAck(connack) });
        }
        let (client, conn) = (ClientNo(0), ConnId(0));
        history.push(Instant::from_millis(3), What::Closed { client, conn, by: Closer::Broker });
        let index = history.index();
        let sessions = index.sessions();
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions[0].connections, [ConnId(0), ConnId(1)]);
        assert_eq!(
            index.connection(ConnId(0)).and_then(|conn| conn.closed),
            Some((Instant::from_millis(3), Closer::Broker))
        );
        assert_eq!(index.records(ConnId(0)).count(), 4);
    }
}
