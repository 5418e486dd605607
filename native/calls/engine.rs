//! Frames and what belongs to them, for wires of any kind.

use std::cell::RefCell;
use std::ffi::c_int;
use std::rc::Rc;

use crate::deflate::{self, Deflater, Inflater, Window};
use crate::digest::{self, Random};
use crate::header::Rules;
use crate::lua::{object, Answer, Called, Lua};
use crate::output::{Codec, Frame};
use crate::reader::{Budget, Reader};
use crate::{mask as masking, utf8};

const NO_ENTROPY: (&str, &str) = ("the system gives no random bytes", "entropy");

thread_local! {
    static RANDOM: RefCell<Random> = RefCell::default();
}

/// A reader, and what it has not taken yet.
pub struct Feeder(RefCell<(Reader, Vec<u8>)>);

object!(Feeder, c"websockets reader");

/// What compresses and inflates.
pub struct CodecObject(pub Codec, RefCell<Inflater>);

object!(CodecObject, c"websockets codec");

// Answers with what was made, or nil.
fn made<T: AsRef<[u8]>>(lua: &Lua, make: impl FnOnce() -> Option<T>) -> Option<Result<(c_int, ()), ()>> {
    lua.build(|target| make().map(|bytes| target.extend_from_slice(bytes.as_ref())).ok_or(()))
}

/// `accept_key(key)`
pub fn accept_key(lua: &Lua) -> Option<impl Answer> {
    made(lua, || Some(digest::accept_key(lua.bytes(1))))
}

/// `base64(bytes)`
pub fn base64(lua: &Lua) -> Option<impl Answer> {
    made(lua, || Some(digest::base64(lua.bytes(1))))
}

/// `unbase64(text)`: nil where it is not base64
pub fn unbase64(lua: &Lua) -> Option<impl Answer> {
    made(lua, || digest::unbase64(lua.bytes(1)))
}

/// `random(count)`
pub fn random(lua: &Lua) -> Option<impl Answer> {
    let count = usize::try_from(lua.integer(1)).unwrap_or(0);
    lua.build(|target| {
        target.resize(count, 0);
        RANDOM.with_borrow_mut(|random| random.fill(target)).map_err(|_| NO_ENTROPY)
    })
}

/// `mask(bytes, key)`
pub fn mask(lua: &Lua) -> Option<impl Answer> {
    made(lua, || {
        let mut masked = lua.bytes(1).to_vec();
        masking::apply(&mut masked, lua.bytes(2).try_into().ok()?);
        Some(masked)
    })
}

/// `valid_utf8(bytes)`
pub fn valid_utf8(lua: &Lua) -> Option<bool> {
    Some(utf8::is_valid(lua.bytes(1)))
}

/// `utf8_next(state, bytes, first, last)`
pub fn utf8_next(lua: &Lua) -> Option<Option<usize>> {
    let bytes = lua.bytes(2);
    let last = usize::try_from(lua.integer(4)).unwrap_or(0).min(bytes.len());
    let first = usize::try_from(lua.integer(3) - 1).unwrap_or(0).min(last);
    Some(utf8::next(lua.integer(1) as u8, &bytes[first..last]).map(usize::from))
}

/// Takes a frame to send: opcode, payload, fin, plain; `None` where the payload is no string.
pub fn frame(lua: &Lua) -> Option<Frame<'_>> {
    let is_final = !lua.has(4) || lua.boolean(4);
    Some(Frame { opcode: lua.integer(2) as u8, is_final, is_plain: lua.boolean(5), payload: lua.string(3)? })
}

/// `encode(is_client, opcode, payload, fin, plain, codec)`
pub fn encode(lua: &Lua) -> Option<impl Answer> {
    let (frame, codec) = (frame(lua)?, lua.object::<CodecObject>(6));
    lua.build(|target| {
        let key = lua.boolean(1).then(|| RANDOM.with_borrow_mut(Random::key)).transpose().map_err(|_| NO_ENTROPY)?;
        frame.pack(codec.map(|codec| &codec.0), |frame| frame.encode(target, key));
        Ok::<(), (&str, &str)>(())
    })
}

/// `codec(window_bits, level, no_context_takeover, threshold)`
pub fn codec(lua: &Lua) -> Called {
    let threshold = lua.number(4) as usize;
    lua.new_object(|| {
        let window = window(lua, 1)?;
        Some(CodecObject(Rc::new(RefCell::new(Deflater::new(window, threshold))), RefCell::new(Inflater::new(window))))
    })
}

/// `inflate(codec, bytes, fin, limit)`: bytes; or nil, close code and what is wrong
pub fn inflate(lua: &Lua) -> Option<impl Answer> {
    let codec = lua.object::<CodecObject>(1)?;
    lua.build(|target| {
        let limit = to_limit(lua.number(4));
        let inflated = codec.1.borrow_mut().inflate(lua.bytes(2), lua.boolean(3), limit, target);
        inflated.map_err(|(code, text)| (usize::from(code), text))
    })
}

/// `deflations()`: how many messages were compressed
pub fn deflations(_: &Lua) -> Option<usize> {
    Some(deflate::DEFLATIONS.get())
}

/// `release_codec(codec)`: gives back what it holds
pub fn release_codec(lua: &Lua) -> Option<()> {
    let codec = lua.object::<CodecObject>(1)?;
    lua.attempt(|| {
        codec.0.borrow_mut().release();
        codec.1.borrow_mut().release();
    })
}

fn to_limit(number: f64) -> u64 {
    // As far as doubles are exact; infinity means as much.
    number.min(9_007_199_254_740_992.0) as u64
}

/// Takes the rules of a connection: role, `max_message_bytes`, `max_fragments`.
pub fn rules(lua: &Lua, from: c_int) -> Rules {
    Rules {
        is_server: lua.boolean(from),
        max_message_bytes: to_limit(lua.number(from + 1)),
        max_fragments: to_limit(lua.number(from + 2)),
        inflate: None,
    }
}

/// Takes what was agreed about compression in one direction: `window_bits`, nil for none, `level`,
/// `no_context_takeover`.
pub fn window(lua: &Lua, from: c_int) -> Option<Window> {
    let bits = u8::try_from(lua.integer(from)).ok().filter(|bits| (9..=15).contains(bits))?;
    Some(Window { bits, level: lua.integer(from + 1).clamp(0, 9) as u8, forgets: lua.boolean(from + 2) })
}

/// `reader(is_server, max_message_bytes, max_fragments, window_bits, 0, no_context_takeover)`
pub fn reader(lua: &Lua) -> Called {
    let rules = Rules { inflate: window(lua, 4), ..rules(lua, 1) };
    lua.new_object(|| Some(Feeder(RefCell::new((Reader::new(rules), Vec::new())))))
}

/// `feed(reader, bytes, batch, used, limit)`: count, again, used
pub fn feed(lua: &Lua) -> Option<impl Answer> {
    let feeder = lua.object::<Feeder>(1)?;
    lua.table(3)?;
    let mut budget = Budget { used: to_limit(lua.number(4)), limit: to_limit(lua.number(5)) };
    let fed = lua.deliver(3, |delivery| {
        let (reader, rest) = &mut *feeder.0.borrow_mut();
        let joined = if rest.is_empty() { None } else { Some([rest, lua.bytes(2)].concat()) };
        let bytes = joined.as_deref().unwrap_or(lua.bytes(2));
        let (taken, again) = delivery.feed(reader, bytes, &mut budget);
        *rest = bytes[taken..].to_vec();
        Ok::<bool, ()>(again)
    })?;
    Some((fed, budget.used as f64))
}

/// `release(reader, used)`: used
pub fn release(lua: &Lua) -> Option<f64> {
    let feeder = lua.object::<Feeder>(1)?;
    let mut budget = Budget { used: to_limit(lua.number(2)), limit: u64::MAX };
    lua.attempt(|| {
        let (reader, rest) = &mut *feeder.0.borrow_mut();
        reader.release(&mut budget);
        *rest = Vec::new();
        budget.used as f64
    })
}
