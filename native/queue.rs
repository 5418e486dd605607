//! What one connection still has to send: parts of the turn's log, and segments of its own once the socket is full.

use std::{collections::VecDeque, io::IoSlice, mem, ops::Range, os::fd::OwnedFd, rc::Rc};

use rustix::io::Errno;
use rustix::net::{send, sendmsg, SendAncillaryBuffer, SendFlags};

use crate::memory::{self, Lacking};
use crate::segment::{Copies, Data, Held, Segment, MIN_SHARED_BYTES};

const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
// How many slices are sent in one call.
const MAX_SLICES: usize = 64;

/// What waits, in the order in which it is sent.
#[derive(Default)]
pub struct Queue {
    /// How many bytes.
    pub size: usize,
    segments: VecDeque<Segment>,
    // A part of the log, after the segments. Most connections never have more than this.
    span: Range<usize>,
    /// Whether there was no memory for something that had to be kept: what is here is not all, and must not be sent.
    pub is_broken: bool,
    // The next three are here because they need no room beside the one before: each connection has a queue.
    /// Whether any byte was sent since Lua heard of the connection.
    pub took: bool,
    /// Whether the socket took less than it was offered the last time.
    pub is_blocked: bool,
    /// Whether Lua knows that bytes wait.
    pub is_told: bool,
}

impl Queue {
    // Takes note of a lack of memory.
    fn judge<R>(&mut self, result: Result<R, Lacking>) -> Option<R> {
        self.is_broken |= result.is_err();
        result.ok()
    }

    fn add(&mut self, segment: Segment) {
        let room = self.segments.try_reserve(1).map_err(|_| Lacking);
        if self.judge(room).is_some() {
            self.segments.push_back(segment);
        }
    }

    fn put(&mut self, data: Data, span: Range<usize>) {
        self.end_span();
        self.size += span.len();
        self.add(Segment::new(data, span));
    }

    fn end_span(&mut self) {
        let span = mem::take(&mut self.span);
        if !span.is_empty() {
            self.add(Segment::new(Data::Log, span));
        }
    }

    /// Appends a part of the log.
    pub fn put_log(&mut self, span: Range<usize>) {
        self.size += span.len();
        if self.span.end != span.start {
            self.end_span();
            self.span.start = span.start;
        }
        self.span.end = span.end;
    }

    /// Lets `write` append at most so many bytes to a buffer of the queue's own.
    pub fn write(&mut self, most: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.end_span();
        if let Some((bytes, end)) = self.segments.back_mut().and_then(Segment::growing) {
            if bytes.try_reserve(most).is_ok() {
                write(bytes);
                self.size += bytes.len() - *end;
                *end = bytes.len();
                return;
            }
        }
        let mut bytes = Vec::new();
        let room = memory::reserve(&mut bytes, most);
        if self.judge(room).is_some() {
            write(&mut bytes);
            let span = 0..bytes.len();
            self.put(Data::Bytes(Rc::new(bytes)), span);
        }
    }

    /// Appends frames that other connections send as well.
    pub fn share(&mut self, bytes: &Rc<Vec<u8>>) {
        if bytes.len() < MIN_SHARED_BYTES {
            self.write(bytes.len(), |target| target.extend_from_slice(bytes));
        } else {
            self.put(Data::Bytes(Rc::clone(bytes)), 0..bytes.len());
        }
    }

    /// Appends one frame, or raw bytes where the header is empty; the payload stays where it is.
    pub fn hold(&mut self, header: Vec<u8>, payload: Held) {
        let size = header.len() + (*payload).as_ref().len();
        self.put(Data::Held { header, payload }, 0..size);
    }

    /// Marks that frames follow; what is here already is none and must never be dropped.
    pub fn fix(&mut self) {
        self.end_span();
        for segment in &mut self.segments {
            segment.is_fixed = true;
        }
    }

    /// Offers a socket the bytes from the front, in one call. Returns how many it took.
    pub fn offer(&self, fd: &OwnedFd, log: &[u8]) -> Result<usize, Errno> {
        let last = &log[self.span.clone()];
        if self.segments.is_empty() {
            return send(fd, last, FLAGS);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        let parts = self.segments.iter().flat_map(|segment| segment.parts(log)).chain([last]);
        for (slot, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slot = IoSlice::new(part);
            count += 1;
        }
        sendmsg(fd, &slices[..count], &mut SendAncillaryBuffer::new(&mut []), FLAGS)
    }

    /// Removes bytes from the front that have been sent.
    pub fn advance(&mut self, mut count: usize) {
        self.took = true;
        self.size -= count;
        if self.size == 0 {
            // A connection with nothing to send owns no buffer. Most have had none to give up.
            self.span = 0..0;
            self.is_broken = false;
            if self.segments.capacity() > 0 {
                self.segments = VecDeque::new();
            }
            return;
        }
        self.end_span();
        while let Some(first) = self.segments.front_mut() {
            let taken = count.min(first.end - first.start);
            first.start += taken;
            count -= taken;
            if first.start < first.end {
                return;
            }
            self.segments.pop_front();
        }
    }

    /// Makes the queue independent of the log, which ends.
    pub fn settle(&mut self, log: &[u8], copies: &mut Copies) {
        self.end_span();
        for segment in &mut self.segments {
            if matches!(segment.data, Data::Log) {
                self.is_broken |= segment.leave_log(log, copies).is_err();
            }
        }
        if self.is_broken {
            // What refers to the log has nothing to refer to.
            self.segments.clear();
        }
        self.trim();
    }

    /// Gives up the memory of what has been sent.
    pub fn trim(&mut self) {
        if let Some(segments) = self.segments.front().and_then(Segment::trim) {
            self.segments.pop_front();
            let left = segments.into_iter().filter(|segment| segment.start < segment.end);
            left.rev().for_each(|segment| self.segments.push_front(segment));
        }
    }

    /// Drops messages of which nothing has been sent, the oldest first, until `enough` bytes are dropped; control
    /// frames, fragments and raw bytes stay. Returns the bytes dropped, and how many messages.
    pub fn drop_messages(&mut self, log: &[u8], enough: usize) -> (usize, usize) {
        self.end_span();
        let mut dropped = 0;
        let mut messages = 0;
        for segment in &mut self.segments {
            if dropped < enough && !segment.is_fixed {
                let result = segment.drop_messages(log, enough - dropped);
                self.is_broken |= result.is_err();
                let (bytes, count) = result.unwrap_or_default();
                dropped += bytes;
                messages += count;
            }
        }
        self.segments.retain(|segment| segment.start < segment.end);
        self.size -= dropped;
        (dropped, messages)
    }
}

#[cfg(test)]
mod tests;
