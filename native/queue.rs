//! What one connection still has to send: parts of the turn's log, and segments of its own once the socket is full.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::ops::Range;
use std::rc::Rc;

use crate::header::{self, MAX_HEADER_BYTES};

/// Bytes that stay where they are while a segment names them.
pub type Held = Box<dyn AsRef<[u8]>>;

const TAIL_BYTES: usize = 1 << 16;
/// What is smaller is copied: a reference to it would cost as much.
pub const MIN_SHARED_BYTES: usize = 512;
/// How many slices leave in one call.
pub const MAX_SLICES: usize = 64;

enum Data {
    Log,
    Own(Vec<u8>),
    Shared(Rc<Vec<u8>>),
    // One frame whose payload is sent from where it is.
    Held { header: [u8; MAX_HEADER_BYTES], header_size: usize, payload: Held },
}

/// Bytes in their order; whole frames from `origin` on, unless they are fixed.
pub struct Segment {
    data: Data,
    origin: usize,
    // What has left ends here.
    start: usize,
    end: usize,
    // Never dropped.
    is_fixed: bool,
}

impl Segment {
    fn new(data: Data, span: Range<usize>, is_fixed: bool) -> Segment {
        Segment { data, origin: span.start, start: span.start, end: span.end, is_fixed }
    }

    /// Frames that other connections send as well.
    pub fn shared(bytes: Rc<Vec<u8>>, is_fixed: bool) -> Segment {
        let span = 0..bytes.len();
        Segment::new(Data::Shared(bytes), span, is_fixed)
    }

    /// One frame, or raw bytes where the header is empty, whose payload stays where it is.
    pub fn held(header: [u8; MAX_HEADER_BYTES], header_size: usize, payload: Held) -> Segment {
        let is_fixed = header_size == 0 || header::measure(&header).1;
        let span = 0..header_size + (*payload).as_ref().len();
        Segment::new(Data::Held { header, header_size, payload }, span, is_fixed)
    }

    // All bytes of the segment, those that have left as well, where they are in one place.
    fn whole<'a>(&'a self, log: &'a [u8]) -> Option<&'a [u8]> {
        match &self.data {
            Data::Log => Some(log),
            Data::Own(bytes) => Some(bytes),
            Data::Shared(bytes) => Some(bytes),
            Data::Held { .. } => None,
        }
    }

    fn parts<'a>(&'a self, log: &'a [u8]) -> [&'a [u8]; 2] {
        if let Data::Held { header, header_size, payload } = &self.data {
            let from = self.start.saturating_sub(*header_size);
            return [&header[self.start.min(*header_size)..*header_size], &(**payload).as_ref()[from..]];
        }
        [self.whole(log).map_or(&[], |bytes| &bytes[self.start..self.end]), &[]]
    }

    // Drops frames that have not begun to leave. Returns the bytes dropped.
    fn thin_out(&mut self, log: &[u8], enough: usize) -> usize {
        let mut kept = Vec::new();
        let (mut dropped, mut begun, mut at) = (0, 0, self.origin);
        let Some(bytes) = self.whole(log) else {
            if self.start == 0 {
                dropped = mem::take(&mut self.end);
            }
            return dropped;
        };
        while at < self.end {
            let (size, is_fixed) = header::measure(&bytes[at..]);
            let is_begun = at < self.start && at + size > self.start;
            if is_begun {
                begun = self.start - at;
            }
            if is_begun || is_fixed || (at >= self.start && dropped >= enough) {
                kept.extend_from_slice(&bytes[at..at + size]);
            } else if at >= self.start {
                dropped += size;
            }
            at += size;
        }
        *self = Segment { origin: 0, start: begun, end: kept.len(), data: Data::Own(kept), is_fixed: false };
        dropped
    }
}

/// Segments in the order in which they leave.
#[derive(Default)]
pub struct Queue {
    segments: VecDeque<Segment>,
}

impl Queue {
    /// Tells whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Puts a segment behind the others.
    pub fn put(&mut self, segment: Segment) {
        self.segments.push_back(segment);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.segments.clear();
    }

    /// Puts a part of the log behind the others.
    pub fn put_log(&mut self, span: Range<usize>, is_fixed: bool) {
        match self.segments.back_mut() {
            Some(Segment { data: Data::Log, end, is_fixed: same, .. }) if *end == span.start && *same == is_fixed => {
                *end = span.end;
            }
            _ => self.put(Segment::new(Data::Log, span, is_fixed)),
        }
    }

    /// Has bytes written behind the others, into a buffer of the queue's own.
    pub fn write(&mut self, is_fixed: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let fits = matches!(self.segments.back(), Some(Segment { data: Data::Own(bytes), is_fixed: same, .. })
            if *same == is_fixed && bytes.len() < TAIL_BYTES);
        if !fits {
            self.put(Segment::new(Data::Own(Vec::new()), 0..0, is_fixed));
        }
        if let Some(Segment { data: Data::Own(bytes), end, .. }) = self.segments.back_mut() {
            write(bytes);
            *end = bytes.len();
        }
    }

    /// Names what leaves next. Returns how many slices, and how many bytes.
    pub fn slices<'a>(&'a self, log: &'a [u8], target: &mut [IoSlice<'a>; MAX_SLICES]) -> (usize, usize) {
        let (mut count, mut size) = (0, 0);
        let parts = self.segments.iter().flat_map(|segment| segment.parts(log));
        for (slot, part) in target.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slot = IoSlice::new(part);
            count += 1;
            size += part.len();
        }
        (count, size)
    }

    /// Takes note that bytes have left.
    pub fn advance(&mut self, mut count: usize) {
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

    /// Tells whether any part of the log is needed.
    pub fn needs_log(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment.data, Data::Log))
    }

    /// Makes the queue independent of the log, which ends: large parts share it, small ones are copied, for who needs
    /// little of the log must not keep much of it alive.
    pub fn settle(&mut self, log: &Rc<Vec<u8>>) {
        for segment in self.segments.iter_mut().filter(|segment| matches!(segment.data, Data::Log)) {
            let size = segment.end - segment.origin;
            if size >= MIN_SHARED_BYTES.max(log.len() / 8) {
                segment.data = Data::Shared(Rc::clone(log));
                continue;
            }
            segment.data = Data::Own(log[segment.origin..segment.end].to_vec());
            segment.start -= segment.origin;
            (segment.origin, segment.end) = (0, size);
        }
    }

    /// Drops messages that have not begun to leave, the oldest first, until `enough` bytes are dropped; control frames,
    /// fragments and raw bytes stay. Returns the bytes dropped.
    pub fn drop_messages(&mut self, log: &[u8], enough: usize) -> usize {
        let mut dropped = 0;
        for segment in self.segments.iter_mut().filter(|segment| !segment.is_fixed) {
            if dropped < enough {
                dropped += segment.thin_out(log, enough - dropped);
            }
        }
        self.segments.retain(|segment| segment.start < segment.end);
        dropped
    }
}
