//! The receiving side of one connection: one `recv`, then everything that is whole.

use std::cell::Cell;
use std::mem::{self, ManuallyDrop};
use std::os::fd::OwnedFd;
use std::panic::{catch_unwind, AssertUnwindSafe};

use rustix::buffer::{spare_capacity, Buffer};
use rustix::io::Errno;
use rustix::net::{recv, RecvFlags};

use crate::budget::Budget;
use crate::frame::Rules;
use crate::reader::{Batch, Payload, Reader};

// The buffer that all connections read into.
const INPUT_BYTES: usize = 1 << 17;
// How often a call receives while no message is whole: a large message must not hold up others for long.
const PIECES: usize = 16;
// The largest buffer that is kept for the next call.
const KEPT_BYTES: usize = 1 << 20;

thread_local! {
    static DELIVERY: Cell<Option<Box<Delivery>>> = const { Cell::new(None) };
}

/// What a call reads, and the messages in it.
#[derive(Default)]
pub struct Delivery {
    // The payloads of messages without a buffer of their own are here.
    bytes: Vec<u8>,
    batch: Batch,
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
    has_unread: bool,
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

// Receives at least one byte.
fn receive(fd: &OwnedFd, target: impl Buffer<u8>) -> Result<usize, Errno> {
    match recv(fd, target, RecvFlags::DONTWAIT)? {
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
    pub fn start(&mut self, rules: Rules, leftover: &[u8]) {
        self.reader = Reader::new(rules);
        self.rest.splice(..0, leftover.iter().copied());
        self.has_unread = !self.rest.is_empty();
    }

    /// Receives bytes as they are. Returns them, and whether more may be here already.
    ///
    /// # Errors
    /// `AGAIN` where nothing is there, `PIPE` where nothing will come.
    pub fn receive(&mut self, fd: &OwnedFd) -> Result<(Vec<u8>, bool), Errno> {
        if mem::take(&mut self.has_unread) {
            return Ok((mem::take(&mut self.rest), true));
        }
        let mut bytes = Vec::with_capacity(INPUT_BYTES);
        let count = receive(fd, spare_capacity(&mut bytes))?;
        Ok((bytes, count >= INPUT_BYTES || self.has_ended))
    }

    /// Receives, and reads every whole message. Returns whether more may be here already.
    ///
    /// # Errors
    /// `AGAIN` where nothing is there, or nothing whole.
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
            may_have_more = self.read_more(room, delivery, budget, |target| receive(fd, target))?;
            self.has_heard = true;
            self.has_news = self.reader.has_news(budget);
            pieces += 1;
        }
        self.is_delivering = true;
        Ok(may_have_more || self.has_ended)
    }

    /// Reads bytes that were received elsewhere. Returns whether unread bytes are here.
    pub fn feed(&mut self, bytes: &[u8], delivery: &mut Delivery, budget: &mut Budget) -> bool {
        let copy = |target: &mut [u8]| {
            target.copy_from_slice(bytes);
            Ok(bytes.len())
        };
        self.read_more(bytes.len(), delivery, budget, copy).is_ok() && self.has_unread
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
        if delivery.bytes.len() < kept + room {
            delivery.bytes.resize(kept + room, 0);
        }
        delivery.bytes[..kept].copy_from_slice(&self.rest);
        let count = if room > 0 { fill(&mut delivery.bytes[kept..kept + room])? } else { 0 };
        let bytes = &mut delivery.bytes[..kept + count];
        let (taken, is_full) = self.reader.feed(bytes, &mut delivery.batch, budget);
        if kept > 0 || taken < bytes.len() {
            self.rest = bytes[taken..].to_vec();
        }
        self.has_unread = is_full;
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
        self.rest = Vec::new();
        self.has_unread = false;
    }
}
