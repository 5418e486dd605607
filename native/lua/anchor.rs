//! Strings of Lua's that stay alive after a call: large payloads are sent from where they are.

use std::cell::RefCell;
use std::ffi::c_int;
use std::rc::Rc;

use mlua::ffi;

use super::stack::{Lua, Value};

/// References into Lua's registry that are not needed any more.
#[derive(Default)]
pub struct Spent(Rc<RefCell<Vec<c_int>>>);

/// Bytes of a string that Lua keeps until this is dropped.
pub struct Anchored {
    bytes: &'static [u8],
    reference: c_int,
    spent: Rc<RefCell<Vec<c_int>>>,
}

impl AsRef<[u8]> for Anchored {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl Drop for Anchored {
    fn drop(&mut self) {
        self.spent.borrow_mut().push(self.reference);
    }
}

impl Value<'_> {
    /// Has Lua keep a string. May raise.
    pub fn anchor(self, spent: &Spent) -> Anchored {
        let state = self.lua.state;
        // SAFETY: the registry keeps the string until the reference is given up, which only `Drop` causes; Lua never
        // moves or changes a string.
        let bytes = unsafe { &*std::ptr::from_ref(self.bytes()) };
        // SAFETY: there is room for an answer, so for one value, which luaL_ref removes.
        let reference = unsafe {
            ffi::lua_pushvalue(state, self.index);
            ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX)
        };
        Anchored { bytes, reference, spent: Rc::clone(&spent.0) }
    }
}

impl Lua {
    /// Lets go of the strings that are not needed any more. May raise.
    #[inline]
    pub fn release(&self, spent: &Spent) {
        loop {
            let Some(reference) = spent.0.borrow_mut().pop() else { return };
            // SAFETY: each reference was made by luaL_ref and is given up once.
            unsafe { ffi::luaL_unref(self.state, ffi::LUA_REGISTRYINDEX, reference) };
        }
    }
}
