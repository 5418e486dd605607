//! Output of all connections of a context: one log for each turn, in which a connection holds a span; a queue of its
//! own only where the socket does not take everything.

use std::os::fd::{AsRawFd, OwnedFd};
use std::{cell::RefCell, mem, ops::Range, rc::Rc};

use rustix::{event::epoll::EventFlags, io::Errno};

use crate::header::{self, Rules, CLOSE, FINAL, PACKED, TEXT};
use crate::queue::{Held, Queue};
use crate::{deflate::Deflater, digest::masking_key, input::Incoming, mask, utf8};

/// A turn's log grows so far; what has no room in it goes to the queue of its connection.
const LOG_BYTES: usize = 1 << 20;

/// One frame to send.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Its first byte: opcode, and whether the message ends with it.
    pub first: u8,
    /// Whether it is a whole data message that may be compressed.
    pub is_packable: bool,
    /// What it carries.
    pub payload: &'a [u8],
}

/// What compresses for a connection, or for all that keep no context and agreed on the same.
pub type Codec = Rc<RefCell<Deflater>>;

impl<'a> Frame<'a> {
    /// Gives the frame, compressed into a buffer where that was agreed and is worth it.
    ///
    /// RFC 7692 6
    pub fn pack(self, codec: Option<&Codec>, target: &'a mut Vec<u8>) -> Frame<'a> {
        let packed = codec.filter(|_| self.is_packable).and_then(|codec| codec.borrow_mut().pack(self.payload));
        let Some(packed) = packed else { return self };
        *target = packed;
        Frame { first: self.first | PACKED, payload: target, ..self }
    }

    /// Appends the frame; with a key, a client's.
    ///
    /// RFC 6455 5.2, 5.3
    pub fn encode(&self, target: &mut Vec<u8>, key: Option<[u8; 4]>) {
        header::write(target, self.first, self.payload.len(), key);
        let from = target.len();
        target.extend_from_slice(self.payload);
        mask::apply(&mut target[from..], key.unwrap_or_default());
    }
}

/// Why a message was not queued, in Lua's words: `full`, `utf8`, `entropy`.
pub type Refusal = &'static str;

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
    /// Whether the socket took less than it was offered, and has not been asked since.
    pub is_blocked: bool,
    // Whether a close frame was queued: nothing may follow it.
    has_said_close: bool,
    /// Whether the end of the turn comes past here.
    pub is_listed: bool,
    /// Whether Lua hears of every flush.
    pub wants_attention: bool,
    /// Whether Lua knows that bytes wait.
    pub is_told: bool,
    // Whether any byte was taken since Lua heard of it.
    took: bool,
}

/// What Lua hears of a connection after a flush: bytes that still wait and whether any was taken, or how it broke.
pub type Report = Result<(usize, bool), Errno>;

impl Wire {
    /// Begins with the HTTP phase, in which Lua hears of everything.
    pub fn new(fd: OwnedFd, limits: Limits, bytes: &[u8]) -> Wire {
        let out = Outgoing { limits, wants_attention: true, ..Outgoing::default() };
        Wire { fd, interest: EventFlags::empty(), incoming: Incoming::new(bytes), out }
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
    /// Descriptors of those that queued something this turn.
    pub touched: Vec<i32>,
    /// Bytes that wait in all.
    pub buffered: usize,
    /// How many times a socket was offered bytes.
    pub sends: usize,
    /// Whether a turn is going on, at whose end everything is sent.
    pub is_in_turn: bool,
    /// Whether anybody queued something this turn but those whose messages Lua had at that moment.
    pub is_crossing: bool,
}

impl Output {
    /// Has the end of the turn come past a connection.
    pub fn list(&mut self, wire: &mut Wire) {
        if !mem::replace(&mut wire.out.is_listed, true) {
            self.is_crossing = self.is_crossing || !wire.incoming.is_delivering;
            self.touched.push(wire.fd.as_raw_fd());
        }
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
        if size > wire.out.limits.high_water_bytes {
            self.send(wire);
        }
    }

    // Judges what waits already. A socket that refused bytes is asked again only when the answer decides.
    fn is_full(&mut self, wire: &mut Wire) -> Option<Refusal> {
        let most = wire.out.limits.max_buffered_bytes;
        if wire.out.queue.size > most {
            wire.out.is_blocked = false;
            self.send(wire);
        }
        (wire.out.queue.size > most).then_some("full")
    }

    // 5.6: text is UTF-8. A close frame always finds room: it is the last.
    fn judge(&mut self, wire: &mut Wire, first: u8, payload: &[u8]) -> Option<Refusal> {
        if first == FINAL | TEXT && !utf8::is_valid(payload) {
            return Some("utf8");
        }
        if first != FINAL | CLOSE {
            return self.is_full(wire);
        }
        wire.out.has_said_close = true;
        None
    }

    /// Has bytes queued as they are.
    pub fn append(&mut self, wire: &mut Wire, write: impl FnOnce(&mut Vec<u8>)) {
        let before = wire.out.queue.size;
        if wire.out.is_blocked || self.log.len() >= LOG_BYTES {
            wire.out.queue.write(write);
        } else {
            wire.out.queue.put_log(self.write_log(write));
        }
        self.count(wire, before);
    }

    /// Queues a frame; sends only where `high_water_bytes` is passed. Returns why nothing was queued.
    pub fn push(&mut self, wire: &mut Wire, frame: Frame<'_>) -> Option<Refusal> {
        let Ok(key) = wire.out.is_client.then(masking_key).transpose() else { return Some("entropy") };
        if let Some(refusal) = self.judge(wire, frame.first, frame.payload) {
            return Some(refusal);
        }
        let mut packed = Vec::new();
        let frame = frame.pack(wire.out.codec.as_ref(), &mut packed);
        self.append(wire, |target| frame.encode(target, key));
        None
    }

    /// Queues a server's frame whose payload leaves from where it is. Returns why nothing was queued.
    pub fn push_held(&mut self, wire: &mut Wire, first: u8, payload: Held) -> Option<Refusal> {
        let refusal = self.judge(wire, first, (*payload).as_ref());
        if refusal.is_none() {
            let mut head = Vec::new();
            header::write(&mut head, first, (*payload).as_ref().len(), None);
            self.hold(wire, head, payload);
        }
        refusal
    }

    /// Queues bytes that leave from where they are, behind the header of their frame or as they are.
    pub fn hold(&mut self, wire: &mut Wire, head: Vec<u8>, payload: Held) {
        let before = wire.out.queue.size;
        wire.out.queue.hold(head, payload);
        self.count(wire, before);
    }

    fn begin_fanout(&mut self, codec: Option<&Codec>, frame: Frame<'_>) -> Fanout {
        let mut packed = Vec::new();
        let frame = frame.pack(codec, &mut packed);
        let mut fanout = Fanout { codec: codec.cloned(), span: 0..0, shared: None };
        if self.log.len() < LOG_BYTES {
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
        if let Some(refusal) = self.is_full(wire) {
            return Some(refusal);
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

    /// Sends what a connection has queued as far as the socket takes it, unless it has just refused bytes.
    pub fn send(&mut self, wire: &mut Wire) {
        let out = &mut wire.out;
        while out.queue.size > 0 && !out.is_blocked && out.fault.is_none() {
            let (offered, result) = out.queue.offer(&wire.fd, &self.log);
            self.sends += 1;
            let count = match result {
                Ok(count) => count,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(fault) => return out.fault = Some(fault),
            };
            self.buffered -= count;
            out.queue.advance(count);
            out.took |= count > 0;
            out.is_blocked = count < offered;
        }
    }

    /// Empties the log, or leaves it to those who still need it.
    pub fn end_turn(&mut self) {
        (self.is_in_turn, self.is_crossing) = (false, false);
        if Rc::get_mut(&mut self.log).is_none() {
            self.log = Rc::default();
        }
        let log = Rc::make_mut(&mut self.log);
        log.clear();
        log.shrink_to(LOG_BYTES);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::Window;
    use std::os::unix::net::UnixStream;

    fn codec(bits: u8, forgets: bool) -> Codec {
        Codec::new(RefCell::new(Deflater::new(Window { bits, level: 6, forgets }, 0)))
    }

    #[test]
    fn a_fan_out_is_encoded_once_for_all_that_share_a_codec() {
        let limits = Limits { high_water_bytes: usize::MAX, max_buffered_bytes: usize::MAX };
        let (mut output, mut fanouts, mut far_ends) = (Output::default(), Vec::new(), Vec::new());
        let (wide, narrow) = (codec(15, true), codec(10, true));
        let codecs = [Some(&wide), Some(&narrow), Some(&wide), None, Some(&wide), None, Some(&narrow)];
        let frame = Frame { first: FINAL | TEXT, is_packable: true, payload: &[b'a'; 300] };
        for (codec, seen) in codecs.into_iter().zip([1, 2, 2, 3, 3, 3, 3]) {
            let (near, far) = UnixStream::pair().expect("a pair of sockets");
            far_ends.push(far);
            let mut wire = Wire::new(near.into(), limits, &[]);
            wire.out.codec = codec.cloned();
            assert_eq!(output.fan_out(&mut wire, &mut fanouts, frame), None);
            assert_eq!(fanouts.len(), seen);
            assert!(wire.out.queue.size > 0);
        }
        // Who keeps a context has bytes of his own.
        let (near, _far) = UnixStream::pair().expect("a pair of sockets");
        let mut wire = Wire::new(near.into(), limits, &[]);
        wire.out.codec = Some(codec(15, false));
        assert_eq!(output.fan_out(&mut wire, &mut fanouts, frame), None);
        assert_eq!(fanouts.len(), 3);
    }
}
