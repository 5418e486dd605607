//! Output of all connections of a context: one log for each turn, in which a connection holds a span; a queue of its
//! own only where the socket does not take everything.

use std::cell::RefCell;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use crate::deflate::Deflater;
use crate::digest::Keys;
use crate::header::{self, Rules, CLOSE, FINAL, MAX_HEADER_BYTES, PACKED};
use crate::input::Incoming;
use crate::mask;
use crate::queue::{Held, Queue};

/// A turn's log grows so far; what has no room in it goes to the queue of its connection.
const LOG_BYTES: usize = 1 << 20;

/// One frame to send.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Its first byte: opcode, and whether the message ends with it.
    pub first: u8,
    /// Whether it must not be compressed.
    pub is_plain: bool,
    /// What it carries.
    pub payload: &'a [u8],
}

/// What compresses for a connection, or for all that keep no context and agreed on the same.
pub type Codec = Rc<RefCell<Deflater>>;

impl<'a> Frame<'a> {
    /// Tells whether it is a whole data message that may be compressed.
    pub fn is_packable(&self) -> bool {
        !self.is_plain && matches!(self.first, 0x81 | 0x82)
    }

    /// Gives the frame, compressed into a buffer where that was agreed and is worth it.
    ///
    /// RFC 7692 6
    pub fn pack(self, codec: Option<&Codec>, target: &'a mut Vec<u8>) -> Frame<'a> {
        match codec.filter(|_| self.is_packable()).and_then(|codec| codec.borrow_mut().pack(self.payload)) {
            Some(packed) => {
                *target = packed;
                Frame { first: self.first | PACKED, payload: target, ..self }
            }
            None => self,
        }
    }

    /// Appends the frame; with a key, a client's.
    ///
    /// RFC 6455 5.2, 5.3
    pub fn encode(&self, target: &mut Vec<u8>, key: Option<[u8; 4]>) {
        let mut head = [0; MAX_HEADER_BYTES];
        let size = header::write(&mut head, self.first, self.payload.len(), key);
        target.extend_from_slice(&head[..size]);
        let from = target.len();
        target.extend_from_slice(self.payload);
        if let Some(key) = key {
            mask::apply(&mut target[from..], key);
        }
    }

    fn most_bytes(&self) -> usize {
        MAX_HEADER_BYTES + self.payload.len()
    }
}

/// Why a message was not queued, in Lua's words.
pub type Refusal = &'static str;

/// `max_buffered_bytes` would be passed.
const FULL: Refusal = "full";
/// There are no random bytes for the mask.
const ENTROPY: Refusal = "entropy";

/// How much may wait for one connection.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    /// Past this, a flush is tried at once.
    pub high_water_bytes: usize,
    /// Past this, nothing more is queued.
    pub max_buffered_bytes: usize,
}

/// One connection.
pub struct Wire {
    /// The socket.
    pub fd: OwnedFd,
    /// What it is watched for.
    pub interest: EventFlags,
    /// What it receives.
    pub incoming: Incoming,
    /// What it sends.
    pub out: Outgoing,
}

/// The sending side of one connection.
#[derive(Default)]
pub struct Outgoing {
    /// What waits.
    pub queue: Queue,
    /// How much may.
    pub limits: Limits,
    /// What compresses its messages.
    pub codec: Option<Codec>,
    /// How the connection broke.
    pub fault: Option<Errno>,
    /// Whether frames are masked.
    pub is_client: bool,
    // Whether the socket took less than it was offered, and has not said since that it takes more.
    is_blocked: bool,
    // Whether a close frame was queued: nothing may follow it.
    has_said_close: bool,
    /// Whether the end of the turn comes past here.
    pub is_listed: bool,
    /// Whether Lua hears of every flush.
    pub wants_attention: bool,
    // Whether Lua knows that bytes wait.
    is_told: bool,
    // Whether any byte was taken since Lua heard of it.
    took: bool,
}

/// What Lua hears of a connection after a flush: bytes that still wait and whether any was taken, or how it broke.
pub type Report = Result<(usize, bool), Errno>;

impl Wire {
    /// Begins with the HTTP phase, in which Lua hears of everything.
    pub fn new(fd: OwnedFd, limits: Limits) -> Wire {
        let out = Outgoing { limits, wants_attention: true, ..Outgoing::default() };
        Wire { fd, interest: EventFlags::empty(), incoming: Incoming::default(), out }
    }

    /// From here on it speaks WebSocket.
    pub fn start(&mut self, rules: Rules, leftover: &[u8], limits: Limits, codec: Option<Codec>) {
        self.incoming.start(rules, leftover);
        self.out.queue.fix();
        (self.out.limits, self.out.codec) = (limits, codec);
        (self.out.is_client, self.out.wants_attention) = (!rules.is_server, false);
    }
}

impl Outgoing {
    /// Tells whether Lua should hear of a flush: the connection broke, waits for its peer or does so no more, or
    /// asked for it.
    pub fn has_news(&self) -> bool {
        self.fault.is_some() || self.wants_attention || self.queue.size > 0 || self.is_told
    }

    /// Tells whether a frame's payload leaves as it is.
    pub fn leaves_as_is(&self, frame: Frame<'_>) -> bool {
        !self.is_client && (self.codec.is_none() || !frame.is_packable())
    }

    /// Tells Lua of the connection.
    pub fn report(&mut self) -> Report {
        self.is_told = self.queue.size > 0;
        let took = mem::take(&mut self.took);
        self.fault.map_or(Ok((self.queue.size, took)), Err)
    }
}

/// What the sending sides of a context share.
#[derive(Default)]
pub struct Output {
    /// The frames of the turn. Whoever still waits for some of them when it ends shares them.
    pub log: Rc<Vec<u8>>,
    keys: Keys,
    /// Descriptors of those that queued something this turn.
    pub touched: Vec<i32>,
    /// Bytes that wait in all.
    pub buffered: usize,
    /// How many times a socket was offered bytes.
    pub sends: usize,
    /// Whose messages Lua has at the moment.
    pub reading: Option<i32>,
    /// Whether anybody else queued something this turn.
    pub is_crossing: bool,
}

impl Output {
    /// Has the end of the turn come past a connection.
    pub fn list(&mut self, wire: &mut Wire) {
        if !mem::replace(&mut wire.out.is_listed, true) {
            let fd = wire.fd.as_raw_fd();
            self.is_crossing |= self.reading != Some(fd);
            self.touched.push(fd);
        }
    }

    fn has_room(&self, size: usize) -> bool {
        self.log.is_empty() || self.log.len() + size <= LOG_BYTES
    }

    fn write_log(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let log = Rc::make_mut(&mut self.log);
        let start = log.len();
        write(log);
        start..log.len()
    }

    // Takes note of what was queued. A flush comes behind the message that passes the mark, not before it: so all leave
    // in one call.
    fn count(&mut self, wire: &mut Wire, before: usize) {
        let size = wire.out.queue.size;
        self.buffered += size - before;
        self.list(wire);
        if size > wire.out.limits.high_water_bytes && !wire.out.is_blocked {
            self.send(wire);
        }
    }

    // Judges what waits already. A socket that refused bytes is asked again only when the answer decides.
    fn is_full(&mut self, wire: &mut Wire) -> bool {
        let most = wire.out.limits.max_buffered_bytes;
        if wire.out.queue.size > most {
            self.send(wire);
        }
        wire.out.queue.size > most
    }

    fn append(&mut self, wire: &mut Wire, size: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let before = wire.out.queue.size;
        if wire.out.is_blocked || !self.has_room(size) {
            wire.out.queue.write(write);
        } else {
            wire.out.queue.put_log(self.write_log(write));
        }
        self.count(wire, before);
    }

    /// Queues bytes as they are.
    pub fn raw(&mut self, wire: &mut Wire, bytes: &[u8]) {
        self.append(wire, bytes.len(), |target| target.extend_from_slice(bytes));
    }

    /// Queues a frame; sends only where `high_water_bytes` is passed. Returns why nothing was queued.
    pub fn push(&mut self, wire: &mut Wire, frame: Frame<'_>) -> Option<Refusal> {
        let Ok(key) = wire.out.is_client.then(|| self.keys.next()).transpose() else { return Some(ENTROPY) };
        // A close frame always finds room: it is the last.
        if frame.first == FINAL | CLOSE {
            wire.out.has_said_close = true;
        } else if self.is_full(wire) {
            return Some(FULL);
        }
        let mut packed = Vec::new();
        let frame = frame.pack(wire.out.codec.as_ref(), &mut packed);
        self.append(wire, frame.most_bytes(), |target| frame.encode(target, key));
        None
    }

    /// Queues a server's frame, or raw bytes, that leave from where they are. Returns why nothing was queued.
    pub fn push_held(&mut self, wire: &mut Wire, first: Option<u8>, payload: Held) -> Option<Refusal> {
        let mut head = [0; MAX_HEADER_BYTES];
        let head_size = first.map_or(0, |first| header::write(&mut head, first, (*payload).as_ref().len(), None));
        if first.is_some() && self.is_full(wire) {
            return Some(FULL);
        }
        let before = wire.out.queue.size;
        wire.out.queue.hold(head, head_size, payload);
        self.count(wire, before);
        None
    }

    fn begin_fanout(&mut self, codec: Option<&Codec>, frame: Frame<'_>) -> Fanout {
        let mut packed = Vec::new();
        let frame = frame.pack(codec, &mut packed);
        let mut fanout = Fanout { codec: codec.cloned(), span: 0..0, shared: None };
        if self.has_room(frame.most_bytes()) {
            fanout.span = self.write_log(|log| frame.encode(log, None));
        } else {
            frame.encode(Rc::make_mut(fanout.shared.get_or_insert_default()), None);
        }
        fanout
    }

    /// Queues the message of a fan-out on one connection, encoded once for all that share the way of compressing.
    /// Returns why nothing was queued.
    pub fn fan_out(&mut self, wire: &mut Wire, fanouts: &mut Vec<Fanout>, frame: Frame<'_>) -> Option<Refusal> {
        // 5.5.1: nothing follows a close frame.
        if wire.out.has_said_close {
            return None;
        }
        // A client masks each frame with a key of its own; a context of one's own makes other bytes of the same message.
        if wire.out.is_client || wire.out.codec.as_ref().is_some_and(|codec| !codec.borrow().window.forgets) {
            return self.push(wire, frame);
        }
        if self.is_full(wire) {
            return Some(FULL);
        }
        let codec = wire.out.codec.as_ref();
        let known = fanouts.iter().position(|fanout| fanout.codec.as_ref().map(Rc::as_ptr) == codec.map(Rc::as_ptr));
        let place = known.unwrap_or_else(|| {
            fanouts.push(self.begin_fanout(codec, frame));
            fanouts.len() - 1
        });
        let (fanout, before) = (&mut fanouts[place], wire.out.queue.size);
        let span = fanout.span.clone();
        if wire.out.is_blocked || span.is_empty() {
            wire.out.queue.share(fanout.shared.get_or_insert_with(|| Rc::new(self.log[span].to_vec())));
        } else {
            wire.out.queue.put_log(span);
        }
        self.count(wire, before);
        None
    }

    /// Sends what a connection has queued, as far as the socket takes it.
    pub fn send(&mut self, wire: &mut Wire) {
        let out = &mut wire.out;
        while out.queue.size > 0 {
            let (offered, result) = out.queue.offer(&wire.fd, &self.log);
            self.sends += 1;
            let count = match result {
                Ok(count) => count,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(fault) => {
                    out.fault = Some(fault);
                    return;
                }
            };
            self.buffered -= count;
            out.queue.advance(count);
            out.took |= count > 0;
            out.is_blocked = count < offered;
            if out.is_blocked {
                return;
            }
        }
    }

    /// Sends at the end of a connection's part in a turn, unless nothing is to be hoped for.
    pub fn send_if_free(&mut self, wire: &mut Wire) {
        if !wire.out.is_blocked && wire.out.fault.is_none() {
            self.send(wire);
        }
    }

    /// Empties the log, or leaves it to those who still need it.
    pub fn end_turn(&mut self) {
        (self.reading, self.is_crossing) = (None, false);
        match Rc::get_mut(&mut self.log) {
            Some(log) => {
                log.clear();
                log.shrink_to(LOG_BYTES);
            }
            None => self.log = Rc::default(),
        }
    }

    /// Drops messages that have not begun to leave. Returns the bytes dropped.
    pub fn drop_messages(&mut self, wire: &mut Wire, enough: usize) -> usize {
        let dropped = wire.out.queue.drop_messages(&self.log, enough);
        self.buffered -= dropped;
        dropped
    }
}

/// A message that many get.
pub struct Fanout {
    codec: Option<Codec>,
    // Empty where the log had no room.
    span: Range<usize>,
    shared: Option<Rc<Vec<u8>>>,
}
