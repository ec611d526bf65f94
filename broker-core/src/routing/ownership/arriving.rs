//! Connections on their way to their session.
//!
//! An attach is a compare-and-set: the gateway asks what the session was attached as last, and the shard applies the attach if that is
//! still so. So a CONNECT that was held up behind a partition, and whose client has given up and is attached somewhere else by
//! now, takes nothing over; one that a client still waits for is tried again.

use super::edge::Edge;
use super::frame::{Addressed, Frame};
use super::stream::Ticket;
use crate::base::ids::ShardId;
use crate::base::time::Instant;
use crate::replication::Receipt;
use crate::session::Gateway;
use crate::shard::{Attach, Attachment, Expected, Op};
use bytestring::ByteString;

/// A connection whose attach is not asked for yet.
#[derive(Debug)]
pub(super) struct Arriving {
    receipt: Receipt,
    attach: Box<Attach>,
}

impl Edge {
    /// A client says CONNECT: asks for what its session was attached as last.
    pub(super) fn begin_attach(&mut self, receipt: Receipt, attach: Box<Attach>, out: &mut Vec<Addressed>) {
        self.ask_session(&attach.client_id, out);
        self.arriving.insert(receipt.conn(), Arriving { receipt, attach });
    }

    fn ask_session(&mut self, client_id: &ByteString, out: &mut Vec<Addressed>) {
        let shard = self.placement.session_shard(client_id);
        if let Some(to) = self.stream(shard).requests.leader() {
            let client_id = client_id.clone();
            out.push(Addressed { to, frame: Frame::AskSession { shard, client_id } });
        }
    }

    /// Somebody else leads `shard` now: asks again.
    pub(super) fn ask_again(&mut self, shard: ShardId, out: &mut Vec<Addressed>) {
        let all = self.arriving.values().map(|arriving| &arriving.attach.client_id);
        let of_shard = |client_id: &&ByteString| self.placement.session_shard(client_id) == shard;
        for client_id in all.filter(of_shard).cloned().collect::<Vec<_>>() {
            self.ask_session(&client_id, out);
        }
    }

    /// Asks again for what was not answered, and forgets connections that are gone.
    pub(super) fn look_after_arriving(&mut self, gateway: &mut Gateway, out: &mut Vec<Addressed>) {
        let gone = self.arriving.extract_if(.., |conn, _| !gateway.is_attaching(*conn));
        let left: Vec<ByteString> = gone.map(|(_, arriving)| arriving.attach.client_id).collect();
        for client_id in left {
            gateway.abandon_attach(&client_id);
        }
        for shard in self.placement.clone().all() {
            self.ask_again(shard, out);
        }
    }

    /// What the session of a client was attached as last: the connections that wait for that may attach.
    pub(super) fn on_session_is(
        &mut self,
        client_id: &ByteString,
        last: Option<Attachment>,
        gateway: &mut Gateway,
    ) {
        let theirs = self.arriving.extract_if(.., |_, arriving| arriving.attach.client_id == *client_id);
        for Arriving { receipt, attach } in theirs.map(|(_, arriving)| arriving).collect::<Vec<_>>() {
            self.attach(receipt, attach, last, gateway);
        }
    }

    /// Asks for the attach, if the client still waits for it.
    pub(super) fn attach(
        &mut self,
        receipt: Receipt,
        mut attach: Box<Attach>,
        last: Option<Attachment>,
        gateway: &mut Gateway,
    ) {
        if !gateway.is_attaching(receipt.conn()) {
            gateway.abandon_attach(&attach.client_id);
            return;
        }
        attach.expected = Expected::Last(last);
        attach.old = gateway.old_connection(last);
        let shard = self.placement.session_shard(&attach.client_id);
        let now: Instant = gateway.now();
        self.request(shard, Op::Attach(attach.clone()), Ticket::Attach { receipt, attach }, now);
    }
}
