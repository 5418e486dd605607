//! One message for many connections, encoded and compressed once for all that can share the bytes.

use std::{ops::Range, rc::Rc};

use crate::deflate::Codec;
use crate::frame::Frame;
use crate::output::{Output, Refusal, Wire, LOG_BYTES};

/// The message of a fan-out in the forms that connections have needed so far.
#[derive(Default)]
pub struct Fanout(Vec<Encoded>);

// The message as one codec has compressed it, or none.
struct Encoded {
    codec: Option<Codec>,
    // Where it is in the log; empty where the log had no room.
    span: Range<usize>,
    // A copy for the connections that cannot refer to the log, once there are any.
    shared: Option<Rc<Vec<u8>>>,
}

impl Encoded {
    fn new(output: &mut Output, codec: Option<&Codec>, frame: Frame<'_>) -> Encoded {
        let mut compressed = Vec::new();
        let frame = frame.compress(codec, &mut compressed);
        let codec = codec.cloned();
        if output.log.len() < LOG_BYTES {
            let span = output.write_log(|log| frame.encode(log, None));
            return Encoded { codec, span, shared: None };
        }
        let mut bytes = Vec::new();
        frame.encode(&mut bytes, None);
        Encoded { codec, span: 0..0, shared: Some(Rc::new(bytes)) }
    }
}

impl Fanout {
    // The message in the form for a codec.
    fn encoded(&mut self, output: &mut Output, codec: Option<&Codec>, frame: Frame<'_>) -> &mut Encoded {
        let is_same = |encoded: &Encoded| encoded.codec.as_ref().map(Rc::as_ptr) == codec.map(Rc::as_ptr);
        let position = match self.0.iter().position(is_same) {
            Some(position) => position,
            None => {
                self.0.push(Encoded::new(output, codec, frame));
                self.0.len() - 1
            }
        };
        &mut self.0[position]
    }

    /// Queues the message, which is always the same one, on a connection. Returns why nothing was queued.
    pub fn push(&mut self, output: &mut Output, wire: &mut Wire, frame: Frame<'_>) -> Option<Refusal> {
        // 5.5.1: nothing follows a close frame.
        if wire.out.has_said_close {
            return None;
        }
        // A client masks each frame with a key of its own; with context takeover each connection has bytes of its own.
        let codec = wire.out.codec.as_ref();
        if wire.out.is_client || codec.is_some_and(|codec| !codec.borrow().window.no_context_takeover) {
            return output.push(wire, frame);
        }
        if let Some(refusal) = output.is_full(wire) {
            return Some(refusal);
        }
        let encoded = self.encoded(output, wire.out.codec.as_ref(), frame);
        let before = wire.out.queue.size;
        let span = encoded.span.clone();
        if wire.out.is_blocked || span.is_empty() {
            let shared = encoded.shared.get_or_insert_with(|| Rc::new(output.log[span].to_vec()));
            wire.out.queue.share(shared);
        } else {
            wire.out.queue.put_log(span);
        }
        output.count(wire, before);
        None
    }
}

#[cfg(test)]
mod tests;
