//! Compressed payloads: raw DEFLATE, a message at a time.
//!
//! RFC 7692 7.2

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::memory::{self, Lacking};
use crate::protocol::{Breach, TOO_BIG};

// 7.2.1: what a flush ends with; it is removed before sending and put back after receiving.
const TAIL: [u8; 4] = [0, 0, 255, 255];
// A peer may end the DEFLATE stream inside a message (7.2.3.4), but each time costs a new one.
const MAX_ENDS: u32 = 16;
const LEAST_ROOM: usize = 256;
// How much is inflated in one go at most: inflating then stops, so that others need not wait.
const MOST_ROOM: usize = 1 << 16;
// More than a stream allocates in all; where it cannot, it panics.
const DEFLATER_BYTES: usize = 1 << 19;
const INFLATER_BYTES: usize = 1 << 17;

thread_local! {
    // Connections without context takeover borrow one of these for each message, and hold none while they are idle.
    static DEFLATERS: RefCell<HashMap<Window, Compress>> = RefCell::default();
    static INFLATERS: RefCell<HashMap<Window, Decompress>> = RefCell::default();
}

/// What the two sides agreed on for one direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// 9 to 15: the window has two to the power of it bytes.
    pub bits: u8,
    /// The effort when we compress, 1 to 9; 0 where the peer does.
    pub level: u8,
    /// Whether each message is compressed on its own.
    pub no_context_takeover: bool,
}

/// Compresses the messages of one connection, or of all without context takeover.
pub struct Deflater {
    /// What was agreed.
    pub window: Window,
    threshold: usize,
    stream: Option<Compress>,
}

/// A deflater that connections share.
pub type Codec = Rc<RefCell<Deflater>>;

impl Deflater {
    /// Makes a deflater; messages shorter than `threshold` bytes are not compressed.
    pub fn new(window: Window, threshold: usize) -> Deflater {
        Deflater { window, threshold, stream: None }
    }

    /// Compresses a message; `None` where it is better sent as it is, or there is no memory for it.
    ///
    /// RFC 7692 7.2.1
    pub fn compress(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if payload.len() < self.threshold {
            return None;
        }
        let mut stream = self.take_stream().ok()?;
        // A full flush makes the stream forget everything before, as a new one would.
        let flush = if self.window.no_context_takeover { FlushCompress::Full } else { FlushCompress::Sync };
        let mut compressed = memory::with_capacity(payload.len() / 2 + LEAST_ROOM).ok()?;
        let before = stream.total_in();
        loop {
            memory::reserve(&mut compressed, LEAST_ROOM).ok()?;
            let rest = &payload[(stream.total_in() - before) as usize..];
            // After an error the stream is dropped: the next message begins a new one, which refers to nothing.
            if stream.compress_vec(rest, &mut compressed, flush).ok()? == Status::BufError {
                break;
            }
        }
        self.put_back(stream);
        if compressed.ends_with(&TAIL) {
            compressed.truncate(compressed.len() - TAIL.len());
        }
        if compressed.is_empty() {
            // 7.2.3.6: an empty message.
            compressed.push(0);
        }
        // With context takeover the stream now refers to this message, so it must be sent compressed. A threshold of 0
        // asks for everything.
        let must_send = !self.window.no_context_takeover || self.threshold == 0;
        (must_send || compressed.len() < payload.len()).then_some(compressed)
    }

    fn take_stream(&mut self) -> Result<Compress, Lacking> {
        if let Some(stream) = self.stream.take() {
            return Ok(stream);
        }
        if let Some(stream) = DEFLATERS.with_borrow_mut(|pool| pool.remove(&self.window)) {
            return Ok(stream);
        }
        memory::probe(DEFLATER_BYTES)?;
        let level = Compression::new(self.window.level.into());
        Ok(Compress::new_with_window_bits(level, false, self.window.bits))
    }

    fn put_back(&mut self, stream: Compress) {
        if self.window.no_context_takeover {
            DEFLATERS.with_borrow_mut(|pool| pool.insert(self.window, stream));
        } else {
            self.stream = Some(stream);
        }
    }

    /// Gives back what is held; the next message begins a new context.
    pub fn release(&mut self) {
        self.stream = None;
    }
}

fn take_inflater(window: Window) -> Result<Decompress, Lacking> {
    if let Some(stream) = INFLATERS.with_borrow_mut(|pool| pool.remove(&window)) {
        return Ok(stream);
    }
    memory::probe(INFLATER_BYTES)?;
    Ok(Decompress::new_with_window_bits(false, window.bits))
}

/// Inflates the messages of one connection.
pub struct Inflater {
    window: Window,
    stream: Option<Decompress>,
    // How often the stream ended in the current message.
    ends: u32,
    // Whether the current message has any bytes.
    has_begun: bool,
}

impl Inflater {
    /// Makes an inflater.
    pub fn new(window: Window) -> Inflater {
        Inflater { window, stream: None, ends: 0, has_begun: false }
    }

    /// Inflates what has come of a message and appends it to `target`, which never holds more than one byte beyond
    /// `limit`. Returns how many bytes were taken: the others are to be given again, unless it is all.
    ///
    /// # Errors
    /// What is wrong with the message; nothing may be inflated afterwards.
    ///
    /// RFC 7692 7.2.2
    pub fn inflate(&mut self, bytes: &[u8], is_last: bool, limit: u64, target: &mut Vec<u8>) -> Result<usize, Breach> {
        self.has_begun |= !bytes.is_empty();
        let taken = self.run(bytes, limit, target)?;
        if is_last && taken == bytes.len() {
            // A stream that has ended lacks no tail, nor does a message without bytes.
            if self.has_begun && self.stream.is_some() {
                let mut done = 0;
                while done < TAIL.len() {
                    done += self.run(&TAIL[done..], limit, target)?;
                }
            }
            self.has_begun = false;
            self.ends = 0;
            if self.window.no_context_takeover {
                self.release();
            }
        }
        Ok(taken)
    }

    fn run(&mut self, bytes: &[u8], limit: u64, target: &mut Vec<u8>) -> Result<usize, Breach> {
        let window = self.window;
        let enough = target.len() + MOST_ROOM;
        let mut at = 0;
        let mut has_more = !bytes.is_empty();
        while has_more && (target.len() < enough || at == 0 || at == bytes.len()) {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => none.insert(take_inflater(window)?),
            };
            let have = target.len();
            // One byte beyond the limit is enough to see that it is passed.
            let most = limit + 1 - have as u64;
            let room = (2 * bytes.len()).max(have).clamp(LEAST_ROOM, MOST_ROOM).min(most as usize);
            if target.capacity() - have < room {
                target.try_reserve_exact(room.max(have).min(most as usize))?;
            }
            target.resize(have + room, 0);
            let before = (stream.total_in(), stream.total_out());
            let result = stream.decompress(&bytes[at..], &mut target[have..], FlushDecompress::Sync);
            let made = (stream.total_out() - before.1) as usize;
            at += (stream.total_in() - before.0) as usize;
            target.truncate(have + made);
            if target.len() as u64 > limit {
                return Err(Breach::new(TOO_BIG, "a message that inflates to more than its limit"));
            }
            let Ok(status) = result else { return Err(Breach::protocol("a message that cannot be inflated")) };
            has_more = if status == Status::StreamEnd {
                self.end_stream()?;
                at < bytes.len()
            } else {
                made == room
            };
        }
        Ok(at)
    }

    // 7.2.3.4: after a last block another stream begins.
    fn end_stream(&mut self) -> Result<(), Breach> {
        if self.ends >= MAX_ENDS {
            return Err(Breach::protocol("a message of too many streams"));
        }
        self.ends += 1;
        self.release();
        Ok(())
    }

    /// Gives back what is held; what comes next is another stream.
    pub fn release(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            // Windows of another size are made anew.
            if memory::probe(INFLATER_BYTES).is_err() {
                return;
            }
            stream.reset(false);
            INFLATERS.with_borrow_mut(|pool| pool.insert(self.window, stream));
        }
    }
}

#[cfg(test)]
mod tests;
