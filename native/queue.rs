//! What one connection still has to send: parts of the turn's log, and segments of its own once the socket is full.

use std::collections::VecDeque;
use std::io::IoSlice;
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

/// Whole frames, or raw bytes, in their order.
pub struct Segment {
    data: Data,
    start: usize,
    end: usize,
    is_raw: bool,
}

impl Segment {
    /// A part of the log.
    pub fn log(start: usize, end: usize, is_raw: bool) -> Segment {
        Segment { data: Data::Log, start, end, is_raw }
    }

    /// Frames that other connections send as well.
    pub fn shared(bytes: Rc<Vec<u8>>) -> Segment {
        Segment { start: 0, end: bytes.len(), data: Data::Shared(bytes), is_raw: false }
    }

    /// One frame, or raw bytes where the header is empty, whose payload stays where it is.
    pub fn held(header: [u8; MAX_HEADER_BYTES], header_size: usize, payload: Held) -> Segment {
        let end = header_size + (*payload).as_ref().len();
        Segment { data: Data::Held { header, header_size, payload }, start: 0, end, is_raw: header_size == 0 }
    }

    /// How many bytes are left of it.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    fn parts<'a>(&'a self, log: &'a [u8]) -> [&'a [u8]; 2] {
        match &self.data {
            Data::Log => [&log[self.start..self.end], &[]],
            Data::Own(bytes) => [&bytes[self.start..self.end], &[]],
            Data::Shared(bytes) => [&bytes[self.start..self.end], &[]],
            Data::Held { header, header_size, payload } => {
                let from = self.start.saturating_sub(*header_size);
                [&header[self.start.min(*header_size)..*header_size], &(**payload).as_ref()[from..]]
            }
        }
    }

    // How much stands in front of the next frame when `taken` bytes have left, of which the first `begun` belonged to a
    // frame begun before.
    fn begun_after(&self, log: &[u8], begun: usize, taken: usize) -> usize {
        if self.is_raw {
            return 0;
        }
        if let Data::Held { .. } = self.data {
            return self.len() - taken;
        }
        let bytes = self.parts(log)[0];
        let mut at = begun;
        while at < taken {
            at += header::measure(&bytes[at..]).0;
        }
        at - taken
    }
}

/// Segments in the order in which they leave.
#[derive(Default)]
pub struct Queue {
    segments: VecDeque<Segment>,
    // What is left of the frame that has begun to leave.
    begun: usize,
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
        self.begun = 0;
    }

    /// Puts a part of the log behind the others.
    pub fn put_log(&mut self, start: usize, end: usize, is_raw: bool) {
        match self.segments.back_mut() {
            Some(Segment { data: Data::Log, end: last, is_raw: same, .. }) if *last == start && *same == is_raw => {
                *last = end;
            }
            _ => self.put(Segment::log(start, end, is_raw)),
        }
    }

    /// Has bytes written behind the others, into a buffer of the queue's own.
    pub fn write(&mut self, is_raw: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let fits = matches!(self.segments.back(), Some(Segment { data: Data::Own(bytes), is_raw: same, .. })
            if *same == is_raw && bytes.len() < TAIL_BYTES);
        if !fits {
            self.put(Segment { data: Data::Own(Vec::new()), start: 0, end: 0, is_raw });
        }
        if let Some(Segment { data: Data::Own(bytes), end, .. }) = self.segments.back_mut() {
            write(bytes);
            *end = bytes.len();
        }
    }

    /// Names what leaves next.
    pub fn slices<'a>(&'a self, log: &'a [u8], target: &mut [IoSlice<'a>; MAX_SLICES]) -> (usize, usize) {
        let (mut count, mut size) = (0, 0);
        for part in self.segments.iter().flat_map(|segment| segment.parts(log)) {
            if count == MAX_SLICES {
                break;
            }
            if !part.is_empty() {
                target[count] = IoSlice::new(part);
                count += 1;
                size += part.len();
            }
        }
        (count, size)
    }

    /// Takes note that bytes have left.
    pub fn advance(&mut self, log: &[u8], mut count: usize) {
        while let Some(first) = self.segments.front_mut() {
            if count < first.len() {
                if count > 0 {
                    self.begun = first.begun_after(log, self.begun, count);
                    first.start += count;
                }
                return;
            }
            count -= first.len();
            self.begun = 0;
            self.segments.pop_front();
        }
    }

    /// Tells whether any part of the log is needed, and whether one of them is large enough to keep all of it.
    pub fn log_use(&self, log_size: usize) -> (bool, bool) {
        let mut parts = self.segments.iter().filter(|segment| matches!(segment.data, Data::Log)).peekable();
        (parts.peek().is_some(), parts.any(|segment| is_worth_sharing(segment.len(), log_size)))
    }

    /// Makes the queue independent of the log, which ends: large parts share it, small ones are copied.
    pub fn keep(&mut self, log: &Rc<Vec<u8>>) {
        for segment in self.segments.iter_mut().filter(|segment| matches!(segment.data, Data::Log)) {
            if is_worth_sharing(segment.len(), log.len()) {
                segment.data = Data::Shared(Rc::clone(log));
            } else {
                segment.data = Data::Own(log[segment.start..segment.end].to_vec());
                segment.end -= segment.start;
                segment.start = 0;
            }
        }
    }

    /// Drops messages that have not begun to leave, the oldest first, until `enough` bytes are dropped; control frames,
    /// fragments and raw bytes stay. Returns the bytes dropped.
    pub fn drop_messages(&mut self, log: &[u8], enough: usize) -> usize {
        let mut kept = Queue { segments: VecDeque::new(), begun: self.begun };
        let mut dropped = 0;
        let mut begun = self.begun;
        for segment in std::mem::take(&mut self.segments) {
            dropped += kept.take_over(segment, log, std::mem::take(&mut begun), enough.saturating_sub(dropped));
        }
        *self = kept;
        dropped
    }

    fn take_over(&mut self, segment: Segment, log: &[u8], begun: usize, enough: usize) -> usize {
        if segment.is_raw || enough == 0 {
            self.put(segment);
            return 0;
        }
        if let Data::Held { header, header_size, .. } = &segment.data {
            if begun > 0 || header::measure(&header[..*header_size]).1 {
                self.put(segment);
                return 0;
            }
            return segment.len();
        }
        let mut dropped = 0;
        let bytes = segment.parts(log)[0];
        self.keep_part(&segment, bytes, 0, begun);
        let mut at = begun;
        while at < bytes.len() {
            let (size, is_fixed) = header::measure(&bytes[at..]);
            if is_fixed || dropped >= enough {
                self.keep_part(&segment, bytes, at, at + size);
            } else {
                dropped += size;
            }
            at += size;
        }
        dropped
    }

    fn keep_part(&mut self, segment: &Segment, bytes: &[u8], from: usize, upto: usize) {
        if from == upto {
            return;
        }
        let (start, end) = (segment.start + from, segment.start + upto);
        match &segment.data {
            Data::Log => self.put_log(start, end, false),
            Data::Shared(all) if is_worth_sharing(upto - from, all.len()) => {
                self.put(Segment { data: Data::Shared(Rc::clone(all)), start, end, is_raw: false });
            }
            _ => self.write(false, |target| target.extend_from_slice(&bytes[from..upto])),
        }
    }
}

// Who needs little of the log must not keep much of it alive.
fn is_worth_sharing(size: usize, log_size: usize) -> bool {
    size >= MIN_SHARED_BYTES && size >= log_size / 8
}
