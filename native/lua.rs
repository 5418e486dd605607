//! Lua's stack, seen from safe Rust. All `unsafe` code of the crate is here, and does nothing but move values between
//! the two.
//!
//! A Lua error leaves a C function by a jump that runs no destructor. So whatever may raise (making strings, setting
//! fields) is called only where nothing with a destructor is alive: what is lent to Lua meanwhile is kept in
//! `ManuallyDrop`, and such an error leaks it, no more. Panics are caught where they begin.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_void, CStr};
use std::mem::{size_of, ManuallyDrop};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::{any::TypeId, ptr::NonNull, rc::Rc};

use mlua_sys as ffi;
use rustix::io::Errno;

#[cfg(feature = "luajit")]
use crate::{calls::wire::WireObject, header::FINAL, output::Frame};

use crate::{input::Delivery, reader::Payload};

/// The largest buffers that serve again.
const KEPT_BYTES: usize = 1 << 20;

/// From this size on messages are large.
const LARGE_BYTES: usize = 1 << 16;
/// What makes room for them, how many blocks that is made of, how many of these stay at either end.
const ROOM: &CStr = c"websockets_room";
const ROOM_BLOCKS: (ffi::lua_Integer, usize) = if cfg!(feature = "luajit") { (256, 100 << 10) } else { (1, 4 << 20) };
const ROOM_ENDS: ffi::lua_Integer = if cfg!(feature = "luajit") { 8 } else { 0 };
/// How much they may take before the collector is made to go round, and where beside the blocks is how much was left
/// after the last time.
const GROWN_KIB: c_int = 12 << 10;
const LEFT_KIB: usize = 1000;

thread_local! {
    static DELIVERY: Cell<Option<Box<Delivery>>> = const { Cell::new(None) };
}

/// Functions with their names in Lua.
pub type Functions = &'static [(&'static str, ffi::lua_CFunction)];

/// Lists functions, each under its own name.
macro_rules! functions {
    ($($function:ident)*) => {
        &[$((concat!(stringify!($function), "\0"), crate::lua::entry($function))),*]
    };
}
pub(crate) use functions;

// What Lua holds as userdata.
#[repr(C)]
struct Holder<T> {
    kind: TypeId,
    value: T,
}

/// References into Lua's registry that are to be given up.
pub type Spent = Rc<RefCell<Vec<c_int>>>;

/// Bytes of a Lua string that stays alive until this is dropped.
pub struct Anchored {
    bytes: &'static [u8],
    reference: c_int,
    spent: Spent,
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

/// The arguments and results of the call that is running.
pub struct Lua {
    state: *mut ffi::lua_State,
}

/// What a function left on the stack; `None` where a panic was caught, or an argument is not what this library gives.
pub type Called = Option<At>;

/// What a function answers Lua with.
pub trait Answer {
    /// Pushes it and returns how many values that was. May raise, and then leaves nothing behind but memory.
    fn push(self, lua: &Lua) -> c_int;
}

macro_rules! answer {
    ($($type:ty, $push:expr;)*) => {
        $(impl Answer for $type {
            fn push(self, lua: &Lua) -> c_int {
                // SAFETY: C functions have room for 20 values, and none of ours pushes more; Lua copies bytes.
                unsafe { ($push)(lua.state, self) };
                1
            }
        })*
    };
}

/// A copy of what is on the stack.
pub struct At(pub c_int);
/// What an array has at a place; callers checked that it is a table.
pub struct Item(pub c_int, pub usize);
/// A field of the table on top of the stack by a name that is there too, named by its place from the bottom.
pub struct Own(pub c_int);

answer! {
    At, |state, At(index): At| ffi::lua_pushvalue(state, index);
    Item, |state, Item(array, index): Item| ffi::lua_rawgeti(state, array, index as ffi::lua_Integer);
    &Own, |state, &Own(name): &Own| { ffi::lua_pushvalue(state, name); ffi::lua_rawget(state, -2) };
    (), |state, ()| ffi::lua_pushnil(state);
    bool, |state, value: bool| ffi::lua_pushboolean(state, value.into());
    usize, |state, value| ffi::lua_pushinteger(state, value as ffi::lua_Integer);
    f64, ffi::lua_pushnumber;
    &[u8], |state, value: &[u8]| ffi::lua_pushlstring(state, value.as_ptr().cast(), value.len());
    &str, |state, value: &str| ffi::lua_pushlstring(state, value.as_ptr().cast(), value.len());
    ffi::lua_CFunction, |state, value| ffi::lua_pushcclosure(state, value, 0);
}

/// Why a socket did not do what was asked.
impl Answer for Errno {
    fn push(self, lua: &Lua) -> c_int {
        let word = match self {
            Errno::AGAIN | Errno::INTR => "timeout",
            Errno::PIPE | Errno::CONNRESET => "closed",
            Errno::MFILE | Errno::NFILE => "too many open files",
            _ => "reset",
        };
        word.push(lua)
    }
}

impl Answer for Vec<u8> {
    fn push(self, lua: &Lua) -> c_int {
        let bytes = ManuallyDrop::new(self);
        let count = bytes[..].push(lua);
        drop(ManuallyDrop::into_inner(bytes));
        count
    }
}

/// Nil for nothing.
impl<T: Answer> Answer for Option<T> {
    fn push(self, lua: &Lua) -> c_int {
        self.map_or_else(|| ().push(lua), |value| value.push(lua))
    }
}

/// Nil and why for an error.
impl<T: Answer, E: Answer + Copy> Answer for Result<T, E> {
    fn push(self, lua: &Lua) -> c_int {
        self.map_or_else(|why| ((), why).push(lua), |value| value.push(lua))
    }
}

// What is still to be pushed needs no destructor.
impl<A: Answer, B: Answer + Copy> Answer for (A, B) {
    fn push(self, lua: &Lua) -> c_int {
        self.0.push(lua) + self.1.push(lua)
    }
}

/// A function that Lua can call.
pub const fn entry<R: Answer, F: Fn(&Lua) -> Option<R> + Copy>(_: F) -> ffi::lua_CFunction {
    extern "C-unwind" fn call<R: Answer, F: Fn(&Lua) -> Option<R> + Copy>(state: *mut ffi::lua_State) -> c_int {
        const { assert!(size_of::<F>() == 0) };
        // SAFETY: `F` has no size, so any aligned pointer reads it, and `entry` was given one, so it may be copied.
        let function = unsafe { NonNull::<F>::dangling().read() };
        let lua = Lua { state };
        match function(&lua) {
            Some(answer) => answer.push(&lua),
            // SAFETY: the state is the one of the running call; nothing is left that must be dropped.
            None => unsafe { ffi::luaL_error(state, c"websockets_native: internal error".as_ptr()) },
        }
    }
    call::<R, F>
}

impl Lua {
    /// Runs what needs no Lua. A panic becomes `None`.
    pub fn attempt<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(work)).ok()
    }

    /// Tells whether an argument is a number that is no string.
    pub fn is_number(&self, index: c_int) -> bool {
        self.kind(index) == ffi::LUA_TNUMBER
    }

    fn kind(&self, index: c_int) -> c_int {
        // SAFETY: any index may be asked for its type.
        unsafe { ffi::lua_type(self.state, index) }
    }

    /// Tells whether there is an argument other than nil.
    pub fn has(&self, index: c_int) -> bool {
        self.kind(index) > ffi::LUA_TNIL
    }

    /// Asks for table arguments.
    pub fn tables(&self, indices: &[c_int]) -> Option<()> {
        indices.iter().all(|&index| self.kind(index) == ffi::LUA_TTABLE).then_some(())
    }

    /// Takes a truth value; nil and none are false.
    pub fn boolean(&self, index: c_int) -> bool {
        // SAFETY: any index may be tested.
        unsafe { ffi::lua_toboolean(self.state, index) != 0 }
    }

    /// Takes a number; 0 where there is none.
    pub fn number(&self, index: c_int) -> f64 {
        // SAFETY: any index may be converted to a number, which changes nothing.
        unsafe { ffi::lua_tonumber(self.state, index) }
    }

    /// Takes a string argument.
    pub fn string(&self, index: c_int) -> Option<&[u8]> {
        let (is_string, mut size) = (self.kind(index) == ffi::LUA_TSTRING, 0);
        // SAFETY: only a true string is asked for, so nothing is converted; it is an argument and stays on the stack,
        // and alive, as long as the call that `self` stands for.
        is_string.then(|| unsafe {
            let start = ffi::lua_tolstring(self.state, index, &mut size);
            std::slice::from_raw_parts(start.cast(), size)
        })
    }

    /// Takes a string argument; empty where it is none.
    pub fn bytes(&self, index: c_int) -> &[u8] {
        self.string(index).unwrap_or_default()
    }

    /// Keeps a string argument alive beyond the call. May raise.
    pub fn anchor(&self, index: c_int, spent: &Spent) -> Anchored {
        // SAFETY: the registry holds the string until `reference` is given up, which only `Drop` does; Lua never moves or
        // changes a string.
        let bytes = unsafe { &*std::ptr::from_ref(self.bytes(index)) };
        // SAFETY: the value is pushed and popped by luaL_ref; nothing that must be dropped is alive here.
        let reference = unsafe {
            ffi::lua_pushvalue(self.state, index);
            ffi::luaL_ref(self.state, ffi::LUA_REGISTRYINDEX)
        };
        Anchored { bytes, reference, spent: Rc::clone(spent) }
    }

    /// Gives up references.
    pub fn release(&self, spent: &Spent) {
        while let Some(reference) = { spent.borrow_mut().pop() } {
            // SAFETY: each was made by luaL_ref and is given up once; luaL_unref sets fields that exist already.
            unsafe { ffi::luaL_unref(self.state, ffi::LUA_REGISTRYINDEX, reference) };
        }
    }

    /// Borrows a descriptor that Lua names.
    pub fn fd(&self, index: c_int) -> Option<BorrowedFd<'_>> {
        let number = Some(self.number(index) as i32).filter(|&number| number >= 0)?;
        // SAFETY: the caller keeps its socket open for the time of the call.
        Some(unsafe { BorrowedFd::borrow_raw(number) })
    }

    /// Takes over a descriptor that Lua names.
    pub fn take_fd(&self, index: c_int) -> Option<OwnedFd> {
        // SAFETY: the caller has given it up.
        self.fd(index).map(|fd| unsafe { OwnedFd::from_raw_fd(fd.as_raw_fd()) })
    }

    fn holder<T: 'static>(&self, index: c_int) -> Option<NonNull<Holder<T>>> {
        // SAFETY: a full userdata (a light one has no length) of exactly this size may be read as one, and only
        // `new_object` writes the name of the type into the first words.
        unsafe {
            let holder = NonNull::new(ffi::lua_touserdata(self.state, index).cast::<Holder<T>>())?;
            let is_ours = ffi::lua_rawlen(self.state, index) as usize == size_of::<Holder<T>>()
                && (*holder.as_ptr()).kind == TypeId::of::<T>();
            is_ours.then_some(holder)
        }
    }

    /// The index of what is on top of the stack.
    pub fn top(&self) -> c_int {
        // SAFETY: it changes nothing.
        unsafe { ffi::lua_gettop(self.state) }
    }

    /// Takes an object of ours.
    pub fn object<T: 'static>(&self, index: c_int) -> Option<&T> {
        // SAFETY: it is on the stack, so it lives as long as the call; it is only ever shared, and `drop_object` runs
        // when Lua has let go of it.
        self.holder::<T>(index).map(|holder| unsafe { &(*holder.as_ptr()).value })
    }

    /// Does something while a value is on top of the stack. May raise.
    pub fn with<R>(&self, value: impl Answer, work: impl FnOnce() -> R) -> R {
        value.push(self);
        let result = work();
        // SAFETY: what was pushed is popped.
        unsafe { ffi::lua_settop(self.state, -2) };
        result
    }

    /// Makes an object of a kind and pushes it. May raise; `make` runs when nothing can raise any more.
    pub fn new_object<T: 'static>(&self, kind: &CStr, make: impl FnOnce() -> Option<T>) -> Called {
        // SAFETY: the memory is written before anybody sees it, or it gets the metatable whose finalizer reads it;
        // userdata is aligned for pointers and numbers, which is all that objects hold.
        unsafe {
            let memory = new_userdata(self.state, size_of::<Holder<T>>()).cast::<Holder<T>>();
            ffi::lua_getfield(self.state, ffi::LUA_REGISTRYINDEX, kind.as_ptr());
            let value = self.attempt(make)??;
            memory.write(Holder { kind: TypeId::of::<T>(), value });
            ffi::lua_setmetatable(self.state, -2);
            Some(At(-1))
        }
    }

    /// The finalizer of an object.
    pub fn drop_object<T: 'static>(&self) -> Option<()> {
        let holder = self.holder::<T>(1)?;
        // SAFETY: the kind goes first, so that nobody finds the value again; then it is dropped once.
        self.attempt(|| unsafe {
            (*holder.as_ptr()).kind = TypeId::of::<()>();
            std::ptr::drop_in_place(&raw mut (*holder.as_ptr()).value);
        })
    }

    // Has Lua's memory ready for large messages, of which one has come. May raise.
    //
    // Lua walks over everything when its memory has doubled: where little is there, nearly each large message sets that
    // off. A block that nobody touches counts as memory and takes none. LuaJIT has the system map and clear every block
    // of 128 KiB or more anew; those below it keeps side by side, and all are one that is large once they are free.
    fn make_room(&self) {
        // SAFETY: C functions have room for 20 values; what is pushed here is popped, and the registry keeps one table.
        unsafe {
            if ffi::luaL_newmetatable(self.state, ROOM.as_ptr()) != 0 {
                for block in 1..=ROOM_BLOCKS.0 {
                    new_userdata(self.state, ROOM_BLOCKS.1);
                    ffi::lua_rawseti(self.state, -2, block);
                }
                // Some stay at either end: LuaJIT gives back what is free at an end, whichever way it lies, and the first
                // of them may lie in gaps elsewhere.
                for block in ROOM_ENDS..ROOM_BLOCKS.0 - ROOM_ENDS {
                    ffi::lua_pushnil(self.state);
                    ffi::lua_rawseti(self.state, -2, block);
                }
            }
            // These take a step of one size for any string, and would not keep up with the bytes.
            if cfg!(any(feature = "luajit", feature = "lua51")) {
                let collect = |what| ffi::lua_gc(self.state, what, 0);
                let (used, left) =
                    (collect(ffi::LUA_GCCOUNT), self.with(Item(-1, LEFT_KIB), || self.number(-1)) as c_int);
                // A round is soon made where little is left; else what the steps are behind is made up for.
                let is_soon = left < GROWN_KIB;
                let go_round = || is_soon == (collect(if is_soon { ffi::LUA_GCCOLLECT } else { ffi::LUA_GCSTEP }) == 0);
                if used < left || used >= left.saturating_add(left.max(GROWN_KIB)) && go_round() {
                    self.set_item(-2, LEFT_KIB, collect(ffi::LUA_GCCOUNT) as usize);
                }
            }
            ffi::lua_settop(self.state, -2);
        }
    }

    /// Has messages read and gives each to `put`: its place among them, opcode, payload. Returns how many there are. May
    /// raise.
    pub fn deliver<R: Copy>(
        &self,
        read: impl FnOnce(&mut Delivery) -> R,
        mut put: impl FnMut(usize, usize, &[u8]),
    ) -> Option<(usize, R)> {
        let mut delivery = ManuallyDrop::new(DELIVERY.take().unwrap_or_default());
        let result = self.attempt(|| read(&mut delivery))?;
        let mut is_large = false;
        for (index, (kind, payload)) in delivery.batch.items.iter().enumerate() {
            let payload = match payload {
                Payload::Here(from, size) => &delivery.bytes[*from..*from + *size],
                Payload::Owned(bytes) => bytes,
            };
            is_large |= payload.len() >= LARGE_BYTES;
            put(index, usize::from(*kind), payload);
        }
        let count = delivery.batch.items.len();
        let mut delivery = ManuallyDrop::into_inner(delivery);
        delivery.batch.clear();
        DELIVERY.set((delivery.bytes.len() <= KEPT_BYTES).then_some(delivery));
        if is_large {
            self.make_room();
        }
        Some((count, result))
    }

    /// Puts `source[key]` into a table, unless it is nil. May raise.
    pub fn copy_item(&self, source: c_int, key: i32, target: c_int, index: usize) -> bool {
        self.with(Item(source, key as usize), || self.has(-1).then(|| self.set_item(target, index, At(-1)))).is_some()
    }

    /// Puts a value into a table; what is more than one fills the places behind as well. May raise.
    pub fn set_item(&self, table: c_int, index: usize, value: impl Answer) {
        for place in (0..value.push(self)).rev() {
            // SAFETY: callers checked that it is a table; the values are pushed and popped.
            unsafe { ffi::lua_rawseti(self.state, table, (index as c_int + place).into()) };
        }
    }

    /// Puts numbers into a table. Returns how many. May raise.
    pub fn set_items(&self, table: c_int, numbers: Vec<usize>) -> usize {
        let numbers = ManuallyDrop::new(numbers);
        for (index, number) in numbers.iter().enumerate() {
            self.set_item(table, index + 1, *number);
        }
        ManuallyDrop::into_inner(numbers).len()
    }

    /// Makes a table and pushes it. May raise.
    pub fn new_table(&self) {
        // SAFETY: there is room.
        unsafe { ffi::lua_createtable(self.state, 0, 0) }
    }

    fn set_field(&self, name: *const c_char, value: impl Answer) {
        value.push(self);
        // SAFETY: callers have a table on top and name a string that ends with a zero; the value is pushed and popped.
        unsafe { ffi::lua_setfield(self.state, -2, name) };
    }

    /// Puts functions into the table on top of the stack. May raise.
    pub fn set_functions(&self, functions: Functions) {
        for (name, function) in functions {
            self.set_field(name.as_ptr().cast(), *function);
        }
    }

    /// Makes the metatable of a kind of objects, which is the table of its methods too, and puts it into the one on top
    /// of the stack. May raise.
    pub fn new_kind(&self, name: &CStr, methods: Functions, finalizer: ffi::lua_CFunction) {
        // SAFETY: the table is pushed, and popped at the end.
        unsafe { ffi::luaL_newmetatable(self.state, name.as_ptr()) };
        self.set_functions(methods);
        self.set_field(c"__gc".as_ptr(), finalizer);
        self.set_field(c"__metatable".as_ptr(), false);
        self.set_field(c"__index".as_ptr(), At(-1));
        // SAFETY: the table that it is put into is below.
        unsafe { ffi::lua_setfield(self.state, -2, name.as_ptr()) };
    }
}

// Without the user value that 5.4 would keep room for.
//
// SAFETY: the caller has a state that may make objects, and expects this to raise.
unsafe fn new_userdata(state: *mut ffi::lua_State, size: usize) -> *mut c_void {
    #[cfg(any(feature = "lua54", feature = "lua55"))]
    return ffi::lua_newuserdatauv(state, size, 0);
    #[cfg(not(any(feature = "lua54", feature = "lua55")))]
    ffi::lua_newuserdata(state, size)
}

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
    //
    // SAFETY: this is the first call, and made for being called with the wrong Lua.
    #[cfg(feature = "lua52")]
    ffi::luaL_checkversion_(state, 502.0);
    #[cfg(any(feature = "lua53", feature = "lua54", feature = "lua55"))]
    ffi::luaL_checkversion_(state, VERSION.0, VERSION.1);
    crate::calls::open(&Lua { state }).map_or(0, |_| 1)
}

/// What `write` does once it knows its arguments; LuaJIT can call it without leaving its compiled code.
///
/// # Safety
/// `wire` is the userdata of a wire, and `payload` has `size` bytes; both live as long as the call.
#[cfg(feature = "luajit")]
#[no_mangle]
pub unsafe extern "C" fn websockets_write(wire: *mut c_void, opcode: c_int, payload: *const u8, size: usize) -> bool {
    // SAFETY: as the caller promises; the kind is looked at before the value.
    let (wire, payload) = unsafe { (&*wire.cast::<Holder<WireObject>>(), std::slice::from_raw_parts(payload, size)) };
    let frame = Frame { first: FINAL | opcode as u8, is_packable: true, payload };
    let write = || wire.kind == TypeId::of::<WireObject>() && wire.value.write(frame);
    catch_unwind(AssertUnwindSafe(write)).unwrap_or_default()
}
