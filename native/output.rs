//! Output of all connections of a context: one log for each turn, in which a connection holds a span; a queue of its
//! own only where the socket does not take everything.

use std::cell::RefCell;
use std::io::IoSlice;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use crate::deflate::Deflater;
use crate::digest::Random;
use crate::header::{self, CLOSE, MAX_HEADER_BYTES, PACKED};
use crate::mask;
use crate::net::{self, Fault};
use crate::queue::{Held, Queue, Segment, MAX_SLICES, MIN_SHARED_BYTES};

/// A turn's log grows so far; what has no room in it goes to the queue of its connection.
const LOG_BYTES: usize = 1 << 20;
const SPARE_QUEUES: usize = 64;

/// One frame to send.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// What kind of frame it is.
    pub opcode: u8,
    /// Whether the message ends with it.
    pub is_final: bool,
    /// Whether it must not be compressed.
    pub is_plain: bool,
    /// What it carries.
    pub payload: &'a [u8],
}

/// What compresses for a connection, or for all that keep no context and agreed on the same.
pub type Codec = Rc<RefCell<Deflater>>;

impl Frame<'_> {
    /// Tells whether it is a whole data message that may be compressed.
    pub fn is_packable(&self) -> bool {
        self.is_final && !self.is_plain && matches!(self.opcode, 1 | 2)
    }

    /// Has the frame, compressed where that was agreed and is worth it, given to a function.
    ///
    /// RFC 7692 6
    pub fn pack<R>(&self, codec: Option<&Codec>, work: impl FnOnce(Frame<'_>) -> R) -> R {
        let packed = codec.filter(|_| self.is_packable()).and_then(|codec| codec.borrow_mut().pack(self.payload));
        match &packed {
            Some(payload) => work(Frame { opcode: self.opcode | PACKED, payload, ..*self }),
            None => work(*self),
        }
    }

    /// The frame's first byte.
    pub fn first(&self) -> u8 {
        self.opcode | if self.is_final { 0x80 } else { 0 }
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

impl Refused {
    /// The word that Lua sees.
    pub fn word(self) -> &'static str {
        match self {
            Refused::Full => "full",
            Refused::Entropy => "entropy",
        }
    }
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
pub struct Outgoing {
    /// The socket.
    pub fd: OwnedFd,
    /// Bytes that wait.
    pub pending: usize,
    span: Range<usize>,
    queue: Option<Queue>,
    limits: u32,
    /// What compresses its messages.
    pub codec: Option<Codec>,
    /// How the connection broke.
    pub fault: Option<Fault>,
    span_is_fixed: bool,
    /// Whether frames are masked.
    pub is_client: bool,
    /// Whether the socket took less than it was offered, and has not said since that it takes more.
    is_blocked: bool,
    /// Whether a close frame was queued: nothing may follow it.
    has_said_close: bool,
    /// Whether the end of the turn comes past here.
    pub is_listed: bool,
    /// Whether Lua hears of the next flush whatever it did.
    pub wants_attention: bool,
    /// Whether Lua knows that bytes wait.
    pub is_told: bool,
    /// Whether any byte was taken since Lua heard of it.
    pub took: bool,
}

impl Outgoing {
    /// Begins with an empty queue.
    pub fn new(fd: OwnedFd) -> Outgoing {
        Outgoing {
            fd,
            pending: 0,
            span: 0..0,
            queue: None,
            limits: 0,
            codec: None,
            fault: None,
            span_is_fixed: false,
            is_client: false,
            is_blocked: false,
            has_said_close: false,
            is_listed: false,
            wants_attention: true,
            is_told: false,
            took: false,
        }
    }

    fn queue(&mut self, spare: &mut Vec<Queue>) -> &mut Queue {
        let (span, is_fixed) = (mem::take(&mut self.span), self.span_is_fixed);
        self.queue.get_or_insert_with(|| {
            let mut queue = spare.pop().unwrap_or_default();
            if !span.is_empty() {
                queue.put_log(span, is_fixed);
            }
            queue
        })
    }

    /// Tells whether it still needs the log of the turn that ends.
    pub fn needs_log(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.needs_log())
    }

    /// Makes it independent of the log, which ends.
    pub fn settle(&mut self, log: &Rc<Vec<u8>>) {
        if let Some(queue) = &mut self.queue {
            queue.settle(log);
        }
    }
}

/// What the sending sides of a context share.
#[derive(Default)]
pub struct Output {
    /// The frames of the turn.
    pub log: Vec<u8>,
    spare: Vec<Queue>,
    random: Random,
    /// Descriptors of those that queued something this turn.
    pub touched: Vec<i32>,
    /// Bytes that wait in all.
    pub buffered: usize,
    /// How many times a socket was offered bytes.
    pub sends: usize,
    limits: Vec<Limits>,
    /// Whose messages Lua has at the moment.
    pub reading: i32,
    /// Whether anybody else queued something this turn.
    pub is_crossing: bool,
}

impl Output {
    /// Makes an empty one.
    pub fn new(limits: Limits) -> Output {
        Output { limits: vec![limits], reading: -1, ..Output::default() }
    }

    /// Has a connection keep other limits than those of the context; routes are few, so they are found by looking.
    pub fn set_limits(&mut self, out: &mut Outgoing, limits: Limits) {
        let known = self.limits.iter().position(|other| *other == limits);
        out.limits = known.unwrap_or_else(|| {
            self.limits.push(limits);
            self.limits.len() - 1
        }) as u32;
    }

    /// Has the end of the turn come past a connection.
    pub fn list(&mut self, out: &mut Outgoing) {
        if !out.is_listed {
            let fd = out.fd.as_raw_fd();
            out.is_listed = true;
            self.is_crossing = self.is_crossing || fd != self.reading;
            self.touched.push(fd);
        }
    }

    fn has_room(&self, size: usize) -> bool {
        self.log.is_empty() || self.log.len() + size <= LOG_BYTES
    }

    fn join(&mut self, out: &mut Outgoing, span: Range<usize>, is_fixed: bool) {
        if out.queue.is_none() && out.span.is_empty() {
            (out.span, out.span_is_fixed) = (span, is_fixed);
        } else if out.queue.is_none() && out.span.end == span.start && out.span_is_fixed == is_fixed {
            out.span.end = span.end;
        } else {
            out.queue(&mut self.spare).put_log(span, is_fixed);
        }
    }

    fn append(&mut self, out: &mut Outgoing, is_fixed: bool, size: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if out.is_blocked || !self.has_room(size) {
            out.queue(&mut self.spare).write(is_fixed, write);
        } else {
            let start = self.log.len();
            write(&mut self.log);
            self.join(out, start..self.log.len(), is_fixed);
        }
        self.count(out, size);
    }

    // Behind the message that passes the mark, not before it: so all leave in one call.
    fn count(&mut self, out: &mut Outgoing, size: usize) {
        out.pending += size;
        self.buffered += size;
        self.list(out);
        if out.pending > self.limits[out.limits as usize].high_water_bytes && !out.is_blocked {
            self.send(out);
        }
    }

    // Judges what waits already. A socket that refused bytes is asked again only when the answer decides.
    fn is_full(&mut self, out: &mut Outgoing) -> bool {
        let most = self.limits[out.limits as usize].max_buffered_bytes;
        if out.pending > most {
            self.send(out);
        }
        out.pending > most
    }

    /// Queues bytes as they are.
    pub fn raw(&mut self, out: &mut Outgoing, bytes: &[u8]) {
        self.append(out, true, bytes.len(), |target| target.extend_from_slice(bytes));
    }

    /// Queues a frame; sends only where `high_water_bytes` is passed. Returns why nothing was queued.
    pub fn push(&mut self, out: &mut Outgoing, frame: Frame<'_>) -> Option<Refused> {
        let key = match out.is_client {
            true => match self.random.key() {
                Ok(key) => Some(key),
                Err(_) => return Some(Refused::Entropy),
            },
            false => None,
        };
        // A close frame always finds room: it is the last.
        if frame.opcode == CLOSE {
            out.has_said_close = true;
        } else if self.is_full(out) {
            return Some(Refused::Full);
        }
        // Taken out while the frame is queued on who owns it.
        let codec = out.codec.take();
        frame.pack(codec.as_ref(), |frame| {
            let size = frame_size(frame.payload.len(), key.is_some());
            self.append(out, false, size, |target| frame.encode(target, key));
        });
        out.codec = codec;
        None
    }

    /// Queues a server's frame, or raw bytes, that leave from where they are. Returns why nothing was queued.
    pub fn push_held(&mut self, out: &mut Outgoing, first: Option<u8>, payload: Held) -> Option<Refused> {
        let mut head = [0; MAX_HEADER_BYTES];
        let length = (*payload).as_ref().len();
        let head_size = first.map_or(0, |first| header::write(&mut head, first, length, None));
        if first.is_some() && self.is_full(out) {
            return Some(Refused::Full);
        }
        out.queue(&mut self.spare).put(Segment::held(head, head_size, payload));
        self.count(out, head_size + length);
        None
    }

    fn begin_fanout(&mut self, codec: Option<&Codec>, frame: Frame<'_>) -> Fanout {
        self.is_crossing = true;
        frame.pack(codec, |frame| {
            let (codec, size) = (codec.cloned(), frame_size(frame.payload.len(), false));
            if self.has_room(size) {
                frame.encode(&mut self.log, None);
                return Fanout { codec, span: self.log.len() - size..self.log.len(), size, shared: None };
            }
            let mut bytes = Vec::with_capacity(size);
            frame.encode(&mut bytes, None);
            Fanout { codec, span: 0..0, size, shared: Some(Rc::new(bytes)) }
        })
    }

    /// Queues the message of a fan-out on one connection, encoded once for all that share the way of compressing.
    /// Returns why nothing was queued.
    pub fn fan_out(&mut self, out: &mut Outgoing, fanouts: &mut Vec<Fanout>, frame: Frame<'_>) -> Option<Refused> {
        // 5.5.1: nothing follows a close frame.
        if out.has_said_close {
            return None;
        }
        // A client masks each frame with a key of its own; a context of one's own makes other bytes of the same message.
        if out.is_client || out.codec.as_ref().is_some_and(|codec| !codec.borrow().window.forgets) {
            return self.push(out, frame);
        }
        if self.is_full(out) {
            return Some(Refused::Full);
        }
        let codec = out.codec.as_ref();
        let known = fanouts.iter().position(|fanout| fanout.codec.as_ref().map(Rc::as_ptr) == codec.map(Rc::as_ptr));
        let place = known.unwrap_or_else(|| {
            fanouts.push(self.begin_fanout(codec, frame));
            fanouts.len() - 1
        });
        let fanout = &mut fanouts[place];
        let is_in_log = !fanout.span.is_empty();
        if is_in_log && !out.is_blocked {
            self.join(out, fanout.span.clone(), false);
        } else if is_in_log && fanout.size < MIN_SHARED_BYTES {
            let bytes = &self.log[fanout.span.clone()];
            out.queue(&mut self.spare).write(false, |target| target.extend_from_slice(bytes));
        } else {
            let shared = fanout.shared.get_or_insert_with(|| Rc::new(self.log[fanout.span.clone()].to_vec()));
            out.queue(&mut self.spare).put(Segment::shared(Rc::clone(shared), false));
        }
        self.count(out, fanout.size);
        None
    }

    /// Sends what a connection has queued, as far as the socket takes it.
    pub fn send(&mut self, out: &mut Outgoing) {
        if out.queue.is_none() && !out.span.is_empty() {
            let bytes = &self.log[out.span.clone()];
            let offered = bytes.len();
            let result = net::send(&out.fd, bytes);
            self.sends += 1;
            if result == Ok(offered) {
                out.span = 0..0;
            } else {
                out.queue(&mut self.spare);
            }
            self.note(out, result, offered);
        } else {
            while self.send_queue(out) {}
        }
        if out.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.put_away(out);
        }
    }

    fn send_queue(&mut self, out: &mut Outgoing) -> bool {
        let Some(queue) = &out.queue else { return false };
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (count, offered) = queue.slices(&self.log, &mut slices);
        if count == 0 {
            return false;
        }
        self.sends += 1;
        let result = net::send_all(&out.fd, &slices[..count]);
        self.note(out, result, offered);
        !out.is_blocked && out.fault.is_none()
    }

    fn note(&mut self, out: &mut Outgoing, result: Result<usize, Fault>, offered: usize) {
        let count = match result {
            Ok(count) => count,
            Err(Fault::Timeout) => 0,
            Err(fault) => {
                out.fault = Some(fault);
                return;
            }
        };
        out.took = out.took || count > 0;
        out.pending -= count;
        self.buffered -= count;
        if let Some(queue) = &mut out.queue {
            queue.advance(count);
        }
        out.is_blocked = count < offered;
    }

    /// Sends at the end of a connection's part in a turn, unless nothing is to be hoped for.
    pub fn send_if_free(&mut self, out: &mut Outgoing) {
        if out.pending > 0 && !out.is_blocked && out.fault.is_none() {
            self.send(out);
        }
    }

    fn put_away(&mut self, out: &mut Outgoing) {
        if let Some(mut queue) = out.queue.take() {
            queue.clear();
            if self.spare.len() < SPARE_QUEUES {
                self.spare.push(queue);
            }
        }
    }

    /// Empties the log, which nobody needs any more but who shares it.
    pub fn end_turn(&mut self, shared: Option<Rc<Vec<u8>>>) {
        (self.reading, self.is_crossing) = (-1, false);
        if let Some(log) = shared {
            self.log = Rc::try_unwrap(log).unwrap_or_default();
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
    pub fn release(&mut self, out: &mut Outgoing) {
        self.buffered -= mem::take(&mut out.pending);
        out.span = 0..0;
        self.put_away(out);
        if let Some(codec) = out.codec.take() {
            codec.borrow_mut().release();
        }
    }
}

/// A message that many get.
pub struct Fanout {
    codec: Option<Codec>,
    // Empty where the log had no room.
    span: Range<usize>,
    size: usize,
    shared: Option<Rc<Vec<u8>>>,
}

fn frame_size(length: usize, is_masked: bool) -> usize {
    let head = match length {
        0..126 => 2,
        126..65536 => 4,
        _ => 10,
    };
    head + length + if is_masked { 4 } else { 0 }
}
