//! What one connection still has to send: parts of the turn's log, and segments of its own once the socket is full.

use std::{collections::BTreeMap, collections::VecDeque, io::IoSlice, mem, ops::Range, os::fd::OwnedFd, rc::Rc};

use rustix::io::Errno;
use rustix::net::{send, sendmsg, SendAncillaryBuffer, SendFlags};

use crate::frame;

/// Bytes that stay where they are while a queue refers to them.
pub type Held = Box<dyn AsRef<[u8]>>;

// A buffer of a queue's own grows up to this size.
const TAIL_BYTES: usize = 1 << 16;
// What is smaller is copied: a reference to it would cost as much.
const MIN_SHARED_BYTES: usize = 512;
// From this size on a buffer is exchanged for a smaller one when most of it has been sent.
const MIN_TRIMMED_BYTES: usize = 4096;
const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
// How many slices are sent in one call.
const MAX_SLICES: usize = 64;

enum Data {
    Log,
    Bytes(Rc<Vec<u8>>),
    // One frame, or raw bytes where the header is empty; the payload is sent from where it is.
    Held { header: Vec<u8>, payload: Held },
}

/// Parts of the log that queues still need after the turn; those that need the same part share it.
pub type Copies = BTreeMap<(usize, usize), Rc<Vec<u8>>>;

// Bytes in their order; whole frames from `origin` on, unless they are fixed.
struct Segment {
    data: Data,
    origin: usize,
    // What is before this has been sent.
    start: usize,
    end: usize,
    // Whether it must never be dropped.
    is_fixed: bool,
}

impl Segment {
    fn new(data: Data, span: Range<usize>) -> Segment {
        Segment { data, origin: span.start, start: span.start, end: span.end, is_fixed: false }
    }

    fn parts<'a>(&'a self, log: &'a [u8]) -> [&'a [u8]; 2] {
        match &self.data {
            Data::Log => [&log[self.start..self.end], &[]],
            Data::Bytes(bytes) => [&bytes[self.start..self.end], &[]],
            Data::Held { header, payload } => {
                let from = self.start.saturating_sub(header.len());
                [&header[self.start.min(header.len())..], &(**payload).as_ref()[from..]]
            }
        }
    }

    // The buffer and the end of the segment in it, where no other queue has the buffer and it may grow.
    fn growing(&mut self) -> Option<(&mut Vec<u8>, &mut usize)> {
        let Data::Bytes(bytes) = &mut self.data else { return None };
        if self.is_fixed || self.end != bytes.len() || self.end >= TAIL_BYTES {
            return None;
        }
        Some((Rc::get_mut(bytes)?, &mut self.end))
    }

    // Drops frames of which nothing has been sent. Returns the bytes dropped.
    fn drop_messages(&mut self, log: &[u8], enough: usize) -> usize {
        match &self.data {
            Data::Log => self.drop_frames(log, enough),
            Data::Bytes(bytes) => {
                let bytes = Rc::clone(bytes);
                self.drop_frames(&bytes, enough)
            }
            Data::Held { header, .. } if self.start > 0 || frame::is_needed(header) => 0,
            Data::Held { .. } => mem::take(&mut self.end),
        }
    }

    fn drop_frames(&mut self, bytes: &[u8], enough: usize) -> usize {
        let mut kept = Vec::new();
        let mut kept_start = 0;
        let mut dropped = 0;
        let mut at = self.origin;
        while at < self.end {
            let frame = &bytes[at..];
            let size = frame::measure(frame);
            if at + size <= self.start {
                // It has been sent and is not needed any more.
            } else if at < self.start || dropped >= enough || frame::is_needed(frame) {
                kept_start += self.start.saturating_sub(at);
                kept.extend_from_slice(&bytes[at..at + size]);
            } else {
                dropped += size;
            }
            at += size;
        }
        let end = kept.len();
        *self = Segment::new(Data::Bytes(Rc::new(kept)), 0..end);
        self.start = kept_start;
        dropped
    }

    // Makes the segment independent of the log, which ends: the log may be far larger than what is left of it.
    fn leave_log(&mut self, log: &[u8], copies: &mut Copies) {
        let span = self.origin..self.end;
        let copy = || Rc::new(log[span.clone()].to_vec());
        let bytes = if span.len() < MIN_SHARED_BYTES {
            copy()
        } else {
            Rc::clone(copies.entry((span.start, span.end)).or_insert_with(copy))
        };
        self.data = Data::Bytes(bytes);
        self.origin = 0;
        self.start -= span.start;
        self.end = span.len();
    }

    // Copies what is left where that is less than half of a large buffer: a peer that stops reading must not keep all of
    // it. Gives the begun frame, which cannot be dropped any more, and the frames after it.
    fn trim(&self) -> Option<[Segment; 2]> {
        let size = match &self.data {
            Data::Log => return None,
            Data::Bytes(bytes) => bytes.capacity(),
            Data::Held { .. } => self.end,
        };
        if size < MIN_TRIMMED_BYTES || self.end - self.start > size / 2 {
            return None;
        }
        let (begun, others) = match &self.data {
            Data::Bytes(bytes) if !self.is_fixed => {
                let mut at = self.origin;
                while at < self.start {
                    at += frame::measure(&bytes[at..]);
                }
                let at = at.min(self.end);
                (bytes[self.start..at].to_vec(), bytes[at..self.end].to_vec())
            }
            _ => (self.parts(&[]).concat(), Vec::new()),
        };
        let [mut begun, others] = [begun, others].map(|bytes| {
            let span = 0..bytes.len();
            Segment::new(Data::Bytes(Rc::new(bytes)), span)
        });
        begun.is_fixed = true;
        Some([begun, others])
    }
}

/// What waits, in the order in which it is sent.
#[derive(Default)]
pub struct Queue {
    /// How many bytes.
    pub size: usize,
    segments: VecDeque<Segment>,
    // A part of the log, after the segments. Most connections never have more than this.
    span: Range<usize>,
}

impl Queue {
    fn put(&mut self, data: Data, span: Range<usize>) {
        self.end_span();
        self.size += span.len();
        self.segments.push_back(Segment::new(data, span));
    }

    fn end_span(&mut self) {
        let span = mem::take(&mut self.span);
        if !span.is_empty() {
            self.segments.push_back(Segment::new(Data::Log, span));
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

    /// Lets `write` append bytes to a buffer of the queue's own.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.end_span();
        if let Some((bytes, end)) = self.segments.back_mut().and_then(Segment::growing) {
            write(bytes);
            self.size += bytes.len() - *end;
            *end = bytes.len();
            return;
        }
        let mut bytes = Vec::new();
        write(&mut bytes);
        let span = 0..bytes.len();
        self.put(Data::Bytes(Rc::new(bytes)), span);
    }

    /// Appends frames that other connections send as well.
    pub fn share(&mut self, bytes: &Rc<Vec<u8>>) {
        if bytes.len() < MIN_SHARED_BYTES {
            self.write(|target| target.extend_from_slice(bytes));
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

    /// Offers a socket the bytes from the front, in one call. Returns how many bytes that were, and how many it took.
    pub fn offer(&self, fd: &OwnedFd, log: &[u8]) -> (usize, Result<usize, Errno>) {
        let last = &log[self.span.clone()];
        if self.segments.is_empty() {
            return (last.len(), send(fd, last, FLAGS));
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        let mut size = 0;
        let parts = self.segments.iter().flat_map(|segment| segment.parts(log)).chain([last]);
        for (slot, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slot = IoSlice::new(part);
            count += 1;
            size += part.len();
        }
        (size, sendmsg(fd, &slices[..count], &mut SendAncillaryBuffer::new(&mut []), FLAGS))
    }

    /// Removes bytes from the front that have been sent.
    pub fn advance(&mut self, mut count: usize) {
        self.size -= count;
        if self.size == 0 {
            // A connection with nothing to send owns no buffer.
            *self = Queue::default();
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
                segment.leave_log(log, copies);
            }
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
    /// frames, fragments and raw bytes stay. Returns the bytes dropped.
    pub fn drop_messages(&mut self, log: &[u8], enough: usize) -> usize {
        self.end_span();
        let mut dropped = 0;
        for segment in &mut self.segments {
            if dropped < enough && !segment.is_fixed {
                dropped += segment.drop_messages(log, enough - dropped);
            }
        }
        self.segments.retain(|segment| segment.start < segment.end);
        self.size -= dropped;
        dropped
    }
}

#[cfg(test)]
mod tests;
