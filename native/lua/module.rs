//! What Lua gets: functions, and objects of our own with their methods.

use std::any::TypeId;
use std::ffi::{c_char, c_int, CStr};
use std::mem::{align_of, size_of};
use std::ptr::NonNull;

use mlua::ffi;

use super::answer::{Answer, Made, Room, ANSWER_VALUES};
use super::lack::{make_string, raise_lack, MAKER};
use super::memory::new_userdata;
use super::stack::{attempt, Lua, Value};

/// Functions with their names in Lua.
pub type Functions = &'static [Function];

/// A function with its name, which ends with a zero.
pub struct Function(&'static CStr, ffi::lua_CFunction);

/// Objects of one type.
pub struct Kind {
    name: &'static CStr,
    methods: Functions,
    finalizer: ffi::lua_CFunction,
}

impl Kind {
    /// Describes the objects of a type; each object is an argument of its methods.
    pub const fn new<T: 'static>(name: &'static CStr, methods: Functions) -> Kind {
        Kind { name, methods, finalizer: finalizer::<T>().1 }
    }
}

/// Makes a function for Lua. `None` becomes an error: a panic was caught, or an argument is not what this library
/// gives.
pub const fn entry<A: Answer, F: Fn(&Lua) -> Option<A> + Copy>(name: &'static str, _: F) -> Function {
    extern "C-unwind" fn call<A: Answer, F: Fn(&Lua) -> Option<A> + Copy>(state: *mut ffi::lua_State) -> c_int {
        const { assert!(size_of::<F>() == 0 && A::COUNT <= ANSWER_VALUES) };
        // SAFETY: `F` has no size, so any aligned pointer reads it; `entry` was given one, which may be copied.
        let function = unsafe { NonNull::<F>::dangling().read() };
        // SAFETY: only Lua calls this, with its state.
        let lua = unsafe { Lua::new(state) };
        match function(&lua) {
            Some(answer) => answer.push(Room(state)),
            // SAFETY: nothing is left that must be dropped.
            None if lua.lacks_memory.get() => unsafe { raise_lack(state) },
            // SAFETY: as above.
            None => unsafe { ffi::luaL_error(state, c"websockets_native: internal error".as_ptr()) },
        }
    }
    match CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => Function(name, call::<A, F>),
        Err(_) => panic!("a name that does not end with a zero"),
    }
}

// What Lua holds as userdata.
#[repr(C)]
struct Holder<T> {
    kind: TypeId,
    value: T,
}

impl<'a> Value<'a> {
    fn holder<T: 'static>(self) -> Option<NonNull<Holder<T>>> {
        // SAFETY: a full userdata of exactly this size may be read as a holder (a light one has no size), and only
        // `new_object` writes the name of the type into the first words.
        unsafe {
            let holder = NonNull::new(ffi::lua_touserdata(self.lua.state, self.index).cast::<Holder<T>>())?;
            let is_ours = ffi::lua_rawlen(self.lua.state, self.index) as usize == size_of::<Holder<T>>()
                && (*holder.as_ptr()).kind == TypeId::of::<T>();
            is_ours.then_some(holder)
        }
    }

    /// Takes an object of ours.
    pub fn object<T: 'static>(self) -> Option<&'a T> {
        // SAFETY: it is on the stack, so Lua keeps it; it is only ever shared, and dropped when Lua has let go of it.
        self.holder::<T>().map(|holder| unsafe { &(*holder.as_ptr()).value })
    }
}

/// Finds an object of ours in the memory of a userdata.
///
/// # Safety
/// `memory` is that of a full userdata which is no smaller than a `TypeId` and lives for as long as `'a`.
#[cfg(feature = "luajit")]
pub(super) unsafe fn object_at<'a, T: 'static>(memory: *const std::ffi::c_void) -> Option<&'a T> {
    let holder = memory.cast::<Holder<T>>();
    // SAFETY: as the caller promises; the kind is looked at before the value.
    unsafe { ((*holder).kind == TypeId::of::<T>()).then(|| &(*holder).value) }
}

const fn finalizer<T: 'static>() -> Function {
    entry("finalizer\0", |lua: &Lua| {
        let holder = lua.arg(1).holder::<T>()?;
        // SAFETY: the kind is removed first, so that the value is never found again; then it is dropped, once.
        attempt(|| unsafe {
            (*holder.as_ptr()).kind = TypeId::of::<()>();
            std::ptr::drop_in_place(&raw mut (*holder.as_ptr()).value);
        })
    })
}

impl Lua {
    /// Makes an object of a kind. May raise; `make` runs when nothing can raise any more.
    pub fn new_object<T: 'static>(&self, kind: &CStr, make: impl FnOnce() -> Option<T>) -> Option<Made> {
        // Lua aligns userdata for pointers and numbers.
        const { assert!(align_of::<Holder<T>>() <= align_of::<f64>()) };
        self.keep_to_the_end(2)?;
        // SAFETY: there is room for the object and its metatable. The memory is written before the object gets the
        // metatable with the finalizer that reads it.
        unsafe {
            let memory = new_userdata(self.state, size_of::<Holder<T>>()).cast::<Holder<T>>();
            ffi::lua_getfield(self.state, ffi::LUA_REGISTRYINDEX, kind.as_ptr());
            let value = attempt(make)??;
            memory.write(Holder { kind: TypeId::of::<T>(), value });
            ffi::lua_setmetatable(self.state, -2);
        }
        Some(Made(()))
    }

    /// Makes a table of functions, in which each kind of objects has its methods under its name. May raise.
    pub fn new_module(&self, functions: &[Functions], kinds: &[Kind]) -> Option<Made> {
        self.keep_to_the_end(2)?;
        // SAFETY: there is room for two tables, and every value that is pushed goes into one of them, or the registry.
        unsafe {
            ffi::lua_pushcclosure(self.state, make_string, 0);
            ffi::lua_setfield(self.state, ffi::LUA_REGISTRYINDEX, MAKER.as_ptr());
            ffi::lua_createtable(self.state, 0, 0);
            for list in functions {
                self.set_functions(list);
            }
            for kind in kinds {
                ffi::luaL_newmetatable(self.state, kind.name.as_ptr());
                self.set_functions(kind.methods);
                self.set_field(c"__gc".as_ptr(), |state| ffi::lua_pushcclosure(state, kind.finalizer, 0));
                self.set_field(c"__metatable".as_ptr(), |state| ffi::lua_pushboolean(state, 0));
                self.set_field(c"__index".as_ptr(), |state| ffi::lua_pushvalue(state, -1));
                ffi::lua_setfield(self.state, -2, kind.name.as_ptr());
            }
        }
        Some(Made(()))
    }

    // Puts functions into the table on top of the stack.
    //
    // SAFETY: a table is there, and there is room for a value.
    unsafe fn set_functions(&self, functions: Functions) {
        for Function(name, function) in functions {
            // SAFETY: as the caller promises.
            unsafe { self.set_field(name.as_ptr(), |state| ffi::lua_pushcclosure(state, *function, 0)) };
        }
    }

    // Sets a field of the table on top of the stack to the value that `push` pushes.
    //
    // SAFETY: a table is there, the name ends with a zero, and `push` pushes one value, for which there is room.
    unsafe fn set_field(&self, name: *const c_char, push: impl FnOnce(*mut ffi::lua_State)) {
        push(self.state);
        // SAFETY: as the caller promises.
        unsafe { ffi::lua_setfield(self.state, -2, name) };
    }
}
