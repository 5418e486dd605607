//! Lua's memory: its collector, blocks of it, and the tables of its registry.

use std::ffi::{c_int, c_void, CStr};

use mlua::ffi;

use super::answer::{Answer, Room};
use super::stack::{Lua, Table};

/// What the collector can be asked for.
pub enum Collection {
    /// How much memory Lua uses, in KiB.
    Count,
    /// One step of a cycle; 1 tells that it has ended the cycle.
    Step,
    /// A whole cycle.
    Full,
}

/// Memory of Lua's that nothing is written to, of a number of bytes.
pub struct Block(pub usize);

// SAFETY: a userdata is one value.
unsafe impl Answer for Block {
    const COUNT: usize = 1;

    fn push(self, room: Room) -> c_int {
        // SAFETY: there is room, and the memory is never read.
        unsafe { new_userdata(room.0, self.0) };
        1
    }
}

impl Lua {
    /// Lends a table of the registry, which is made when it is first asked for, and tells whether it is new. May raise.
    pub fn with_registry_table<R>(&self, name: &CStr, work: impl FnOnce(Table<'_>, bool) -> R) -> Option<R> {
        self.keep(1)?;
        // SAFETY: there is room for the table.
        let is_new = unsafe { ffi::luaL_newmetatable(self.state, name.as_ptr()) } != 0;
        self.lend(|value| value.table().map(|table| work(table, is_new)))
    }

    /// Asks the collector for something. May raise.
    pub fn collect(&self, what: Collection) -> c_int {
        let what = match what {
            Collection::Count => ffi::LUA_GCCOUNT,
            Collection::Step => ffi::LUA_GCSTEP,
            Collection::Full => ffi::LUA_GCCOLLECT,
        };
        // SAFETY: each of the three may be asked for at any time.
        unsafe { ffi::lua_gc(self.state, what, 0) }
    }
}

/// Pushes memory of Lua's, without the user value that Lua 5.4 would keep room for. May raise.
///
/// # Safety
/// There is room for a value on the stack.
pub(super) unsafe fn new_userdata(state: *mut ffi::lua_State, size: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    #[cfg(any(feature = "lua54", feature = "lua55"))]
    return unsafe { ffi::lua_newuserdatauv(state, size, 0) };
    // SAFETY: as the caller promises.
    #[cfg(not(any(feature = "lua54", feature = "lua55")))]
    return unsafe { ffi::lua_newuserdata(state, size) };
}
