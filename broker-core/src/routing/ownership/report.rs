//! What this node tells of itself goes to the shards of its topics, as what its clients publish does.

use super::Ownership;
use super::stream::Ticket;
use crate::message::Message;
use crate::session::{Gateway, Led};
use crate::shard::Op;
use std::rc::Rc;

impl Ownership {
    /// What this node leads.
    pub fn led(&self) -> Led {
        let led = self.replicas.values().filter(|replica| replica.serving_since().is_some());
        led.fold(Led::default(), |sum, replica| {
            let (sessions, messages) = replica.machine.counts();
            Led {
                shards: sum.shards + 1,
                sessions: sum.sessions + sessions,
                messages: sum.messages + messages,
            }
        })
    }

    /// Whether a shard has not answered yet to something that the node told of itself.
    pub fn is_reporting(&self) -> bool {
        let mut tickets = self.edge.streams.iter().flat_map(|stream| stream.requests.tickets());
        tickets.any(|ticket| matches!(ticket, Ticket::Report))
    }

    /// Publishes what the node tells of itself.
    pub fn report(&mut self, messages: Vec<Message>, gateway: &Gateway) {
        for message in messages {
            let shard = self.edge.placement.topic_shard(&message.topic);
            self.edge.request(shard, Op::Report(Rc::new(message)), Ticket::Report, gateway.now());
        }
    }
}
