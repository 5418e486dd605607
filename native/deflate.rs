//! Compressed payloads: raw DEFLATE, a message at a time.
//!
//! RFC 7692 7.2

use std::{cell::RefCell, collections::HashMap};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::header::{must, Breach, TOO_BIG};

// 7.2.1: what a flush ends with; it is taken away when sending and put back when receiving.
const TAIL: [u8; 4] = [0, 0, 255, 255];
// A peer may end the DEFLATE stream inside a message (7.2.3.4), but each time costs a new one.
const MAX_ENDS: u32 = 16;
const LEAST_ROOM: usize = 256;

thread_local! {
    // Whoever keeps no context borrows one of these for a message: an idle connection then has none.
    static DEFLATERS: RefCell<HashMap<Window, Compress>> = RefCell::default();
    static INFLATERS: RefCell<HashMap<Window, Decompress>> = RefCell::default();
}

/// What the two sides agreed on for one direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// 9 to 15: the window has two to the power of it bytes.
    pub bits: u8,
    /// How hard we try, 1 to 9; 0 where the peer compresses.
    pub level: u8,
    /// Whether each message stands alone.
    pub forgets: bool,
}

/// Compresses the messages of one connection, or of all that keep no context.
pub struct Deflater {
    /// How.
    pub window: Window,
    /// Shorter messages go as they are.
    pub threshold: usize,
    stream: Option<Compress>,
}

impl Deflater {
    /// Makes a deflater.
    pub fn new(window: Window, threshold: usize) -> Deflater {
        Deflater { window, threshold, stream: None }
    }

    /// Compresses a message; `None` where it had better go as it is.
    ///
    /// RFC 7692 7.2.1
    pub fn pack(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let Window { bits, level, forgets } = self.window;
        if payload.len() < self.threshold {
            return None;
        }
        let pooled = self.stream.take().or_else(|| DEFLATERS.with_borrow_mut(|pool| pool.remove(&self.window)));
        let mut stream =
            pooled.unwrap_or_else(|| Compress::new_with_window_bits(Compression::new(level.into()), false, bits));
        // A full flush forgets what came before as a new stream would.
        let flush = if forgets { FlushCompress::Full } else { FlushCompress::Sync };
        let mut packed = Vec::with_capacity(payload.len() / 2 + LEAST_ROOM);
        let before = stream.total_in();
        loop {
            packed.reserve(LEAST_ROOM);
            let rest = &payload[(stream.total_in() - before) as usize..];
            // An error leaves no stream behind: the next message begins a new one, which refers to nothing.
            if stream.compress_vec(rest, &mut packed, flush).ok()? == Status::BufError {
                break;
            }
        }
        if forgets {
            DEFLATERS.with_borrow_mut(|pool| pool.insert(self.window, stream));
        } else {
            self.stream = Some(stream);
        }
        packed.truncate(packed.strip_suffix(&TAIL).unwrap_or(&packed).len());
        if packed.is_empty() {
            // 7.2.3.6: an empty message.
            packed.push(0);
        }
        // Who keeps a context has put the message into it: it must leave that way. A threshold of 0 asks for
        // everything.
        (!forgets || self.threshold == 0 || packed.len() < payload.len()).then_some(packed)
    }

    /// Gives back what is held; the next message begins a new context.
    pub fn release(&mut self) {
        self.stream = None;
    }
}

/// Inflates the messages of one connection.
pub struct Inflater {
    window: Window,
    stream: Option<Decompress>,
    ends: u32,
    has_begun: bool,
}

impl Inflater {
    /// Makes an inflater.
    pub fn new(window: Window) -> Inflater {
        Inflater { window, stream: None, ends: 0, has_begun: false }
    }

    /// Inflates what has come of a message, behind what the target has already; it never holds more than one byte
    /// beyond `limit`.
    ///
    /// # Errors
    /// What is wrong with the message; this must be the last.
    ///
    /// RFC 7692 7.2.2
    pub fn inflate(&mut self, bytes: &[u8], is_last: bool, limit: u64, target: &mut Vec<u8>) -> Result<(), Breach> {
        self.has_begun |= !bytes.is_empty();
        self.run(bytes, limit, target)?;
        if is_last {
            // Where the stream has ended there is nothing to put back, and a message without bytes has none.
            if self.has_begun && self.stream.is_some() {
                self.run(&TAIL, limit, target)?;
            }
            (self.has_begun, self.ends) = (false, 0);
            if self.window.forgets {
                self.release();
            }
        }
        Ok(())
    }

    fn run(&mut self, mut bytes: &[u8], limit: u64, target: &mut Vec<u8>) -> Result<(), Breach> {
        let mut goes_on = !bytes.is_empty();
        while goes_on {
            let stream = self.stream.get_or_insert_with(|| {
                let pooled = INFLATERS.with_borrow_mut(|pool| pool.remove(&self.window));
                pooled.unwrap_or_else(|| Decompress::new_with_window_bits(false, self.window.bits))
            });
            if target.len() == target.capacity() {
                // One byte beyond the limit is enough to see that it is passed.
                let room = (2 * bytes.len()).max(target.len()).max(LEAST_ROOM) as u64;
                target.reserve_exact(room.min(limit + 1 - target.len() as u64) as usize);
            }
            let before = stream.total_in();
            let status = stream.decompress_vec(bytes, target, FlushDecompress::Sync);
            bytes = &bytes[(stream.total_in() - before) as usize..];
            if target.len() as u64 > limit {
                return Err(Breach::new(TOO_BIG, "a message that inflates to more than its limit"));
            }
            must(status.is_ok(), "a message that cannot be inflated")?;
            goes_on = match status {
                Ok(Status::StreamEnd) => {
                    must(self.ends < MAX_ENDS, "a message of too many streams")?;
                    // 7.2.3.4: behind a last block another stream begins.
                    self.release();
                    self.ends += 1;
                    !bytes.is_empty()
                }
                _ => target.len() == target.capacity(),
            };
        }
        Ok(())
    }

    /// Gives back what is held; what comes next is another stream.
    pub fn release(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            stream.reset(false);
            INFLATERS.with_borrow_mut(|pool| pool.insert(self.window, stream));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

    fn window(bits: u8, forgets: bool) -> Window {
        Window { bits, level: 6, forgets }
    }

    fn inflate(inflater: &mut Inflater, bytes: &[u8], limit: u64) -> Result<Vec<u8>, u16> {
        let mut target = Vec::new();
        let result = inflater.inflate(bytes, true, limit, &mut target);
        assert!(target.capacity() as u64 <= limit + 1, "{} of {limit}", target.capacity());
        result.map(|()| target).map_err(|breach| breach.code)
    }

    #[test]
    fn the_examples_of_rfc_7692() {
        let mut kept = Deflater::new(window(15, false), 0);
        assert_eq!(kept.pack(b"Hello").unwrap(), HELLO);
        assert_eq!(kept.pack(b"Hello").unwrap(), [0xf2, 0x00, 0x11, 0x00, 0x00]);
        let mut fresh = Deflater::new(window(15, true), 0);
        for _ in 0..3 {
            assert_eq!(fresh.pack(b"Hello").unwrap(), HELLO);
            assert_eq!(fresh.pack(b"").unwrap(), [0]);
        }
        let mut inflater = Inflater::new(window(15, false));
        let examples: [&[u8]; 6] = [
            &HELLO,
            &[0xf2, 0x00, 0x11, 0x00, 0x00],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
            &HELLO,
        ];
        for example in examples {
            assert_eq!(inflate(&mut inflater, example, 5).unwrap(), b"Hello");
            assert_eq!(inflate(&mut inflater, &[0], 5).unwrap(), b"");
            assert_eq!(inflate(&mut inflater, &[], 5).unwrap(), b"");
        }
    }

    #[test]
    fn messages_of_all_lengths_come_back_through_every_window_cut_anywhere() {
        let source: Vec<u8> = (0..90_000u32).map(|index| (index.wrapping_mul(index) / 7 % 11) as u8).collect();
        for bits in 9..=15 {
            for forgets in [false, true] {
                let mut deflater = Deflater::new(Window { level: bits - 8, ..window(bits, forgets) }, 0);
                let mut inflater = Inflater::new(window(bits, forgets));
                for size in (0..=300).chain([511, 512, 513, 33_000, source.len()]) {
                    let packed = deflater.pack(&source[..size]).unwrap();
                    let cut = packed.len() * (size % 5) / 4;
                    let mut target = Vec::new();
                    inflater.inflate(&packed[..cut], false, size as u64, &mut target).unwrap();
                    inflater.inflate(&packed[cut..], true, size as u64, &mut target).unwrap();
                    assert_eq!(target, source[..size], "{bits} {forgets} {size}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_shrink_goes_plain_where_no_context_needs_it() {
        assert_eq!(Deflater::new(window(15, true), 1).pack(b"abc"), None);
        assert!(Deflater::new(window(15, true), 0).pack(b"abc").is_some());
        assert!(Deflater::new(window(15, false), 1).pack(b"abc").is_some());
        assert_eq!(Deflater::new(window(15, false), 4).pack(b"abc"), None);
    }

    #[test]
    fn the_limit_holds_at_and_one_past() {
        let bomb = Deflater::new(window(15, true), 0).pack(&[0; 100_000]).unwrap();
        for limit in [0, 1, 255, 256, 257, 65_536, 99_999] {
            assert_eq!(inflate(&mut Inflater::new(window(15, true)), &bomb, limit), Err(1009), "{limit}");
        }
        assert_eq!(inflate(&mut Inflater::new(window(15, true)), &bomb, 100_000).unwrap().len(), 100_000);
    }

    #[test]
    fn no_message_sees_what_was_there_before() {
        for bits in [9, 15] {
            let mut inflater = Inflater::new(window(bits, true));
            assert_eq!(inflate(&mut inflater, &HELLO, 5).unwrap(), b"Hello");
            assert_eq!(inflate(&mut inflater, &[0xf2, 0x00, 0x11, 0x00, 0x00], 5), Err(1002));
            assert_eq!(inflate(&mut Inflater::new(window(bits, true)), &[0xf2, 0x00, 0x11, 0x00, 0x00], 5), Err(1002));
        }
    }

    #[test]
    fn garbage_and_endless_streams_are_refused() {
        for bytes in [&[255, 255, 255][..], &[7], &[0, 5, 0, 0, 0], &[3, 0].repeat(1000)] {
            assert_eq!(inflate(&mut Inflater::new(window(15, false)), bytes, 100), Err(1002));
        }
    }
}
