//! The messages that somebody still wants, once each, counted by reference.

use crate::base::ids::Offset;
use crate::message::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    message: Rc<Message>,
    references: u32,
}

/// Messages by offset. An offset is never used again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct MessageLog {
    next: Offset,
    held: BTreeMap<Offset, Held>,
}

impl MessageLog {
    /// Adds a message with one reference.
    pub(super) fn append(&mut self, message: Rc<Message>) -> Offset {
        let offset = self.next;
        self.next = offset.next();
        self.held.insert(offset, Held { message, references: 1 });
        offset
    }

    /// Adds a reference.
    ///
    /// # Panics
    /// If nobody holds the offset: a reference can only be copied.
    pub(super) fn retain(&mut self, offset: Offset) {
        self.held.get_mut(&offset).expect("a referenced message is held").references += 1;
    }

    /// Gives a reference back; the last one forgets the message.
    ///
    /// # Panics
    /// If nobody holds the offset.
    pub(super) fn release(&mut self, offset: Offset) {
        let held = self.held.get_mut(&offset).expect("a referenced message is held");
        held.references -= 1;
        if held.references == 0 {
            self.held.remove(&offset);
        }
    }

    /// The message at an offset that somebody holds.
    ///
    /// # Panics
    /// If nobody holds the offset.
    pub(super) fn get(&self, offset: Offset) -> &Rc<Message> {
        &self.held.get(&offset).expect("a referenced message is held").message
    }

    /// How often each message is referred to.
    pub(super) fn references(&self) -> BTreeMap<Offset, u32> {
        self.held.iter().map(|(offset, held)| (*offset, held.references)).collect()
    }

    /// How many messages are held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}
