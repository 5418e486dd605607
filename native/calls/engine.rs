//! Frames and what belongs to them, for wires of any kind.

use crate::digest::{self, Random};
use crate::header::Rules;
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

fn push_one(lua: &Lua, build: impl FnOnce(&mut Vec<u8>)) -> Called {
    let built = lua.push_built(|target| {
        build(target);
        Ok::<(), ()>(())
    });
    built.map(|_| 1)
}

/// `accept_key(key)`
pub fn accept_key(lua: &Lua) -> Called {
    push_one(lua, |target| target.extend_from_slice(digest::accept_key(lua.bytes(1)).as_bytes()))
}

/// `base64(bytes)`
pub fn base64(lua: &Lua) -> Called {
    push_one(lua, |target| target.extend_from_slice(digest::base64(lua.bytes(1)).as_bytes()))
}

/// `unbase64(text)`
pub fn unbase64(lua: &Lua) -> Called {
    let built = lua.push_built(|target| {
        target.append(&mut digest::unbase64(lua.bytes(1)).ok_or(())?);
        Ok::<(), ()>(())
    });
    match built {
        Some(Ok(())) => {}
        Some(Err(())) => lua.push_nil(),
        None => return None,
    }
    Some(1)
}

fn push_entropy(lua: &Lua, built: Option<Result<(), rustix::io::Errno>>) -> Called {
    match built {
        Some(Ok(())) => Some(1),
        Some(Err(error)) => {
            lua.push_nil();
            let told = lua.push_built(|target| {
                target.extend_from_slice(format!("no random bytes: {error}").as_bytes());
                Ok::<(), ()>(())
            });
            let _ = told?;
            lua.push_bytes(b"entropy");
            Some(3)
        }
        None => None,
    }
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
    push_one(lua, |target| {
        let mut key = [0; 4];
        for (byte, given) in key.iter_mut().zip(lua.bytes(2)) {
            *byte = *given;
        }
        target.extend_from_slice(lua.bytes(1));
        masking::apply(target, key);
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

/// `encode(is_client, opcode, payload, fin)`
pub fn encode(lua: &Lua) -> Called {
    let is_final = !lua.has(4) || lua.boolean(4);
    let frame = Frame { opcode: lua.integer(2) as u8, is_final, payload: lua.bytes(3) };
    let built = lua.push_built(|target| {
        let key = match lua.boolean(1) {
            true => Some(RANDOM.with_borrow_mut(Random::key)?),
            false => None,
        };
        frame.encode(target, key);
        Ok(())
    });
    push_entropy(lua, built)
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
    }
}

/// `reader(is_server, max_message_bytes, max_fragments)`
pub fn reader(lua: &Lua) -> Called {
    let rules = rules(lua, 1);
    lua.new_object(|| Some(Feeder(RefCell::new((Reader::new(rules), Vec::new())))))
}

/// `feed(reader, bytes, batch, used, limit)`: count, again, used
pub fn feed(lua: &Lua) -> Called {
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
    });
    let (count, again) = fed?.ok()?;
    lua.push_integer(count);
    lua.push_boolean(again);
    lua.push_number(budget.used as f64);
    Some(3)
}

/// `release(reader, used)`: used
pub fn release(lua: &Lua) -> Called {
    let feeder = lua.object::<Feeder>(1)?;
    let mut budget = Budget { used: to_limit(lua.number(2)), limit: u64::MAX };
    let released = lua.attempt(|| {
        let (reader, rest) = &mut *feeder.0.borrow_mut();
        reader.release(&mut budget);
        *rest = Vec::new();
    });
    released?;
    lua.push_number(budget.used as f64);
    Some(1)
}
