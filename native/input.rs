//! The receiving side of one connection: one `recv`, then everything that is whole.

use std::{mem, os::fd::OwnedFd};

use rustix::buffer::{spare_capacity, Buffer};
use rustix::io::Errno;
use rustix::net::{recv, RecvFlags};

use crate::header::Rules;
use crate::reader::{Batch, Budget, Reader};

// What all connections read into.
const INPUT_BYTES: usize = 1 << 17;
// So many times in a call while no message is whole, so that a large one holds up nobody for long.
const PIECES: usize = 16;

/// What a call reads, and the messages in it.
#[derive(Default)]
pub struct Delivery {
    /// The bytes that messages without a buffer of their own are in.
    pub bytes: Vec<u8>,
    /// The messages.
    pub batch: Batch,
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
    /// Whether the peer has ended its sending direction, so that reading must go on to the end.
    pub has_ended: bool,
    /// Whether messages are on their way to Lua; what was lost on it cannot be read again.
    pub is_delivering: bool,
}

/// Receives at least one byte.
fn receive(fd: &OwnedFd, target: impl Buffer<u8>) -> Result<usize, Errno> {
    match recv(fd, target, RecvFlags::DONTWAIT)? {
        (_, 0) => Err(Errno::PIPE),
        (_, count) => Ok(count),
    }
}

impl Incoming {
    /// Begins with bytes that somebody else has received.
    pub fn new(bytes: &[u8]) -> Incoming {
        Incoming { rest: bytes.to_vec(), has_unread: !bytes.is_empty(), ..Incoming::default() }
    }

    /// From here on frames are read; `leftover` came behind the handshake.
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
        let (mut again, mut pieces) = (true, 0);
        // While a large message comes, whatever the processor's cache can hold is unmasked and kept before the next.
        while again && pieces < PIECES && delivery.batch.items.is_empty() {
            let room = if self.has_unread { 0 } else { INPUT_BYTES };
            again = self.read_behind(room, delivery, budget, |target| receive(fd, target))?;
            (self.has_heard, pieces) = (true, pieces + 1);
        }
        self.is_delivering = true;
        Ok(again || self.has_ended)
    }

    /// Reads bytes that somebody else has received. Returns whether unread bytes are here.
    pub fn feed(&mut self, bytes: &[u8], delivery: &mut Delivery, budget: &mut Budget) -> bool {
        let copy = |target: &mut [u8]| {
            target.copy_from_slice(bytes);
            Ok(bytes.len())
        };
        self.read_behind(bytes.len(), delivery, budget, copy).is_ok() && self.has_unread
    }

    // Reads what is here already and, behind it, at most `room` bytes that `fill` gives. Returns whether more may be
    // here.
    fn read_behind(
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
        let (taken, again) = self.reader.feed(bytes, &mut delivery.batch, budget);
        if kept > 0 || taken < bytes.len() {
            self.rest = bytes[taken..].to_vec();
        }
        self.has_unread = again;
        Ok(again || count == room)
    }

    /// Ends reading and gives back to the budget what is held.
    pub fn release(&mut self, budget: &mut Budget) {
        self.reader.release(budget);
        (self.rest, self.has_unread) = (Vec::new(), false);
    }
}
