//! What one connection still has to send: parts of the turn's log, and segments of its own once the socket is full.

use std::{collections::VecDeque, io::IoSlice, mem, ops::Range, os::fd::OwnedFd, rc::Rc};

use rustix::io::Errno;
use rustix::net::{send, sendmsg, SendAncillaryBuffer, SendFlags};

use crate::header;

/// Bytes that stay where they are while a queue names them.
pub type Held = Box<dyn AsRef<[u8]>>;

const TAIL_BYTES: usize = 1 << 16;
// What is smaller is copied: a reference to it would cost as much.
const MIN_SHARED_BYTES: usize = 512;
const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
// How many slices leave in one call.
const MAX_SLICES: usize = 64;

enum Data {
    Log,
    Bytes(Rc<Vec<u8>>),
    // One frame, or raw bytes where the header is empty, whose payload is sent from where it is.
    Held { header: Vec<u8>, payload: Held },
}

// Bytes in their order; whole frames from `origin` on, unless they are fixed.
struct Segment {
    data: Data,
    origin: usize,
    // What has left ends here.
    start: usize,
    end: usize,
    // Never dropped.
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

    // The buffer and its end here, where it is nobody else's and may grow.
    fn growing(&mut self) -> Option<(&mut Vec<u8>, &mut usize)> {
        match &mut self.data {
            Data::Bytes(bytes) if !self.is_fixed && self.end == bytes.len() && self.end < TAIL_BYTES => {
                Some((Rc::get_mut(bytes)?, &mut self.end))
            }
            _ => None,
        }
    }

    // Drops frames that have not begun to leave. Returns the bytes dropped.
    fn thin_out(&mut self, log: &[u8], enough: usize) -> usize {
        let bytes = match &self.data {
            Data::Log => log,
            Data::Bytes(bytes) => bytes,
            Data::Held { header, .. } if self.start > 0 || header::measure(header).1 => return 0,
            Data::Held { .. } => return mem::take(&mut self.end),
        };
        let (mut kept, mut begun, mut dropped, mut at) = (Vec::new(), 0, 0, self.origin);
        while at < self.end {
            let (size, is_fixed) = header::measure(&bytes[at..]);
            if at < self.start || is_fixed || dropped >= enough {
                // What has left altogether is not needed any more.
                if at + size > self.start {
                    begun += self.start.saturating_sub(at);
                    kept.extend_from_slice(&bytes[at..at + size]);
                }
            } else {
                dropped += size;
            }
            at += size;
        }
        let span = 0..kept.len();
        *self = Segment { start: begun, ..Segment::new(Data::Bytes(Rc::new(kept)), span) };
        dropped
    }
}

/// What waits, in the order in which it leaves.
#[derive(Default)]
pub struct Queue {
    /// How many bytes.
    pub size: usize,
    segments: VecDeque<Segment>,
    // A part of the log, behind the segments. Most connections never have more than this.
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

    /// Puts a part of the log behind the others.
    pub fn put_log(&mut self, span: Range<usize>) {
        self.size += span.len();
        if self.span.end != span.start {
            self.end_span();
            self.span.start = span.start;
        }
        self.span.end = span.end;
    }

    /// Has bytes written behind the others, into a buffer of the queue's own.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.end_span();
        let Some((bytes, end)) = self.segments.back_mut().and_then(Segment::growing) else {
            let mut bytes = Vec::new();
            write(&mut bytes);
            let span = 0..bytes.len();
            return self.put(Data::Bytes(Rc::new(bytes)), span);
        };
        write(bytes);
        self.size += bytes.len() - *end;
        *end = bytes.len();
    }

    /// Puts frames behind the others that other connections send as well.
    pub fn share(&mut self, bytes: &Rc<Vec<u8>>) {
        if bytes.len() < MIN_SHARED_BYTES {
            self.write(|target| target.extend_from_slice(bytes));
        } else {
            self.put(Data::Bytes(Rc::clone(bytes)), 0..bytes.len());
        }
    }

    /// Puts one frame, or raw bytes where the header is empty, behind the others; the payload stays where it is.
    pub fn hold(&mut self, header: Vec<u8>, payload: Held) {
        let size = header.len() + (*payload).as_ref().len();
        self.put(Data::Held { header, payload }, 0..size);
    }

    /// From here on frames are put; what is here is none and never dropped.
    pub fn fix(&mut self) {
        self.end_span();
        self.segments.iter_mut().for_each(|segment| segment.is_fixed = true);
    }

    /// Offers a socket what leaves next, in one call. Returns how many bytes that were, and how many it took.
    pub fn offer(&self, fd: &OwnedFd, log: &[u8]) -> (usize, Result<usize, Errno>) {
        let last = &log[self.span.clone()];
        if self.segments.is_empty() {
            return (last.len(), send(fd, last, FLAGS));
        }
        let (mut slices, mut count, mut size) = ([IoSlice::new(&[]); MAX_SLICES], 0, 0);
        let parts = self.segments.iter().flat_map(|segment| segment.parts(log)).chain([last]);
        for (slot, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slot = IoSlice::new(part);
            count += 1;
            size += part.len();
        }
        (size, sendmsg(fd, &slices[..count], &mut SendAncillaryBuffer::new(&mut []), FLAGS))
    }

    /// Takes note that bytes have left.
    pub fn advance(&mut self, mut count: usize) {
        self.size -= count;
        if self.size == 0 {
            // Whoever has nothing to send owns no buffer.
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

    /// Makes the queue independent of the log, which ends: large parts share it, small ones are copied, for who needs
    /// little of the log must not keep much of it alive.
    pub fn settle(&mut self, log: &Rc<Vec<u8>>) {
        self.end_span();
        for segment in self.segments.iter_mut().filter(|segment| matches!(segment.data, Data::Log)) {
            let span = segment.origin..segment.end;
            if span.len() >= MIN_SHARED_BYTES.max(log.len() / 8) {
                segment.data = Data::Bytes(Rc::clone(log));
                continue;
            }
            segment.data = Data::Bytes(Rc::new(log[span.clone()].to_vec()));
            segment.start -= span.start;
            (segment.origin, segment.end) = (0, span.len());
        }
    }

    /// Drops messages that have not begun to leave, the oldest first, until `enough` bytes are dropped; control frames,
    /// fragments and raw bytes stay. Returns the bytes dropped.
    pub fn drop_messages(&mut self, log: &[u8], enough: usize) -> usize {
        self.end_span();
        let mut dropped = 0;
        for segment in self.segments.iter_mut().filter(|segment| !segment.is_fixed) {
            if dropped < enough {
                dropped += segment.thin_out(log, enough - dropped);
            }
        }
        self.segments.retain(|segment| segment.start < segment.end);
        self.size -= dropped;
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = b"\x89\0";
    const BEGUN: &[u8] = b"\x81\x05begun";
    const GONE: &[u8] = b"\x82\x04gone";
    const FRAGMENT: &[u8] = b"\x01\x01f";

    fn rest(queue: &Queue, log: &[u8]) -> Vec<u8> {
        let parts = queue.segments.iter().flat_map(|segment| segment.parts(log));
        parts.chain([&log[queue.span.clone()]]).collect::<Vec<_>>().concat()
    }

    #[test]
    fn dropping_keeps_what_has_begun_to_leave_whatever_left_before() {
        let log = [PING, FRAGMENT, GONE, BEGUN, GONE, PING, FRAGMENT, GONE].concat();
        let left = PING.len() + FRAGMENT.len() + GONE.len();
        for begun in 1..BEGUN.len() {
            let mut in_log = Queue::default();
            in_log.put_log(0..log.len());
            let mut own = Queue::default();
            own.write(|target| target.extend_from_slice(&log));
            for mut queue in [in_log, own] {
                queue.advance(left + begun);
                assert_eq!(queue.drop_messages(&log, usize::MAX), 2 * GONE.len());
                assert_eq!(rest(&queue, &log), [&BEGUN[begun..], PING, FRAGMENT].concat());
                assert_eq!(queue.size, BEGUN.len() - begun + PING.len() + FRAGMENT.len());
                assert_eq!(queue.drop_messages(&log, usize::MAX), 0);
            }
        }
    }

    #[test]
    fn what_is_fixed_is_never_dropped() {
        let mut queue = Queue::default();
        queue.write(|target| target.extend_from_slice(GONE));
        queue.fix();
        queue.write(|target| target.extend_from_slice(GONE));
        queue.hold(vec![0x82, 126, 1, 0], Box::new([0; 256]));
        assert_eq!(queue.drop_messages(&[], usize::MAX), GONE.len() + 260);
        assert_eq!(rest(&queue, &[]), GONE);
    }

    #[test]
    fn what_is_settled_leaves_unchanged_without_its_log() {
        for size in [1, 100, 511, 512, 5000] {
            let log = Rc::new((0..10_000u32).map(|index| index as u8).collect::<Vec<_>>());
            let mut queue = Queue::default();
            queue.put_log(0..size);
            queue.put_log(size + 1..2 * size);
            queue.advance(size / 2);
            let before = rest(&queue, &log);
            queue.settle(&log);
            assert_eq!(rest(&queue, &[]), before, "{size}");
        }
    }
}
