//! What a call gives to Lua: the values of an answer.

use std::ffi::c_int;

use mlua::ffi;

/// How many values an answer has at most.
pub(super) const ANSWER_VALUES: usize = 5;

/// What a function answers Lua with.
///
/// # Safety
/// `push` leaves as many values on the stack as it returns, and no more than `COUNT`.
pub unsafe trait Answer {
    /// How many values it has at most.
    const COUNT: usize;

    /// Pushes it, and returns how many values that was. May raise, and then leaks no more than memory.
    fn push(self, room: Room) -> c_int;
}

/// Room on the stack for an answer. Code outside of `lua` cannot have it.
#[derive(Clone, Copy)]
pub struct Room(pub(super) *mut ffi::lua_State);

/// The object that was made last: it is on top of the stack.
pub struct Made(pub(super) ());

macro_rules! answer {
    ($($type:ty, $push:expr;)*) => {
        $(// SAFETY: each of the functions below pushes one value.
        unsafe impl Answer for $type {
            const COUNT: usize = 1;

            #[inline]
            fn push(self, room: Room) -> c_int {
                // SAFETY: there is room; Lua copies bytes.
                unsafe { ($push)(room.0, self) };
                1
            }
        })*
    };
}

answer! {
    Made, |state, _: Made| ffi::lua_pushvalue(state, -1);
    (), |state, ()| ffi::lua_pushnil(state);
    bool, |state, value: bool| ffi::lua_pushboolean(state, value.into());
    usize, |state, value| ffi::lua_pushinteger(state, value as ffi::lua_Integer);
    i32, |state, value: i32| ffi::lua_pushinteger(state, value as ffi::lua_Integer);
    f64, |state, value| ffi::lua_pushnumber(state, value);
    &[u8], |state, value: &[u8]| ffi::lua_pushlstring(state, value.as_ptr().cast(), value.len());
    &str, |state, value: &str| ffi::lua_pushlstring(state, value.as_ptr().cast(), value.len());
}

// SAFETY: nil is one value, the other case is as many as it has.
unsafe impl<T: Answer> Answer for Option<T> {
    const COUNT: usize = T::COUNT;

    #[inline]
    fn push(self, room: Room) -> c_int {
        match self {
            Some(answer) => answer.push(room),
            None => ().push(room),
        }
    }
}

// Nil and why for an error.
//
// SAFETY: either case is as many values as it has.
unsafe impl<T: Answer, E: Answer + Copy> Answer for Result<T, E> {
    const COUNT: usize = T::COUNT + 1 + E::COUNT;

    #[inline]
    fn push(self, room: Room) -> c_int {
        match self {
            Ok(answer) => answer.push(room),
            Err(why) => ((), why).push(room),
        }
    }
}

macro_rules! answers {
    ($(($first:ident $($other:ident)*))*) => {
        $(
            // What is still to be pushed needs no destructor.
            //
            // SAFETY: each of the values is as many as it has.
            #[allow(non_snake_case)]
            unsafe impl<$first: Answer, $($other: Answer + Copy),*> Answer for ($first, $($other),*) {
                const COUNT: usize = $first::COUNT $(+ $other::COUNT)*;

                #[inline]
                fn push(self, room: Room) -> c_int {
                    let ($first, $($other),*) = self;
                    $first.push(room) $(+ $other.push(room))*
                }
            }
        )*
    };
}

answers! { (A B) (A B C) (A B C D) (A B C D E) }
