//! A part of what one connection has to send: a part of the turn's log, or bytes of its own.

use std::{collections::BTreeMap, mem, ops::Range, rc::Rc};

use crate::frame;
use crate::memory::{self, Lacking};

/// Bytes that stay where they are while a queue refers to them.
pub type Held = Box<dyn AsRef<[u8]>>;

// A buffer of a queue's own grows up to this size.
const TAIL_BYTES: usize = 1 << 16;
/// What is smaller is copied: a reference to it would cost as much.
pub const MIN_SHARED_BYTES: usize = 512;
// From this size on a buffer is exchanged for a smaller one when most of it has been sent.
const MIN_TRIMMED_BYTES: usize = 4096;

/// Where bytes are.
pub enum Data {
    /// In the log.
    Log,
    /// In a buffer, which other queues may have too.
    Bytes(Rc<Vec<u8>>),
    /// One frame, or raw bytes where the header is empty; the payload is sent from where it is.
    Held {
        /// What is sent first.
        header: Vec<u8>,
        /// What is sent then.
        payload: Held,
    },
}

/// Parts of the log that queues still need after the turn; those that need the same part share it.
pub type Copies = BTreeMap<(usize, usize), Rc<Vec<u8>>>;

/// Bytes in their order; whole frames from the origin on, unless they are fixed.
pub struct Segment {
    /// Where they are.
    pub data: Data,
    origin: usize,
    /// What is before this has been sent.
    pub start: usize,
    /// What is from here on belongs to others.
    pub end: usize,
    /// Whether it must never be dropped.
    pub is_fixed: bool,
}

impl Segment {
    /// Makes one of whole frames.
    pub fn new(data: Data, span: Range<usize>) -> Segment {
        Segment { data, origin: span.start, start: span.start, end: span.end, is_fixed: false }
    }

    /// Gives what is still to be sent.
    pub fn parts<'a>(&'a self, log: &'a [u8]) -> [&'a [u8]; 2] {
        match &self.data {
            Data::Log => [&log[self.start..self.end], &[]],
            Data::Bytes(bytes) => [&bytes[self.start..self.end], &[]],
            Data::Held { header, payload } => {
                let from = self.start.saturating_sub(header.len());
                [&header[self.start.min(header.len())..], &(**payload).as_ref()[from..]]
            }
        }
    }

    /// Gives the buffer and the end of the segment in it, where no other queue has the buffer and it may grow.
    pub fn growing(&mut self) -> Option<(&mut Vec<u8>, &mut usize)> {
        let Data::Bytes(bytes) = &mut self.data else { return None };
        if self.is_fixed || self.end != bytes.len() || self.end >= TAIL_BYTES {
            return None;
        }
        Some((Rc::get_mut(bytes)?, &mut self.end))
    }

    /// Drops frames of which nothing has been sent. Returns the bytes dropped, and how many frames.
    ///
    /// # Errors
    /// There is no memory for what stays; all is as it was.
    pub fn drop_messages(&mut self, log: &[u8], enough: usize) -> Result<(usize, usize), Lacking> {
        match &self.data {
            Data::Log => self.drop_frames(log, enough),
            Data::Bytes(bytes) => {
                let bytes = Rc::clone(bytes);
                self.drop_frames(&bytes, enough)
            }
            Data::Held { header, .. } if self.start > 0 || frame::is_needed(header) => Ok((0, 0)),
            Data::Held { .. } => Ok((mem::take(&mut self.end), 1)),
        }
    }

    fn drop_frames(&mut self, bytes: &[u8], enough: usize) -> Result<(usize, usize), Lacking> {
        let mut kept = Vec::new();
        let mut kept_start = 0;
        let mut dropped = 0;
        let mut frames = 0;
        let mut at = self.origin;
        while at < self.end {
            let frame = &bytes[at..];
            let size = frame::measure(frame);
            if at + size <= self.start {
                // It has been sent and is not needed any more.
            } else if at < self.start || dropped >= enough || frame::is_needed(frame) {
                kept_start += self.start.saturating_sub(at);
                memory::append(&mut kept, &bytes[at..at + size])?;
            } else {
                dropped += size;
                frames += 1;
            }
            at += size;
        }
        let end = kept.len();
        *self = Segment::new(Data::Bytes(Rc::new(kept)), 0..end);
        self.start = kept_start;
        Ok((dropped, frames))
    }

    /// Makes the segment independent of the log, which ends: the log may be far larger than what is left of it.
    ///
    /// # Errors
    /// There is no memory for it; all is as it was.
    pub fn leave_log(&mut self, log: &[u8], copies: &mut Copies) -> Result<(), Lacking> {
        let key = (self.origin, self.end);
        let span = self.origin..self.end;
        let bytes = match copies.get(&key) {
            Some(bytes) => Rc::clone(bytes),
            None => {
                let bytes = Rc::new(memory::copy(&log[span.clone()])?);
                if span.len() >= MIN_SHARED_BYTES {
                    copies.insert(key, Rc::clone(&bytes));
                }
                bytes
            }
        };
        self.data = Data::Bytes(bytes);
        self.origin = 0;
        self.start -= span.start;
        self.end = span.len();
        Ok(())
    }

    /// Copies what is left where that is less than half of a large buffer: a peer that stops reading must not keep all
    /// of it. Gives the begun frame, which cannot be dropped any more, and the frames after it; nothing also where there
    /// is no memory for the copies.
    pub fn trim(&self) -> Option<[Segment; 2]> {
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
                (memory::copy(&bytes[self.start..at]).ok()?, memory::copy(&bytes[at..self.end]).ok()?)
            }
            _ => {
                let [header, payload] = self.parts(&[]);
                let mut bytes = memory::copy(header).ok()?;
                memory::append(&mut bytes, payload).ok()?;
                (bytes, Vec::new())
            }
        };
        let [mut begun, others] = [begun, others].map(|bytes| {
            let span = 0..bytes.len();
            Segment::new(Data::Bytes(Rc::new(bytes)), span)
        });
        begun.is_fixed = true;
        Some([begun, others])
    }
}
