//! Frames and what belongs to them, for wires of any kind.

use std::cell::RefCell;
use std::ffi::CStr;

use super::collector::{make_room, LARGE_BYTES};
use super::settings::{rules, window};
use crate::budget::Budget;
use crate::deflate::{Codec, Deflater};
use crate::digest::{self, masking_key};
use crate::frame::Frame;
use crate::input::{deliver, Incoming};
use crate::lua::{attempt, functions, Answer, Functions, Lua, Made, Table};
use crate::memory::{self, Lacking};
use crate::payload::next_utf8;
use crate::protocol::{FINAL, INTERNAL_ERROR, NO_MEMORY};

const NO_ENTROPY: (&str, &str) = ("the system gives no random bytes", "entropy");

/// What it gives to Lua.
pub const FUNCTIONS: Functions =
    functions! { accept_key random utf8_next encode codec release_codec reader feed unfinished release };

/// The name of readers.
pub const READER: &CStr = c"websockets_reader";

/// Reads bytes that come from Lua.
pub type Feeder = RefCell<Incoming>;

/// The name of codecs.
pub const CODEC: &CStr = c"websockets_codec";

/// `accept_key(key) -> value`
fn accept_key(lua: &Lua) -> Option<impl Answer> {
    attempt(|| digest::accept_key(lua.arg(1).bytes()).into_bytes())
}

/// `random(count) -> bytes`, or nil, message, code
fn random(lua: &Lua) -> Option<impl Answer> {
    attempt(|| {
        let mut bytes = vec![0; lua.arg(1).number() as usize];
        match digest::random(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(_) => Err(NO_ENTROPY),
        }
    })
}

/// `utf8_next(state, bytes, first, last) -> state` or nil
fn utf8_next(lua: &Lua) -> Option<Option<usize>> {
    let bytes = lua.arg(2).bytes();
    let last = (lua.arg(4).number() as usize).min(bytes.len());
    let first = ((lua.arg(3).number() - 1.0) as usize).min(last);
    let state = next_utf8(lua.arg(1).number() as u8, &bytes[first..last]);
    Some(state.map(usize::from))
}

/// Takes a frame from the second to fifth argument: opcode, payload, whether it is the last of its message, whether it
/// must not be compressed. `None` where the payload is no string.
pub fn frame(lua: &Lua) -> Option<Frame<'_>> {
    let [fin, must_not_compress] = [lua.arg(4), lua.arg(5)];
    let is_final = !fin.is_some() || fin.boolean();
    let first = lua.arg(2).number() as u8 | if is_final { FINAL } else { 0 };
    let is_compressible = matches!(first, 0x81 | 0x82) && !must_not_compress.boolean();
    Some(Frame { first, is_compressible, payload: lua.arg(3).string()? })
}

/// `encode(is_client, opcode, payload, fin, plain, codec) -> bytes`, or nil, message, code; raises where there is no
/// memory
fn encode(lua: &Lua) -> Option<impl Answer> {
    let frame = frame(lua)?;
    let codec = lua.arg(6).object::<Codec>();
    let encoded = attempt(|| {
        let Ok(key) = lua.arg(1).boolean().then(masking_key).transpose() else { return Ok(Err(NO_ENTROPY)) };
        let mut compressed = Vec::new();
        let frame = frame.compress(codec, &mut compressed);
        let mut bytes = memory::with_capacity(frame.most())?;
        frame.encode(&mut bytes, key);
        Ok::<_, Lacking>(Ok(bytes))
    })?;
    lua.expect(encoded)
}

/// `codec{window_bits, level, no_context_takeover, threshold} -> codec`
fn codec(lua: &Lua) -> Option<Made> {
    let settings = lua.arg(1).table()?;
    let window = window(settings)??;
    let [threshold] = settings.fields([c"threshold"])?;
    lua.new_object(CODEC, || Some(Codec::new(RefCell::new(Deflater::new(window, threshold.number() as usize)))))
}

/// `release_codec(codec)`: gives back what it holds
fn release_codec(lua: &Lua) -> Option<()> {
    let codec = lua.arg(1).object::<Codec>()?;
    attempt(|| codec.borrow_mut().release())
}

/// `reader{is_server, max_message_bytes, max_fragments, window_bits, no_context_takeover} -> reader`
fn reader(lua: &Lua) -> Option<Made> {
    let rules = rules(lua.arg(1).table()?)?;
    lua.new_object(READER, || {
        let mut incoming = Incoming::default();
        incoming.start(rules, &[]).ok()?;
        Some(Feeder::new(incoming))
    })
}

/// Puts a message into a batch; where there is no memory for a large one, what is said then. May raise for a small one.
pub fn put(lua: &Lua, batch: Table<'_>, index: usize, opcode: usize, payload: &[u8]) {
    let place = 2 * index + 1;
    if payload.len() < LARGE_BYTES {
        batch.set(place, (opcode, payload));
    } else {
        lua.with_string(payload, |string| match string {
            Some(string) => batch.set(place, (opcode, string)),
            None => batch.set(place, (usize::from(INTERNAL_ERROR), NO_MEMORY)),
        });
    }
}

/// `feed(reader, bytes, batch) -> count, again, more`: fills `batch` with pairs of opcode and payload. `again` tells
/// whether unread bytes are here, `more` by how many bytes more, or fewer, the reader now holds. Raises where there is no
/// memory: nothing was read then.
fn feed(lua: &Lua) -> Option<(usize, bool, f64)> {
    let feeder = lua.arg(1).object::<Feeder>()?;
    let batch = lua.arg(3).table()?;
    let held = feeder.borrow().held();
    let mut budget = Budget { used: held, limit: u64::MAX };
    let delivered = deliver(
        |delivery| feeder.borrow_mut().feed(lua.arg(2).bytes(), delivery, &mut budget),
        |index, opcode, payload| put(lua, batch, index, opcode, payload),
    )?;
    if delivered.largest >= LARGE_BYTES {
        make_room(lua)?;
    }
    let again = lua.expect(delivered.result)?;
    Some((delivered.count, again, budget.used as f64 - held as f64))
}

/// `unfinished(reader) -> held, progress`: bytes that the message that is not whole holds, and how far it has come
fn unfinished(lua: &Lua) -> Option<(f64, f64)> {
    let (held, progress) = lua.arg(1).object::<Feeder>()?.borrow_mut().unfinished(&Budget::default());
    Some((held as f64, progress as f64))
}

/// `release(reader) -> bytes`: ends the reader; it held that much.
fn release(lua: &Lua) -> Option<f64> {
    let feeder = lua.arg(1).object::<Feeder>()?;
    let held = feeder.borrow().held();
    let mut budget = Budget { used: held, limit: held };
    attempt(|| feeder.borrow_mut().release(&mut budget))?;
    Some(held as f64)
}
