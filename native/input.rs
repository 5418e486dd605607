//! The receiving side of one connection: one `recv`, then everything that is whole.

use std::cell::Cell;
use std::mem::{self, ManuallyDrop};
use std::os::fd::OwnedFd;
use std::panic::{catch_unwind, AssertUnwindSafe};

use rustix::buffer::spare_capacity;
use rustix::io::{retry_on_intr, Errno};
use rustix::net::{recv, RecvFlags};

use crate::batch::{Batch, Payload};
use crate::budget::Budget;
use crate::frame::Rules;
use crate::memory::{self, Lacking};
use crate::protocol::CLOSE;
use crate::reader::Reader;

// The buffer that all connections read into.
const INPUT_BYTES: usize = 1 << 17;
// How often a call receives while no message is whole: a large message must not hold up others for long.
const PIECES: usize = 16;
// The largest buffer that is kept for the next call.
const KEPT_BYTES: usize = 1 << 20;

thread_local! {
    static DELIVERY: Cell<Option<Box<Delivery>>> = const { Cell::new(None) };
}

/// What reading from a connection gave.
#[derive(Clone, Copy)]
pub struct Reading {
    /// Whether more may be here already; `AGAIN` where nothing is there, or nothing whole.
    pub result: Result<bool, Errno>,
    /// Whether there is something to be told by `unfinished`.
    pub has_news: bool,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading { result: Err(Errno::PIPE), has_news: false }
    }
}

/// What a call reads, and the messages in it.
#[derive(Default)]
pub struct Delivery {
    // The payloads of messages without a buffer of their own are here.
    bytes: Vec<u8>,
    batch: Batch,
    /// Bytes that a socket has given, until they are counted.
    pub received: u64,
}

impl Delivery {
    /// Tells how many of the messages are text or binary.
    pub fn messages(&self) -> u64 {
        let is_data = |&&(opcode, _): &&(u16, Payload)| opcode < u16::from(CLOSE);
        self.batch.items.iter().filter(is_data).count() as u64
    }

    fn prepare(&mut self, size: usize) -> Result<(), Lacking> {
        self.batch.prepare()?;
        if self.bytes.len() < size {
            memory::reach(&mut self.bytes, size)?;
            self.bytes.resize(size, 0);
        }
        Ok(())
    }
}

/// What `deliver` has done.
pub struct Delivered<R> {
    /// How many messages there were.
    pub count: usize,
    /// Bytes of the largest of them.
    pub largest: usize,
    /// What reading gave.
    pub result: R,
}

/// Reads messages, then hands each to `put`: how many came before it, opcode, payload. `None` after a panic in `read`.
///
/// `put` may never return: the buffers leak then.
pub fn deliver<R: Copy>(
    read: impl FnOnce(&mut Delivery) -> R,
    mut put: impl FnMut(usize, usize, &[u8]),
) -> Option<Delivered<R>> {
    let mut delivery = ManuallyDrop::new(DELIVERY.take().unwrap_or_default());
    let result = catch_unwind(AssertUnwindSafe(|| read(&mut delivery))).ok()?;
    let mut largest = 0;
    for (index, (opcode, payload)) in delivery.batch.items.iter().enumerate() {
        let payload = match payload {
            Payload::Here(from, size) => &delivery.bytes[*from..*from + *size],
            Payload::Owned(bytes) => bytes,
        };
        largest = largest.max(payload.len());
        put(index, usize::from(*opcode), payload);
    }
    let count = delivery.batch.items.len();
    let mut delivery = ManuallyDrop::into_inner(delivery);
    delivery.batch.clear();
    if delivery.bytes.len() <= KEPT_BYTES {
        DELIVERY.set(Some(delivery));
    }
    Some(Delivered { count, largest, result })
}

/// The receiving side of one connection.
#[derive(Default)]
pub struct Incoming {
    // Its rules refuse everything until they are known.
    reader: Reader,
    // What was read and not taken yet: a frame's beginning, or what the last batch had no room for.
    rest: Vec<u8>,
    /// Whether that can be read, or taken as it is, before more is received.
    pub has_unread: bool,
    /// Whether bytes have come since Lua asked last.
    pub has_heard: bool,
    /// Whether what was read last has left something to be told by `unfinished`.
    pub has_news: bool,
    /// Whether the peer has ended its sending direction, so that reading must continue up to that end.
    pub has_ended: bool,
    /// Whether its messages are read together with those of other connections.
    pub is_direct: bool,
    /// Whether messages are being handed to Lua; what is lost meanwhile cannot be read again.
    pub is_delivering: bool,
}

fn no_memory(_: Lacking) -> Errno {
    Errno::NOMEM
}

// Receives at least one byte. After a signal it is asked again: epoll tells only once of what is here.
fn receive<T>(ask: impl FnMut() -> Result<(T, usize), Errno>) -> Result<usize, Errno> {
    match retry_on_intr(ask)? {
        (_, 0) => Err(Errno::PIPE),
        (_, count) => Ok(count),
    }
}

impl Incoming {
    /// Begins with bytes that were received elsewhere.
    pub fn new(bytes: &[u8]) -> Incoming {
        Incoming { rest: bytes.to_vec(), has_unread: !bytes.is_empty(), ..Incoming::default() }
    }

    /// From now on frames are read; `leftover` came after the handshake.
    ///
    /// # Errors
    /// There is no memory for what has come; nothing can be read.
    pub fn start(&mut self, rules: Rules, leftover: &[u8]) -> Result<(), Lacking> {
        memory::reserve(&mut self.rest, leftover.len())?;
        self.reader = Reader::new(rules);
        self.rest.splice(..0, leftover.iter().copied());
        self.has_unread = !self.rest.is_empty();
        Ok(())
    }

    /// Receives bytes as they are. Returns them, and whether more may be here already.
    ///
    /// # Errors
    /// `AGAIN` where nothing is there, `PIPE` where nothing will come, `NOMEM` where there is no memory for it.
    pub fn receive(&mut self, fd: &OwnedFd) -> Result<(Vec<u8>, bool), Errno> {
        if mem::take(&mut self.has_unread) {
            return Ok((mem::take(&mut self.rest), true));
        }
        let mut bytes = memory::with_capacity(INPUT_BYTES).map_err(no_memory)?;
        let count = receive(|| recv(fd, spare_capacity(&mut bytes), RecvFlags::DONTWAIT))?;
        Ok((bytes, count >= INPUT_BYTES || self.has_ended))
    }

    /// Receives, and reads every whole message. Returns whether more may be here already.
    ///
    /// # Errors
    /// `AGAIN` where nothing is there, or nothing whole; `NOMEM` where there is no memory for it.
    pub fn read(&mut self, fd: &OwnedFd, delivery: &mut Delivery, budget: &mut Budget) -> Result<bool, Errno> {
        if self.is_delivering {
            return Err(Errno::IO);
        }
        let mut may_have_more = true;
        let mut pieces = 0;
        // A large message comes in pieces that the processor's cache can hold: each is unmasked and kept before the
        // next.
        while may_have_more && pieces < PIECES && delivery.batch.items.is_empty() && !delivery.batch.is_full() {
            let room = if self.has_unread { 0 } else { INPUT_BYTES };
            let mut received = 0;
            let fill = |target: &mut [u8]| {
                received = receive(|| recv(fd, &mut *target, RecvFlags::DONTWAIT))?;
                Ok(received)
            };
            let result = self.read_more(room, delivery, budget, fill);
            delivery.received += received as u64;
            may_have_more = result?;
            self.has_heard = true;
            self.has_news = self.reader.has_news(budget);
            pieces += 1;
        }
        self.is_delivering = true;
        Ok(may_have_more || self.has_ended)
    }

    /// Reads bytes that were received elsewhere. Returns whether unread bytes are here.
    ///
    /// # Errors
    /// `NOMEM`: there is no memory for them; nothing was read.
    pub fn feed(&mut self, bytes: &[u8], delivery: &mut Delivery, budget: &mut Budget) -> Result<bool, Errno> {
        let copy = |target: &mut [u8]| {
            target.copy_from_slice(bytes);
            Ok(bytes.len())
        };
        self.read_more(bytes.len(), delivery, budget, copy)?;
        Ok(self.has_unread)
    }

    // Reads what is here already and, after it, at most `room` bytes that `fill` gives. Returns whether more may be
    // here.
    fn read_more(
        &mut self,
        room: usize,
        delivery: &mut Delivery,
        budget: &mut Budget,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<bool, Errno> {
        let kept = self.rest.len();
        delivery.prepare(kept + room).map_err(no_memory)?;
        delivery.bytes[..kept].copy_from_slice(&self.rest);
        let count = if room > 0 { fill(&mut delivery.bytes[kept..kept + room])? } else { 0 };
        let bytes = &mut delivery.bytes[..kept + count];
        let (taken, is_full) = self.reader.feed(bytes, &mut delivery.batch, budget);
        self.has_unread = is_full;
        if kept > 0 || taken < bytes.len() {
            match memory::copy(&bytes[taken..]) {
                Ok(rest) => self.rest = rest,
                Err(lacking) => {
                    self.reader.fail(lacking.into(), &mut delivery.batch, budget);
                    self.forget_rest();
                }
            }
        }
        Ok(is_full || count == room)
    }

    /// Tells how many bytes of the budget an unfinished message holds, and how far it has come.
    pub fn unfinished(&mut self, budget: &Budget) -> (u64, u64) {
        self.reader.unfinished(budget)
    }

    /// Tells how many bytes of the budget an unfinished message holds.
    pub fn held(&self) -> u64 {
        self.reader.held()
    }

    /// Ends reading and gives back to the budget what is held.
    pub fn release(&mut self, budget: &mut Budget) {
        self.reader.release(budget);
        self.forget_rest();
    }

    fn forget_rest(&mut self) {
        self.rest = Vec::new();
        self.has_unread = false;
    }
}
