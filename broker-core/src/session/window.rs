//! The outgoing window of one queue towards one client: which positions were sent on this connection, and what each waits for.
//!
//! ```text
//!   QoS 1:  send ──► AwaitingPubAck ──PUBACK──────────────────────────────────────► Done
//!   QoS 2:  send ──► AwaitingPubRec ──PUBREC──► CommittingPubRec ──on disk, PUBREL──► AwaitingPubComp ──PUBCOMP──► Done
//!                          └──────── PUBREC with an error ────────────────────────────────────────────────────► Done
//! ```
//!
//! Packet identifiers are positional: `first + position mod len` of the part of the identifier space that the queue owns.

use crate::base::ids::{PacketId, Position};
use crate::codec::packet::QoS;
use std::collections::VecDeque;

/// A part of the packet identifier space: `len` identifiers from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    first: u16,
    len: u16,
}

impl Part {
    /// Part number `index` of `count` equal ones.
    ///
    /// # Panics
    /// If there is no such part.
    pub const fn of(index: u16, count: u16) -> Self {
        assert!(index < count, "there is no such part");
        let len = u16::MAX / count;
        Part { first: 1 + index * len, len }
    }

    /// How many identifiers may be between the oldest message that is not complete and the next: half of them all.
    pub const fn span_max(self) -> u16 {
        self.len / 2
    }

    /// Whether an identifier is of this part.
    pub fn has(self, id: PacketId) -> bool {
        id.get().checked_sub(self.first).is_some_and(|step| step < self.len)
    }

    /// The identifier of a position.
    pub fn id(self, position: Position) -> PacketId {
        let step = u16::try_from(position.0 % u64::from(self.len)).expect("below a u16");
        PacketId::new(self.first + step).expect("the first identifier of a part is at least 1")
    }

    /// The position with this identifier that is not below `base` and less than a part's length above it.
    pub fn position(self, id: PacketId, base: Position) -> Option<Position> {
        let step = id.get().checked_sub(self.first).filter(|step| *step < self.len)?;
        let len = u64::from(self.len);
        let ahead = (u64::from(step) + len - base.0 % len) % len;
        Some(Position(base.0 + ahead))
    }
}

/// What a position that was sent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outgoing {
    AwaitingPubAck,
    AwaitingPubRec,
    CommittingPubRec,
    AwaitingPubComp,
    Done,
}

/// What a PUBREC means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PubRec {
    /// The message at this position was received.
    Received(Position),
    /// PUBREL was sent already, or will be when the first PUBREC is on disk.
    Repeated,
    /// No message with this identifier waits for it.
    Unknown,
}

/// The window of one queue.
#[derive(Debug)]
pub struct Window {
    part: Part,
    base: Position,
    slots: VecDeque<Outgoing>,
    open: u16,
    /// What is below may have been sent on an earlier connection.
    sent_before: Position,
}

impl Window {
    /// A window that begins at `base`, nothing sent on this connection; what is below `sent_before` may have been on an
    /// earlier one.
    pub fn new(part: Part, base: Position, sent_before: Position) -> Self {
        Window { part, base, slots: VecDeque::new(), open: 0, sent_before }
    }

    /// The next position to send.
    pub fn next(&self) -> Position {
        Position(self.base.0 + self.slots.len() as u64)
    }

    /// Whether one more may be sent without coming near to using an identifier twice: the oldest message may stay
    /// unacknowledged while any number of later ones is completed.
    pub fn has_room(&self) -> bool {
        self.slots.len() < usize::from(self.part.span_max())
    }

    /// How many sent messages are not complete: they count against Receive Maximum. \[MQTT-4.9.0-2\]
    pub fn open(&self) -> u16 {
        self.open
    }

    /// Whether the identifier is of this window's part.
    pub fn owns(&self, id: PacketId) -> bool {
        self.part.has(id)
    }

    /// The identifier of the next position.
    pub fn next_id(&self) -> PacketId {
        self.part.id(self.next())
    }

    /// Takes the next position for a PUBLISH.
    pub fn send_publish(&mut self, qos: QoS) -> PacketId {
        self.open += 1;
        self.take_next(if qos == QoS::ExactlyOnce {
            Outgoing::AwaitingPubRec
        } else {
            Outgoing::AwaitingPubAck
        })
    }

    /// Takes the next position for a PUBREL that is owed from before.
    pub fn send_release(&mut self) -> PacketId {
        self.open += 1;
        self.take_next(Outgoing::AwaitingPubComp)
    }

    /// Passes over the next position: there is nothing to send.
    pub fn skip(&mut self) {
        self.take_next(Outgoing::Done);
        self.trim();
    }

    /// PUBACK: the position that is complete.
    pub fn on_puback(&mut self, id: PacketId) -> Option<Position> {
        self.complete(id, |slot| slot == Outgoing::AwaitingPubAck)
    }

    /// PUBREC with success.
    pub fn on_pubrec(&mut self, id: PacketId) -> PubRec {
        let Some(position) = self.part.position(id, self.base) else { return PubRec::Unknown };
        let Some((position, slot)) = self.slot(id) else {
            // It answers what an earlier connection sent, and is asked for again when that is sent again. To say that
            // the identifier is unknown would make the client take the resend for a new message. [MQTT-4.3.3-10]
            return if position < self.sent_before { PubRec::Repeated } else { PubRec::Unknown };
        };
        match slot {
            Outgoing::AwaitingPubRec => {
                *slot = Outgoing::CommittingPubRec;
                PubRec::Received(position)
            }
            Outgoing::CommittingPubRec | Outgoing::AwaitingPubComp => PubRec::Repeated,
            Outgoing::AwaitingPubAck | Outgoing::Done => PubRec::Unknown,
        }
    }

    /// PUBREC with an error: the position that is complete. \[MQTT-4.4.0-2\]
    pub fn on_pubrec_error(&mut self, id: PacketId) -> Option<Position> {
        self.complete(id, |slot| slot == Outgoing::AwaitingPubRec)
    }

    /// The receipt of the message at `position` is on disk: the identifier of the PUBREL to send.
    pub fn on_received_committed(&mut self, position: Position) -> Option<PacketId> {
        let id = self.part.id(position);
        let (found, slot) = self.slot(id)?;
        if found != position || *slot != Outgoing::CommittingPubRec {
            return None;
        }
        *slot = Outgoing::AwaitingPubComp;
        Some(id)
    }

    /// PUBCOMP: the position that is complete.
    pub fn on_pubcomp(&mut self, id: PacketId) -> Option<Position> {
        self.complete(id, |slot| slot == Outgoing::AwaitingPubComp)
    }

    fn take_next(&mut self, state: Outgoing) -> PacketId {
        let id = self.part.id(self.next());
        assert!(self.slots.len() < usize::from(self.part.len), "an identifier would be used twice");
        self.slots.push_back(state);
        id
    }

    fn slot(&mut self, id: PacketId) -> Option<(Position, &mut Outgoing)> {
        let position = self.part.position(id, self.base)?;
        let index = usize::try_from(position.0 - self.base.0).ok()?;
        Some((position, self.slots.get_mut(index)?))
    }

    fn complete(&mut self, id: PacketId, expected: impl Fn(Outgoing) -> bool) -> Option<Position> {
        let (position, slot) = self.slot(id)?;
        if !expected(*slot) {
            return None;
        }
        *slot = Outgoing::Done;
        self.open -= 1;
        self.trim();
        Some(position)
    }

    fn trim(&mut self) {
        while self.slots.pop_front_if(|slot| *slot == Outgoing::Done).is_some() {
            self.base = self.base.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, Position, PubRec, QoS, Window};

    #[test]
    fn parts_do_not_overlap_and_wrap_within_themselves() {
        let (low, high) = (Part::of(0, 2), Part::of(1, 2));
        assert_eq!(low.id(Position(0)).get(), 1);
        assert_eq!(low.id(Position(32_766)).get(), 32_767);
        assert_eq!(low.id(Position(32_767)).get(), 1);
        assert_eq!(high.id(Position(0)).get(), 32_768);
        assert_eq!(high.id(Position(32_766)).get(), 65_534);
        let base = Position(100_000);
        assert_eq!(low.position(low.id(Position(100_009)), base), Some(Position(100_009)));
        assert_eq!(low.position(high.id(Position(100_009)), base), None);
        // Three parts use every identifier that there is.
        let last = Part::of(2, 3);
        assert_eq!(last.id(Position(21_844)).get(), u16::MAX);
        assert!(last.has(last.id(Position(21_844))) && !high.has(last.id(Position(21_844))));
    }

    #[test]
    fn qos_2_is_released_only_when_its_receipt_is_on_disk() {
        let mut window = Window::new(Part::of(1, 2), Position(5), Position(5));
        let id = window.send_publish(QoS::ExactlyOnce);
        assert_eq!(window.on_puback(id), None, "PUBACK does not answer QoS 2");
        assert_eq!(window.on_pubcomp(id), None, "nothing was released");
        assert_eq!(window.on_pubrec(id), PubRec::Received(Position(5)));
        assert_eq!(window.on_pubcomp(id), None, "PUBREL was not sent");
        assert_eq!(window.on_pubrec(id), PubRec::Repeated);
        assert_eq!(window.on_received_committed(Position(5)), Some(id));
        assert_eq!(window.on_received_committed(Position(5)), None);
        assert_eq!(window.on_pubcomp(id), Some(Position(5)));
        assert_eq!((window.open(), window.next()), (0, Position(6)));
        assert_eq!(window.on_pubrec(id), PubRec::Unknown);
    }

    #[test]
    fn acknowledgements_out_of_order_hold_the_base_back() {
        let mut window = Window::new(Part::of(0, 2), Position(0), Position(0));
        let first = window.send_publish(QoS::AtLeastOnce);
        let second = window.send_publish(QoS::AtLeastOnce);
        assert_eq!(window.on_puback(second), Some(Position(1)));
        assert_eq!(window.open(), 1);
        assert_eq!(window.on_puback(second), None);
        assert_eq!(window.on_puback(first), Some(Position(0)));
        window.skip();
        assert_eq!(window.next(), Position(3));
    }

    #[test]
    fn an_early_answer_to_an_earlier_connection_waits_for_the_resend() {
        let mut window = Window::new(Part::of(1, 2), Position(3), Position(5));
        let id = |position| Part::of(1, 2).id(Position(position));
        assert_eq!(window.on_pubrec(id(4)), PubRec::Repeated);
        assert_eq!(window.on_pubrec(id(5)), PubRec::Unknown, "it was never sent");
        window.send_publish(QoS::ExactlyOnce);
        assert_eq!(window.on_pubrec(id(3)), PubRec::Received(Position(3)));
    }

    #[test]
    fn one_message_that_is_never_acknowledged_stops_the_window_before_identifiers_run_out() {
        let mut window = Window::new(Part::of(0, 2), Position(0), Position(0));
        window.send_publish(QoS::AtLeastOnce);
        let mut sent = 1;
        while window.has_room() {
            let id = window.send_publish(QoS::AtLeastOnce);
            assert!(window.on_puback(id).is_some());
            sent += 1;
        }
        assert_eq!((sent, window.open()), (16_383, 1));
        assert!(window.on_puback(Part::of(0, 2).id(Position(0))).is_some());
        assert!(window.has_room());
    }
}
