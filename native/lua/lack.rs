//! What happens where there is no memory: in Lua for a large string, or in Rust for what a call needs.

use std::ffi::{c_int, c_void, CStr};
use std::ptr;

use mlua::ffi;

use super::answer::{Answer, Room};
use super::stack::{Lua, Value};

// A string of this size is made in a protected call: an error would leak what it is made from.
const LARGE_BYTES: usize = 1 << 12;
/// The name of the function that makes strings, in Lua's registry.
pub(super) const MAKER: &CStr = c"websockets_string";

/// The function that makes a string of bytes; its argument points to them.
pub(super) extern "C-unwind" fn make_string(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: only `push_large` calls this, with a reference that lives until the call ends.
    unsafe {
        let bytes = *ffi::lua_touserdata(state, 1).cast::<&[u8]>();
        ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len());
    }
    1
}

// Pushes a string; where Lua has no memory for it, the error. Returns whether it is the string.
//
// SAFETY: there is room for two values.
unsafe fn push_large(state: *mut ffi::lua_State, bytes: &[u8]) -> bool {
    // SAFETY: the function is in the registry, and its name is a string that Lua has already. It is given what it
    // expects.
    unsafe {
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, MAKER.as_ptr());
        ffi::lua_pushlightuserdata(state, ptr::from_ref(&bytes).cast::<c_void>().cast_mut());
        ffi::lua_pcall(state, 1, 1, 0) == 0
    }
}

/// Raises in Lua's own words.
///
/// # Safety
/// Nothing is left that must be dropped, and there is room for a value.
pub(super) unsafe fn raise_lack(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the caller promises.
    unsafe {
        ffi::lua_pushstring(state, c"not enough memory".as_ptr());
        ffi::lua_error(state)
    }
}

impl Lua {
    /// Lends a string that is made of bytes; nothing where Lua has no memory for it.
    pub fn with_string<R>(&self, bytes: &[u8], work: impl FnOnce(Option<Value<'_>>) -> R) -> Option<R> {
        self.keep(2)?;
        // SAFETY: there is room for the two.
        let is_made = unsafe { push_large(self.state, bytes) };
        self.forget(1);
        Some(self.lend(|value| work(is_made.then_some(value))))
    }

    /// Gives what may have failed for want of memory alone; then the call gives no answer, and Lua is told why.
    pub fn expect<R, E>(&self, result: Result<R, E>) -> Option<R> {
        self.lacks_memory.set(result.is_err());
        result.ok()
    }
}

// SAFETY: the bytes are one value.
unsafe impl Answer for Vec<u8> {
    const COUNT: usize = 1;

    fn push(self, room: Room) -> c_int {
        if self.len() < LARGE_BYTES {
            let bytes = std::mem::ManuallyDrop::new(self);
            let count = bytes[..].push(room);
            drop(std::mem::ManuallyDrop::into_inner(bytes));
            return count;
        }
        // SAFETY: there is room for five values.
        let is_made = unsafe { push_large(room.0, &self) };
        drop(self);
        if !is_made {
            // SAFETY: nothing is left that must be dropped; the error is on top of the stack.
            unsafe { ffi::lua_error(room.0) };
        }
        1
    }
}
