//! Frames and what belongs to them, for wires of any kind.

use std::cell::RefCell;
use std::ffi::{c_int, CStr};

use crate::deflate::{Deflater, Window};
use crate::digest::{self, masking_key};
use crate::header::{Rules, FINAL};
use crate::lua::{functions, Answer, Called, Functions, Lua};
use crate::output::{Codec, Frame};
use crate::{input::Incoming, reader::Budget, utf8};

const NO_ENTROPY: (&str, &str) = ("the system gives no random bytes", "entropy");

/// What it gives to Lua.
pub const FUNCTIONS: Functions =
    functions! { accept_key random utf8_next encode codec release_codec reader feed release };

/// The name of readers.
pub const READER: &CStr = c"websockets_reader";

/// Reads bytes that come from Lua.
pub type Feeder = RefCell<Incoming>;

/// The name of codecs.
pub const CODEC: &CStr = c"websockets_codec";

/// `accept_key(key)`
fn accept_key(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| digest::accept_key(lua.bytes(1)).into_bytes())
}

/// `random(count)`
fn random(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| {
        let mut bytes = vec![0; lua.number(1) as usize];
        digest::random(&mut bytes).map(|()| bytes).map_err(|_| NO_ENTROPY)
    })
}

/// `utf8_next(state, bytes, first, last)`
fn utf8_next(lua: &Lua) -> Option<Option<usize>> {
    let bytes = lua.bytes(2);
    let last = (lua.number(4) as usize).min(bytes.len());
    let first = ((lua.number(3) - 1.0) as usize).min(last);
    Some(utf8::next(lua.number(1) as u8, &bytes[first..last]).map(usize::from))
}

/// Takes a frame to send: opcode, payload, fin, plain; `None` where the payload is no string.
pub fn frame(lua: &Lua) -> Option<Frame<'_>> {
    let fin = if !lua.has(4) || lua.boolean(4) { FINAL } else { 0 };
    let first = fin | lua.number(2) as u8;
    Some(Frame { first, is_packable: !lua.boolean(5) && matches!(first, 0x81 | 0x82), payload: lua.string(3)? })
}

/// `encode(is_client, opcode, payload, fin, plain, codec)`
fn encode(lua: &Lua) -> Option<impl Answer> {
    let (frame, codec) = (frame(lua)?, lua.object::<Codec>(6));
    lua.attempt(|| {
        let key = lua.boolean(1).then(masking_key).transpose().map_err(|_| NO_ENTROPY)?;
        let (mut packed, mut bytes) = (Vec::new(), Vec::new());
        frame.pack(codec, &mut packed).encode(&mut bytes, key);
        Ok::<_, (&str, &str)>(bytes)
    })
}

/// `codec(window_bits, level, no_context_takeover, threshold)`
fn codec(lua: &Lua) -> Called {
    let threshold = lua.number(4) as usize;
    lua.new_object(CODEC, || window(lua, 1).map(|window| Codec::new(RefCell::new(Deflater::new(window, threshold)))))
}

/// `release_codec(codec)`: gives back what it holds
fn release_codec(lua: &Lua) -> Option<()> {
    let codec = lua.object::<Codec>(1)?;
    lua.attempt(|| codec.borrow_mut().release())
}

/// Takes a number of bytes or frames as far as doubles are exact, which serves for infinity too.
pub fn limit(lua: &Lua, index: c_int) -> u64 {
    lua.number(index).min(9_007_199_254_740_992.0) as u64
}

/// Takes the rules of a connection: role, `max_message_bytes`, `max_fragments`, the window that the peer compresses
/// with.
pub fn rules(lua: &Lua, from: c_int) -> Rules {
    Rules {
        is_server: lua.boolean(from),
        max_message_bytes: limit(lua, from + 1),
        max_fragments: limit(lua, from + 2),
        inflate: window(lua, from + 3),
    }
}

// What was agreed about compression in one direction: `window_bits`, nil for none, `level`, `no_context_takeover`.
fn window(lua: &Lua, from: c_int) -> Option<Window> {
    let bits = Some(lua.number(from) as u8).filter(|bits| (9..=15).contains(bits))?;
    Some(Window { bits, level: lua.number(from + 1).clamp(0.0, 9.0) as u8, forgets: lua.boolean(from + 2) })
}

/// `reader(is_server, max_message_bytes, max_fragments, window_bits, 0, no_context_takeover)`
fn reader(lua: &Lua) -> Called {
    lua.new_object(READER, || {
        let mut incoming = Incoming::default();
        incoming.start(rules(lua, 1), &[]);
        Some(Feeder::new(incoming))
    })
}

/// `feed(reader, bytes, batch, used, limit)`: count, again, used
fn feed(lua: &Lua) -> Option<impl Answer> {
    let feeder = lua.object::<Feeder>(1)?;
    let mut budget = Budget { used: limit(lua, 4), limit: limit(lua, 5) };
    lua.tables(&[3])?;
    let put = |index, opcode, payload: &_| lua.set_item(3, 2 * index + 1, (opcode, payload));
    let fed = lua.deliver(|delivery| feeder.borrow_mut().feed(lua.bytes(2), delivery, &mut budget), put)?;
    Some((fed, budget.used as f64))
}

/// `release(reader, used)`: used
fn release(lua: &Lua) -> Option<f64> {
    let feeder = lua.object::<Feeder>(1)?;
    let mut budget = Budget { used: limit(lua, 2), limit: u64::MAX };
    lua.attempt(|| feeder.borrow_mut().release(&mut budget))?;
    Some(budget.used as f64)
}
