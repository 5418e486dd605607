//! The receiving side of one connection: one `recv`, then everything that is whole.

use std::mem;
use std::os::fd::OwnedFd;

use crate::header::Rules;
use crate::net::{self, Fault};
use crate::reader::{Batch, Budget, Reader};

/// What all connections read into.
pub const INPUT_BYTES: usize = 1 << 17;

/// What a call reads, and the messages in it.
#[derive(Default)]
pub struct Delivery {
    /// The bytes that messages without a buffer of their own are in.
    pub bytes: Vec<u8>,
    /// The messages.
    pub batch: Batch,
}

impl Delivery {
    /// Reads messages out of bytes that may not be changed where they are. Returns as `Reader::feed` does.
    pub fn feed(&mut self, reader: &mut Reader, bytes: &[u8], budget: &mut Budget) -> (usize, bool) {
        if self.bytes.len() < bytes.len() {
            self.bytes.resize(bytes.len(), 0);
        }
        let copy = &mut self.bytes[..bytes.len()];
        copy.copy_from_slice(bytes);
        reader.feed(copy, &mut self.batch, budget)
    }
}

/// The receiving side of one connection.
#[derive(Default)]
pub struct Incoming {
    reader: Option<Reader>,
    // What was read and not taken yet: a frame's beginning, or what the last batch had no room for.
    rest: Vec<u8>,
    has_unread: bool,
    /// Whether the peer has ended its sending direction, so that reading must go on to the end.
    pub has_ended: bool,
    /// Whether messages are on their way to Lua; what was lost on it cannot be read again.
    pub is_delivering: bool,
}

impl Incoming {
    /// From here on frames are read; `leftover` came behind the handshake.
    pub fn start(&mut self, rules: Rules, leftover: &[u8]) {
        self.reader = Some(Reader::new(rules));
        if !leftover.is_empty() {
            let before = mem::take(&mut self.rest);
            self.rest = [leftover, &before].concat();
            self.has_unread = true;
        }
    }

    /// Puts bytes back that somebody else has received.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        self.has_unread = !self.rest.is_empty();
    }

    /// Receives bytes as they are, behind those of `target`. Returns whether more may be here already.
    ///
    /// # Errors
    /// `Timeout` where nothing is there.
    pub fn receive(&mut self, fd: &OwnedFd, target: &mut Vec<u8>) -> Result<bool, Fault> {
        if self.has_unread {
            target.append(&mut self.rest);
            self.rest = Vec::new();
            self.has_unread = false;
            return Ok(true);
        }
        target.reserve(INPUT_BYTES);
        let room = target.capacity() - target.len();
        let count = net::receive_behind(fd, target)?;
        Ok(count == room || self.has_ended)
    }

    /// Receives once and reads every whole message. Returns whether more may be here already.
    ///
    /// # Errors
    /// `Timeout` where nothing is there.
    pub fn read(&mut self, fd: &OwnedFd, delivery: &mut Delivery, budget: &mut Budget) -> Result<bool, Fault> {
        let Some(reader) = &mut self.reader else { return Err(Fault::Reset) };
        if self.has_unread {
            let (taken, again) = delivery.feed(reader, &self.rest, budget);
            self.rest = delivery.bytes[taken..self.rest.len()].to_vec();
            self.has_unread = again;
            return Ok(true);
        }
        if let Some(buffer) = reader.straight(budget) {
            let from = buffer.len();
            let room = buffer.capacity() - from;
            let count = net::receive_behind(fd, buffer)?;
            self.rest = reader.received(from, &mut delivery.batch, budget);
            self.has_unread = !self.rest.is_empty();
            return Ok(count == room || self.has_ended || self.has_unread);
        }
        self.read_shared(fd, delivery, budget)
    }

    fn read_shared(&mut self, fd: &OwnedFd, delivery: &mut Delivery, budget: &mut Budget) -> Result<bool, Fault> {
        let Some(reader) = &mut self.reader else { return Err(Fault::Reset) };
        if delivery.bytes.len() < INPUT_BYTES {
            delivery.bytes.resize(INPUT_BYTES, 0);
        }
        let kept = self.rest.len();
        delivery.bytes[..kept].copy_from_slice(&self.rest);
        let room = delivery.bytes.len() - kept;
        let count = net::receive(fd, &mut delivery.bytes[kept..])?;
        let bytes = &mut delivery.bytes[..kept + count];
        let (taken, again) = reader.feed(bytes, &mut delivery.batch, budget);
        if kept > 0 || taken < bytes.len() {
            self.rest = bytes[taken..].to_vec();
        }
        self.has_unread = again;
        Ok(again || count == room || self.has_ended)
    }

    /// Ends reading and gives back to the budget what is held.
    pub fn release(&mut self, budget: &mut Budget) {
        if let Some(reader) = &mut self.reader {
            reader.release(budget);
        }
        self.rest = Vec::new();
        self.has_unread = false;
    }
}
