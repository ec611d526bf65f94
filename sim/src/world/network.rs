//! What happens on connections.

use super::World;
use crate::client::Ask;
use crate::history::{ClientNo, Closer, NodeDown};
use crate::link::{Link, Piece};
use crate::scenario::Direction;
use crate::stage::NodeIx;
use broker_core::face::{Input, Output};
use broker_core::ids::ConnId;

impl World<'_> {
    /// Does what a client asks for.
    pub(super) fn serve(&mut self, client: ClientNo, ask: Ask) {
        let road = &mut self.roads[client.index()];
        match ask {
            Ask::Open(conn) => {
                let node = self.clients[client.index()].node();
                let ix = self.node_ix(node);
                let road = &mut self.roads[client.index()];
                self.links.insert(conn, Link::open(&mut self.stage, road, conn, client, ix));
            }
            Ask::Write(conn, bytes) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.client_writes(&mut self.stage, road, bytes);
                }
            }
            Ask::Close(conn, in_order) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.client_closes(&mut self.stage, road, in_order);
                }
            }
            Ask::Reached(step, milestone) => self.script.reached(&mut self.stage, step, milestone),
            Ask::Received(count) => self.script.received(&mut self.stage, client, count),
        }
    }

    /// Does what a node asks of the network.
    pub(super) fn carry_out(&mut self, ix: NodeIx, output: Output) {
        let output = match output {
            Output::SendPeer { peer, frame } => return self.peer_sends(ix, peer, frame),
            Output::Members { members, .. } => return self.members_are(ix, &members),
            Output::MembersChanged { request, .. } => return self.members_changed(request),
            output => output,
        };
        let node = ix.0 as u64;
        let conn = match &output {
            Output::SendClient { conn, bytes } => {
                self.stage.note("send", &[node, conn.0], bytes);
                *conn
            }
            Output::CloseClient { conn } => {
                self.stage.note("close", &[node, conn.0], b"");
                *conn
            }
            Output::ReadClient { conn, on } => {
                self.stage.note("read", &[node, conn.0, (*on).into()], b"");
                *conn
            }
            other => unreachable!("the node carries out {other:?} itself"),
        };
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        let road = &mut self.roads[link.client.index()];
        match output {
            Output::SendClient { bytes, .. } => {
                let bytes = link.broker_writes(&mut self.stage, road, bytes);
                self.took(ix, conn, bytes);
            }
            Output::CloseClient { .. } => link.broker_closes(&mut self.stage, road),
            Output::ReadClient { on, .. } => link.broker_reads(&mut self.stage, on),
            _ => {}
        }
    }

    /// Something may have arrived on a connection.
    pub(super) fn arrive(&mut self, conn: ConnId, direction: Direction) {
        match direction {
            Direction::ToBroker => {
                while let Some(piece) = self
                    .links
                    .get_mut(&conn)
                    .and_then(|link| link.arrive_at_broker(&mut self.stage, &self.roads[link.client.index()]))
                {
                    self.arrive_at_broker(conn, piece);
                }
            }
            Direction::ToClient | Direction::Both => {
                while let Some(piece) = self
                    .links
                    .get_mut(&conn)
                    .and_then(|link| link.arrive_at_client(&mut self.stage, &self.roads[link.client.index()]))
                {
                    self.arrive_at_client(conn, piece);
                }
            }
        }
    }

    /// A node goes down, and its connections with it.
    pub(super) fn node_down(&mut self, ix: NodeIx, why: NodeDown) {
        let life = self.nodes[ix.0].life();
        // A machine without power tells nobody: its clients learn it when it is back, or from silence.
        let silent = why == NodeDown::PowerLost;
        self.nodes[ix.0].down(&mut self.stage, why);
        for link in
            self.links.values_mut().filter(|link| link.node == ix && link.accepted == life && life.is_some())
        {
            if !silent && !link.broker_done {
                link.broker_breaks(&mut self.stage, &mut self.roads[link.client.index()]);
            }
        }
        self.peer_goes(ix, silent);
    }

    /// A node is back: it knows nothing of connections that earlier lives accepted.
    pub(super) fn cut_off_strangers(&mut self, ix: NodeIx) {
        let life = self.nodes[ix.0].life();
        for link in self.links.values_mut().filter(|link| link.node == ix && link.accepted.is_some()) {
            if link.accepted != life && !link.broker_done {
                link.broker_breaks(&mut self.stage, &mut self.roads[link.client.index()]);
            }
        }
    }

    fn arrive_at_broker(&mut self, conn: ConnId, piece: Piece) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        let node = &mut self.nodes[link.node.0];
        let life = node.life();
        if piece == Piece::Open {
            link.accepted = life;
            if life.is_some() {
                let peer = link.client.to_string();
                node.input(&mut self.stage, Input::ClientOpened { conn, peer });
            } else if !node.is_dark() {
                link.broker_breaks(&mut self.stage, &mut self.roads[link.client.index()]);
            }
            return;
        }
        if link.broker_done || link.accepted.is_none() || link.accepted != life {
            return;
        }
        match piece {
            Piece::Data(bytes) => node.input(&mut self.stage, Input::ClientBytes { conn, bytes }),
            Piece::End | Piece::Broken => {
                link.broker_done = true;
                node.input(&mut self.stage, Input::ClientClosed { conn });
            }
            Piece::Open => {}
        }
    }

    fn arrive_at_client(&mut self, conn: ConnId, piece: Piece) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        let (number, ix) = (link.client, link.node);
        let by = match piece {
            Piece::Open => return,
            Piece::Data(bytes) => {
                let taken = link.fill(&mut self.stage, &mut self.roads[number.index()]);
                self.took(ix, conn, taken);
                return self.with_client(number, |client, desk| client.on_bytes(desk, conn, &bytes));
            }
            Piece::End => Closer::Broker,
            Piece::Broken => Closer::Network,
        };
        self.with_client(number, |client, desk| client.on_end(desk, conn, by));
    }

    /// The socket took bytes from the broker.
    fn took(&mut self, ix: NodeIx, conn: ConnId, bytes: usize) {
        let node = &mut self.nodes[ix.0];
        let known =
            self.links.get(&conn).is_some_and(|link| !link.broker_done && link.accepted == node.life());
        if bytes > 0 && known {
            node.input(&mut self.stage, Input::ClientSent { conn, bytes });
        }
    }
}
