//! Lua's stack: the arguments of a call, and the tables among them.

use std::cell::Cell;
use std::ffi::{c_int, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};

use mlua::ffi;

use super::answer::{Answer, Room, ANSWER_VALUES};

/// How many values stay on the stack at most. Lua gives C functions room for 20; an answer, a name and a value that is
/// being set need some too.
const KEPT_VALUES: usize = 20 - ANSWER_VALUES - 2;
/// How many values of an array are lent together: to remove one costs as much as to get it.
const LENT_VALUES: usize = 8;

/// Runs what needs no Lua. A panic becomes `None`.
pub fn attempt<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The call that is running.
pub struct Lua {
    pub(super) state: *mut ffi::lua_State,
    // How many values lie above the arguments.
    kept: Cell<usize>,
    // How many of those are removed again before the call ends.
    borrowed: Cell<usize>,
    // Whether memory is what lacks where the call gives no answer.
    pub(super) lacks_memory: Cell<bool>,
}

/// A value that stays at its place of the stack for as long as `'a`.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pub(super) lua: &'a Lua,
    pub(super) index: c_int,
}

/// A value that is a table.
#[derive(Clone, Copy)]
pub struct Table<'a>(Value<'a>);

impl Lua {
    /// Makes what stands for the call.
    ///
    /// # Safety
    /// `state` is the one that Lua has called a C function with, and that function has not returned.
    pub(super) unsafe fn new(state: *mut ffi::lua_State) -> Lua {
        Lua { state, kept: Cell::new(0), borrowed: Cell::new(0), lacks_memory: Cell::new(false) }
    }

    /// Names an argument, the first being 1. It may be absent.
    pub fn arg(&self, position: u8) -> Value<'_> {
        Value { lua: self, index: position.into() }
    }

    // Takes note of values that are about to be pushed; `None` where there is no room.
    pub(super) fn keep(&self, count: usize) -> Option<()> {
        let kept = self.kept.get() + count;
        self.kept.set(kept);
        (kept <= KEPT_VALUES).then_some(())
    }

    // Takes note that values are gone.
    pub(super) fn forget(&self, count: usize) {
        self.kept.set(self.kept.get() - count);
    }

    // As `keep`, for values that stay until the call ends: none that is removed earlier may lie below them.
    pub(super) fn keep_to_the_end(&self, count: usize) -> Option<()> {
        if self.borrowed.get() > 0 {
            return None;
        }
        self.keep(count)
    }

    // The value on top of the stack, for which `keep` has made room.
    pub(super) fn top(&self) -> Value<'_> {
        // SAFETY: this changes nothing.
        Value { lua: self, index: unsafe { ffi::lua_gettop(self.state) } }
    }

    // Lends the value on top of the stack, for which `keep` has made room, and removes it.
    #[inline]
    pub(super) fn lend<R>(&self, work: impl FnOnce(Value<'_>) -> R) -> R {
        self.borrowed.set(self.borrowed.get() + 1);
        let value = self.top();
        let result = work(value);
        // SAFETY: `work` has left the stack as it was, for `keep_to_the_end` refused everything else.
        unsafe { ffi::lua_settop(self.state, value.index - 1) };
        self.borrowed.set(self.borrowed.get() - 1);
        self.forget(1);
        result
    }
}

impl<'a> Value<'a> {
    fn kind(self) -> c_int {
        // SAFETY: indices above 0 may be asked for although nothing is there.
        unsafe { ffi::lua_type(self.lua.state, self.index) }
    }

    /// Tells whether there is a value other than nil.
    pub fn is_some(self) -> bool {
        self.kind() > ffi::LUA_TNIL
    }

    /// Tells whether it is a number, and no string that looks like one.
    pub fn is_number(self) -> bool {
        self.kind() == ffi::LUA_TNUMBER
    }

    /// Takes a truth value; nil and none are false.
    pub fn boolean(self) -> bool {
        // SAFETY: any value may be tested.
        unsafe { ffi::lua_toboolean(self.lua.state, self.index) != 0 }
    }

    /// Takes a number; 0 where there is none.
    pub fn number(self) -> f64 {
        // SAFETY: any value may be converted to a number, which does not change it.
        unsafe { ffi::lua_tonumber(self.lua.state, self.index) }
    }

    /// Takes a string.
    pub fn string(self) -> Option<&'a [u8]> {
        if self.kind() != ffi::LUA_TSTRING {
            return None;
        }
        let mut size = 0;
        // SAFETY: it is a string, so nothing is converted, and it lives as long as it stays on the stack.
        Some(unsafe {
            let start = ffi::lua_tolstring(self.lua.state, self.index, &mut size);
            std::slice::from_raw_parts(start.cast(), size)
        })
    }

    /// Takes a string; empty where it is none.
    pub fn bytes(self) -> &'a [u8] {
        self.string().unwrap_or_default()
    }

    /// Takes a table.
    pub fn table(self) -> Option<Table<'a>> {
        (self.kind() == ffi::LUA_TTABLE).then_some(Table(self))
    }
}

// SAFETY: this pushes one value.
unsafe impl Answer for Value<'_> {
    const COUNT: usize = 1;

    #[inline]
    fn push(self, room: Room) -> c_int {
        // SAFETY: there is room.
        unsafe { ffi::lua_pushvalue(room.0, self.index) };
        1
    }
}

impl<'a> Table<'a> {
    /// Lends the value at a place of an array. Cannot raise.
    #[inline]
    pub fn with<R>(self, place: usize, work: impl FnOnce(Value<'_>) -> R) -> Option<R> {
        let lua = self.0.lua;
        lua.keep(1)?;
        // SAFETY: this is a table, and there is room for the value.
        unsafe { ffi::lua_rawgeti(lua.state, self.0.index, place as ffi::lua_Integer) };
        Some(lua.lend(work))
    }

    /// Lends the values at the first places of an array, one after the other. Cannot raise.
    #[inline]
    pub fn each(self, count: usize, mut work: impl FnMut(Value<'_>)) -> Option<()> {
        let lua = self.0.lua;
        // SAFETY: this changes nothing.
        let below = unsafe { ffi::lua_gettop(lua.state) };
        lua.borrowed.set(lua.borrowed.get() + 1);
        for first in (1..=count).step_by(LENT_VALUES) {
            let last = count.min(first + LENT_VALUES - 1);
            lua.keep(last - first + 1)?;
            for place in first..=last {
                // SAFETY: this is a table, and there is room for the value.
                unsafe { ffi::lua_rawgeti(lua.state, self.0.index, place as ffi::lua_Integer) };
            }
            for index in 1..=(last - first + 1) as c_int {
                work(Value { lua, index: below + index });
            }
            // SAFETY: `work` has left the stack as it was, for `keep_to_the_end` refused everything else.
            unsafe { ffi::lua_settop(lua.state, below) };
            lua.forget(last - first + 1);
        }
        lua.borrowed.set(lua.borrowed.get() - 1);
        Some(())
    }

    /// Takes fields by their names, also those that a metatable gives. May raise.
    pub fn fields<const COUNT: usize>(self, names: [&CStr; COUNT]) -> Option<[Value<'a>; COUNT]> {
        let lua = self.0.lua;
        lua.keep_to_the_end(COUNT)?;
        Some(names.map(|name| {
            // SAFETY: there is room for the value.
            unsafe { ffi::lua_getfield(lua.state, self.0.index, name.as_ptr()) };
            lua.top()
        }))
    }

    /// Sets a place of an array; an answer of several values sets the places after it too. May raise.
    #[inline]
    pub fn set<A: Answer>(self, place: usize, answer: A) {
        const { assert!(A::COUNT <= ANSWER_VALUES) };
        let lua = self.0.lua;
        let count = answer.push(Room(lua.state)) as usize;
        for position in (place..place + count).rev() {
            // SAFETY: this is a table; `push` has left `count` values, and each is removed.
            unsafe { ffi::lua_rawseti(lua.state, self.0.index, position as ffi::lua_Integer) };
        }
    }
}
