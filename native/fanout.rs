//! One message for many connections, encoded and compressed once for all that can share the bytes.

use std::{ops::Range, rc::Rc};

use crate::deflate::Codec;
use crate::frame::Frame;
use crate::memory::{self, Lacking};
use crate::output::{Output, Refusal, Wire};

/// The message of a fan-out in the forms that connections have needed so far.
#[derive(Default)]
pub struct Fanout {
    encoded: Vec<Encoded>,
    // How many connections have been given a form that others share: `Output::push` has not counted those.
    shared: u64,
}

// The message as one codec has compressed it, or none.
struct Encoded {
    codec: Option<Codec>,
    // Where it is in the log; empty where the log had no room.
    span: Range<usize>,
    // A copy for the connections that cannot refer to the log, once there are any.
    shared: Option<Rc<Vec<u8>>>,
}

impl Encoded {
    fn new(output: &mut Output, codec: Option<&Codec>, frame: Frame<'_>) -> Result<Encoded, Lacking> {
        let mut compressed = Vec::new();
        let frame = frame.compress(codec, &mut compressed);
        let codec = codec.cloned();
        if output.has_room(frame.most()) {
            let span = output.write_log(|log| frame.encode(log, None));
            return Ok(Encoded { codec, span, shared: None });
        }
        let mut bytes = memory::with_capacity(frame.most())?;
        frame.encode(&mut bytes, None);
        Ok(Encoded { codec, span: 0..0, shared: Some(Rc::new(bytes)) })
    }

    // The message for a connection that cannot refer to the log.
    fn copied(&mut self, log: &[u8]) -> Result<&Rc<Vec<u8>>, Lacking> {
        let shared = match self.shared.take() {
            Some(shared) => shared,
            None => Rc::new(memory::copy(&log[self.span.clone()])?),
        };
        Ok(self.shared.insert(shared))
    }
}

impl Fanout {
    // The message in the form for a codec.
    fn encoded(
        &mut self,
        output: &mut Output,
        codec: Option<&Codec>,
        frame: Frame<'_>,
    ) -> Result<&mut Encoded, Lacking> {
        let is_same = |encoded: &Encoded| encoded.codec.as_ref().map(Rc::as_ptr) == codec.map(Rc::as_ptr);
        let position = match self.encoded.iter().position(is_same) {
            Some(position) => position,
            None => {
                self.encoded.push(Encoded::new(output, codec, frame)?);
                self.encoded.len() - 1
            }
        };
        Ok(&mut self.encoded[position])
    }

    /// Queues the message, which is always the same one, on a connection. Returns why nothing was queued.
    ///
    /// # Errors
    /// There is no memory for the message.
    pub fn push(&mut self, output: &mut Output, wire: &mut Wire, frame: Frame<'_>) -> Result<Option<Refusal>, Lacking> {
        // 5.5.1: nothing follows a close frame.
        if wire.out.has_said_close {
            return Ok(None);
        }
        // A client masks each frame with a key of its own; with context takeover each connection has bytes of its own.
        let codec = wire.out.codec.as_ref();
        if wire.out.is_client || codec.is_some_and(|codec| !codec.borrow().window.no_context_takeover) {
            return Ok(output.push(wire, frame));
        }
        if let Some(refusal) = output.is_full(wire) {
            return Ok(Some(refusal));
        }
        let encoded = self.encoded(output, wire.out.codec.as_ref(), frame)?;
        let before = wire.out.queue.size;
        let span = encoded.span.clone();
        if wire.out.queue.is_blocked || span.is_empty() {
            match encoded.copied(&output.log) {
                Ok(bytes) => wire.out.queue.share(bytes),
                Err(Lacking) => wire.out.queue.is_broken = true,
            }
        } else {
            wire.out.queue.put_log(span);
        }
        self.shared += 1;
        output.count(wire, before);
        Ok(None)
    }

    /// Counts the messages that were queued: all at once, for a fan-out is many.
    pub fn count(&self, output: &mut Output) {
        output.sent.messages += self.shared;
    }
}

#[cfg(test)]
mod tests;
