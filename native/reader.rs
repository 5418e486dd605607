//! Messages out of bytes, cut anywhere: whole messages and control frames in the order of the wire.

use std::mem;

use crate::batch::{Batch, Payload, BATCH_BYTES, BATCH_MESSAGES, LARGE_BYTES};
use crate::budget::Budget;
use crate::deflate::Inflater;
use crate::frame::{self, Begun, Header, Rules};
use crate::memory::Lacking;
use crate::payload;
use crate::protocol::{Breach, CLOSE, COMPRESSED, FINAL, NOT_UTF8, TEXT};

/// What a fragment, and a byte that is inflated, count of that: both are work that the messages do not show.
const FRAGMENT_BYTES: usize = BATCH_BYTES / BATCH_MESSAGES;
const INFLATED_WEIGHT: usize = 16;
/// What a buffer of an unfinished message is charged in addition to its bytes.
const BUFFER_BYTES: u64 = 128;
/// So much more of a message is progress.
const PROGRESS_BYTES: usize = 1 << 16;
/// How much is unmasked and kept at a time: as much as the processor's nearest cache holds.
const BLOCK_BYTES: usize = 1 << 13;

#[derive(Default)]
struct Message {
    opcode: u8,
    utf8_state: u8,
    // The current frame's; its length is what is still to come, its key the one for that.
    header: Header,
    begun: Begun,
    bytes: Vec<u8>,
    charged: u64,
}

impl Message {
    fn new(opcode: u8, is_compressed: bool) -> Message {
        Message { opcode, begun: Begun { is_compressed, ..Begun::default() }, ..Message::default() }
    }

    fn begin_frame(&mut self, header: Header) {
        self.begun.fragments += 1;
        if !self.begun.is_compressed {
            self.begun.bytes += header.length;
        }
        self.header = header;
    }

    fn is_whole(&self) -> bool {
        self.header.first >= FINAL && self.header.length == 0
    }

    // Charges what a buffer costs beyond what is charged already.
    fn charge(&mut self, cost: u64, budget: &mut Budget) {
        let more = cost.saturating_sub(self.charged);
        budget.used += more;
        self.charged += more;
    }

    // Keeps a piece of payload that is not compressed.
    fn keep(&mut self, piece: &mut [u8], batch: &mut Batch, budget: &Budget) -> Result<(), Lacking> {
        let have = self.bytes.len();
        if have == 0 && piece.len() >= LARGE_BYTES {
            // A buffer that is there already is charged whole.
            let room = budget.limit.saturating_sub(budget.used);
            let spare = batch.spare.pop_if(|spare| cost(spare) <= room);
            self.bytes = spare.unwrap_or_default();
        }
        if self.bytes.capacity() - have < piece.len() {
            // Never more than has come already, whatever the header declares.
            let most = have.max(piece.len()) as u64;
            self.bytes.try_reserve_exact(self.header.length.min(most) as usize)?;
        }
        for block in piece.chunks_mut(BLOCK_BYTES) {
            self.header.unmask(block);
            self.bytes.extend_from_slice(block);
        }
        Ok(())
    }

    // Keeps what a piece of payload inflates to. Returns how much of it was taken.
    fn inflate(&mut self, piece: &mut [u8], inflater: &mut Inflater, limit: u64) -> Result<usize, Breach> {
        payload::mask(piece, self.header.key);
        let is_last = self.header.first >= FINAL && self.header.length == piece.len() as u64;
        let taken = inflater.inflate(piece, is_last, limit, &mut self.bytes)?;
        self.header.pass(taken);
        // The rest is read again as it has come.
        payload::mask(&mut piece[taken..], self.header.key);
        Ok(taken)
    }

    // 8.1: checks the bytes after the first `from`, as soon as they are here: the rest of the frame need not come.
    fn check_utf8(&mut self, from: usize) -> Result<(), Breach> {
        if self.opcode == TEXT {
            let Some(state) = payload::next_utf8(self.utf8_state, &self.bytes[from..]) else {
                return Err(Breach::new(NOT_UTF8, "a text that is not UTF-8"));
            };
            self.utf8_state = state;
        }
        if self.is_whole() && self.utf8_state != payload::BOUNDARY {
            return Err(Breach::new(NOT_UTF8, "a text that ends inside a character"));
        }
        Ok(())
    }
}

// Small buffers have hardly any room beyond their bytes.
fn cost(buffer: &Vec<u8>) -> u64 {
    let bytes = if buffer.capacity() < LARGE_BYTES { buffer.len() } else { buffer.capacity() };
    BUFFER_BYTES + bytes as u64
}

/// Reads the frames of one connection.
#[derive(Default)]
pub struct Reader {
    rules: Rules,
    message: Option<Box<Message>>,
    inflater: Option<Box<Inflater>>,
    has_ended: bool,
    // The level of what `unfinished` has told last.
    noted: u8,
    // How many messages have come in pieces.
    number: u32,
}

impl Reader {
    /// Makes a reader.
    pub fn new(rules: Rules) -> Reader {
        Reader { rules, ..Reader::default() }
    }

    /// Reads bytes, unmasking them where they are. Returns how many were taken, and whether the batch is full and more
    /// is to be read; what was not taken is to be given again, before what comes next.
    pub fn feed(&mut self, bytes: &mut [u8], batch: &mut Batch, budget: &mut Budget) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() && !self.has_ended {
            if at > 0 && batch.is_full() {
                return (at, true);
            }
            match self.step(bytes, at, batch, budget) {
                Ok(0) => return (at, false),
                Ok(size) => at += size,
                Err(breach) => self.fail(breach, batch, budget),
            }
        }
        (bytes.len(), false)
    }

    /// Ends the messages with what is wrong.
    pub fn fail(&mut self, breach: Breach, batch: &mut Batch, budget: &mut Budget) {
        let text = breach.text.into_owned().into_bytes();
        batch.items.push((breach.code, Payload::Owned(text)));
        self.release(budget);
    }

    // Takes one frame, or what has come of it. Returns how many bytes were taken; none where the header needs more.
    #[inline]
    fn step(&mut self, bytes: &mut [u8], at: usize, batch: &mut Batch, budget: &mut Budget) -> Result<usize, Breach> {
        let begun = match &self.message {
            Some(message) if message.header.length > 0 => return self.take_piece(&mut bytes[at..], batch, budget),
            Some(message) => Some(&message.begun),
            None => None,
        };
        let Some(header) = frame::read(&bytes[at..], begun, &self.rules)? else { return Ok(0) };
        let from = at + header.size;
        let opcode = header.first & 0x0f;
        let is_whole = (bytes.len() - from) as u64 >= header.length;
        if is_whole && matches!(header.first, 0x81 | 0x82 | 0x88..=0x8a) {
            let size = header.length as usize;
            let payload = &mut bytes[from..from + size];
            payload::mask(payload, header.key);
            payload::check(opcode, payload)?;
            batch.put(opcode, Payload::Here(from, size), size);
            if opcode == CLOSE {
                self.release(budget);
            }
            return Ok(header.size + size);
        }
        if opcode >= CLOSE {
            // Control frames are small: one that has not come whole is read again from its header.
            return Ok(0);
        }
        let is_compressed = header.first & COMPRESSED > 0;
        let number = &mut self.number;
        let message = self.message.get_or_insert_with(|| {
            *number = number.wrapping_add(1);
            Box::new(Message::new(opcode, is_compressed))
        });
        message.begin_frame(header);
        batch.bytes += FRAGMENT_BYTES;
        Ok(header.size + self.take_piece(&mut bytes[from..], batch, budget)?)
    }

    // Takes what has come of the current frame's payload. Returns how many bytes that was.
    fn take_piece(&mut self, bytes: &mut [u8], batch: &mut Batch, budget: &mut Budget) -> Result<usize, Breach> {
        let Some(message) = &mut self.message else { return Ok(0) };
        let mut count = message.header.length.min(bytes.len() as u64) as usize;
        let have = message.bytes.len();
        match self.rules.inflate {
            Some(window) if message.begun.is_compressed => {
                let inflater = self.inflater.get_or_insert_with(|| Box::new(Inflater::new(window)));
                let piece = &mut bytes[..count.min(BLOCK_BYTES)];
                count = message.inflate(piece, inflater, self.rules.max_message_bytes)?;
                batch.bytes += INFLATED_WEIGHT * (message.bytes.len() - have);
                if message.is_whole() && window.no_context_takeover {
                    self.inflater = None;
                }
            }
            _ => message.keep(&mut bytes[..count], batch, budget)?,
        }
        message.check_utf8(have)?;
        let size = message.bytes.len();
        if message.is_whole() {
            budget.used -= message.charged;
            batch.put(message.opcode, Payload::Owned(mem::take(&mut message.bytes)), size);
            self.message = None;
        } else if size > have {
            message.charge(cost(&message.bytes), budget);
        }
        Ok(count)
    }

    /// Tells how many bytes of the budget an unfinished message holds.
    pub fn held(&self) -> u64 {
        self.message.as_ref().map_or(0, |message| message.charged)
    }

    /// Tells whether the message that is not whole holds more than `unfinished` has told, or the budget is passed.
    pub fn has_news(&self, budget: &Budget) -> bool {
        match &self.message {
            Some(message) if message.charged > 0 => budget.level(message.charged) > self.noted || budget.is_passed(),
            _ => false,
        }
    }

    /// Tells how many bytes of the budget the message that is not whole holds, and how far it has come: a number that
    /// changes only with another message, or 64 KiB more of this one.
    pub fn unfinished(&mut self, budget: &Budget) -> (u64, u64) {
        let held = self.held();
        self.noted = budget.level(held);
        let bytes = self.message.as_ref().map_or(0, |message| message.bytes.len());
        (held, (u64::from(self.number) << 20) + (bytes / PROGRESS_BYTES) as u64)
    }

    /// Ends the reader and gives back to the budget what it holds; it reads nothing more.
    pub fn release(&mut self, budget: &mut Budget) {
        budget.used -= self.held();
        self.message = None;
        self.inflater = None;
        self.has_ended = true;
    }
}
