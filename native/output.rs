//! The sending sides of a context's connections. One log takes the frames of a turn, and each connection refers to its
//! part of it; a connection has a queue of its own only where the socket does not take everything.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::{ops::Range, time::Duration};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_tcp_user_timeout};

use crate::counts::Traffic;
use crate::deflate::Codec;
use crate::digest::masking_key;
use crate::frame::{self, Frame, Rules};
use crate::input::Incoming;
use crate::memory;
use crate::payload::is_utf8;
use crate::protocol::{CLOSE, FINAL, TEXT};
use crate::queue::Queue;
use crate::segment::Held;

/// A turn's log grows up to this size; what has no room in it goes to the queue of its connection.
pub const LOG_BYTES: usize = 1 << 20;

/// Why a message was not queued, in Lua's words: `full`, `utf8`, `entropy`.
pub type Refusal = &'static str;

/// How much may wait for one connection.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    /// Past this, bytes are sent at once.
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
    /// How much may wait.
    pub limits: Limits,
    /// What compresses its messages.
    pub codec: Option<Codec>,
    /// How the connection broke.
    pub fault: Option<Errno>,
    /// Whether frames are masked.
    pub is_client: bool,
    /// Whether a close frame was queued: nothing may follow it.
    pub has_said_close: bool,
    /// Whether the end of the turn looks at it.
    pub is_listed: bool,
    /// Whether Lua hears of every flush: the handshake is not over.
    pub reports_all: bool,
}

/// What Lua hears of a connection after a flush: bytes that still wait and whether any was taken, or how it broke.
pub type Report = Result<(usize, bool), Errno>;

impl Wire {
    /// Begins with the HTTP phase.
    pub fn new(fd: OwnedFd, limits: Limits, bytes: &[u8]) -> Wire {
        let out = Outgoing { limits, reports_all: true, ..Outgoing::default() };
        Wire { fd, interest: EventFlags::empty(), incoming: Incoming::new(bytes), out }
    }

    /// From now on the connection speaks WebSocket; `leftover` came after the handshake.
    pub fn start(&mut self, rules: Rules, leftover: &[u8], limits: Limits, codec: Option<Codec>) {
        if self.incoming.start(rules, leftover).is_err() {
            self.out.fault = Some(Errno::NOMEM);
        }
        self.out.queue.fix();
        self.out.limits = limits;
        self.out.codec = codec;
        self.out.is_client = !rules.is_server;
        self.out.reports_all = false;
    }

    /// Tells for how many seconds the system may keep what the peer does not take, after the connection is closed; 0
    /// resets it then.
    pub fn set_linger(&self, seconds: f64) {
        // Other kinds of sockets have neither, and refuse; so does one that the peer has reset.
        let _ = if seconds > 0.0 {
            set_tcp_user_timeout(&self.fd, (seconds * 1000.0).max(1.0) as u32)
        } else {
            set_socket_linger(&self.fd, Some(Duration::ZERO))
        };
    }
}

impl Outgoing {
    /// Makes a report for Lua.
    pub fn report(&mut self) -> Report {
        self.queue.is_told = self.queue.size > 0;
        let took = mem::take(&mut self.queue.took);
        self.fault.map_or(Ok((self.queue.size, took)), Err)
    }

    /// Takes note of whether the queue lacks memory: that breaks the connection.
    pub fn check(&mut self) {
        if self.queue.is_broken && self.fault.is_none() {
            self.fault = Some(Errno::NOMEM);
        }
    }

    /// Tells whether Lua has to hear of it after a flush.
    pub fn must_report(&self) -> bool {
        self.reports_all || self.queue.is_told || self.fault.is_some() || self.queue.size > 0
    }
}

/// What the sending sides of a context share.
#[derive(Default)]
pub struct Output {
    /// The frames of the turn.
    pub log: Vec<u8>,
    /// Descriptors of the connections that queued something in this turn.
    pub touched: Vec<i32>,
    /// Bytes that wait in all.
    pub buffered: usize,
    /// How many times a socket was offered bytes.
    pub sends: usize,
    /// What was queued of messages, and sent of bytes.
    pub sent: Traffic,
    /// Whether a turn is going on: everything is sent when it ends.
    pub is_in_turn: bool,
    /// Whether any connection queued something in this turn while Lua had no messages of it.
    pub is_crossing: bool,
}

impl Output {
    // Makes the end of the turn look at a connection.
    fn list(&mut self, wire: &mut Wire) {
        if !wire.out.is_listed {
            wire.out.is_listed = true;
            self.is_crossing |= !wire.incoming.is_delivering;
            self.touched.push(wire.fd.as_raw_fd());
        }
    }

    /// Lets `write` append to the log. Returns the part that it wrote.
    pub fn write_log(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.log.len();
        write(&mut self.log);
        start..self.log.len()
    }

    /// Counts what was queued since the queue had `before` bytes. What passes the mark is sent after it was queued, not
    /// before: so all of it goes in one call.
    pub fn count(&mut self, wire: &mut Wire, before: usize) {
        let size = wire.out.queue.size;
        self.buffered += size - before;
        wire.out.check();
        self.list(wire);
        if size > wire.out.limits.high_water_bytes {
            self.send(wire);
        }
    }

    /// Judges what waits already. A socket that refused bytes is tried again only when that decides.
    pub fn is_full(&mut self, wire: &mut Wire) -> Option<Refusal> {
        let most = wire.out.limits.max_buffered_bytes;
        if wire.out.queue.size > most {
            wire.out.queue.is_blocked = false;
            self.send(wire);
        }
        (wire.out.queue.size > most).then_some("full")
    }

    // 5.6: text is UTF-8. A close frame always finds room: it is the last.
    fn check(&mut self, wire: &mut Wire, first: u8, payload: &[u8]) -> Option<Refusal> {
        if first == FINAL | TEXT && !is_utf8(payload) {
            return Some("utf8");
        }
        if first != FINAL | CLOSE {
            return self.is_full(wire);
        }
        wire.out.has_said_close = true;
        None
    }

    /// Tells whether the log has room for so many bytes more.
    pub fn has_room(&mut self, bytes: usize) -> bool {
        self.log.len() < LOG_BYTES && memory::reserve(&mut self.log, bytes).is_ok()
    }

    /// Queues the bytes that `write` appends, at most so many.
    pub fn append(&mut self, wire: &mut Wire, most: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let before = wire.out.queue.size;
        if wire.out.queue.is_blocked || !self.has_room(most) {
            wire.out.queue.write(most, write);
        } else {
            let span = self.write_log(write);
            wire.out.queue.put_log(span);
        }
        self.count(wire, before);
    }

    /// Queues a frame; sends only where `high_water_bytes` is passed. Returns why nothing was queued.
    pub fn push(&mut self, wire: &mut Wire, frame: Frame<'_>) -> Option<Refusal> {
        let Ok(key) = wire.out.is_client.then(masking_key).transpose() else { return Some("entropy") };
        if let Some(refusal) = self.check(wire, frame.first, frame.payload) {
            return Some(refusal);
        }
        self.sent.count(frame.first);
        let mut compressed = Vec::new();
        let frame = frame.compress(wire.out.codec.as_ref(), &mut compressed);
        self.append(wire, frame.most(), |target| frame.encode(target, key));
        None
    }

    /// Queues a server's frame and sends its payload from where it is. Returns why nothing was queued.
    pub fn push_held(&mut self, wire: &mut Wire, first: u8, payload: Held) -> Option<Refusal> {
        let bytes = (*payload).as_ref();
        if let Some(refusal) = self.check(wire, first, bytes) {
            return Some(refusal);
        }
        self.sent.count(first);
        let mut header = Vec::new();
        frame::write_header(&mut header, first, bytes.len(), None);
        self.hold(wire, header, payload);
        None
    }

    /// Queues bytes that are sent from where they are, after the header of their frame or as they are.
    pub fn hold(&mut self, wire: &mut Wire, header: Vec<u8>, payload: Held) {
        let before = wire.out.queue.size;
        wire.out.queue.hold(header, payload);
        self.count(wire, before);
    }

    /// Sends what a connection has queued as far as the socket takes it, unless it has just refused bytes.
    pub fn send(&mut self, wire: &mut Wire) {
        let out = &mut wire.out;
        while out.queue.size > 0 && !out.queue.is_blocked && out.fault.is_none() {
            self.sends += 1;
            // epoll tells of room once, and only after the socket has refused bytes: less than all is no such answer.
            match out.queue.offer(&wire.fd, &self.log) {
                Ok(count) if count > 0 => {
                    self.buffered -= count;
                    self.sent.bytes += count as u64;
                    out.queue.advance(count);
                    // As nearly always.
                    if out.queue.size == 0 {
                        return;
                    }
                    out.check();
                }
                Ok(_) | Err(Errno::AGAIN) => out.queue.is_blocked = true,
                Err(Errno::INTR) => {}
                Err(fault) => {
                    out.fault = Some(fault);
                    return;
                }
            }
        }
        if out.queue.is_blocked {
            out.queue.trim();
            out.check();
        }
    }

    /// Empties the log.
    pub fn end_turn(&mut self) {
        self.is_in_turn = false;
        self.is_crossing = false;
        self.log.clear();
        self.log.shrink_to(LOG_BYTES);
    }

    /// Drops messages of which nothing has been sent. Returns the bytes dropped, and how many messages.
    pub fn drop_messages(&mut self, wire: &mut Wire, enough: usize) -> (usize, usize) {
        let (dropped, messages) = wire.out.queue.drop_messages(&self.log, enough);
        wire.out.check();
        self.buffered -= dropped;
        (dropped, messages)
    }
}
