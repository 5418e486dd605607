//! Output of all connections of a context: one log for each turn, in which a connection holds a span; a queue of its
//! own only where the socket does not take everything.

use std::io::IoSlice;
use std::mem;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::digest::Random;
use crate::header::{self, CLOSE, MAX_HEADER_BYTES};
use crate::mask;
use crate::net::{self, Fault};
use crate::queue::{Held, Queue, Segment, MAX_SLICES, MIN_SHARED_BYTES};

/// A turn's log that has grown so far is sent before it grows further.
pub const LOG_BYTES: usize = 1 << 20;
const SPARE_QUEUES: usize = 64;

/// One frame to send.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// What kind of frame it is.
    pub opcode: u8,
    /// Whether the message ends with it.
    pub is_final: bool,
    /// What it carries.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// The frame's first byte.
    pub fn first(&self) -> u8 {
        if self.is_final {
            self.opcode | 0x80
        } else {
            self.opcode
        }
    }

    /// Appends the frame; with a key, a client's.
    ///
    /// RFC 6455 5.2, 5.3
    pub fn encode(&self, target: &mut Vec<u8>, key: Option<[u8; 4]>) {
        let mut head = [0; MAX_HEADER_BYTES];
        let size = header::write(&mut head, self.first(), self.payload.len(), key);
        target.extend_from_slice(&head[..size]);
        let from = target.len();
        target.extend_from_slice(self.payload);
        if let Some(key) = key {
            mask::apply(&mut target[from..], key);
        }
    }
}

/// Why a message was not queued.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// `max_buffered_bytes` would be passed.
    Full,
    /// No random bytes for the mask.
    Entropy,
}

/// How much may wait for one connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Past this, a flush is tried at once.
    pub high_water_bytes: usize,
    /// Past this, nothing more is queued.
    pub max_buffered_bytes: usize,
}

/// The sending side of one connection.
#[derive(Default)]
pub struct Outgoing {
    span: Range<usize>,
    span_is_raw: bool,
    queue: Option<Queue>,
    /// Whether frames are masked.
    pub is_client: bool,
    /// Whether the socket took less than it was offered, and has not said since that it takes more.
    pub is_blocked: bool,
    /// Whether a close frame was queued: nothing may follow it.
    pub has_said_close: bool,
    /// Whether the end of the turn comes past here.
    pub is_listed: bool,
    /// Whether Lua hears of the next flush whatever it did.
    pub wants_attention: bool,
    /// Whether Lua knows that bytes wait.
    pub is_told: bool,
    /// Whether any byte was taken since Lua heard of it.
    pub took: bool,
    /// How the connection broke.
    pub fault: Option<Fault>,
    /// Which limits of the context's it keeps.
    pub limits: u32,
    /// Bytes that wait.
    pub pending: usize,
}

impl Outgoing {
    fn queue(&mut self, spare: &mut Vec<Queue>) -> &mut Queue {
        let (span, is_raw) = (mem::take(&mut self.span), self.span_is_raw);
        self.queue.get_or_insert_with(|| {
            let mut queue = spare.pop().unwrap_or_default();
            if !span.is_empty() {
                queue.put_log(span.start, span.end, is_raw);
            }
            queue
        })
    }
}

/// What the sending sides of a context share.
pub struct Output {
    log: Vec<u8>,
    spare: Vec<Queue>,
    random: Random,
    /// Descriptors of those that queued something this turn.
    pub touched: Vec<i32>,
    /// Bytes that wait in all.
    pub buffered: usize,
    /// How many times a socket was offered bytes.
    pub sends: usize,
    limits: Vec<Limits>,
}

impl Output {
    /// Makes an empty one.
    pub fn new(limits: Limits) -> Output {
        Output {
            log: Vec::new(),
            spare: Vec::new(),
            random: Random::default(),
            touched: Vec::new(),
            buffered: 0,
            sends: 0,
            limits: vec![limits],
        }
    }

    /// Has a connection keep other limits than those of the context; routes are few, so they are found by looking.
    pub fn set_limits(&mut self, out: &mut Outgoing, limits: Limits) {
        let known = self.limits.iter().position(|other| *other == limits);
        out.limits = known.unwrap_or_else(|| {
            self.limits.push(limits);
            self.limits.len() - 1
        }) as u32;
    }

    /// Tells whether so many bytes more have no place in this turn's log.
    pub fn is_log_full(&self, size: usize) -> bool {
        !self.log.is_empty() && self.log.len() + size > LOG_BYTES
    }

    /// Has the end of the turn come past a connection.
    pub fn list(&mut self, fd: i32, out: &mut Outgoing) {
        if !out.is_listed {
            out.is_listed = true;
            self.touched.push(fd);
        }
    }

    fn count(&mut self, fd: i32, out: &mut Outgoing, size: usize) {
        out.pending += size;
        self.buffered += size;
        self.list(fd, out);
    }

    fn join(&mut self, out: &mut Outgoing, start: usize, end: usize, is_raw: bool) {
        if out.queue.is_none() {
            if out.span.is_empty() {
                out.span = start..end;
                out.span_is_raw = is_raw;
                return;
            }
            if out.span.end == start && out.span_is_raw == is_raw {
                out.span.end = end;
                return;
            }
        }
        out.queue(&mut self.spare).put_log(start, end, is_raw);
    }

    fn append(&mut self, fd: i32, out: &mut Outgoing, is_raw: bool, size: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if out.is_blocked {
            out.queue(&mut self.spare).write(is_raw, write);
        } else {
            let start = self.log.len();
            write(&mut self.log);
            let end = self.log.len();
            self.join(out, start, end, is_raw);
        }
        self.count(fd, out, size);
    }

    // Judges what waits already. A socket that refused bytes is asked again only when the answer decides.
    fn is_full(&mut self, fd: &OwnedFd, out: &mut Outgoing) -> bool {
        let most = self.limits[out.limits as usize].max_buffered_bytes;
        if out.pending > most {
            self.send(fd, out);
        }
        out.pending > most
    }

    // Behind the message that passes the mark, not before it: so all leave in one call.
    fn flush_past_mark(&mut self, fd: &OwnedFd, out: &mut Outgoing) {
        if out.pending > self.limits[out.limits as usize].high_water_bytes && !out.is_blocked {
            self.send(fd, out);
        }
    }

    /// Queues bytes as they are.
    pub fn raw(&mut self, number: i32, out: &mut Outgoing, bytes: &[u8]) {
        self.append(number, out, true, bytes.len(), |target| target.extend_from_slice(bytes));
    }

    /// Queues a frame; sends only where `high_water_bytes` is passed.
    ///
    /// # Errors
    /// Nothing was queued.
    pub fn push(&mut self, (number, fd): (i32, &OwnedFd), out: &mut Outgoing, frame: Frame<'_>) -> Result<(), Refused> {
        let key = match out.is_client {
            true => Some(self.random.key().map_err(|_| Refused::Entropy)?),
            false => None,
        };
        let size = frame_size(frame.payload.len(), key.is_some());
        // A close frame always finds room: it is the last.
        if frame.opcode == CLOSE {
            out.has_said_close = true;
        } else if self.is_full(fd, out) {
            return Err(Refused::Full);
        }
        self.append(number, out, false, size, |target| frame.encode(target, key));
        self.flush_past_mark(fd, out);
        Ok(())
    }

    /// Queues a server's frame, or raw bytes, that leave from where they are.
    ///
    /// # Errors
    /// Nothing was queued.
    pub fn push_held(
        &mut self,
        (number, fd): (i32, &OwnedFd),
        out: &mut Outgoing,
        first: Option<u8>,
        payload: Held,
    ) -> Result<(), Refused> {
        let mut head = [0; MAX_HEADER_BYTES];
        let length = (*payload).as_ref().len();
        let head_size = first.map_or(0, |first| header::write(&mut head, first, length, None));
        let size = head_size + length;
        if first.is_some() && self.is_full(fd, out) {
            return Err(Refused::Full);
        }
        out.queue(&mut self.spare).put(Segment::held(head, head_size, payload));
        self.count(number, out, size);
        if first.is_some() {
            self.flush_past_mark(fd, out);
        }
        Ok(())
    }

    /// Encodes a server's message for many.
    pub fn begin_fanout(&mut self, frame: Frame<'_>) -> Fanout {
        let start = self.log.len();
        frame.encode(&mut self.log, None);
        Fanout { start, end: self.log.len(), shared: None }
    }

    /// Queues the message of a fan-out on one connection.
    ///
    /// # Errors
    /// Nothing was queued.
    pub fn fan_out(
        &mut self,
        (number, fd): (i32, &OwnedFd),
        out: &mut Outgoing,
        fanout: &mut Fanout,
    ) -> Result<(), Refused> {
        let size = fanout.end - fanout.start;
        // 5.5.1: nothing follows a close frame.
        if out.has_said_close {
            return Ok(());
        }
        if self.is_full(fd, out) {
            return Err(Refused::Full);
        }
        let bytes = &self.log[fanout.start..fanout.end];
        if out.is_blocked && size < MIN_SHARED_BYTES {
            out.queue(&mut self.spare).write(false, |target| target.extend_from_slice(bytes));
        } else if out.is_blocked {
            let shared = fanout.shared.get_or_insert_with(|| Rc::new(bytes.to_vec()));
            out.queue(&mut self.spare).put(Segment::shared(Rc::clone(shared)));
        } else {
            self.join(out, fanout.start, fanout.end, false);
        }
        self.count(number, out, size);
        self.flush_past_mark(fd, out);
        Ok(())
    }

    /// Sends what a connection has queued, as far as the socket takes it.
    pub fn send(&mut self, fd: &OwnedFd, out: &mut Outgoing) {
        if out.queue.is_none() && !out.span.is_empty() {
            let bytes = &self.log[out.span.clone()];
            let offered = bytes.len();
            self.sends += 1;
            match net::send(fd, bytes) {
                Ok(count) if count == offered => {
                    out.span = 0..0;
                    out.is_blocked = false;
                    self.note_taken(out, count);
                }
                result => {
                    out.queue(&mut self.spare);
                    self.note(out, result, offered);
                }
            }
        } else if out.queue.is_some() {
            while self.send_queue(fd, out) {}
        }
        if out.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.put_away(out);
        }
    }

    fn send_queue(&mut self, fd: &OwnedFd, out: &mut Outgoing) -> bool {
        let Some(queue) = &out.queue else { return false };
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (count, offered) = queue.slices(&self.log, &mut slices);
        if count == 0 {
            return false;
        }
        self.sends += 1;
        let result = net::send_all(fd, &slices[..count]);
        self.note(out, result, offered)
    }

    fn note_taken(&mut self, out: &mut Outgoing, count: usize) {
        out.took = out.took || count > 0;
        out.pending -= count;
        self.buffered -= count;
    }

    // Returns whether the socket may take more.
    fn note(&mut self, out: &mut Outgoing, result: Result<usize, Fault>, offered: usize) -> bool {
        let count = match result {
            Ok(count) => count,
            Err(Fault::Timeout) => 0,
            Err(fault) => {
                out.fault = Some(fault);
                return false;
            }
        };
        self.note_taken(out, count);
        if let Some(queue) = &mut out.queue {
            queue.advance(&self.log, count);
        }
        out.is_blocked = count < offered;
        !out.is_blocked
    }

    fn put_away(&mut self, out: &mut Outgoing) {
        if let Some(mut queue) = out.queue.take() {
            queue.clear();
            if self.spare.len() < SPARE_QUEUES {
                self.spare.push(queue);
            }
        }
    }

    /// Tells whether a connection still needs the log, and whether it needs most of it.
    pub fn log_use(&self, out: &Outgoing) -> (bool, bool) {
        out.queue.as_ref().map_or((false, false), |queue| queue.log_use(self.log.len()))
    }

    /// Ends the log when everybody has been offered it.
    pub fn take_log(&mut self) -> Rc<Vec<u8>> {
        Rc::new(mem::take(&mut self.log))
    }

    /// Makes a connection independent of a log that ends.
    pub fn keep(&mut self, out: &mut Outgoing, log: &Rc<Vec<u8>>) {
        out.queue(&mut self.spare).keep(log);
    }

    /// Empties the log, which nobody needs any more.
    pub fn clear_log(&mut self, log: Option<Rc<Vec<u8>>>) {
        if let Some(Ok(log)) = log.map(Rc::try_unwrap) {
            self.log = log;
        }
        self.log.clear();
        self.log.shrink_to(LOG_BYTES);
    }

    /// Drops messages that have not begun to leave. Returns the bytes dropped.
    pub fn drop_messages(&mut self, out: &mut Outgoing, enough: usize) -> usize {
        if out.pending == 0 {
            return 0;
        }
        let dropped = out.queue(&mut self.spare).drop_messages(&self.log, enough);
        out.pending -= dropped;
        self.buffered -= dropped;
        dropped
    }

    /// Forgets everything that waits.
    pub fn forget(&mut self, out: &mut Outgoing) {
        self.buffered -= out.pending;
        out.pending = 0;
        out.span = 0..0;
        self.put_away(out);
    }
}

/// A message that many get.
pub struct Fanout {
    start: usize,
    end: usize,
    shared: Option<Rc<Vec<u8>>>,
}

/// The size of a frame with its header.
pub fn frame_size(length: usize, is_masked: bool) -> usize {
    let head = if length < 126 {
        2
    } else if length < 65536 {
        4
    } else {
        10
    };
    head + length + if is_masked { 4 } else { 0 }
}
