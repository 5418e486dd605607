//! The messages that one call reads.

use crate::memory::{self, Lacking};

/// How many messages of one connection a call reads.
pub const BATCH_MESSAGES: usize = 256;
/// How many bytes of one connection a call reads.
pub const BATCH_BYTES: usize = 1 << 20;
/// From what size on buffers are kept for the next messages.
pub const LARGE_BYTES: usize = 1 << 14;
// Up to what size, and how many.
const SPARE_BYTES: usize = 1 << 21;
const SPARE_BUFFERS: usize = 4;

/// Where the payload of a message is.
pub enum Payload {
    /// In the bytes that were fed: from where, how many.
    Here(usize, usize),
    /// In a buffer of its own.
    Owned(Vec<u8>),
}

/// The messages of one call.
#[derive(Default)]
pub struct Batch {
    /// Pairs of opcode and payload in the order of the wire; the last may be a close code and what the peer did wrong.
    pub items: Vec<(u16, Payload)>,
    /// What counts of `BATCH_BYTES`.
    pub bytes: usize,
    /// Buffers for the next large messages.
    pub spare: Vec<Vec<u8>>,
}

impl Batch {
    /// Makes room for all that one call may put here, and a breach.
    ///
    /// # Errors
    /// There is no memory.
    pub fn prepare(&mut self) -> Result<(), Lacking> {
        memory::reach(&mut self.items, BATCH_MESSAGES + 2)
    }

    /// Removes the messages; large buffers are kept for the next ones.
    pub fn clear(&mut self) {
        self.bytes = 0;
        for (_, payload) in self.items.drain(..) {
            let Payload::Owned(mut buffer) = payload else { continue };
            if (LARGE_BYTES..=SPARE_BYTES).contains(&buffer.capacity()) {
                buffer.clear();
                self.spare.push(buffer);
                self.spare.sort_unstable_by_key(Vec::capacity);
                self.spare.drain(..self.spare.len().saturating_sub(SPARE_BUFFERS));
            }
        }
    }

    /// Appends a message.
    pub fn put(&mut self, opcode: u8, payload: Payload, size: usize) {
        self.bytes += size;
        self.items.push((opcode.into(), payload));
    }

    /// Tells whether a connection has had its share of a turn.
    pub fn is_full(&self) -> bool {
        self.items.len() >= BATCH_MESSAGES || self.bytes >= BATCH_BYTES
    }
}
