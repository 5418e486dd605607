//! Messages out of bytes, cut anywhere: whole messages and control frames in the order of the wire.

use std::borrow::Cow;
use std::mem;

use crate::header::{self, Begun, Breach, Header, Rules, CLOSE};
use crate::{mask, utf8};

const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// What a retained buffer is charged beside its bytes.
const BUFFER_BYTES: u64 = 128;
/// From this much on both sides, the rest of a frame is received where it stays.
const STRAIGHT_BYTES: usize = 1 << 14;
/// The largest buffer that is kept for the next message.
const SPARE_BYTES: usize = 1 << 22;

/// Where the payload of a message is.
pub enum Payload {
    /// In the bytes that were fed: from where, how many.
    Here(usize, usize),
    /// In a buffer of its own.
    Owned(Vec<u8>),
    /// What the peer did wrong.
    Wrong(Cow<'static, str>),
}

/// One message, or the breach that ends everything.
pub struct Item {
    /// Opcode or close code.
    pub kind: u16,
    /// What came with it.
    pub payload: Payload,
}

/// The messages of one call.
#[derive(Default)]
pub struct Batch {
    /// In the order of the wire.
    pub items: Vec<Item>,
    bytes: usize,
    spare: Vec<u8>,
}

impl Batch {
    /// Forgets the messages; the largest buffer serves again.
    pub fn clear(&mut self) {
        self.bytes = 0;
        for item in self.items.drain(..) {
            if let Payload::Owned(buffer) = item.payload {
                if buffer.capacity() > self.spare.capacity() && buffer.capacity() <= SPARE_BYTES {
                    self.spare = buffer;
                }
            }
        }
    }

    fn put(&mut self, kind: u8, payload: Payload, size: usize) {
        self.bytes += size;
        self.items.push(Item { kind: kind.into(), payload });
    }

    fn is_full(&self) -> bool {
        self.items.len() >= BATCH_MESSAGES || self.bytes >= BATCH_BYTES
    }
}

/// What all unfinished messages of a context hold.
pub struct Budget {
    /// Bytes held.
    pub used: u64,
    /// Bytes that may be held.
    pub limit: u64,
}

struct Message {
    opcode: u8,
    utf8_state: u8,
    is_final: bool,
    key: [u8; 4],
    remaining: u64,
    begun: Begun,
    bytes: Vec<u8>,
    charged: u64,
}

impl Message {
    fn open(opcode: u8) -> Box<Message> {
        Box::new(Message {
            opcode,
            utf8_state: utf8::BOUNDARY,
            is_final: false,
            key: [0; 4],
            remaining: 0,
            begun: Begun { fragments: 0, bytes: 0 },
            bytes: Vec::new(),
            charged: 0,
        })
    }

    fn begin_frame(&mut self, header: &Header) {
        self.begun.fragments += 1;
        self.begun.bytes += header.length;
        self.remaining = header.length;
        self.is_final = header.is_final;
        self.key = header.key;
    }

    fn charge(&mut self, cost: u64, budget: &mut Budget) -> bool {
        let more = cost.saturating_sub(self.charged);
        if budget.limit.saturating_sub(budget.used) < more {
            return false;
        }
        budget.used += more;
        self.charged += more;
        true
    }

    // Takes note of plain bytes behind `from`; true where the message is complete.
    fn arrived(&mut self, from: usize, budget: &mut Budget) -> Result<bool, Breach> {
        let count = self.bytes.len() - from;
        self.remaining -= count as u64;
        self.key = mask::turn(self.key, count);
        if self.opcode == 1 {
            // 8.1, as soon as the bad byte is here: the rest of the frame need not come.
            let state = utf8::next(self.utf8_state, &self.bytes[from..]);
            self.utf8_state = state.ok_or_else(|| Breach::utf8("a text that is not UTF-8"))?;
        }
        if self.remaining > 0 || !self.is_final {
            if count > 0 && !self.charge(self.bytes.len() as u64 + BUFFER_BYTES, budget) {
                return Err(Breach::too_big("no room for unfinished messages"));
            }
            return Ok(false);
        }
        if self.utf8_state != utf8::BOUNDARY {
            return Err(Breach::utf8("a text that ends inside a character"));
        }
        Ok(true)
    }
}

/// Reads the frames of one connection.
pub struct Reader {
    rules: Rules,
    message: Option<Box<Message>>,
    has_ended: bool,
}

enum Step {
    More,
    Taken(usize),
    Closed(usize),
}

impl Reader {
    /// Makes a reader.
    pub fn new(rules: Rules) -> Reader {
        Reader { rules, message: None, has_ended: false }
    }

    /// Reads bytes, unmasking them where they are. Returns how many were taken, and whether the batch is full and more
    /// is to be read; what was not taken is to be given again, in front of what comes.
    pub fn feed(&mut self, bytes: &mut [u8], batch: &mut Batch, budget: &mut Budget) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() && !self.has_ended {
            match self.step(bytes, at, batch, budget) {
                Ok(Step::More) => return (at, false),
                Ok(Step::Taken(size)) => at += size,
                Ok(Step::Closed(size)) => {
                    at += size;
                    self.release(budget);
                }
                Err(breach) => self.fail(breach, batch, budget),
            }
            if batch.is_full() && at < bytes.len() && !self.has_ended {
                return (at, true);
            }
        }
        (bytes.len(), false)
    }

    fn fail(&mut self, breach: Breach, batch: &mut Batch, budget: &mut Budget) {
        batch.items.push(Item { kind: breach.code, payload: Payload::Wrong(breach.text) });
        self.release(budget);
    }

    #[inline]
    fn step(&mut self, bytes: &mut [u8], at: usize, batch: &mut Batch, budget: &mut Budget) -> Result<Step, Breach> {
        let mut begun = None;
        if let Some(message) = &self.message {
            if message.remaining > 0 {
                return self.take_piece(&mut bytes[at..], batch, budget).map(Step::Taken);
            }
            begun = Some(message.begun);
        }
        let Some(header) = header::read(&bytes[at..], begun, &self.rules)? else { return Ok(Step::More) };
        let from = at + header.size;
        let is_whole = (bytes.len() - from) as u64 >= header.length;
        let upto = if is_whole { from + header.length as usize } else { bytes.len() };
        if header.opcode >= CLOSE {
            // Control frames are small: one that has not come whole is read again from its header.
            return if is_whole { self.take_control(&header, bytes, from, upto, batch) } else { Ok(Step::More) };
        }
        if begun.is_none() {
            if is_whole && header.is_final {
                return self.take_whole(&header, bytes, from, upto, batch);
            }
            self.message = Some(Message::open(header.opcode));
        }
        if let Some(message) = &mut self.message {
            message.begin_frame(&header);
        }
        let taken = self.take_piece(&mut bytes[from..], batch, budget)?;
        Ok(Step::Taken(header.size + taken))
    }

    fn unmask(&self, bytes: &mut [u8], key: [u8; 4]) {
        if self.rules.is_server {
            mask::apply(bytes, key);
        }
    }

    #[inline]
    fn take_whole(
        &self,
        header: &Header,
        bytes: &mut [u8],
        from: usize,
        upto: usize,
        batch: &mut Batch,
    ) -> Result<Step, Breach> {
        let payload = &mut bytes[from..upto];
        self.unmask(payload, header.key);
        if header.opcode == 1 && !utf8::is_valid(payload) {
            let is_cut = utf8::next(utf8::BOUNDARY, payload).is_some();
            let text = if is_cut { "a text that ends inside a character" } else { "a text that is not UTF-8" };
            return Err(Breach::utf8(text));
        }
        batch.put(header.opcode, Payload::Here(from, upto - from), upto - from);
        Ok(Step::Taken(header.size + upto - from))
    }

    fn take_control(
        &self,
        header: &Header,
        bytes: &mut [u8],
        from: usize,
        upto: usize,
        batch: &mut Batch,
    ) -> Result<Step, Breach> {
        let payload = &mut bytes[from..upto];
        self.unmask(payload, header.key);
        let size = header.size + payload.len();
        if header.opcode == CLOSE {
            header::check_close(payload)?;
        }
        batch.put(header.opcode, Payload::Here(from, upto - from), upto - from);
        Ok(if header.opcode == CLOSE { Step::Closed(size) } else { Step::Taken(size) })
    }

    // Takes what has come of the current frame's payload.
    fn take_piece(&mut self, bytes: &mut [u8], batch: &mut Batch, budget: &mut Budget) -> Result<usize, Breach> {
        let is_server = self.rules.is_server;
        let Some(message) = &mut self.message else { return Ok(0) };
        let count = message.remaining.min(bytes.len() as u64) as usize;
        let piece = &mut bytes[..count];
        if is_server {
            mask::apply(piece, message.key);
        }
        let from = message.bytes.len();
        message.bytes.extend_from_slice(piece);
        self.advance(from, batch, budget)?;
        Ok(count)
    }

    fn advance(&mut self, from: usize, batch: &mut Batch, budget: &mut Budget) -> Result<(), Breach> {
        let Some(mut message) = self.message.take() else { return Ok(()) };
        match message.arrived(from, budget) {
            Ok(true) => {
                budget.used -= message.charged;
                let bytes = mem::take(&mut message.bytes);
                let size = bytes.len();
                batch.put(message.opcode, Payload::Owned(bytes), size);
                Ok(())
            }
            other => {
                self.message = Some(message);
                other.map(|_| ())
            }
        }
    }

    /// Lends the buffer of a large unfinished frame, with room behind its bytes, so that the next bytes can be received
    /// straight into it; then `received` must follow.
    pub fn straight(&mut self, batch: &mut Batch, budget: &mut Budget) -> Option<&mut Vec<u8>> {
        let message = self.message.as_deref_mut()?;
        let have = message.bytes.len();
        if message.remaining < STRAIGHT_BYTES as u64 || have < STRAIGHT_BYTES {
            return None;
        }
        if message.bytes.capacity() - have < STRAIGHT_BYTES {
            // Never more than has come already, whatever the header declares; what is there already costs nothing.
            let more = usize::try_from(message.remaining).unwrap_or(have).min(have);
            let room = batch.spare.capacity().max(have + more);
            if !message.charge(room as u64 + BUFFER_BYTES, budget) {
                return None;
            }
            if batch.spare.capacity() >= have + more {
                batch.spare.clear();
                batch.spare.extend_from_slice(&message.bytes);
                mem::swap(&mut batch.spare, &mut message.bytes);
            } else {
                message.bytes.reserve_exact(more);
            }
        }
        Some(&mut message.bytes)
    }

    /// Takes what was received behind the first `from` bytes of the buffer that `straight` lent. Returns bytes that
    /// belong to the next frames.
    pub fn received(&mut self, from: usize, batch: &mut Batch, budget: &mut Budget) -> Vec<u8> {
        let Some(message) = &mut self.message else { return Vec::new() };
        let end = from + message.remaining.min((message.bytes.len() - from) as u64) as usize;
        let beyond = if end < message.bytes.len() { message.bytes.split_off(end) } else { Vec::new() };
        if self.rules.is_server {
            mask::apply(&mut message.bytes[from..], message.key);
        }
        if let Err(breach) = self.advance(from, batch, budget) {
            self.fail(breach, batch, budget);
        }
        beyond
    }

    /// Ends the reader and gives back to the budget what it holds; it reads nothing more.
    pub fn release(&mut self, budget: &mut Budget) {
        if let Some(message) = self.message.take() {
            budget.used -= message.charged;
        }
        self.has_ended = true;
    }
}
