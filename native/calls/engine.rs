//! Frames and what belongs to them, for wires of any kind.

use crate::deflate::{Deflater, Inflater, Window};
use crate::digest::{self, Random};
use crate::header::{Rules, PACKED};
use crate::lua::{Called, Kind, Lua, Object};
use crate::output::Frame;
use crate::reader::{Budget, Reader};
use crate::{mask as masking, utf8};
use std::cell::RefCell;
use std::ffi::c_int;

thread_local! {
    static RANDOM: RefCell<Random> = RefCell::default();
}

/// A reader, and what it has not taken yet.
pub struct Feeder(RefCell<(Reader, Vec<u8>)>);

impl Object for Feeder {
    fn kind() -> &'static Kind {
        static KIND: Kind = Kind(c"websockets reader");
        &KIND
    }
}

/// What compresses and inflates.
pub struct Codec(RefCell<(Deflater, Inflater)>);

impl Object for Codec {
    fn kind() -> &'static Kind {
        static KIND: Kind = Kind(c"websockets codec");
        &KIND
    }
}

// Pushes what was made, or nil.
fn push_made<T: AsRef<[u8]>>(lua: &Lua, make: impl FnOnce() -> Option<T>) -> Called {
    match lua.push_built(|target| make().map(|made| target.extend_from_slice(made.as_ref())).ok_or(()))? {
        Ok(()) => {}
        Err(()) => lua.push_nil(),
    }
    Some(1)
}

/// `accept_key(key)`
pub fn accept_key(lua: &Lua) -> Called {
    push_made(lua, || Some(digest::accept_key(lua.bytes(1))))
}

/// `base64(bytes)`
pub fn base64(lua: &Lua) -> Called {
    push_made(lua, || Some(digest::base64(lua.bytes(1))))
}

/// `unbase64(text)`
pub fn unbase64(lua: &Lua) -> Called {
    push_made(lua, || digest::unbase64(lua.bytes(1)))
}

fn push_entropy(lua: &Lua, built: Option<Result<(), rustix::io::Errno>>) -> Called {
    let Err(error) = built? else { return Some(1) };
    lua.push_nil();
    push_made(lua, || Some(format!("no random bytes: {error}")))?;
    lua.push_bytes(b"entropy");
    Some(3)
}

/// `random(count)`
pub fn random(lua: &Lua) -> Called {
    let count = usize::try_from(lua.integer(1)).unwrap_or(0);
    let built = lua.push_built(|target| {
        target.resize(count, 0);
        RANDOM.with_borrow_mut(|random| random.fill(target))
    });
    push_entropy(lua, built)
}

/// `mask(bytes, key)`
pub fn mask(lua: &Lua) -> Called {
    push_made(lua, || {
        let mut masked = lua.bytes(1).to_vec();
        masking::apply(&mut masked, lua.bytes(2).try_into().ok()?);
        Some(masked)
    })
}

/// `valid_utf8(bytes)`
pub fn valid_utf8(lua: &Lua) -> Called {
    lua.push_boolean(utf8::is_valid(lua.bytes(1)));
    Some(1)
}

/// `utf8_next(state, bytes, first, last)`
pub fn utf8_next(lua: &Lua) -> Called {
    let bytes = lua.bytes(2);
    let last = usize::try_from(lua.integer(4)).unwrap_or(0).min(bytes.len());
    let first = usize::try_from(lua.integer(3) - 1).unwrap_or(0).min(last);
    match utf8::next(lua.integer(1) as u8, &bytes[first..last]) {
        Some(state) => lua.push_integer(state.into()),
        None => lua.push_nil(),
    }
    Some(1)
}

/// `encode(is_client, opcode, payload, fin, codec)`; with a codec, whole data messages are compressed.
pub fn encode(lua: &Lua) -> Called {
    let (opcode, payload) = (lua.integer(2) as u8, lua.bytes(3));
    let is_final = !lua.has(4) || lua.boolean(4);
    let codec = lua.object::<Codec>(5).filter(|_| is_final && matches!(opcode, 1 | 2));
    let built = lua.push_built(|target| {
        let packed = codec.and_then(|codec| codec.0.borrow_mut().0.pack(payload));
        let frame = match &packed {
            Some(packed) => Frame { opcode: opcode | PACKED, is_final, payload: packed },
            None => Frame { opcode, is_final, payload },
        };
        let key = lua.boolean(1).then(|| RANDOM.with_borrow_mut(Random::key)).transpose()?;
        frame.encode(target, key);
        Ok(())
    });
    push_entropy(lua, built)
}

/// `codec(window_bits, level, no_context_takeover, threshold)`
pub fn codec(lua: &Lua) -> Called {
    let threshold = lua.number(4) as usize;
    lua.new_object(|| {
        let window = window(lua, 1)?;
        Some(Codec(RefCell::new((Deflater::new(window, threshold), Inflater::new(window)))))
    })
}

/// `inflate(codec, bytes, fin, limit)`: bytes; or nil, close code and what is wrong
pub fn inflate(lua: &Lua) -> Called {
    let codec = lua.object::<Codec>(1)?;
    let mut result = Ok(());
    push_made(lua, || {
        let mut made = Vec::new();
        let inflater = &mut codec.0.borrow_mut().1;
        result = inflater.inflate(lua.bytes(2), lua.boolean(3), to_limit(lua.number(4)), &mut made);
        result.ok().map(|()| made)
    })?;
    let Err((code, text)) = result else { return Some(1) };
    lua.push_number(code.into());
    lua.push_bytes(text.as_bytes());
    Some(3)
}

/// `release_codec(codec)`: gives back what it holds
pub fn release_codec(lua: &Lua) -> Called {
    let codec = lua.object::<Codec>(1)?;
    lua.attempt(|| {
        codec.0.borrow_mut().0.release();
        codec.0.borrow_mut().1.release();
        0
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
pub fn feed(lua: &Lua) -> Called {
    let feeder = lua.object::<Feeder>(1)?;
    lua.table(3)?;
    let mut budget = Budget { used: to_limit(lua.number(4)), limit: to_limit(lua.number(5)) };
    let (count, again) = lua
        .deliver(3, |delivery| {
            let (reader, rest) = &mut *feeder.0.borrow_mut();
            let joined = if rest.is_empty() { None } else { Some([rest, lua.bytes(2)].concat()) };
            let bytes = joined.as_deref().unwrap_or(lua.bytes(2));
            let (taken, again) = delivery.feed(reader, bytes, &mut budget);
            *rest = bytes[taken..].to_vec();
            Ok::<bool, ()>(again)
        })?
        .ok()?;
    lua.push_integer(count);
    lua.push_boolean(again);
    lua.push_number(budget.used as f64);
    Some(3)
}

/// `release(reader, used)`: used
pub fn release(lua: &Lua) -> Called {
    let feeder = lua.object::<Feeder>(1)?;
    let mut budget = Budget { used: to_limit(lua.number(2)), limit: u64::MAX };
    lua.attempt(|| {
        let (reader, rest) = &mut *feeder.0.borrow_mut();
        reader.release(&mut budget);
        *rest = Vec::new();
    })?;
    lua.push_number(budget.used as f64);
    Some(1)
}
