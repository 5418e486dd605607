//! Frames and what belongs to them, for wires of any kind.

use std::cell::RefCell;
use std::ffi::{c_int, CStr};
use std::rc::Rc;

use base64::prelude::{Engine, BASE64_STANDARD};

use crate::deflate::{self, Deflater, Inflater, Window};
use crate::digest::{self, Keys};
use crate::header::{Rules, FINAL};
use crate::input::Incoming;
use crate::lua::{functions, Answer, Called, Functions, Lua};
use crate::output::{Codec, Frame};
use crate::reader::Budget;
use crate::{mask as masking, utf8};

const NO_ENTROPY: (&str, &str) = ("the system gives no random bytes", "entropy");

thread_local! {
    static KEYS: RefCell<Keys> = RefCell::default();
}

/// What it gives to Lua.
pub const FUNCTIONS: Functions = functions! {
    accept_key base64 unbase64 random mask valid_utf8 utf8_next encode codec inflate release_codec deflations
    reader feed release
};

/// The name of readers.
pub const READER: &CStr = c"websockets_reader";

/// Reads bytes that come from Lua.
pub struct Feeder(RefCell<Incoming>);

/// The name of codecs.
pub const CODEC: &CStr = c"websockets_codec";

/// What compresses and inflates.
pub struct CodecObject(pub Codec, RefCell<Inflater>);

/// `accept_key(key)`
fn accept_key(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| digest::accept_key(lua.bytes(1)).into_bytes())
}

/// `base64(bytes)`
fn base64(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| BASE64_STANDARD.encode(lua.bytes(1)).into_bytes())
}

/// `unbase64(text)`: nil where it is not base64
fn unbase64(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| BASE64_STANDARD.decode(lua.bytes(1)).ok())
}

/// `random(count)`
fn random(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| {
        let mut bytes = vec![0; lua.number(1) as usize];
        digest::random(&mut bytes).map(|()| bytes).map_err(|_| NO_ENTROPY)
    })
}

/// `mask(bytes, key)`
fn mask(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| {
        let mut masked = lua.bytes(1).to_vec();
        masking::apply(&mut masked, lua.bytes(2).try_into().ok()?);
        Some(masked)
    })
}

/// `valid_utf8(bytes)`
fn valid_utf8(lua: &Lua) -> Option<bool> {
    Some(utf8::is_valid(lua.bytes(1)))
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
    Some(Frame { first: fin | lua.number(2) as u8, is_plain: lua.boolean(5), payload: lua.string(3)? })
}

/// `encode(is_client, opcode, payload, fin, plain, codec)`
fn encode(lua: &Lua) -> Option<impl Answer> {
    let (frame, codec) = (frame(lua)?, lua.object::<CodecObject>(6));
    lua.attempt(|| {
        let key = lua.boolean(1).then(|| KEYS.with_borrow_mut(Keys::next)).transpose().map_err(|_| NO_ENTROPY)?;
        let (mut packed, mut bytes) = (Vec::new(), Vec::new());
        frame.pack(codec.map(|codec| &codec.0), &mut packed).encode(&mut bytes, key);
        Ok::<_, (&str, &str)>(bytes)
    })
}

/// `codec(window_bits, level, no_context_takeover, threshold)`
fn codec(lua: &Lua) -> Called {
    let threshold = lua.number(4) as usize;
    lua.new_object(CODEC, || {
        let window = window(lua, 1)?;
        Some(CodecObject(Rc::new(RefCell::new(Deflater::new(window, threshold))), RefCell::new(Inflater::new(window))))
    })
}

/// `inflate(codec, bytes, fin, limit)`: bytes; or nil, close code and what is wrong
fn inflate(lua: &Lua) -> Option<impl Answer> {
    let codec = lua.object::<CodecObject>(1)?;
    lua.attempt(|| {
        let mut bytes = Vec::new();
        let inflated = codec.1.borrow_mut().inflate(lua.bytes(2), lua.boolean(3), limit(lua, 4), &mut bytes);
        inflated.map(|()| bytes).map_err(|(code, text)| (usize::from(code), text))
    })
}

/// `deflations()`: how many messages were compressed
fn deflations(_: &Lua) -> Option<usize> {
    Some(deflate::DEFLATIONS.get())
}

/// `release_codec(codec)`: gives back what it holds
fn release_codec(lua: &Lua) -> Option<()> {
    let codec = lua.object::<CodecObject>(1)?;
    lua.attempt(|| {
        codec.0.borrow_mut().release();
        codec.1.borrow_mut().release();
    })
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
    let rules = rules(lua, 1);
    lua.new_object(READER, || {
        let mut incoming = Incoming::default();
        incoming.start(rules, &[]);
        Some(Feeder(RefCell::new(incoming)))
    })
}

/// `feed(reader, bytes, batch, used, limit)`: count, again, used
fn feed(lua: &Lua) -> Option<impl Answer> {
    let feeder = lua.object::<Feeder>(1)?;
    lua.table(3)?;
    let mut budget = Budget { used: limit(lua, 4), limit: limit(lua, 5) };
    let fed = lua.deliver(3, |delivery| {
        let again = feeder.0.borrow_mut().feed(lua.bytes(2), delivery, &mut budget);
        Ok::<_, ()>(again)
    })?;
    Some((fed, budget.used as f64))
}

/// `release(reader, used)`: used
fn release(lua: &Lua) -> Option<f64> {
    let feeder = lua.object::<Feeder>(1)?;
    let mut budget = Budget { used: limit(lua, 2), limit: u64::MAX };
    lua.attempt(|| feeder.0.borrow_mut().release(&mut budget))?;
    Some(budget.used as f64)
}
