//! What others find in the shared library by name.

use std::ffi::c_int;
#[cfg(feature = "luajit")]
use std::ffi::c_void;

use mlua::ffi;

use super::stack::Lua;
#[cfg(feature = "luajit")]
use super::{module::object_at, stack::attempt};
#[cfg(feature = "luajit")]
use crate::{calls::shared::WireObject, frame::Frame, protocol::FINAL};

// What the other side's `luaL_checkversion` must be, and the sizes of its numbers.
#[cfg(any(feature = "lua53", feature = "lua54", feature = "lua55"))]
const VERSION: (f64, usize) = (
    if cfg!(feature = "lua53") { 503.0 } else { 504.0 + cfg!(feature = "lua55") as u8 as f64 },
    16 * size_of::<ffi::lua_Integer>() + size_of::<ffi::lua_Number>(),
);

/// Where Lua's `require` begins.
///
/// # Safety
/// Only Lua calls it, with its state.
#[no_mangle]
pub unsafe extern "C-unwind" fn luaopen_websockets_native(state: *mut ffi::lua_State) -> c_int {
    // Raises where this module was built for another Lua: between 5.4 and 5.5 anything else would crash. Lua 5.1 and
    // LuaJIT cannot be asked, and the loader refuses what they lack.
    #[cfg(feature = "lua52")]
    // SAFETY: this is the first call, and made for being called with the wrong Lua.
    unsafe {
        ffi::luaL_checkversion_(state, 502.0)
    };
    #[cfg(any(feature = "lua53", feature = "lua54", feature = "lua55"))]
    // SAFETY: this is the first call, and made for being called with the wrong Lua.
    unsafe {
        ffi::luaL_checkversion_(state, VERSION.0, VERSION.1)
    };
    // SAFETY: Lua has called with its state.
    let lua = unsafe { Lua::new(state) };
    crate::calls::open(&lua).map_or(0, |_| 1)
}

/// What `write` does once it knows its arguments; LuaJIT can call it without leaving its compiled code.
///
/// # Safety
/// `wire` is the userdata of a wire, and `payload` has `size` bytes; both live as long as the call.
#[cfg(feature = "luajit")]
#[no_mangle]
pub unsafe extern "C" fn websockets_write(wire: *const c_void, opcode: c_int, payload: *const u8, size: usize) -> bool {
    // SAFETY: as the caller promises.
    let (wire, payload) = unsafe { (object_at::<WireObject>(wire), std::slice::from_raw_parts(payload, size)) };
    let Some(wire) = wire else { return false };
    let frame = Frame { first: FINAL | opcode as u8, is_compressible: true, payload };
    attempt(|| wire.write(frame)).unwrap_or(false)
}
