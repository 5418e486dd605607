//! Messages out of bytes, cut anywhere: whole messages and control frames in the order of the wire.

use std::mem;

use crate::header::{self, Begun, Breach, Header, Rules, CLOSE, FINAL, NOT_UTF8, PACKED, TEXT, TOO_BIG};
use crate::{deflate::Inflater, mask, utf8};

const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// What a buffer of an unfinished message is charged beside its bytes.
const BUFFER_BYTES: u64 = 128;
/// What is unmasked and kept before the next, while the processor has it nearest.
const BLOCK_BYTES: usize = 1 << 13;
/// From what size on buffers are kept for the next messages, up to what size, and how many.
const LARGE_BYTES: usize = 1 << 14;
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
    bytes: usize,
    spare: Vec<Vec<u8>>,
}

impl Batch {
    /// Forgets the messages; large buffers serve again.
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

    fn put(&mut self, opcode: u8, payload: Payload, size: usize) {
        self.bytes += size;
        self.items.push((opcode.into(), payload));
    }
}

/// What all unfinished messages of a context hold.
#[derive(Default)]
pub struct Budget {
    /// Bytes held.
    pub used: u64,
    /// Bytes that may be held.
    pub limit: u64,
}

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
    fn is_whole(&self) -> bool {
        self.header.first >= FINAL && self.header.length == 0
    }

    fn charge(&mut self, cost: u64, budget: &mut Budget) -> bool {
        let more = cost.saturating_sub(self.charged);
        let fits = more <= budget.limit.saturating_sub(budget.used);
        let charge = if fits { more } else { 0 };
        (budget.used, self.charged) = (budget.used + charge, self.charged + charge);
        fits
    }
}

// Small buffers have hardly any room beyond their bytes.
fn cost(buffer: &Vec<u8>) -> u64 {
    BUFFER_BYTES + if buffer.capacity() < LARGE_BYTES { buffer.len() } else { buffer.capacity() } as u64
}

/// Reads the frames of one connection.
#[derive(Default)]
pub struct Reader {
    rules: Rules,
    message: Option<Box<Message>>,
    inflater: Option<Box<Inflater>>,
    has_ended: bool,
}

impl Reader {
    /// Makes a reader.
    pub fn new(rules: Rules) -> Reader {
        Reader { rules, ..Reader::default() }
    }

    /// Reads bytes, unmasking them where they are. Returns how many were taken, and whether the batch is full and more
    /// is to be read; what was not taken is to be given again, in front of what comes.
    pub fn feed(&mut self, bytes: &mut [u8], batch: &mut Batch, budget: &mut Budget) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() && !self.has_ended {
            if at > 0 && (batch.items.len() >= BATCH_MESSAGES || batch.bytes >= BATCH_BYTES) {
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

    fn fail(&mut self, breach: Breach, batch: &mut Batch, budget: &mut Budget) {
        batch.items.push((breach.code, Payload::Owned(breach.text.into_owned().into())));
        self.release(budget);
    }

    // One frame, or what has come of it. Returns how many bytes were taken; none where the header needs more.
    #[inline]
    fn step(&mut self, bytes: &mut [u8], at: usize, batch: &mut Batch, budget: &mut Budget) -> Result<usize, Breach> {
        let begun = match &self.message {
            Some(message) if message.header.length > 0 => return self.take_piece(&mut bytes[at..], batch, budget),
            other => other.as_ref().map(|message| &message.begun),
        };
        let Some(header) = header::read(&bytes[at..], begun, &self.rules)? else { return Ok(0) };
        let (from, opcode) = (at + header.size, header.first & 0x0f);
        let is_whole = (bytes.len() - from) as u64 >= header.length;
        if is_whole && matches!(header.first, 0x81 | 0x82 | 0x88..=0x8a) {
            let size = header.length as usize;
            let payload = &mut bytes[from..from + size];
            mask::apply(payload, header.key);
            header::check_payload(opcode, payload)?;
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
        let message = self.message.get_or_insert_with(|| {
            let begun = Begun { is_packed: header.first & PACKED > 0, ..Begun::default() };
            Box::new(Message { opcode, begun, ..Message::default() })
        });
        message.begun.fragments += 1;
        message.begun.bytes += if message.begun.is_packed { 0 } else { header.length };
        message.header = header;
        Ok(header.size + self.take_piece(&mut bytes[from..], batch, budget)?)
    }

    // Takes what has come of the current frame's payload.
    fn take_piece(&mut self, bytes: &mut [u8], batch: &mut Batch, budget: &mut Budget) -> Result<usize, Breach> {
        let Some(message) = &mut self.message else { return Ok(0) };
        let count = message.header.length.min(bytes.len() as u64) as usize;
        let piece = &mut bytes[..count];
        let from = message.bytes.len();
        match self.rules.inflate {
            Some(window) if message.begun.is_packed => {
                let inflater = self.inflater.get_or_insert_with(|| Box::new(Inflater::new(window)));
                let limit = self.rules.max_message_bytes;
                message.header.unmask(piece);
                inflater.inflate(piece, message.is_whole(), limit, &mut message.bytes)?;
                if message.is_whole() && window.forgets {
                    self.inflater = None;
                }
            }
            _ => {
                if from == 0 && count >= LARGE_BYTES {
                    // What lies in memory already counts whole.
                    let spare = batch.spare.pop_if(|spare| message.charge(cost(spare), budget));
                    message.bytes = spare.unwrap_or_default();
                }
                if message.bytes.capacity() - from < count {
                    // Never more than has come already, whatever the header declares.
                    message.bytes.reserve_exact(message.header.length.min(from.max(count) as u64) as usize);
                }
                for block in piece.chunks_mut(BLOCK_BYTES) {
                    message.header.unmask(block);
                    message.bytes.extend_from_slice(block);
                }
            }
        }
        self.advance(from, batch, budget)?;
        Ok(count)
    }

    // Takes note of plain bytes behind `from`.
    fn advance(&mut self, from: usize, batch: &mut Batch, budget: &mut Budget) -> Result<(), Breach> {
        let Some(message) = &mut self.message else { return Ok(()) };
        let size = message.bytes.len();
        if message.opcode == TEXT {
            // 8.1, as soon as the bad byte is here: the rest of the frame need not come.
            let state = utf8::next(message.utf8_state, &message.bytes[from..]);
            message.utf8_state = state.ok_or_else(|| Breach::new(NOT_UTF8, "a text that is not UTF-8"))?;
        }
        if !message.is_whole() {
            if size > from && !message.charge(cost(&message.bytes), budget) {
                return Err(Breach::new(TOO_BIG, "no room for unfinished messages"));
            }
        } else if message.utf8_state != utf8::BOUNDARY {
            return Err(Breach::new(NOT_UTF8, "a text that ends inside a character"));
        } else {
            budget.used -= message.charged;
            batch.put(message.opcode, Payload::Owned(mem::take(&mut message.bytes)), size);
            self.message = None;
        }
        Ok(())
    }

    /// Ends the reader and gives back to the budget what it holds; it reads nothing more.
    pub fn release(&mut self, budget: &mut Budget) {
        budget.used -= self.message.take().map_or(0, |message| message.charged);
        self.inflater = None;
        self.has_ended = true;
    }
}
